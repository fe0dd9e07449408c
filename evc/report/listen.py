"""To listen: the file, its source and every layer alone, in step; and their spectrograms."""

from __future__ import annotations

from typing import Any

from evc.models.arrays import Signal
from evc.models.report.sounds import level_db, lossless, lossless_difference
from evc.models.report.spectrogram import constant_q, shared_scale
from evc.report.document import Document, spectrogram
from evc.report.section import Section
from evc.report.subject import Subject, clock

_PER_OCTAVE = 24


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    rate, heard, source = subject.samplerate, subject.heard, subject.source_heard
    start, end = subject.stretch.seconds
    tracks = [{"id": "file", "gain": 1.0, "label": "File", "key": "A"}]
    shown = [("File", heard)]
    match = ""
    if source is not None:
        off = level_db(heard) - level_db(source)
        tracks[0]["gain"] = _gain(-off)  # the louder one is turned down
        tracks.append({"id": "source", "gain": _gain(off), "label": "Source", "key": "B"})
        tracks.append({"id": "difference", "gain": tracks[0]["gain"], "label": "Difference", "key": "D"})
        shown += [("Source", source), ("Difference", source - heard)]
        match = "they are equally loud" if abs(off) < 0.05 else (
            f"the {'file' if off > 0 else 'source'} is turned down by {abs(off):.1f} dB"
        )  # fmt: skip
    _put_sounds(page, heard, source, rate)
    for layer, audio in subject.layers_heard.items():
        name = page.sound(f"layer-{layer}", audio, rate)
        tracks.append({"id": name, "gain": tracks[0]["gain"], "label": f"{layer.capitalize()} alone", "key": ""})
    page.deck("listen", [{"id": track["id"], "gain": track["gain"]} for track in tracks], start, end - start)
    levels = [constant_q(audio, rate, per_octave=_PER_OCTAVE) for _, audio in shown]
    scale = shared_scale(*levels)
    span = f"{clock(start)} to {clock(end)}"
    return {
        "stretch": subject.stretch.text, "start": start, "end": end, "clock": clock(start),
        "source": source is not None, "match": match, "tracks": tracks, "range": scale,
        "views": [
            {"picture": spectrogram(part, scale, _PER_OCTAVE), "caption": caption,
             "alt": f"Constant-Q spectrogram: {caption.lower()}, {span}"}
            for part, caption in zip(levels, _captions(shown))
        ],
    }  # fmt: skip


def _put_sounds(page: Document, heard: Signal, source: Signal | None, rate: int) -> None:
    """File and source without loss, so that nothing but the file itself is between them. Of the source and its
    difference from the file, the smaller one is in the page, which computes the other, to the very samples."""
    page.sound("file", heard, rate, None)
    if source is None:
        return
    plain, difference = lossless(source, rate), lossless_difference(source, heard, rate)
    if difference is not None and len(difference[1]) < len(plain[1]):
        page.finished("difference", difference)
        page.data["sums"]["source"] = [["file", 1], ["difference", 1]]
    else:
        page.finished("source", plain)
        page.data["sums"]["difference"] = [["source", 1], ["file", -1]]


def _gain(decibels: float) -> float:
    """Of at most 1."""
    return float(round(10 ** (min(0.0, decibels) / 20), 5))


def _captions(shown: list[tuple[str, Signal]]) -> list[str]:
    found = [name for name, _ in shown]
    if len(shown) == 3:
        under = level_db(shown[1][1]) - level_db(shown[2][1])
        found[2] = f"Difference, {abs(under):.1f} dB {'below' if under >= 0 else 'above'} the source"
    return found


SECTION = Section("listen", "Listen", lambda subject: True, fill)
