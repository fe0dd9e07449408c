"""The events of many files as one table: a row for each, with its moment, its note and its vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from evc.file import EvcFile
from evc.format.errors import UnsupportedError

if TYPE_CHECKING:
    import pyarrow


def events_table(file: EvcFile, name: str) -> pyarrow.Table:
    """The events of an open file, called `name`: file, time (s of the coded timeline), note (MIDI, with cents),
    frequency (Hz), amplitude, pan, phase (turns), codes, and vector (float32 [32]; null where the network that knows it
    is not installed)."""
    import pyarrow

    found = file.events
    vectors = pyarrow.nulls(len(found), pyarrow.list_(pyarrow.float32(), 1))
    try:
        values = np.ascontiguousarray(found.vectors, np.float32)
        vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.ravel()), values.shape[1] or 1)
    except UnsupportedError:
        pass
    codes = np.ascontiguousarray(found.known_codes, np.int32)
    columns = {
        "file": pyarrow.array([name] * len(found), pyarrow.string()).dictionary_encode(),
        "time": found.times.astype(np.float64),
        "note": found.notes.astype(np.float32),
        "frequency": found.frequencies.astype(np.float32),
        "amplitude": found.amplitudes.astype(np.float32),
        "pan": found.pans.astype(np.float32),
        "phase": (np.angle(found.phases) / (2 * np.pi) % 1).astype(np.float32),
        "codes": pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(codes.ravel()), codes.shape[1] or 1),
        "vector": vectors,
    }
    return pyarrow.table(columns)
