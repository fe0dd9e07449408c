"""Patterns: the track as lanes, one per pattern, with a block wherever it sounds again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.patterns import numbered
from evc.report.document import Document
from evc.report.section import Section
from evc.report.subject import Subject, clock

_MOST_LANES = 200
_LEAST_GAIN, _LOUD = 0.3, 1.2  # of a block's brightness; the gain from which it is full
_WORTH = 400  # bits
_KINDS = {"excerpt": "#e69f00", "explicit": "#56b4e9", "lattice": "#009e73", "lost": "#8a8a8a"}


def applies(subject: Subject) -> bool:
    playable = subject.timeline_is_played and subject.whole_is_played
    return "patterns" in subject.file.layers and playable and len(subject.file.uses) > 0


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    file, duration = subject.file, subject.duration
    shown = [int(row) for row in np.argsort(-file.patterns["seconds"], kind="stable")[:_MOST_LANES]]
    shown = [number for number in shown if file.patterns["uses"][number]]
    gains = gains_of_uses(file.uses, file.occurrences)
    saved = {one.number: one.saved_bits - one.bits - one.dictionary_bits for one in subject.stats.patterns}
    blocks: list[list[float]] = []
    lanes = []
    alone: dict[int, list[Any]] = {}
    for number in shown:
        row = file.patterns[number]
        alone[number] = _alone(subject, page, number)
        own = []
        for use in np.flatnonzero(file.uses["pattern"] == number):
            time, length = (float(file.uses[name][use]) for name in ("time", "duration"))
            text = f"Pattern {number} at {clock(time)}, {length:.2f} s, gain {gains[use]:.2f}"
            own.append({
                "number": len(blocks), "left": _percent(time, duration), "width": _percent(length, duration),
                "gain": round(_LEAST_GAIN + (1 - _LEAST_GAIN) * min(gains[use] / _LOUD, 1), 2), "text": text,
            })  # fmt: skip
            blocks.append([number, round(time, 6), round(length, 6)])
        origin = (_percent(float(row["start"]), duration), _percent(float(row["duration"]), duration))
        lanes.append({
            "number": number, "name": f"{numbered(number, len(file.patterns))} {row['kind']}",
            "colour": _KINDS.get(str(row["kind"]), "#8a8a8a"),
            "about": f"{row['uses']} times, {row['duration']:.2f} s{_saving(saved.get(number, 0.0))}",
            "origin": None if np.isnan(row["start"]) else origin, "blocks": own,
        })  # fmt: skip
    page.data["patterns"] = {"blocks": blocks, "alone": alone}
    return {"text": _text(subject, len(lanes)), "lanes": lanes, "duration": duration}


def gains_of_uses(uses: NDArray[Any], occurrences: NDArray[Any]) -> NDArray[np.float64]:
    """How loud each use is: the mean, over its occurrences, of the root mean square of the gains that are on."""
    gains = np.nan_to_num(occurrences["gains"].astype(float)).reshape(len(occurrences), -1)
    on = np.maximum((gains != 0).sum(axis=1), 1)
    level = np.sqrt(np.square(gains).sum(axis=1) / on)
    some = occurrences["use"] >= 0
    counts = np.bincount(occurrences["use"][some], minlength=len(uses))
    return np.asarray(np.bincount(occurrences["use"][some], level[some], len(uses)) / np.maximum(counts, 1))


def _alone(subject: Subject, page: Document, number: int) -> list[Any]:
    """Where the pattern is heard alone: start and seconds of the file, or the name of a sound of its own."""
    row = subject.file.patterns[number]
    if not np.isnan(row["start"]):
        return [round(float(row["start"]), 6), round(float(row["duration"]), 6), None]
    if row["kind"] == "lost":
        return [0, 0, None]
    audio = subject.file.pattern_audio(number)
    return [0, 0, page.sound(f"pattern-{number}", audio, subject.samplerate)]


def _saving(bits: float) -> str:
    """What a pattern saves, if that is worth a word."""
    return f", saves {bits / 8000:.1f} kB" if bits >= _WORTH else ""


def _text(subject: Subject, lanes: int) -> str:
    patterns, uses = len(subject.file.patterns), len(subject.file.uses)
    text = f"{patterns} pattern{' sounds' if patterns == 1 else 's sound'} {uses} time{'' if uses == 1 else 's'} again"
    return text if lanes == patterns else f"{text}; the {lanes} with the most sound are shown"


def _percent(seconds: float, duration: float) -> float:
    return round(100 * seconds / duration, 3)


SECTION = Section("patterns", "Patterns", applies, fill)
