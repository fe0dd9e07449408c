"""Mixes of notes whose beginnings are known, to learn from what no recording tells.

Notes are periods of random spectra in three groups of partials that decay, and drift, each in its own way, so that the
mixes hold more than the generator of events can make, as recordings do: many partials, vibrato, changing colour. Among
them are notes of the generator itself, drums, and a background without beginnings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats
from evc.models.events.cells import SAMPLERATE
from evc.models.events.initial import ATTACK_TIMES, DECAY_TIMES, LENGTHS
from evc.models.training.augmentation import decibels

UNKNOWN = -1  # instead of a code
_PERIOD = 2048  # of a stored waveform
_GROUPS = ((1, 4), (4, 11), (11, 64))  # partials of each group: from, to
_HIGHEST = 0.45 * SAMPLERATE
_LEAD = 1.5  # seconds before an excerpt in which notes may begin that sound into it
_CHORDS = ((0,), (0,), (0,), (0, 12), (0, 7), (0, 4, 7), (0, 3, 7), (0, 4, 7, 12), (0, 5, 9), (0, 19), (0, 24))
_STEPS = (-12, -7, -5, -4, -3, -2, -1, 0, 0, 0, 1, 2, 3, 4, 5, 7, 12)  # semitones from note to note
_HEARD, _LOST = -25.0, -45.0  # dB against the mix around the onset: above, to be found; below, not to be noticed


@dataclass
class Note:
    """A planted note: seconds from the start of the excerpt, MIDI pitch, codes of the parts that are known, and `level`
    in dB against the mix at its onset."""

    time: float
    pitch: float
    codes: dict[str, int] = field(default_factory=dict)
    level: float = 0.0

    @property
    def wanted(self) -> bool:
        return self.level > _HEARD


@dataclass
class Mix:
    """A waveform float32 [frames], its notes, and the onsets in seconds of all that begins, drums included."""

    audio: NDArray[np.float32]
    notes: list[Note]
    onsets: list[float]


Voice = Callable[[np.random.Generator, float, float, int], tuple[Floats, dict[str, int]]]
"""(random, pitch, start in seconds, frames) -> the sound [frames] of a note and its codes."""


@dataclass(frozen=True)
class _Instrument:
    """What the notes of an instrument share."""

    waves: Floats  # [groups, _PERIOD]
    attack: float
    decays: Floats  # [groups], seconds
    drifts: Floats  # [groups], relative detuning
    release: float
    vibrato: tuple[float, float]  # depth in semitones, rate in Hz
    tremolo: float  # depth, at the rate of the vibrato
    unison: tuple[float, float]  # level and relative detuning of a second string
    lowest: float
    highest: float
    voice: Voice | None


class Planter:
    """Draws mixes. `voices` draws instruments whose notes the generator of events makes: a `share` of all."""

    def __init__(
        self, seconds: float, voices: Callable[[np.random.Generator], Voice] | None = None, share: float = 0.4
    ) -> None:
        self.frames = round(seconds * SAMPLERATE)
        self.seconds, self.voices, self.share = seconds, voices, share

    def mix(self, random: np.random.Generator, background: NDArray[np.float32] | None = None) -> Mix:
        """A mix, with a background [frames] that counts as being without onsets. Peaks are between -30 and 0 dB."""
        audio = np.zeros(self.frames)
        planted: list[tuple[Note, Floats]] = []
        beat = random.uniform(0.09, 0.4)
        for _ in range(int(random.integers(1, 5))):
            self._play(self._instrument(random), random, beat, audio, planted)
        onsets = self._drums(random, beat, audio) if random.random() < 0.5 else []
        peak = np.abs(audio).max(initial=1e-9)
        if background is not None:
            level = np.abs(background).max(initial=1e-9)
            audio += background * (decibels(random.uniform(-45, -12)) * peak / level)
        audio += decibels(random.uniform(-90, -50)) * peak * random.standard_normal(self.frames)
        for note, sound in planted:
            note.level = _level(note, sound, audio)
        notes = [note for note, _ in planted if note.level > _LOST]
        onsets += [note.time for note in notes if note.wanted]
        gain = decibels(random.uniform(-30, 0)) / np.abs(audio).max(initial=1e-9)
        return Mix((gain * audio).astype(np.float32), notes, onsets)

    def _instrument(self, random: np.random.Generator) -> _Instrument:
        slope, even = random.uniform(0.3, 2.2), random.choice([1.0, 1.0, 0.2])
        decay = float(np.exp(random.uniform(np.log(0.03), np.log(6.0))))
        spread = np.array([1.0, random.uniform(0.3, 1.0), random.uniform(0.1, 1.0)])
        lowest = random.uniform(28, 75)
        steady = random.random() < 0.6
        return _Instrument(
            np.stack([_wave(random, group, slope, even) for group in _GROUPS]),
            float(np.exp(random.uniform(np.log(0.001), np.log(0.12)))),
            decay * spread,
            np.array([0, random.normal(0, 4e-4), random.normal(0, 1e-3)]),
            random.uniform(0.01, 0.25),
            (0.0, 5.0) if steady else (random.uniform(0.02, 0.5), random.uniform(3, 7)),
            0.0 if steady else random.uniform(0, 0.4),
            (random.uniform(0.2, 1.0), random.normal(0, 5e-3)) if random.random() < 0.3 else (0.0, 0.0),
            lowest,
            min(108.0, lowest + random.uniform(12, 36)),
            self.voices(random) if self.voices is not None and random.random() < self.share else None,
        )

    def _play(
        self,
        instrument: _Instrument,
        random: np.random.Generator,
        beat: float,
        audio: Floats,
        planted: list[tuple[Note, Floats]],
    ) -> None:
        """Notes and chords on a loose grid of beats, added to `audio`; chords come in a little scattered."""
        stride = beat * random.choice([1, 1, 2, 4])
        root = random.uniform(instrument.lowest, instrument.highest)
        tuning = random.normal(0, 0.15)
        loudness, loose = random.uniform(-18, 0), random.uniform(0, 0.02)
        gate = stride * random.uniform(0.3, 2.0)
        for beginning in np.arange(random.uniform(-_LEAD, -_LEAD + stride), self.seconds, stride):
            if random.random() < 0.25:
                continue
            root = min(max(root + random.choice(_STEPS), instrument.lowest), instrument.highest)
            for interval in _CHORDS[random.integers(len(_CHORDS))]:
                pitch = round(root + interval) + tuning
                if pitch > 112:
                    continue
                note = Note(beginning + random.uniform(0, loose), pitch)
                sound = self._sound(instrument, random, note, gate * random.uniform(0.7, 1.3))
                sound *= decibels(loudness + random.uniform(-12, 0))
                audio += sound
                if 0 < note.time < self.seconds:
                    planted.append((note, sound))

    def _sound(self, instrument: _Instrument, random: np.random.Generator, note: Note, gate: float) -> Floats:
        """The note in the time of the excerpt, [frames]; sets its codes."""
        if instrument.voice is not None:
            sound, codes = instrument.voice(random, note.pitch, note.time, self.frames)
        else:
            codes = {
                "attack": _nearest(ATTACK_TIMES, instrument.attack),
                "decay": _nearest(DECAY_TIMES, instrument.decays[0]),
                "length": _nearest(LENGTHS, gate),
            }
            sound = _tone(instrument, random, note.pitch, note.time, gate, self.frames)
        note.codes = self._audible(codes, note.time)
        return sound

    def _audible(self, codes: dict[str, int], time: float) -> dict[str, int]:
        """Without decays that the gate or the end of the excerpt hides, and lengths that decay or end hide."""
        decay, length, left = DECAY_TIMES[codes["decay"]], LENGTHS[codes["length"]], self.seconds - time
        hidden = {"decay": min(length, left) < 0.5 * decay, "length": length > min(3 * decay, left)}
        return {name: UNKNOWN if hidden.get(name, False) else code for name, code in codes.items()}

    def _drums(self, random: np.random.Generator, beat: float, audio: Floats) -> list[float]:
        """Bursts of coloured noise and falling sines, added to `audio`; returns their onsets in seconds."""
        onsets = []
        kinds = [_drum(random) for _ in range(int(random.integers(1, 4)))]
        loudness = random.uniform(-20, 0)
        for beginning in np.arange(random.uniform(0, beat), self.seconds, beat * random.choice([1, 2])):
            sound = kinds[random.integers(len(kinds))] * decibels(loudness + random.uniform(-12, 0))
            at = round(beginning * SAMPLERATE)
            audio[at : at + len(sound)] += sound[: self.frames - at]
            onsets.append(beginning)
        return onsets


def without_onsets(audio: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """A texture [frames] with the spectrum of `audio` [frames]: its phases are drawn anew."""
    spectrum = np.fft.rfft(audio)
    turned = np.abs(spectrum) * np.exp(2j * np.pi * random.random(len(spectrum)))
    return np.fft.irfft(turned, len(audio)).astype(np.float32)


def _wave(random: np.random.Generator, group: tuple[int, int], slope: float, even: float) -> Floats:
    """A period of a group of partials; amplitudes fall with m^-slope, more or less."""
    m = np.arange(*group)
    amplitudes = m**-slope * np.exp(random.normal(0, 0.5, len(m))) * np.where(m % 2 == 0, even, 1.0)
    if group[0] == 1:
        amplitudes[0] = max(amplitudes[0], 0.25 * amplitudes.max())
    spectrum = np.zeros(_PERIOD // 2 + 1, complex)
    spectrum[m] = amplitudes * np.exp(2j * np.pi * random.random(len(m)))
    return np.fft.irfft(spectrum, _PERIOD) * _PERIOD / 2


def _tone(
    instrument: _Instrument, random: np.random.Generator, pitch: float, start: float, gate: float, frames: int
) -> Floats:
    """A note in frames [0, frames), beginning `start` seconds after frame 0."""
    out = np.zeros(frames)
    first = max(0, int(np.ceil(start * SAMPLERATE)))
    last = min(frames, int((start + gate + 4 * instrument.release) * SAMPLERATE))
    if last <= first:
        return out
    t = np.arange(first, last) / SAMPLERATE - start
    depth, rate = instrument.vibrato
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    swing = np.minimum(t / 0.3, 1) * np.sin(2 * np.pi * (rate * t + random.random()))
    turns = hertz * np.cumsum(2 ** (depth * swing / 12)) / SAMPLERATE + random.random()
    fade = np.where(t < gate, 1.0, np.exp(-(t - gate) / instrument.release))
    envelope = fade * np.sin(np.pi / 2 * np.minimum(t / instrument.attack, 1)) ** 2 * (1 + instrument.tremolo * swing)
    grid = np.arange(_PERIOD + 1)
    for (lowest, highest), wave, decay, drift in zip(
        _GROUPS, instrument.waves, instrument.decays, instrument.drifts, strict=True
    ):
        if lowest * hertz > _HIGHEST:
            break
        if (highest - 1) * hertz > _HIGHEST:
            spectrum = np.fft.rfft(wave)
            spectrum[int(_HIGHEST / hertz) + 1 :] = 0
            wave = np.fft.irfft(spectrum, _PERIOD)
        level, detuning = instrument.unison
        for share, relative in ((1.0, 1 + drift), (level, 1 + drift + detuning)):
            if share:
                place = (turns * relative) % 1 * _PERIOD
                out[first:last] += share * np.interp(place, grid, np.append(wave, wave[0])) * np.exp(-t / decay)
    out[first:last] *= envelope
    return out


def _drum(random: np.random.Generator) -> Floats:
    """A drum of half a second: noise in a band, or a sine that falls."""
    t = np.arange(SAMPLERATE // 2) / SAMPLERATE
    decay = np.exp(random.uniform(np.log(0.01), np.log(0.15)))
    if random.random() < 0.3:
        low, high = random.uniform(40, 80), random.uniform(100, 400)
        turns = np.cumsum(low + high * np.exp(-t / 0.03)) / SAMPLERATE
        sound: Floats = np.sin(2 * np.pi * turns)
    else:
        spectrum = np.fft.rfft(random.standard_normal(len(t)))
        hertz = np.fft.rfftfreq(len(t), 1 / SAMPLERATE) + 1
        centre, width = np.exp(random.uniform(np.log(200), np.log(9000))), random.uniform(0.3, 2)
        sound = np.fft.irfft(spectrum * np.exp(-0.5 * (np.log(hertz / centre) / width) ** 2), len(t))
        sound /= np.abs(sound).max(initial=1e-9)
    return sound * np.exp(-t / decay) * np.minimum(t / 0.001, 1)


def _level(note: Note, sound: Floats, mix: Floats) -> float:
    """Energy of a note's first tenth of a second against that of the mix there, in dB."""
    at = int(note.time * SAMPLERATE)
    span = slice(at, at + SAMPLERATE // 10)
    return float(10 * np.log10((np.square(sound[span]).sum() + 1e-12) / (np.square(mix[span]).sum() + 1e-9)))


def _nearest(table: NDArray[np.float64], value: float) -> int:
    return int(np.abs(np.log(table / value)).argmin())
