"""What if: the same events with other sounds, at other times, or all moved by one step."""

from __future__ import annotations

from typing import Any

import numpy as np

from evc.report.document import Document
from evc.report.events import applies
from evc.report.section import Section
from evc.report.subject import Subject

SEED = 1
STEP = 0.2
_KBPS = 64.0


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    events = subject.file.events
    kinds = (
        ("as-they-are", "As they are", "The events of the file, to compare with.", events),
        ("vectors", "Random vectors, same times", "Each part of each vector is that of an event chosen at random: seed "
         f"{SEED}.", events.randomized_vectors(SEED)),
        ("times", "Same vectors, random times", f"The same events at moments drawn between the first and the last: seed "
         f"{SEED}.", events.randomized_times(SEED)),
        ("step", "All vectors moved", f"All vectors moved by the same random step, of deviates times {STEP}: seed "
         f"{SEED}.", events.perturbed(STEP, SEED)),
    )  # fmt: skip
    whats = []
    for name, title, text, edited in kinds:
        audio = subject.rendered(events=edited)
        peak = float(np.abs(audio).max(initial=0.0))
        if peak > 1:
            text += f" Turned down by {20 * np.log10(peak):.1f} dB, so that it is not cut off."
        page.sound(f"whatif-{name}", audio / max(peak, 1.0), subject.samplerate, _KBPS)
        whats.append({"title": title, "text": text, "sound": f"whatif-{name}"})
    return {"whats": whats, "stretch": subject.stretch.text}


SECTION = Section("whatif", "What if", applies, fill)
