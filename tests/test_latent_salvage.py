"""Files with latents where their network is missing, or something of them is damaged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from damage import segment_places, with_flipped_bit

import evc
from evc.format.errors import DamagedError, UnsupportedError
from evc.format.networks import installed_too
from evc.spec.latents import NETWORK, latents


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the weights of the file's network are."""
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def data(folder: Path) -> bytes:
    return latents(folder)


@pytest.fixture
def installed(folder: Path, data: bytes) -> Iterator[None]:
    with installed_too(folder):
        yield


def test_the_same_file_every_time(data: bytes, tmp_path: Path) -> None:
    assert latents(tmp_path) == data


@pytest.mark.parametrize("salvage", [False, True])
def test_without_the_network_all_else_can_be_read(data: bytes, salvage: bool) -> None:
    with evc.open(io.BytesIO(data), salvage=salvage) as file:
        assert file.layers == ("latent",) and [network.id for network in file.networks] == [NETWORK]
        assert len(file.events) == len(file.patterns) == 0 and len(file.segments) == 3
        assert {layer.name: layer.symbols for layer in file.stats(symbols=False).layers} == {"latent": 0}
        for attempt in (file.verify, file.read):
            with pytest.raises(UnsupportedError, match=NETWORK):
                attempt()
    changed = io.BytesIO()
    evc.edit_tags(io.BytesIO(data), changed, {"title": "changed"})
    assert evc.info(io.BytesIO(changed.getvalue())).tags == {"title": "changed"}


def test_statistics(data: bytes, installed: None) -> None:
    with evc.open(io.BytesIO(data)) as file:
        file.verify()
        stats = file.stats()
        flat = file.stats(symbols=False)
    (layer,) = stats.layers
    assert layer.name == "latent"
    assert {stream.name for stream in layer.streams} == {"header", "latents", "escapes", "low bits", "signs"}
    assert layer.model_bits < layer.bits < layer.model_bits + 3 * 64
    assert stats.seconds.sum() == pytest.approx(flat.seconds.sum())
    assert (abs(stats.seconds - flat.seconds) > 1).any()


def test_damage_takes_one_segment(data: bytes, installed: None) -> None:
    place = segment_places(data)[0]
    broken = with_flipped_bit(data, place.end - 10)
    with evc.open(io.BytesIO(broken)) as file, pytest.raises(DamagedError):
        file.verify()
    with evc.open(io.BytesIO(broken), salvage=True) as file:
        file.verify()
        assert [(span.start, span.frames) for span in file.damage] == [(0, file.segments[0].frames)]
