"""What a file is and what it cost: the first section of a report."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format.errors import DamagedError, FormatError, InputError
from evc.format.metadata import FRONT_COVER
from evc.format.speakers import channels_text
from evc.format.tags import values_of
from evc.models.report.pictures import thumbnail
from evc.report.document import COLOURS, OTHER_COLOUR, Document, uri
from evc.report.section import Section
from evc.report.subject import Subject, clock

_POINTS, _HEIGHT = 1000, 120
_COVER_PIXELS = 320
_WHOLE_BYTES, _WHOLE_KBPS = 400_000, (24.0, 96.0)
_KNOWN_TAGS = ("title", "artist")
_LIGHTEST = 0.55  # how far towards white the last stream of a layer is


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    file, stats = subject.file, subject.stats
    if subject.whole_is_played:
        kbps = min(max(8 * _WHOLE_BYTES / subject.duration / 1000, _WHOLE_KBPS[0]), _WHOLE_KBPS[1])
        page.sound("whole", subject.whole, subject.samplerate, kbps)
        page.deck("whole", [{"id": "whole", "gain": 1}], 0, subject.duration)
    rate = rates(subject)
    parts = _parts(subject)
    layers = [(layer.name, layer.bits) for layer in stats.layers] + [("overhead", stats.overhead_bits)]
    return {
        "facts": [
            ("Length", clock(subject.duration)), ("Bitrate", f"{stats.kbps(stats.bits):.2f} kbit/s"),
            ("Size", f"{stats.file_bytes / 1000:.1f} kB"), ("Layers", ", ".join(file.layers) or "none"),
            ("Sound", f"{file.samplerate} Hz, {channels_text(file.channels)}"),
            *([("Networks", ", ".join(stats.networks))] if stats.networks else []),
        ],
        "tags": [(name, "\n".join(values_of(value))) for name, value in file.tags.items() if name not in _KNOWN_TAGS],
        "parts": parts,
        "bar_text": "Bits: " + ", ".join(f"{name} {100 * stats.share(bits):.1f} %" for name, bits in layers),
        "layers": [
            {"name": name, "share": f"{100 * stats.share(bits):.1f} %", "colour": _colour(name)}
            for name, bits in layers
        ],
        "rows": _rows(subject),
        "rate_range": f"{rate.min():.1f} to {rate.max():.1f} kbit/s",
        "rate": _steps(rate, subject.duration),
        "wave": _wave(subject.profile.outline(_POINTS)),
        "duration": subject.duration,
        "plays": subject.whole_is_played,
    }  # fmt: skip


def cover(subject: Subject) -> str | None:
    """The front cover, or else the first picture, drawn anew; None where there is none that can be shown."""
    with suppress(DamagedError, FormatError):
        for picture in sorted(subject.file.pictures, key=lambda picture: picture.type != FRONT_COVER):
            with suppress(InputError):
                return uri(thumbnail(picture.data, _COVER_PIXELS))
    return None


def rates(subject: Subject) -> NDArray[np.float64]:
    """kbit/s in every second of what is played [seconds, rounded up]."""
    seconds, rate = subject.stats.seconds, subject.samplerate
    coded = subject.file.coded_frames
    lengths = np.minimum(rate, coded - rate * np.arange(len(seconds)))
    spent = np.concatenate([[0.0], np.cumsum(seconds)])
    edges = np.append(rate * np.arange(len(seconds)), coded).astype(float)
    if not len(subject.file.edits):
        return np.asarray(seconds / lengths * rate / 1000)
    found = []
    for start in range(0, subject.file.frames, rate):
        count = min(rate, subject.file.frames - start)
        pieces = list(subject.file.chain.edits.pieces(start, count))
        bits = sum(np.interp(piece.end, edges, spent) - np.interp(piece.start, edges, spent) for piece in pieces)
        found.append(bits / count * rate / 1000)
    return np.array(found)


def _parts(subject: Subject) -> list[dict[str, Any]]:
    """The stacked bar: every stream of every layer, and the overhead."""
    stats, found = subject.stats, []
    for layer in stats.layers:
        streams = [(stream.name, stream.bits) for stream in layer.streams if stream.bits > 0]
        told = sum(bits for _, bits in streams)
        scale = layer.bits / told if told else 1.0  # the coder's loss is shared out
        streams = [(f"{layer.name}, {name}", bits * scale) for name, bits in streams] or [(layer.name, layer.bits)]
        streams.sort(key=lambda stream: -stream[1])
        for number, (name, bits) in enumerate(streams):
            colour = _lighter(_colour(layer.name), _LIGHTEST * number / max(len(streams) - 1, 1))
            found.append(_part(subject, name, bits, colour))
    return [*found, _part(subject, "overhead", stats.overhead_bits, COLOURS["overhead"])]


def _part(subject: Subject, name: str, bits: float, colour: str) -> dict[str, Any]:
    share = subject.stats.share(bits)
    text = f"{subject.stats.kbps(bits):.2f} kbit/s, {100 * share:.1f} %"
    return {"name": name, "share": share, "text": text, "colour": colour}


def _rows(subject: Subject) -> list[dict[str, Any]]:
    return [
        {"level": row["level"], "name": row["stream"] or row["layer"], "bits": f"{row['bits']:.0f}",
         "kbps": f"{row['kbps']:.2f}", "share": f"{100 * row['share']:.1f} %",
         "colour": _colour(row["layer"]) if row["level"] == "layer" else ""}
        for row in subject.stats.rows()
    ]  # fmt: skip


def _colour(layer: str) -> str:
    return COLOURS.get(layer, OTHER_COLOUR)


def _lighter(colour: str, share: float) -> str:
    """`colour`, by so much nearer to white."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + (255 - part) * share):02x}" for part in parts)


def _wave(outline: NDArray[np.float64]) -> str:
    """A closed path round the lowest and highest samples."""
    place = np.arange(len(outline)) * (_POINTS / max(len(outline) - 1, 1))
    heights = np.clip(_HEIGHT / 2 * (1 - outline), 0, _HEIGHT)
    upper = [f"{x:.0f},{y:.1f}" for x, y in zip(place, heights[:, 1])]
    lower = [f"{x:.0f},{y:.1f}" for x, y in zip(place[::-1], heights[::-1, 0])]
    return "M" + " ".join([*upper, *lower]) + "Z"


def _steps(rate: NDArray[np.float64], duration: float) -> str:
    """The bitrate, a step for every second, as high as the picture at its highest."""
    heights = _HEIGHT * (1 - 0.95 * rate / max(float(rate.max()), 1e-9))
    ends = np.minimum(np.arange(1, len(rate) + 1) / duration, 1) * _POINTS
    steps = " ".join(f"V{height:.1f} H{end:.2f}" for height, end in zip(heights, ends))
    return f"M0,{heights[0]:.1f} {steps}"


SECTION = Section("head", "What it is", lambda subject: True, fill)
