"""Counts what the contexts of the timbre stream begin with: spec/tables/timbre.npz.

    python -m evc.models.timbre.train_contexts FOLDER TABLES
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.networks import find, installed_network
from evc.format.streams.timbre import step_size
from evc.models.noise.train_contexts import excerpts
from evc.models.source import ArraySource
from evc.models.timbre.encoder import cheapest, fit_lines, line_errors, listened, rows_of
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.layout import TIMBRE_NETWORK

COSTS = (10.0, 100.0, 1000.0)  # squared dB that a point must save


def count(files: Iterable[Path]) -> NDArray[np.int32]:
    """Mean magnitudes [2, 32] of the integers of first points, and of what changes from point to point, in 1/256."""
    network = TimbreNetwork.load(find(installed_network(TIMBRE_NETWORK)))
    first, later = [], []
    for audio, samplerate in excerpts(files):
        heard = listened(ArraySource(audio.T, samplerate), network)
        errors = line_errors(rows_of(heard, network.sensitivity))
        for cost in COSTS:
            vectors = np.rint(fit_lines(heard.vectors, cheapest(errors, cost)) / step_size(c.DEFAULT_TIMBRE_STEP))
            first.append(np.abs(vectors[:1]))
            later.append(np.abs(np.diff(vectors, axis=0)))
    means = np.stack([np.concatenate(part).mean(axis=0) for part in (first, later)])
    return np.maximum(np.rint(c.SCALE_ONE * means), 1).astype(np.int32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="sound files, searched for in all folders below")
    parser.add_argument("tables", type=Path, help="the file that is written")
    arguments = parser.parse_args()
    files = sorted(path for path in arguments.folder.rglob("*") if path.suffix in (".flac", ".opus", ".wav"))
    np.savez_compressed(arguments.tables, scales=count(files))


if __name__ == "__main__":
    main()
