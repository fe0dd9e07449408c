"""Heat-maps: levels over time and frequency as `evc heatmap` prints them, and the cells of lattice patterns."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from evc.format.decoding import SegmentDecoder
from evc.format.streams.dictionary import Lattice
from evc.models.heatmap import HeatMaps, audio_maps, grid_maps
from evc.models.patterns.lattice import LatticeModel, read_lattice, to_cells
from evc.models.report import pictures
from evc.report.document import Document, uri
from evc.report.section import Section
from evc.report.subject import Subject, clock

_SHAPE = 96, 600
_MOST_LATTICES, _TOP = 100, 5
_LATTICE_DB = 48.0


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    lattice = read_lattice(subject.file.container)
    maps = _maps(subject, lattice)
    names = {"target": "Target: the source", "reconstruction": "Reconstruction: the file", "difference": "Difference"}
    exact = maps.unit == "bin"
    if math.isfinite(maps.snr):
        names["difference"] += f", signal over difference {maps.snr:.2f} dB"
    return {
        "text": "Rows of equal height in mel." if maps.unit == "Hz" else "Cell by cell, as the lattice has them.",
        "maps": [
            {"caption": names[name], "alt": f"Heat-map of the whole file. {names[name]}", "picture":
             {"uri": uri(pictures.picture(levels, maps.scale, exact)), "marks": _marks(maps), "exact": exact}}
            for name, levels in maps.named
        ],
        "start": 0, "end": subject.duration, "range": maps.scale, "deck": "whole" if subject.whole_is_played else "",
        "lattices": _lattices(subject),
    }  # fmt: skip


def _maps(subject: Subject, lattice: LatticeModel | None) -> HeatMaps:
    source = subject.source
    if lattice is None:
        target = None if source is None else source.read
        span = 0, subject.file.frames
        return audio_maps(
            target, lambda start, count: subject.read(start, count).T, span, subject.samplerate, _SHAPE
        )
    fft, hop = lattice.patterns[0].fft_log2, lattice.patterns[0].hop_log2
    cells = None if source is None else to_cells(source.read(0, source.frames)[0], fft, hop)
    return grid_maps(cells, lattice.grid, (0.0, subject.duration), _SHAPE)


def _marks(maps: HeatMaps) -> list[dict[str, Any]]:
    """Frequencies at a few rows."""
    last = len(maps.rows) - 1
    rows = [round(last * share) for share in (0.0, 0.25, 0.5, 0.75)]
    return [{"text": f"{maps.rows[row]:.0f} {maps.unit}", "at": round(100 * row / last, 1)} for row in rows]


def _lattices(subject: Subject) -> list[dict[str, Any]]:
    """A row of the table for each lattice pattern, those used most first."""
    file = subject.file
    entries = SegmentDecoder(file.container).patterns if "patterns" in file.layers else []
    numbers = [number for number, entry in enumerate(entries) if isinstance(entry, Lattice)]
    numbers.sort(key=lambda number: -int(file.patterns["uses"][number]))
    return [_lattice(subject, number, entries[number]) for number in numbers[:_MOST_LATTICES]]


def _lattice(subject: Subject, number: int, entry: Any) -> dict[str, Any]:
    rows = subject.file.occurrences[subject.file.occurrences["pattern"] == number]
    gains = np.nan_to_num(np.abs(rows["gains"])).max(axis=(1, 2)) if len(rows) else np.zeros(0)
    loudest = np.argsort(-gains, kind="stable")[:_TOP]
    levels = 20 * np.log10(np.maximum(np.abs(entry.cells()), 1e-6)).T
    high = float(levels.max())
    return {
        "number": number, "picture": uri(pictures.picture(levels, (high - _LATTICE_DB, high), exact=True)),
        "size": f"{entry.levels.shape[0]} × {entry.levels.shape[1]}", "uses": len(rows),
        "top": ", ".join(f"{clock(float(rows['time'][row]), 2)} (gain {gains[row]:.2f})" for row in loudest),
    }  # fmt: skip


SECTION = Section("heatmaps", "Heat-maps", lambda subject: True, fill)
