"""The decomposition as a film: what is left as events are taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Signal
from evc.models.events.layer import LONGEST_EVENT
from evc.models.report import film, pictures
from evc.models.report.spectrogram import shared_scale
from evc.report.document import Document, uri
from evc.report.events import applies
from evc.report.section import Section
from evc.report.subject import Subject

_ROWS = 2  # pixels of a bin


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    events = subject.file.events
    begin, end = subject.stretch.seconds
    near = np.flatnonzero((events.times > begin - LONGEST_EVENT) & (events.times < end))
    order = near[np.argsort(-np.abs(events.amplitudes[near]), kind="stable")]

    def render(numbers: NDArray[np.integer]) -> Signal:
        return subject.rendered(events=np.sort(numbers))

    sound = subject.heard if subject.source_heard is None else subject.source_heard
    found = film.frames(sound, subject.samplerate, order, render)
    frames = [frame.levels for frame in found]
    scale = shared_scale(*frames)
    captions = [
        f"{frame.gone} of {len(order)} events taken away: what is left is at {frame.level - found[0].level:+.1f} dB"
        if frame.gone else "nothing is taken away yet"
        for frame in found
    ]  # fmt: skip
    page.data["film"] = captions
    rows, columns = frames[0].shape
    return {
        "what": "the file" if subject.source is None else "the source", "stretch": subject.stretch.text,
        "strip": uri(pictures.film([pictures.enlarged(frame, _ROWS, _ROWS) for frame in frames], scale)),
        "ratio": f"{columns} / {rows}", "last": len(frames) - 1, "captions": captions, "range": scale,
        "alt": "Spectrograms of what is left, a frame for each step; the captions tell how many events are gone",
        "start": begin, "end": end,
    }  # fmt: skip


SECTION = Section("decomposition", "Decomposition", applies, fill)
