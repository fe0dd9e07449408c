"""Where a layer, and hints, are registered. Nothing here is imported before it is needed."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any, NamedTuple


class Layer(NamedTuple):
    """Of a layer that `evc.format.constants.STREAMS` names.

    renderer  for a layer that sounds in units over the spectrum and the patterns (`overlay.py`), its class
    hints     what a file with it was encoded with; the first layer of LAYERS that a file has decides
    """

    renderer: str | None
    hints: str


LAYERS = {
    "latent": Layer(None, "latent"),
    "spectrum": Layer(None, "spectrum"),
    "patterns": Layer(None, "spectrum"),
    "timbre": Layer("evc.models.timbre.layer.TimbreLayer", "timbre"),
    "events": Layer("evc.models.events.layer.EventLayer", "noise"),
    "noise": Layer("evc.models.noise.layer.NoiseLayer", "noise"),
}


class Hints(NamedTuple):
    """What may tell of the sound.

    tells        what that is, in a few words
    encoder      a function with the arguments of `pipeline.encode`
    least, most  kbit/s
    usual        kbit/s where no bitrate is asked for; None: a quality is chosen then
    channels     at most
    samplerates  Hz, from and to
    best         kbit/s from which and below which they measure best, by channels (docs/benchmarks.md); those without
                 such a range are for what lies below, or above, that of the others
    """

    tells: str
    encoder: str
    least: float
    most: float = math.inf
    usual: float | None = None
    channels: float = math.inf
    samplerates: tuple[float, float] = (0, math.inf)
    best: dict[int, tuple[float, float]] = {}


HINTS = {
    "timbre": Hints(
        "a path through a space of drones and pads", "evc.models.timbre.encoder.with_timbre", 0.05, 0.4, 0.1, 2,
    ),
    "noise": Hints("a list of events, and noise", "evc.models.description.described", 0.4, 6.0, 1.0, 2),
    "latent": Hints(
        "what a network needs to restore it from these", "evc.models.latents.encoder.with_latents", 1.2, 16.0, 6.0,
        2, (32_000, 48_000), {1: (1.5, 12.0), 2: (1.5, 14.0)},
    ),
    "spectrum": Hints("a waveform", "evc.models.waveform.with_waveform", 6.0),
}  # fmt: skip
LEAST_BITRATE = min(hints.least for hints in HINTS.values())


def load(name: str) -> Any:
    """What a class or a function of a module is, by both names."""
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)
