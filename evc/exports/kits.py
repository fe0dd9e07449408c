"""Patterns as loops for samplers: where they loop, their tempo, the chunks that say so, and an SFZ instrument."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evc.exports.instruments import instrument_text
from evc.exports.tempo import tempo_of_loops
from evc.file import EvcFile
from evc.format import constants as c
from evc.format.metadata import Foreign
from evc.loops import MIDDLE_C, Loop, smpl_chunk
from evc.patterns import numbered

FIRST_KEY, LAST_KEY = 36, 127  # that play patterns
ONE_SHOT = c.PATTERN_KINDS[c.PATTERN_EXPLICIT]
_SHORTEST = 0.05  # s: of a loop
_SLACK = 0.01  # of a pattern, by which it may be too short for its beats
_AROUND = 0.01  # s: how far away a zero crossing may be
_LONGER = 1.05  # than a pattern, for a distance of its uses: it ends in silence, or in what sounds besides
_STRETCHED = 0x04  # of the flags in `acid`: a loop, not one hit
_METER = 4, 4


@dataclass(frozen=True)
class Sample:
    """A pattern as a file: its number, and frames [start, start + frames) of its sound, which are those written; they
    repeat after `loop` frames. Beats are None where the tempo is not clear.

    A `one_shot` is a sound by itself: it repeats from frame `loop_start` on, if `loop` is not 0, and has the pitch of
    the MIDI key `root`, None where that is not clear.
    """

    number: int
    start: int
    frames: int
    loop: int
    beats: float | None = None
    one_shot: bool = False
    loop_start: int = 0
    ping_pong: bool = False
    root: float | None = None

    @property
    def loops(self) -> list[Loop]:
        """As sampler chunks have them."""
        kind = "alternating" if self.ping_pong else "forward"
        return [Loop(self.loop_start, self.loop, kind)] if self.loop else []

    def chunks(self, samplerate: int) -> list[Foreign]:
        """Loop points and tempo, as WAVE files have them."""
        found = [smpl_chunk(self.loops, samplerate, key=MIDDLE_C if self.root is None else self.root)]
        if self.beats is not None and self.beats.is_integer():
            tempo = 60 * self.beats * samplerate / self.loop
            fields = (_STRETCHED, MIDDLE_C, 0x8000, 0.0, int(self.beats), *_METER, tempo)
            found.append(Foreign("RIFF", "acid", struct.pack("<IHHfIHHf", *fields)))
        return found

    def instrument(self, name: str, source: str) -> str:
        """A one-shot of the WAV file `name` as an instrument of its own."""
        loop = (self.loop_start, self.loop, "alternate" if self.ping_pong else "forward") if self.loop else None
        return instrument_text(name, source, self.root, loop)


def distances(file: EvcFile, number: int) -> list[int]:
    """How many frames apart a pattern's uses begin, one after the other, where they could follow each other."""
    row = file.patterns[number]
    uses = file.uses[file.uses["pattern"] == number]
    starts = sorted({int(start) for start in uses["frame"] - uses["offset"]} | ({int(row["frame"])} - {-1}))
    least = round(_SHORTEST * file.samplerate)
    found = (later - start for start, later in zip(starts, starts[1:]))
    return [distance for distance in found if least <= distance <= _LONGER * row["frames"]]


def samples_of(file: EvcFile, numbers: Sequence[int]) -> tuple[list[Sample], float | None]:
    """Patterns as they sound in the file, to the frame, with their loops; and the tempo, None where it is not clear.

    A pattern loops after as many beats as there are in it; where there is no tempo, after as many of the distances that
    its uses most often have, or at its end."""
    counts = {number: Counter(distances(file, number)) for number in numbers}
    apart = sum(counts.values(), Counter())
    tempo = tempo_of_loops([frames / file.samplerate for frames in apart], list(apart.values()))
    found = []
    for number in numbers:
        frames = int(file.patterns[number]["frames"])
        if file.patterns[number]["kind"] == ONE_SHOT:
            found.append(_one_shot(file, number))
            continue
        beats = None if tempo is None else _beats(frames / file.samplerate * tempo / 60)
        if tempo is not None and beats is not None:
            loop = min(frames, round(beats * 60 / tempo * file.samplerate))
        else:
            unit = counts[number].most_common(1)[0][0] if counts[number] else frames
            loop = min(frames, int((1 + _SLACK) * frames / unit) * unit) or frames
        found.append(Sample(number, 0, frames, loop, beats))
    return found, tempo


def _one_shot(file: EvcFile, number: int) -> Sample:
    row = file.patterns[number]
    frames, loop, start = int(row["frames"]), 0, 0
    if not np.isnan(row["loop_start"]):
        start = min(round(row["loop_start"] * file.samplerate), frames - 1)
        loop = min(max(round(row["loop_length"] * file.samplerate), 1), frames - start)
    return Sample(number, 0, frames, loop, None, True, start, bool(row["ping_pong"]))


def at_zero_crossings(sample: Sample, audio: NDArray[np.float32], samplerate: int) -> Sample:
    """The sample from one rise through zero of its sound [frames, channels] to another, each the nearest to where it
    would begin and end; its loop keeps its length as far as there is sound for it. One-shots stay as they are."""
    mono = audio.mean(axis=1)
    rises = np.flatnonzero((mono[:-1] < 0) & (mono[1:] >= 0)) + 1
    if not len(rises) or sample.one_shot:
        return sample
    around = round(_AROUND * samplerate)

    def near(frame: int) -> int:
        found = int(rises[np.abs(rises - frame).argmin()])
        return found if abs(found - frame) <= around else frame

    start, end = near(0), near(sample.frames)
    if end <= start:
        return sample
    loop_end = min(near(start + sample.loop), end)
    return replace(sample, start=start, frames=end - start, loop=max(1, loop_end - start))


def sample_name(file: EvcFile, number: int) -> str:
    """What the file of a pattern is called, without ending: its number, where it begins and how long it is."""
    row = file.patterns[number]
    place = f"at-{row['start']:.2f}s" if row["frame"] >= 0 else str(row["kind"])
    return f"{numbered(number, len(file.patterns))}-{place}-{row['duration']:.2f}s"


def sfz_text(named: Sequence[tuple[Sample, str]], source: str, tempo: float | None) -> str:
    """An SFZ instrument that plays each sample, of a file name, from a key of its own on, round and round while the key
    is held, one-shots once and to their end; those beyond the last key are left out."""
    about = "" if tempo is None else f", {tempo:.4g} beats per minute"
    of = " ".join(source.split())  # whatever it is, the comment is one line
    lines = [f"// Patterns of {of}{about}", "<global>", "ampeg_release=0.05", "loop_mode=loop_continuous"]
    for key, (sample, name) in zip(range(FIRST_KEY, LAST_KEY + 1), named):
        places = f"loop_start=0 loop_end={sample.loop - 1}"
        if sample.one_shot:
            places = "loop_mode=one_shot"
        lines += ["<region>", f"sample={name}", f"key={key} pitch_keycenter={key} {places}"]
    return "\n".join(lines) + "\n"


def _beats(count: float) -> float | None:
    """The most beats that so many hold: whole ones, or parts of one; None where there is not even a quarter."""
    whole = int(count * (1 + _SLACK) * 4) / 4
    return (float(int(whole)) if whole >= 1 else whole) or None
