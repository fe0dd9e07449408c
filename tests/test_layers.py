"""Every layer that the format has is registered with what renders it, and all that is registered is there."""

from __future__ import annotations

import pytest

from evc.format import constants as c
from evc.format.streams import stream_class
from evc.models.layers import HINTS, LAYERS, load
from evc.models.overlay import OverlayLayer
from evc.models.superframes import COPIED
from evc.models.synthesis import LATENT


def test_layers_are_those_of_the_format() -> None:
    assert set(LAYERS) == set(c.LAYERS)
    assert {name for name in LAYERS if LAYERS[name].renderer is None} == {*COPIED, LATENT}
    assert {layer.hints for layer in LAYERS.values()} == set(HINTS)


@pytest.mark.parametrize("name", [name for name in LAYERS if LAYERS[name].renderer is not None])
def test_renderers_are_there(name: str) -> None:
    renderer = load(str(LAYERS[name].renderer))
    assert c.STREAMS[renderer.stream].layer == name
    assert all(hasattr(renderer, method) for method in ("kept", "source"))
    assert OverlayLayer.__annotations__.keys() - {"before", "after"} <= vars(renderer).keys()


def test_encoders_and_streams_are_there() -> None:
    assert all(callable(load(hints.encoder)) for hints in HINTS.values())
    assert len({stream_class(kind) for kind in c.STREAM_NAMES}) == len(c.STREAMS)
