"""Counts what the values of envelopes are coded under: `values` of spec/tables/envelope.npz.

    python -m evc.models.spectrum.train_envelope FOLDER TABLES

FOLDER holds sound files. From the middle of each SECONDS are encoded at QUALITIES, and what is found off is counted,
band by band, by the two values before. Bands of segments go to the class that takes fewest bits, over and over, from
classes by how much is off; the tables of the commit do not matter.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from evc.format import constants as c
from evc.format.header import Header
from evc.format.streams import StreamContext, decoded_stream
from evc.format.streams.envelope import CLASSES, CONTEXTS, Integers, rows
from evc.models import pipeline
from evc.models.settings import EncodeSettings
from evc.models.source import ArraySource

SECONDS = 9.0
QUALITIES = (1.5, 3.0, 4.5, 6.0)
ROUNDS = 8
PRIOR = 0.2  # counts of every value in every context, in the shape of the class
LEAST_PRIOR = 0.02
TOTAL = 60_000  # weights of a row
SYMBOLS = 2 * c.MOST_ENVELOPE + 1


def envelopes(folder: Path) -> Iterator[Integers]:
    """Values [hops, bands] of the groups of segments that have any."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".flac", ".opus", ".ogg", ".wav")):
        try:
            info = soundfile.info(path)
            frames = min(info.frames, round(SECONDS * info.samplerate))
            audio, samplerate = soundfile.read(path, frames, (info.frames - frames) // 2, always_2d=True)
        except soundfile.SoundFileError as error:
            print(f"{path.name}: {error}")
            continue
        source = ArraySource(audio.astype(np.float32), samplerate)
        length = c.default_segment_frames(samplerate)
        header = Header(samplerate, source.channels, frames, layers=("spectrum",), segment_frames=length)
        for quality in QUALITIES:
            coded = pipeline.encode(source, header, EncodeSettings(quality=quality, patterns="off"), 0)
            for segment in coded.segments:
                data = segment.stream(c.STREAM_ENVELOPE)
                if data is not None:
                    stream, _ = decoded_stream(data, StreamContext.of_segment(header, segment.index))
                    yield from (group for group in stream.values if group.any())


def counted(found: list[Integers]) -> Integers:
    """Weights [classes * bands * contexts, values]."""
    bands = len(c.ENVELOPE_HZ)
    weights = np.zeros((CLASSES, bands, CONTEXTS, SYMBOLS))
    for band in range(bands):
        counts = np.stack([_counts(group[:, band]) for group in found if group.shape[1] > band])
        loud = np.array([np.abs(group[:, band]).mean() for group in found if group.shape[1] > band])
        classes = np.searchsorted(np.quantile(loud, np.arange(1, CLASSES) / CLASSES), loud)
        for _ in range(ROUNDS):
            for one in range(CLASSES):
                total = counts[classes == one].sum(axis=0)
                shape = total.sum(axis=0) + LEAST_PRIOR * max(total.sum(), 1) / SYMBOLS
                weights[one, band] = total + PRIOR * SYMBOLS * shape / shape.sum() + LEAST_PRIOR
            bits = -np.log2(weights[:, band] / weights[:, band].sum(axis=-1, keepdims=True))
            classes = np.einsum("ncs,kcs->nk", counts, bits).argmin(axis=1)
    shares = weights / weights.sum(axis=-1, keepdims=True)
    return np.maximum(np.rint(TOTAL * shares), 1).astype(np.int64).reshape(-1, SYMBOLS)


def _counts(values: Integers) -> Integers:
    """Counts [contexts, values] of one band."""
    found = np.zeros((CONTEXTS, SYMBOLS), np.int64)
    at = rows(values[:, None], np.zeros(1, np.int64))[:, 0]
    np.add.at(found, (at, values + c.MOST_ENVELOPE), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tables", type=Path)
    options = parser.parse_args()
    found = list(envelopes(options.folder))
    np.savez_compressed(options.tables, values=counted(found).astype(np.uint16))
    print(f"{len(found)} envelopes")


if __name__ == "__main__":
    main()
