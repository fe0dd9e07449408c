"""A small sequencer: a short electronic track in stereo, from NumPy alone, for the demonstration and the
tests.

`track()` synthesises every sound once (kick, snare, hats, bass, pad, plucked arpeggio), places them on a
grid of sixteenth notes and mixes them with echoes. The same arguments give the same samples on the same
machine. `python -m evc.models.sequencer OUT.wav` writes twenty seconds of it.
"""

from __future__ import annotations

import sys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Signal

TEMPO = 120.0  # beats per minute: a bar lasts two seconds
STEPS = 16  # sixteenth notes in a bar
# One chord a bar, as MIDI notes: A minor, F, C, G.
CHORDS = ((57, 60, 64, 71), (53, 57, 60, 64), (48, 55, 64, 67), (55, 59, 62, 69))
BASS_STEPS = ((0, 0), (3, 0), (6, 12), (8, 0), (11, 0), (14, 7))  # step, semitones above the root
ARPEGGIO = (0, 2, 1, 3, 2, 0, 3, 1)
HAT_LEVELS = (0.9, 0.35, 0.7, 0.35)
# Parts that sound in each bar; the pattern repeats after ten bars.
ARRANGEMENT = (
    "pa", "pah", "kbah", "kbpah", "kbpash", "kbpash", "kbpash", "kbash", "pa", "kbpash",
)  # fmt: skip


def frequency(note: float) -> float:
    """MIDI note number to Hz."""
    return 440.0 * 2.0 ** ((note - 69) / 12)


def _times(samplerate: int, seconds: float) -> NDArray[np.float64]:
    return np.arange(int(samplerate * seconds)) / samplerate


def _fade(sound: NDArray[np.float64], samplerate: int, seconds: float = 0.005) -> Signal:
    """End in silence, so that a cut-off sound does not click."""
    length = min(len(sound), int(samplerate * seconds))
    if length:
        sound[-length:] *= np.linspace(1, 0, length)
    return sound.astype(np.float32)


def _sawtooth(
    samplerate: int, seconds: float, hertz: float, cutoff: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Band-limited sawtooth as a sum of harmonics, behind a low-pass of the given course `cutoff` [samples]
    in Hz."""
    time = _times(samplerate, seconds)
    wave = np.zeros_like(time)
    for harmonic in range(1, int(min(12_000, 0.45 * samplerate) / hertz) + 1):
        level = 1 / (1 + (harmonic * hertz / cutoff) ** 4) / harmonic
        wave += level * np.sin(2 * np.pi * hertz * harmonic * time)
    return wave


@lru_cache(maxsize=4)
def kick(samplerate: int) -> Signal:
    """A sine that falls from 190 Hz to 48 Hz, with a click."""
    time = _times(samplerate, 0.32)
    phase = 2 * np.pi * (48 * time + 142 * 0.035 * (1 - np.exp(-time / 0.035)))
    return _fade(
        np.sin(phase) * np.exp(-time / 0.11) + 0.3 * np.sin(phase * 9) * np.exp(-time / 0.004), samplerate
    )


@lru_cache(maxsize=4)
def snare(samplerate: int, seed: int) -> Signal:
    """Noise over two drum-head modes."""
    time = _times(samplerate, 0.24)
    noise = np.random.default_rng(seed).normal(0, 0.35, len(time))
    noise[1:] -= 0.6 * noise[:-1]
    head = np.sin(2 * np.pi * 186 * time) + 0.6 * np.sin(2 * np.pi * 331 * time)
    return _fade(noise * np.exp(-time / 0.07) + 0.5 * head * np.exp(-time / 0.045), samplerate)


@lru_cache(maxsize=8)
def hat(samplerate: int, seed: int, decay: float) -> Signal:
    """Noise without its lower half, ringing for `decay` seconds."""
    time = _times(samplerate, 5 * decay)
    noise = np.random.default_rng(seed).normal(0, 0.3, len(time))
    for _ in range(3):
        noise[1:] = 0.5 * (noise[1:] - noise[:-1])
    return _fade(noise * np.exp(-time / decay), samplerate)


@lru_cache(maxsize=64)
def bass(samplerate: int, note: int, seconds: float) -> Signal:
    time = _times(samplerate, seconds)
    wave = _sawtooth(samplerate, seconds, frequency(note), 180 + 1600 * np.exp(-time / 0.09))
    return _fade(wave * np.exp(-time / 0.4) * np.minimum(1, time / 0.004), samplerate, 0.02)


@lru_cache(maxsize=64)
def pluck(samplerate: int, note: int) -> Signal:
    """A bell-like note: modulated phase whose modulation dies away first."""
    time = _times(samplerate, 0.45)
    carrier = 2 * np.pi * frequency(note) * time
    wave = np.sin(carrier + 1.8 * np.exp(-time / 0.06) * np.sin(2 * carrier))
    return _fade(wave * np.exp(-time / 0.12) * np.minimum(1, time / 0.002), samplerate, 0.05)


@lru_cache(maxsize=16)
def pad(samplerate: int, chord: tuple[int, ...], seconds: float) -> Signal:
    """A slow chord of detuned sawtooth pairs, one of each pair to the left and one to the right: [frames,
    2]."""
    time = _times(samplerate, seconds)
    cutoff = 500 + 900 * np.sin(np.pi * time / seconds) ** 2
    envelope = np.minimum(1, time / 0.35) * np.minimum(1, (seconds - time) / 0.3)
    sides = [
        sum(_sawtooth(samplerate, seconds, frequency(note + detune), cutoff) for note in chord) * envelope
        for detune in (-0.06, 0.06)
    ]
    return np.stack(sides, axis=1).astype(np.float32)


class Mixer:
    """A stereo bus [frames, 2] onto which sounds are added at moments given in seconds."""

    def __init__(self, samplerate: int, frames: int) -> None:
        self.samplerate = samplerate
        self.bus = np.zeros((frames, 2), np.float32)

    def add(self, sound: Signal, seconds: float, gain: float, pan: float = 0.0) -> None:
        """Add `sound` [frames] or [frames, 2]; `pan` from -1 (left) to 1 (right), of constant power."""
        start = round(seconds * self.samplerate)
        room = max(0, len(self.bus) - start)
        if sound.ndim == 1:
            angle = (pan + 1) * np.pi / 4
            sound = sound[:room, None] * np.array([np.cos(angle), np.sin(angle)], np.float32)
        self.bus[start : start + len(sound)] += np.float32(gain) * sound[:room]

    def echo(self, seconds: float, feedback: float, repeats: int) -> None:
        """Add decaying repeats of the bus that change sides each time."""
        dry, delay = self.bus.copy(), round(seconds * self.samplerate)
        for repeat in range(1, repeats + 1):
            offset = repeat * delay
            if offset >= len(dry):
                break
            source = dry[:-offset, ::-1] if repeat % 2 else dry[:-offset]
            self.bus[offset:] += np.float32(feedback**repeat) * source


def track(seconds: float = 20.0, samplerate: int = 44_100, seed: int = 1) -> Signal:
    """Synthesise the track: float32 [frames, 2] within ±1. `seed` chooses the noises and the small
    differences in loudness; hits of one drum are otherwise exact repeats."""
    frames = round(seconds * samplerate)
    drums, music, plucks = (Mixer(samplerate, frames) for _ in range(3))
    random = np.random.default_rng(seed)
    step = 60 / TEMPO / 4
    for bar in range(-(-frames * 10 // round(10 * step * STEPS * samplerate))):
        parts, chord, start = (
            ARRANGEMENT[bar % len(ARRANGEMENT)],
            CHORDS[bar % len(CHORDS)],
            bar * STEPS * step,
        )
        _play_drums(drums, parts, start, step, seed, random)
        if "b" in parts:
            for at, semitones in BASS_STEPS:
                music.add(bass(samplerate, chord[0] - 24 + semitones, 2.2 * step), start + at * step, 0.34)
        if "p" in parts:
            music.add(pad(samplerate, chord, STEPS * step), start, 0.028)
        if "a" in parts:
            for at in range(0, STEPS):
                note = chord[ARPEGGIO[at % len(ARPEGGIO)]] + (24 if at % 8 >= 4 else 12)
                plucks.add(
                    pluck(samplerate, note),
                    start + at * step,
                    0.09 * random.uniform(0.8, 1),
                    0.5 * (-1) ** at,
                )
    plucks.echo(3 * step, 0.45, 5)
    return np.tanh(drums.bus + music.bus + plucks.bus).astype(np.float32)


def _play_drums(
    drums: Mixer, parts: str, start: float, step: float, seed: int, random: np.random.Generator
) -> None:
    rate = drums.samplerate
    if "k" in parts:
        for at in (0, 4, 8, 12):
            drums.add(kick(rate), start + at * step, 0.62)
    if "s" in parts:
        for at in (4, 12):
            drums.add(snare(rate, seed), start + at * step, 0.42, 0.08)
    if "h" in parts:
        for at in range(STEPS):
            level = HAT_LEVELS[at % 4] * random.uniform(0.85, 1)
            drums.add(
                hat(rate, seed + 1, 0.09 if at % 8 == 6 else 0.022), start + at * step, 0.55 * level, -0.25
            )


def main() -> None:
    """Write twenty seconds of the track to the sound file named on the command line."""
    import soundfile

    if len(sys.argv) != 2:
        raise SystemExit("usage: python -m evc.models.sequencer OUT.wav")
    audio = track()
    soundfile.write(sys.argv[1], audio, 44_100, subtype="PCM_16")
    print(f"{sys.argv[1]}: {len(audio) / 44_100:.0f} s, 44100 Hz, stereo")


if __name__ == "__main__":
    main()
