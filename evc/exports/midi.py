"""Notes as a Standard MIDI File, which mido writes: a track for each family of sounds, each on a channel of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from evc.exports.notes import FAMILIES, Notes
from evc.format.errors import EvcError

if TYPE_CHECKING:
    import mido

TICKS_PER_BEAT = 480
_USUAL_TEMPO = 120.0  # beats per minute, where none is clear
_BEND_RANGE = 2.0  # semitones, that of instruments unless they are told otherwise
_BEND_STEPS = 8192
_TUNED = 0.04  # semitones: what is less out of tune is not bent
_CHANNELS = tuple(channel for channel in range(16) if channel != 9)  # without that of drums


def write_midi(output: BinaryIO, notes: Notes, tempo: float | None, title: str = "") -> None:
    """Write a file of type 1: tempo and title, then a track for each family that has notes, the most notes first. Notes
    stand where they sound, whatever the tempo. Raises EvcError where mido is not installed."""
    try:
        import mido
    except ModuleNotFoundError as error:
        if error.name != "mido":
            raise
        raise EvcError("MIDI needs mido, which is not installed: pip install 'evc[midi]'") from error
    beat = mido.bpm2tempo(tempo or _USUAL_TEMPO)
    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT)
    first = file.add_track()
    if title:
        first.append(mido.MetaMessage("track_name", name=_in_latin(title)))
    first.append(mido.MetaMessage("set_tempo", tempo=beat))
    counts = np.bincount(notes.families, minlength=len(FAMILIES))
    for channel, family in zip(_CHANNELS, np.argsort(-counts, kind="stable").tolist()):
        if counts[family]:
            track = file.add_track(FAMILIES[family])
            _fill(track, notes, np.flatnonzero(notes.families == family), channel, beat)
    file.save(file=output)


def _fill(track: mido.MidiTrack, notes: Notes, rows: np.ndarray, channel: int, beat: int) -> None:
    """The notes `rows` in a track. A channel has one bend: it changes where no other note sounds."""
    from mido import Message

    ticks = TICKS_PER_BEAT * 1e6 / beat
    begins = np.rint(notes.times[rows] * ticks).astype(int)
    ends = np.maximum(np.rint((notes.times + notes.durations)[rows] * ticks).astype(int), begins + 1)
    events: list[tuple[int, int, Message]] = []  # those of a tick: notes end, the bend changes, notes begin
    bend = sounding = 0
    for row, begin, end in zip(rows.tolist(), begins.tolist(), ends.tolist(), strict=True):
        wanted = notes.tunings[row] if abs(notes.tunings[row]) >= _TUNED else 0.0
        steps = int(np.clip(round(wanted / _BEND_RANGE * _BEND_STEPS), -_BEND_STEPS, _BEND_STEPS - 1))
        if steps != bend and sounding <= begin:
            events.append((begin, 1, Message("pitchwheel", channel=channel, pitch=steps)))
            bend = steps
        sounding = max(sounding, end)
        pitch, velocity = int(notes.pitches[row]), int(notes.velocities[row])
        events.append((begin, 2, Message("note_on", channel=channel, note=pitch, velocity=velocity)))
        events.append((end, 0, Message("note_off", channel=channel, note=pitch)))
    at = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        track.append(message.copy(time=tick - at))
        at = tick


def _in_latin(text: str) -> str:
    """As a MIDI file can hold it."""
    return text.encode("latin-1", "replace").decode("latin-1")
