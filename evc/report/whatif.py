"""What if: the same events with other sounds, at other times, or all moved by one step."""

from __future__ import annotations

from typing import Any

import numpy as np

from evc.events import EventList
from evc.format.header import NetworkReference
from evc.models.events.codebooks import Codebooks
from evc.report.document import Document
from evc.report.events import applies
from evc.report.section import Section
from evc.report.subject import Subject

SEED = 1
STEP = 0.2


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    events = subject.file.events
    kinds = (
        ("vectors", "Random vectors, same times", "Each part of each vector is that of an event drawn at random",
         events.randomized_vectors(SEED)),
        ("times", "Same vectors, random times", "The same events at moments drawn between the first and the last",
         events.randomized_times(SEED)),
        ("step", "All vectors moved", f"All vectors moved by one random step, of normal deviates times {STEP}",
         events.perturbed(STEP, SEED)),
    )  # fmt: skip
    original = page.sound("layer-events", subject.events_heard, subject.samplerate)
    whats = [{"title": "As they are", "text": "The events of the file, to compare with.", "sound": original}]
    for name, title, what, edited in kinds:
        text = f"{what}: seed {SEED}."
        audio = subject.rendered(events=as_coded(edited, events.network))
        peak = float(np.abs(audio).max(initial=0.0))
        if peak > 1:
            text += f" Turned down by {20 * np.log10(peak):.1f} dB, so that it is not cut off."
        page.sound(f"whatif-{name}", audio / max(peak, 1.0), subject.samplerate)
        whats.append({"title": title, "text": text, "sound": f"whatif-{name}"})
    return {"whats": whats, "stretch": subject.stretch.text}


def as_coded(events: EventList, network: NetworkReference | None) -> EventList:
    """The events as a file would hold them: of the codes next to their vectors."""
    if events.codes is not None or network is None:
        return events
    codes = Codebooks.of(network).vectors_to_codes(events.vectors)
    columns = events.times, events.amplitudes, events.pans
    return EventList(*columns, None, events.samplerate, codes=codes, network=network)


SECTION = Section("whatif", "What if", applies, fill)
