"""Counts what the contexts of the noise stream begin with: `scales` and `signs` of spec/tables/noise.npz.

    python -m evc.models.noise.train_contexts FOLDER TABLES
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.streams.changes import context, passes, surroundings
from evc.format.streams.noise import NoisePlane, NoiseStream
from evc.format.streams.noise_changes import END, FIRST, START, plane_kinds, tables
from evc.models.noise.encoder import NoiseEncoder

SECONDS = 16.0
DETAILS = (30.0, 100.0, 300.0)
PRIOR = 8.0  # counts that the tables of before are worth


class Counts:
    """Sums of magnitudes and of signs [kinds, contexts], and how many each is of."""

    def __init__(self) -> None:
        scales, signs = tables()["scales"], tables()["signs"]
        self.magnitudes = np.stack([scales * (PRIOR / c.SCALE_ONE), np.full(scales.shape, PRIOR)])
        self.negatives = np.stack([signs * (PRIOR / c.FLAG_ONE), np.full(signs.shape, PRIOR)])

    def add(self, stream: NoiseStream, channels: int) -> None:
        for plane, kind in zip(stream.planes, plane_kinds(channels), strict=True):
            for which, change in changes(plane):
                for number, at, left, right in passes(len(change)):
                    around, size, sign = surroundings(change, left, right)
                    self._count(kind.row, which, change[at] - around, context(which, number, size), sign)

    def _count(
        self, row: int, which: int, values: NDArray[np.int64], at: NDArray[np.int64], sign: NDArray[np.int64]
    ) -> None:
        some = values != 0
        _add(self.magnitudes[:, row], at, np.abs(values))
        _add(self.negatives[:, row], c.CHANGE_SIGNS * which + sign[some], values[some] < 0)

    def tables(self) -> dict[str, NDArray[np.int32]]:
        scales = c.SCALE_ONE * self.magnitudes[0] / self.magnitudes[1]
        signs = c.FLAG_ONE * self.negatives[0] / self.negatives[1]
        return {"scales": np.rint(scales).astype(np.int32), "signs": np.rint(signs).astype(np.int32)}


def _add(sums: NDArray[np.float64], at: NDArray[np.int64], values: NDArray[np.generic]) -> None:
    """Add values to the sums [0] of their contexts, and their number to the counts [1]."""
    sums[0] += np.bincount(at, weights=values, minlength=sums.shape[1])
    sums[1] += np.bincount(at, minlength=sums.shape[1])


def changes(plane: NoisePlane) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """The changes of levels [bands] that a plane codes, and of which sort each is."""
    before = None
    for start, end in zip(plane.starts, plane.ends, strict=True):
        if before is None:
            yield FIRST, start
        elif (start != before).any():
            yield START, start - before
        if (end != start).any():
            yield END, end - start
        before = end


def excerpts(files: Iterable[Path]) -> Iterator[tuple[NDArray[np.float32], int]]:
    """The middle of each file: float32 [channels, frames], and the sample rate."""
    import soundfile

    for path in files:
        audio, samplerate = soundfile.read(path, dtype="float32", always_2d=True)  # not all formats can be sought in
        frames = min(len(audio), int(SECONDS * samplerate))
        begin = (len(audio) - frames) // 2
        yield audio[begin : begin + frames].T, samplerate


def count(files: Iterable[Path]) -> dict[str, NDArray[np.int32]]:
    """The tables that the streams of some sound files ask for."""
    counts = Counts()
    for audio, samplerate in excerpts(files):
        encoder = NoiseEncoder(samplerate, len(audio))
        audio = np.pad(audio, ((0, 0), (encoder.margin, encoder.margin)))
        wanted = encoder.prepare(audio, np.zeros_like(audio))
        for detail in DETAILS:
            stream = encoder.fit(wanted, detail)
            if stream is not None:
                counts.add(stream, len(audio))
    return counts.tables()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="sound files, searched for in all folders below")
    parser.add_argument("tables", type=Path, help="the file that is written: the present tables with new contexts")
    arguments = parser.parse_args()
    found = count(sorted(path for path in arguments.folder.rglob("*") if path.suffix in (".flac", ".opus", ".wav")))
    np.savez_compressed(arguments.tables, noise=tables()["noise"], scales=found["scales"], signs=found["signs"])


if __name__ == "__main__":
    main()
