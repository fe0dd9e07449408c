"""Events: every one as a dot that sounds, their vectors, and one of them taken apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.events import EventList
from evc.format.header import NetworkReference
from evc.format.networks import installed_network
from evc.models.arrays import Signal
from evc.models.events.vectors import EVENTS_NETWORK, note_name
from evc.models.report import embedding, pictures
from evc.models.report.playable import playable, telling
from evc.models.report.spectrogram import constant_q, shared_scale
from evc.models.report.stages import stages
from evc.report.document import Document, spectrogram, uri
from evc.report.section import Section
from evc.report.subject import Subject, clock

_SMALLEST, _LARGEST = 2.0, 9.0  # radius of a dot, in pixels
_RANGE_DB = 42.0  # of amplitudes, from the smallest dot to the largest
_MOST_COLUMNS = 4000
_STAGE_COLUMNS, _STAGE_PER_OCTAVE = 240, 24
_ALONE = "attack"  # has a scale of its own: what it pushes is louder by far
_STAGES = (
    ("attack", "Attack", "The push that starts everything, and the noise of the excitation"),
    ("resonance", "Resonance", "The partials that it makes ring, as they are at first"),
    ("deformation", "Deformation", "The partials as they change, and the noise: the dry sound"),
    ("room", "Room", "With the echoes of the room: all of it"),
)


def applies(subject: Subject) -> bool:
    return "events" in subject.file.layers and subject.timeline_is_played and len(subject.file.events) > 0


def fill(subject: Subject, page: Document) -> dict[str, Any]:
    events, duration = subject.file.events, subject.duration
    network = events.network or installed_network(EVENTS_NETWORK)
    columns = events.columns(network)
    found = playable(columns, network, subject.file.header)
    levels = decibels(events.amplitudes)
    page.numbers("event-values", found.values.T)
    page.numbers("event-keys", found.keys)
    page.data["events"] = found.facts() | {
        "times": events.times.round(6).tolist(), "names": [note_name(note) for note in events.notes.tolist()],
        "levels": levels.round(1).tolist(), "samplerate": subject.samplerate, "channels": subject.file.channels,
    }  # fmt: skip
    number = telling(found)
    count = f"{len(events)} event{'' if len(events) == 1 else 's'}"
    return {
        "count": count, "duration": duration, "dots": _dots(events, levels, duration),
        "vectors": _vectors(events.vectors),
        "apart": _apart(subject, page, events, number, network, int(columns.keys[number])),
    }  # fmt: skip


def decibels(amplitudes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(20 * np.log10(np.maximum(np.abs(amplitudes), 1e-6)))


def _dots(events: EventList, levels: NDArray[np.float64], duration: float) -> list[dict[str, Any]]:
    """Circles, in order of time, places in percent."""
    places = embedding.on_a_line(events.vectors)
    shades = embedding.colours(events.vectors)
    sizes = np.clip(1 + (levels - levels.max()) / _RANGE_DB, 0, 1)
    columns = zip(events.times.tolist(), places.tolist(), sizes.tolist(), shades, strict=True)
    return [
        {"x": round(100 * time / duration, 3), "y": round(96 - 92 * place, 2),
         "r": round(_SMALLEST + (_LARGEST - _SMALLEST) * size, 1), "colour": colour}
        for time, place, size, colour in columns
    ]  # fmt: skip


def _vectors(vectors: NDArray[np.float32]) -> str:
    """The image of the vectors: a column for each, unless there are too many."""
    step = -(-len(vectors) // _MOST_COLUMNS)
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    levels = np.where(high > low, (vectors[::step] - low) / np.where(high > low, high - low, 1), 0.5)
    return uri(pictures.picture(levels.T[::-1], (0.0, 1.0), exact=True))


def _apart(
    subject: Subject, page: Document, events: EventList, number: int, network: NetworkReference, key: int
) -> dict[str, Any]:
    """One event by its stages."""
    rate, amplitude = subject.samplerate, abs(float(events.amplitudes[number]))
    found = stages(network, events.vectors[number], key, rate)
    audio: dict[str, Signal] = {name: getattr(found, name)[:, None] * np.float32(amplitude) for name, _, _ in _STAGES}
    loudest = max(float(np.abs(part).max()) for part in audio.values())
    levels = {
        name: constant_q(part, rate, _STAGE_COLUMNS, _STAGE_PER_OCTAVE) for name, part in audio.items()
    }
    shared = shared_scale(*(part for name, part in levels.items() if name != _ALONE))
    parts = [
        {"title": title, "text": text, "picture": spectrogram(
            levels[name], shared_scale(levels[name]) if name == _ALONE else shared, _STAGE_PER_OCTAVE),
         "sound": page.sound(f"stage-{name}", audio[name] / max(1.0, loudest), rate)}
        for name, title, text in _STAGES
    ]  # fmt: skip
    about = (
        f"{note_name(float(events.notes[number]))} at {clock(float(events.times[number]))}, "
        f"{decibels(events.amplitudes)[number]:.1f} dB, {len(found.room) / rate:.2f} s long"
    )
    return {"number": number + 1, "about": about, "stages": parts, "range": shared}


SECTION = Section("events", "Events", applies, fill)
