"""To listen: the file, its source and every layer alone, in step; and their spectrograms."""

from __future__ import annotations

from typing import Any

from evc.models.report.sounds import level_db
from evc.models.report.spectrogram import constant_q, shared_scale
from evc.report.document import Document, spectrogram
from evc.report.section import Section
from evc.report.subject import Subject, clock

_PER_OCTAVE = 24
_LAYER_KBPS = 64.0


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    rate, heard, source = subject.samplerate, subject.heard, subject.source_heard
    start, end = subject.stretch.seconds
    # Lossless, both of them, so that nothing but the file itself is between them.
    tracks = [{"id": page.sound("file", heard, rate, None), "gain": 1.0, "label": "File", "key": "A"}]
    shown = [("File", heard)]
    match = ""
    if source is not None:
        off = level_db(heard) - level_db(source)
        page.sound("source", source, rate, None)
        tracks[0]["gain"] = round(10 ** (min(0.0, -off) / 20), 5)  # the louder one is turned down
        gain = round(10 ** (min(0.0, off) / 20), 5)
        tracks.append({"id": "source", "gain": gain, "label": "Source", "key": "B"})
        shown += [("Source", source), ("Difference", heard - source)]
        match = "they are equally loud" if abs(off) < 0.05 else (
            f"the {'file' if off > 0 else 'source'} is turned down by {abs(off):.1f} dB"
        )  # fmt: skip
    for layer, audio in subject.layers_heard.items():
        name = page.sound(f"layer-{layer}", audio, rate, _LAYER_KBPS)
        tracks.append({"id": name, "gain": tracks[0]["gain"], "label": f"{layer.capitalize()} alone", "key": ""})
    page.deck("listen", [{"id": track["id"], "gain": track["gain"]} for track in tracks], start, end - start)
    levels = [constant_q(audio, rate, per_octave=_PER_OCTAVE) for _, audio in shown]
    scale = shared_scale(*levels)
    span = f"{clock(start)} to {clock(end)}"
    return {
        "stretch": subject.stretch.text, "start": start, "end": end, "clock": clock(start), "source": source is not None,
        "match": match, "tracks": tracks, "range": scale,
        "views": [
            {"picture": spectrogram(part, scale, _PER_OCTAVE), "caption": caption,
             "alt": f"Constant-Q spectrogram: {caption.lower()}, {span}"}
            for part, caption in zip(levels, _captions(subject, shown))
        ],
    }  # fmt: skip


def _captions(subject: Subject, shown: list[tuple[str, Any]]) -> list[str]:
    found = [name for name, _ in shown]
    if len(shown) == 3:
        under = level_db(shown[1][1]) - level_db(shown[2][1])
        found[2] = f"Difference, {under:.1f} dB below the source" if under >= 0 else "Difference"
    return found


SECTION = Section("listen", "Listen", lambda subject: True, fill)
