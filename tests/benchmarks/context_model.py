"""Measures what the context model of the spectrum stream saves against the coded envelope alone. Prints markdown.

    python tests/benchmarks/context_model.py TRAINING_FOLDER FOLDER [--files 24] [--jobs 2]

One excerpt of each file is encoded at a low and at a high rate. The same integers are then counted with other tables
for the band flags and the magnitudes: with rows that follow only from the level of the band above its step (a quarter
octave a row), the size of the block and the channel. These tables are fitted, for each rate, by counting in
TRAINING_FOLDER; both models are measured in FOLDER. Everything else (partition, stereo, energies, signs, escapes, low
bits) costs the same under both.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.coder import FrequencyTable, SymbolEncoder
from evc.format.streams import StreamContext
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import SpectrumStream, channel_groups
from evc.format.streams.spectrum_blocks import Block
from evc.format.streams.spectrum_layout import BandLayout
from evc.format.streams.spectrum_model import spectrum_model
from evc.format.streams.spectrum_walk import Walk
from evc.models.settings import EncodeSettings
from evc.models.source import ArraySource
from evc.models.spectrum.encoder import SegmentAnalyser, encode_segment
from evc.models.spectrum.rate import GainSearch, planned_gain
from evc.models.spectrum.training_data import AUDIO_SUFFIXES, HIGHEST_HZ

RATES = (24.0, 96.0)  # kbit/s
SUPERFRAMES = 96  # of an excerpt
LOWEST_LEVEL = -160  # of a band above its step, 1/64 octave
LEVELS = 32
ROWS = LEVELS * c.BLOCK_DEPTHS * 2
PRIOR = 40  # symbols that the other block sizes and channels count for
FINENESS = 64  # weights of a counted symbol
COMPARED = ("bands", "coefficients")


@dataclass
class Measured:
    """Ideal bits by kind under the shipped model, and how often each symbol came in each row of the plain one."""

    seconds: float = 0.0
    bits: Counter[str] = field(default_factory=Counter)
    flags: NDArray[np.int64] = field(default_factory=lambda: np.zeros((ROWS, 2), np.int64))
    magnitudes: NDArray[np.int64] = field(default_factory=lambda: np.zeros((ROWS, c.MAGNITUDE_SYMBOLS), np.int64))

    def add(self, other: Measured) -> None:
        self.seconds += other.seconds
        self.bits += other.bits
        self.flags += other.flags
        self.magnitudes += other.magnitudes


class Counting:
    """A port of the walk that counts the symbols of given blocks in the rows of the plain model."""

    def __init__(self, measured: Measured) -> None:
        self.measured = measured

    def begin(self, block: Block, steps: Any, levels: Any, bands: BandLayout) -> None:
        self.block, self.layout = block, bands
        level = np.clip((levels - steps - LOWEST_LEVEL) >> 4, 0, LEVELS - 1)
        self.rows = (level * c.BLOCK_DEPTHS + block.depth) * 2 + np.arange(len(levels))[:, None]

    def symbols(self, values: Any, table: Any, rows: Any, kind: str) -> Any:
        return values

    def golomb(self, values: Any, order: int, kind: str) -> Any:
        return values

    def bands(self, channel: int, at: Any, table: Any, rows: Any) -> Any:
        used = np.maximum.reduceat(np.abs(self.block.coefficients[channel]), self.layout.edges[:-1]) > 0
        np.add.at(self.measured.flags, (self.rows[channel, at], used[at].astype(int)), 1)
        return used[at]

    def magnitudes(self, channel: int, bins: Any, shifts: Any, table: Any, rows: Any) -> Any:
        high = np.abs(self.block.coefficients[channel, bins]) >> shifts
        symbols = np.minimum(high, c.MAGNITUDE_SYMBOLS - 1)
        np.add.at(self.measured.magnitudes, (self.rows[channel, self.layout.band_of_bin[bins]], symbols), 1)
        return symbols


def excerpt(path: Path) -> ArraySource:
    """The middle of a file: up to two channels."""
    info = soundfile.info(path)
    frames = min(info.frames, SUPERFRAMES * c.superframe_length(info.samplerate))
    start = (info.frames - frames) // 2
    audio, samplerate = soundfile.read(path, frames, start, dtype="float32", always_2d=True)
    return ArraySource(audio[:, :2], samplerate)


def measure(path: Path, rate: float) -> Measured:
    """Encode an excerpt of a file at `rate` kbit/s and count."""
    source = excerpt(path)
    measured = Measured(source.frames / source.samplerate)
    gain = planned_gain(EncodeSettings(bitrate=rate), source.channels)
    length = SUPERFRAMES * c.superframe_length(source.samplerate)
    groups = SegmentAnalyser(source, length, gain, HIGHEST_HZ).analyse(0)
    search = GainSearch(gain, 1000 * rate * measured.seconds)
    gain = round(search.run(lambda gain: encode_segment(groups, round(gain))[1]))
    stream, _ = encode_segment(groups, gain)
    encoder = SymbolEncoder(account=True)
    stream.write(encoder, StreamContext(source.samplerate, source.channels, source.frames))
    measured.bits = Counter({kind: bits for kind, (_, bits) in encoder.account.items()})
    _count(stream, source, measured)
    return measured


def _count(stream: SpectrumStream, source: ArraySource, measured: Measured) -> None:
    port = Counting(measured)
    for group, channels in zip(stream.groups, channel_groups(source.channels)):
        if not group.coarse_bands:
            continue
        geometry = layout.geometry(c.superframe_length(source.samplerate), group.coarse_bands)
        walk = Walk(geometry, channels.stop - channels.start, group.gain, spectrum_model())
        for blocks in group.superframes:
            walk.superframe(0, [block.depth for block in blocks], port)
            for block in blocks:
                walk.block(block, port)


def fitted(counts: NDArray[np.int64]) -> FrequencyTable:
    """A table from counts [rows, symbols]. Rows that were seen rarely lean on those of the same level."""
    pooled = counts.reshape(LEVELS, -1, counts.shape[1]).sum(axis=1) + 1 / counts.shape[1]
    prior = PRIOR * pooled / pooled.sum(axis=1, keepdims=True)
    weights = counts + np.repeat(prior, len(counts) // LEVELS, axis=0)
    return FrequencyTable(np.rint(FINENESS * weights).astype(np.int64) + 1)


def chosen(folder: Path, most: int) -> list[Path]:
    """Sound files of a folder, evenly chosen."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in AUDIO_SUFFIXES)
    if not paths:
        raise SystemExit(f"{folder}: no sound files")
    places = np.unique(np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int))
    return [paths[place] for place in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("training", type=Path, help="sound files that the plain tables are fitted on")
    parser.add_argument("folder", type=Path, help="sound files to measure")
    parser.add_argument("--files", type=int, default=24, help="of each folder")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    arguments = parser.parse_args()
    print("| kbit/s | side information | envelope alone | context model | saved of all | saved of the coefficients |")
    print("|---|---|---|---|---|---|")
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for rate in RATES:
            sums = []
            for folder in (arguments.training, arguments.folder):
                total = Measured()
                for measured in pool.map(partial(measure, rate=rate), chosen(folder, arguments.files)):
                    total.add(measured)
                sums.append(total)
            print(_row(*sums), flush=True)


def _row(training: Measured, total: Measured) -> str:
    plain = float((total.flags * fitted(training.flags).bits).sum())
    plain += float((total.magnitudes * fitted(training.magnitudes).bits).sum())
    model = sum(total.bits[kind] for kind in COMPARED)
    rest = total.bits.total() - model

    def kbps(bits: float) -> str:
        return f"{bits / total.seconds / 1000:.2f}"

    savings = f"{1 - (model + rest) / (plain + rest):.1%} | {1 - model / plain:.1%}"
    side = sum(total.bits[kind] for kind in ("parameters", "partition", "hold", "stereo", "energies"))
    return f"| {kbps(rest + model)} | {kbps(side)} | {kbps(rest + plain)} | {kbps(rest + model)} | {savings} |"


if __name__ == "__main__":
    main()
