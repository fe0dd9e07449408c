"""Timbres: the path of the file in the two directions in which it goes farthest, and points that sound."""

from __future__ import annotations

from typing import Any

import numpy as np

from evc.models.arrays import Floats, Signal
from evc.models.report import embedding
from evc.report.document import Document
from evc.report.section import Section
from evc.report.subject import Subject, clock
from evc.timbres import TimbrePath

_MOST_POINTS = 2000  # that are drawn
_ALONE = 6  # points that are heard by themselves, as far from each other as there are
_ALONE_SECONDS, _ALONE_FADE = 3.0, 0.4
_SMALLEST, _LARGEST = 0.5, 1.4  # radius of a point, in percent of the map
_RANGE_DB = 30.0  # of levels, from the smallest point to the largest
_SILENT_DB = -200.0  # a path without anything louder is silent
_MARGIN = 4.0  # percent


def applies(subject: Subject) -> bool:
    return "timbre" in subject.file.layers and subject.timeline_is_played and len(subject.file.timbres) > 1


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    path = subject.file.timbres
    step = -(-len(path) // _MOST_POINTS)
    places, shares = principal(path.vectors.astype(np.float64))
    shown = places[::step]
    across = [f"{100 * share:.0f} %" for share in shares]
    return {
        "count": f"{len(path)} points, one every {subject.duration / len(path):.1f} s", "across": across,
        "duration": subject.duration, "plays": subject.whole_is_played,
        "lines": [_line(path.times[::step] / subject.duration, row) for row in shown.T],
        "route": " ".join(f"{x:.2f},{y:.2f}" for x, y in _on_map(shown)),
        "dots": _dots(path[::step], shown, subject.duration),
        "alone": [_alone(subject, page, path, number) for number in farthest(places, path.levels)],
    }  # fmt: skip


def principal(vectors: Floats) -> tuple[Floats, Floats]:
    """Places [n, 2] of vectors [n, dims] in the two directions in which they vary most, both on one scale; and the
    shares [2] of their variance that lie in these."""
    centred = vectors - vectors.mean(axis=0)
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    power = np.square(np.append(sizes, 0.0))
    return centred @ directions[:2].T, power[:2] / max(float(power.sum()), 1e-12)


def farthest(places: Floats, levels: Floats) -> list[int]:
    """A few points, in order of time: of those that sound, each the farthest from all before it."""
    left = np.flatnonzero(levels > levels.max(initial=_SILENT_DB) - _RANGE_DB)
    if not len(left):
        return []
    taken = [int(left[len(left) // 2])]
    while len(taken) < min(_ALONE, len(left)):
        apart = np.linalg.norm(places[left][:, None] - places[taken][None], axis=2).min(axis=1)
        taken.append(int(left[apart.argmax()]))
    return sorted(set(taken))


def _on_map(places: Floats) -> Floats:
    """In percent, the second direction upward."""
    low, size = places.min(axis=0), max(float(np.ptp(places, axis=0).max()), 1e-9)
    shares = _MARGIN + (100 - 2 * _MARGIN) * (places - low + (size - np.ptp(places, axis=0)) / 2) / size
    return np.stack([shares[:, 0], 100 - shares[:, 1]], axis=1)


def _line(shares: Floats, course: Floats) -> str:
    """A direction over time, 1000 wide and 100 high."""
    low, size = course.min(), max(float(np.ptp(course)), 1e-9)
    return " ".join(f"{1000 * x:.1f},{95 - 90 * (y - low) / size:.1f}" for x, y in zip(shares, course, strict=True))


def _dots(path: TimbrePath, places: Floats, duration: float) -> list[dict[str, Any]]:
    shades = embedding.colours(path.vectors)
    sizes = np.clip(1 + (path.levels - path.levels.max(initial=_SILENT_DB)) / _RANGE_DB, 0, 1)
    until = np.append(path.times[1:], duration)
    columns = zip(_on_map(places), sizes.tolist(), shades, path.times.tolist(), until.tolist(), strict=True)
    return [
        {"x": f"{x:.2f}", "y": f"{y:.2f}", "r": f"{_SMALLEST + (_LARGEST - _SMALLEST) * size:.2f}", "colour": colour,
         "time": round(time, 3), "end": round(max(end, time + 1.5), 3), "text": clock(time)}
        for (x, y), size, colour, time, end in columns
    ]  # fmt: skip


def _alone(subject: Subject, page: Document, path: TimbrePath, number: int) -> dict[str, Any]:
    """A point by itself: the sound that stands still there."""
    frames = round(_ALONE_SECONDS * subject.samplerate)
    still = TimbrePath([0.0], path.vectors[number], path.levels[number], path.widths[number], network=path.network)
    audio: Signal = still.rendered(subject.samplerate, subject.file.channels, frames).T
    rise = np.minimum(np.arange(frames) / (_ALONE_FADE * subject.samplerate), 1.0)
    audio = audio * np.minimum(rise, rise[::-1])[:, None].astype(np.float32)
    return {"name": f"At {clock(float(path.times[number]))}", "sound": page.sound(
        f"timbre-{number}", audio / max(1.0, float(np.abs(audio).max())), subject.samplerate)}  # fmt: skip


SECTION = Section("timbre", "Timbres", applies, fill)
