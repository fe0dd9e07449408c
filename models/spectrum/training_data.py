"""Training data for the probability model of the spectrum stream: every context with the symbol coded in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams import spectrum_contexts as contexts
from evc.format.streams.spectrum import Group
from evc.format.streams.spectrum_blocks import Block
from evc.format.streams.spectrum_layout import BandLayout, Geometry
from evc.format.streams.spectrum_model import SpectrumModel
from evc.format.streams.spectrum_walk import HALF_ENERGY, Walk
from evc.models.source import ArraySource
from evc.models.spectrum.encoder import AnalysedGroup, SegmentAnalyser
from evc.models.spectrum.quantise import BlockQuantiser, PlainQuantiser, quantise

EXCERPT_SUPERFRAMES = 96
GAINS = (-1.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)  # log2 steps: from about 150 to 6 kbit/s
GAIN_SPREAD = 0.25
HIGHEST_HZ = 20_000.0
SILENCE = 1e-3
DUAL_MONO_SHARE, GAP_SHARE = 0.08, 0.08
AUDIO_SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff"}


class _Named:
    """Stands for a frequency table while recording; its costs are flat."""

    def __init__(self, *name: Any) -> None:
        self.name = name
        self.bits = np.zeros((1 << 14, 64), np.float32)


class Recorder:
    """Model and port of a walk at once: keeps every context with the symbol coded in it.

    keep: share of the magnitudes to keep, the rest being plentiful.
    """

    def __init__(self, keep: float, seed: int) -> None:
        self.rng, self.keep = np.random.default_rng(seed), keep
        self.data: dict[tuple[Any, ...], list[tuple[NDArray[Any], ...]]] = {}
        energy = [(channel, stage) for channel in range(2) for stage in range(contexts.ENERGY_PASSES)]
        coefficient = [(channel, stage) for channel in range(2) for stage in range(contexts.COEFFICIENT_PASSES)]
        self.energy_table = {key: _Named("energy", *key) for key in energy}
        self.coefficient_table = {key: _Named("coefficient", *key) for key in coefficient}
        self.band, self.stereo = _Named("band"), _Named("stereo")
        self.split, self.hold = _Named("split"), _Named("hold")

    def record(self, group: Group, geometry: Geometry, channels: int) -> None:
        """Walk over a coded group."""
        model: Any = self
        walk = Walk(geometry, channels, group.gain, model)
        for blocks in group.superframes:
            walk.superframe(0, [block.depth for block in blocks], model)
            for block in blocks:
                walk.block(block, model)

    def arrays(self, *name: Any) -> list[NDArray[Any]]:
        """Everything recorded under a table's name: rows or features, reference energies if any, symbols."""
        return [np.concatenate(parts) for parts in zip(*self.data[name], strict=True)]

    # As a model

    def energy_rows(self, key: Any, features: Any, reference: Any, static: Any) -> Any:
        self._pending = _whole(features, static), reference.astype(np.int16)
        return reference >> 2, reference & 3

    def coefficient_rows(self, key: Any, features: Any, static: Any) -> Any:
        self._features, self._static = features, static
        return np.zeros(len(features), np.int64)

    # As a port

    def begin(self, block: Block, steps: Any, levels: Any, bands: BandLayout) -> None:
        self._block, self._layout = block, bands

    def symbols(self, values: Any, table: Any, rows: Any, kind: str) -> Any:
        if kind == "energies":
            features, reference = self._pending
            energies = (values - HALF_ENERGY + (reference >> 2)).astype(np.int16)
            self._store(table.name, features, reference, energies)
        else:
            rows = np.broadcast_to(np.asarray(rows), np.shape(values))
            self._store(table.name, rows.astype(np.int32), np.asarray(values).astype(np.int32))
        return values

    def golomb(self, values: Any, order: int, kind: str) -> Any:
        return values

    def bands(self, channel: int, at: Any, table: Any, rows: Any) -> Any:
        used = np.maximum.reduceat(np.abs(self._block.coefficients[channel]), self._layout.edges[:-1]) > 0
        self._store(table.name, rows.astype(np.int32), used[at].astype(np.int32))
        return used[at]

    def magnitudes(self, channel: int, bins: Any, shifts: Any, table: Any, rows: Any) -> Any:
        magnitudes = np.abs(self._block.coefficients[channel, bins]) >> shifts
        symbols = np.minimum(magnitudes, c.MAGNITUDE_SYMBOLS - 1)
        kept = self.rng.random(len(bins)) < self.keep
        self._store(table.name, _whole(self._features[kept], self._static), symbols[kept].astype(np.uint8))
        return symbols

    def _store(self, name: tuple[Any, ...], *arrays: NDArray[Any]) -> None:
        self.data.setdefault(name, []).append(arrays)


def _whole(features: NDArray[np.float32], static: tuple[int, int]) -> NDArray[np.int8]:
    """Features int8 [n, static and other ones]."""
    shared = np.broadcast_to(contexts.static_features(*static), (len(features), contexts.STATIC_FEATURES))
    return np.concatenate([shared, features], axis=1).astype(np.int8)


def excerpts(folder: Path, per_file: int, seed: int, skip: tuple[str, ...]) -> Iterator[ArraySource]:
    """`per_file` excerpts at random places of every readable sound file below `folder` whose name contains none of
    `skip`."""
    import soundfile

    rng = np.random.default_rng(seed)
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in AUDIO_SUFFIXES):
        if any(word in path.name for word in skip):
            continue
        try:
            audio, samplerate = soundfile.read(path, dtype="float32", always_2d=True)
        except soundfile.SoundFileError:
            print(f"skipped, unreadable: {path.name}", flush=True)
            continue
        length = EXCERPT_SUPERFRAMES * c.superframe_length(samplerate)
        for _ in range(per_file):
            start = int(rng.integers(0, max(1, len(audio) - length)))
            part = audio[start : start + length, :2]
            if np.abs(part).max(initial=0) > SILENCE:
                yield ArraySource(_varied(part, rng), samplerate)


def _varied(audio: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Now and then both channels the same, and now and then digital silence in the middle: files have both."""
    audio = audio.copy()
    if rng.random() < DUAL_MONO_SHARE:
        audio[:] = audio[:, :1]
    if rng.random() < GAP_SHARE:
        start, end = np.sort(rng.integers(0, len(audio), 2))
        audio[start:end] = 0
    return audio


def collect(
    folder: Path, model: SpectrumModel | None, per_file: int, keep: float, seed: int = 0, skip: tuple[str, ...] = ()
) -> Recorder:
    """Encode excerpts of a folder at random rates, with a model's tables or by plain rounding, and record them."""
    recorder, rng = Recorder(keep, seed), np.random.default_rng(seed)
    for source in excerpts(folder, per_file, seed, skip):
        gain = round(c.OCTAVE * float(rng.choice(GAINS) + rng.uniform(-GAIN_SPREAD, GAIN_SPREAD)))
        segment = EXCERPT_SUPERFRAMES * c.superframe_length(source.samplerate)
        for group in SegmentAnalyser(source, segment, gain, HIGHEST_HZ).analyse(0):
            if group is not None:
                recorder.record(_quantised(group, gain, model), group.geometry, source.channels)
    return recorder


def _quantised(group: AnalysedGroup, gain: int, model: SpectrumModel | None) -> Group:
    quantiser = BlockQuantiser if model is not None else PlainQuantiser
    chosen: Any = model if model is not None else Recorder(0.0, 0)
    return quantise(group.spectra, group.blocks, group.geometry, gain, chosen, quantiser)[0]
