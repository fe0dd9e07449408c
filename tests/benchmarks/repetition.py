"""Measures what patterns save on a loop that is repeated 1 to 64 times: the curve of bits saved against repetition.

    python tests/benchmarks/repetition.py --csv RESULTS.csv [--picture docs/repetition.png] [--kinds exact,noise]
        [--repeats 1,2,4] [--qualities 3,5,7] [--effort 6] [--jobs 1] [--tag NAME]

The loop is a bar of drums, bass and a chord in stereo, synthesised here. Every sound is a function of continuous time
without content near half the sample rate, and is evaluated anew wherever it falls between two frames. Kinds:

exact        the bar lasts 2 s, 88 200 frames: repeats are equal sample by sample
fractional   117 beats per minute, 90 461.54 frames: repeats fall between frames
melody       the exact loop under a melody that never repeats, 6 dB below it
noise        the exact loop with fresh white noise, 20 dB below it

Files are 44.1 kHz and 16 bit. Sizes are compared at equal NMR, as measuring.py says; measurements that RESULTS.csv has
are not repeated. Prints markdown; the picture needs matplotlib.
"""

from __future__ import annotations

import argparse
import functools
import io
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from measuring import BENCH, KEY, Row, Setting, Task, bench, by_file, curve, rows
from numpy.typing import NDArray
from patterns import head, line, matching, measure_all, numbers, percent

from evc.models.sequencer import BASS_STEPS, CHORDS, HAT_LEVELS, STEPS, frequency

Signal = NDArray[np.float64]
Voice = Callable[[Signal], Signal]  # from seconds since the onset [frames] to a sound [frames] or [frames, 2]

RATE = 44_100
BAR_SECONDS = {"exact": 2.0, "fractional": 4 * 60 / 117, "melody": 2.0, "noise": 2.0}
REPEATS = (1, 2, 4, 8, 16, 32, 64)
LEVEL = 0.35  # of the whole mix, which then stays within ±1
MELODY_DB, NOISE_DB = -6.0, -20.0  # against the loop
SCALE = (0, 3, 5, 7, 10, 12, 15)  # semitones of the melody
INK, COLOURS = "#333333", ("#3b6ea5", "#c8553d", "#588157", "#8d6a9f")


# Sounds


def _envelope(time: Signal, decay: float, seconds: float, attack: float = 0.002) -> Signal:
    """Exponential decay between a raised-cosine attack and a release of 20 ms."""
    rise = 0.5 - 0.5 * np.cos(np.pi * np.clip(time / attack, 0, 1))
    fall = 0.5 - 0.5 * np.cos(np.pi * np.clip((seconds - time) / 0.02, 0, 1))
    return np.exp(-time / decay) * rise * fall


def _noise(time: Signal, seed: int, low: float, high: float) -> Signal:
    """Noise between two frequencies in Hz: a sum of sines, so that it has a value at any time. Unit power."""
    length = 1 << (len(time) + 1).bit_length()
    hertz = np.fft.rfftfreq(length, 1 / RATE)
    random = np.random.default_rng(seed)
    waves = random.normal(size=(2, 32_769))[:, : len(hertz)]
    within = (hertz > low) & (hertz < high)
    spectrum = np.where(within, waves[0] + 1j * waves[1], 0) * np.exp(2j * np.pi * hertz * time[0])
    waveform: Signal = np.fft.irfft(spectrum, length)[: len(time)]
    return waveform * length / (2 * math.sqrt(within.sum()))


def _sawtooth(time: Signal, hertz: float, cutoff: Signal, highest: float) -> Signal:
    """Harmonics up to `highest` Hz behind a low-pass of the given course."""
    harmonics = range(1, int(highest / hertz) + 1)
    return sum(
        (np.sin(2 * np.pi * hertz * k * time) / (1 + (k * hertz / cutoff) ** 4) / k for k in harmonics),
        np.zeros_like(time),
    )


def kick(time: Signal) -> Signal:
    phase = 2 * np.pi * (48 * time + 142 * 0.035 * (1 - np.exp(-time / 0.035)))
    return np.sin(phase) * _envelope(time, 0.11, 0.32)


def snare(time: Signal) -> Signal:
    skin = np.sin(2 * np.pi * 186 * time) + 0.6 * np.sin(2 * np.pi * 331 * time)
    return (0.3 * _noise(time, 1, 300, 10_000) + 0.4 * skin) * _envelope(time, 0.06, 0.24)


def hat(time: Signal, decay: float) -> Signal:
    return 0.25 * _noise(time, 2, 6_000, 15_000) * _envelope(time, decay, 5 * decay, 0.001)


def bass(time: Signal, note: int, seconds: float) -> Signal:
    wave = _sawtooth(time, frequency(note), 180 + 1600 * np.exp(-time / 0.09), 8_000)
    return wave * _envelope(time, 0.4, seconds, 0.004)


def pad(time: Signal, seconds: float) -> Signal:
    """A chord of detuned pairs, one of each to the left and one to the right."""
    cutoff = 500 + 900 * np.sin(np.pi * time / seconds) ** 2
    sides = [
        sum((_sawtooth(time, frequency(note + detune), cutoff, 4_000) for note in CHORDS[0]), np.zeros_like(time))
        for detune in (-0.06, 0.06)
    ]
    chord: Signal = np.stack(sides, axis=1)
    return chord * _envelope(time, 10.0, seconds, 0.3)[:, None]


def pluck(time: Signal, note: int) -> Signal:
    carrier = 2 * np.pi * frequency(note) * time
    wave: Signal = np.sin(carrier + 1.8 * np.exp(-time / 0.06) * np.sin(2 * carrier))
    return wave * _envelope(time, 0.12, 0.45)


# Tracks


class Bus:
    """A stereo mix [frames, 2] onto which sounds are evaluated at any moment, between frames too."""

    def __init__(self, frames: int) -> None:
        self.mix = np.zeros((frames, 2))

    def add(self, voice: Voice, moment: float, seconds: float, gain: float, pan: float = 0.0) -> None:
        """Add `seconds` of a voice that begins at `moment`, in seconds; `pan` from -1 to 1, of constant power."""
        start = math.ceil(moment * RATE - 1e-6)
        sound = _evaluated(voice, round(start - moment * RATE, 6), round(seconds * RATE))
        sound = sound[: max(0, len(self.mix) - start)]
        if sound.ndim == 1:
            sound = sound[:, None] * np.array([math.cos((pan + 1) * math.pi / 4), math.sin((pan + 1) * math.pi / 4)])
        self.mix[start : start + len(sound)] += gain * sound


@functools.lru_cache(64)
def _evaluated(voice: Voice, first: float, frames: int) -> Signal:
    """A voice at `frames` moments from `first`, both counted in frames after its onset."""
    return voice((first + np.arange(frames)) / RATE)


def loop(repeats: int, bar: float) -> Signal:
    """The bar of `bar` seconds over and over: [frames, 2]."""
    bus, step = Bus(round(repeats * bar * RATE)), bar / STEPS
    hats = {decay: functools.partial(hat, decay=decay) for decay in (0.022, 0.09)}
    basses = [functools.partial(bass, note=CHORDS[0][0] - 24 + up, seconds=2.2 * step) for _, up in BASS_STEPS]
    chord = functools.partial(pad, seconds=bar)
    for start in np.arange(repeats) * bar:
        bus.add(chord, start, bar, 0.06)
        for at in range(STEPS):
            decay = 0.09 if at % 8 == 6 else 0.022
            bus.add(hats[decay], start + at * step, 5 * decay, HAT_LEVELS[at % 4], -0.25)
            if at % 4 == 0:
                bus.add(kick, start + at * step, 0.32, 1.0)
            if at % 8 == 4:
                bus.add(snare, start + at * step, 0.24, 0.7, 0.1)
        for voice, (at, _) in zip(basses, BASS_STEPS, strict=True):
            bus.add(voice, start + at * step, 2.2 * step, 0.55)
    return LEVEL * bus.mix


def melody(frames: int, step: float) -> Signal:
    """Plucked notes at random steps and pitches: [frames, 2]."""
    bus, random = Bus(frames), np.random.default_rng(3)
    for moment in np.arange(0, frames / RATE, step):
        if random.random() < 0.6:
            voice = functools.partial(pluck, note=int(69 + random.choice(SCALE)))
            bus.add(voice, float(moment), 0.45, random.uniform(0.5, 1), random.uniform(-0.6, 0.6))
    return bus.mix


def track(kind: str, repeats: int) -> Signal:
    """A track of one of the kinds: [frames, 2]."""
    audio = loop(repeats, BAR_SECONDS[kind])
    above, decibels = np.zeros_like(audio), 0.0
    if kind == "melody":
        above, decibels = melody(len(audio), BAR_SECONDS[kind] / STEPS), MELODY_DB
    elif kind == "noise":
        above, decibels = np.random.default_rng(4).normal(size=audio.shape), NOISE_DB
    power = float((above**2).sum())
    return audio + above * math.sqrt(10 ** (decibels / 10) * float((audio**2).sum()) / power) if power else audio


# Results


def savings(measured: list[Row]) -> dict[tuple[str, int], tuple[float, float]]:
    """By kind and repeats: kbit/s without patterns at the middle quality, and the change of size at equal NMR."""
    found = {}
    without, patterns = (by_file(row for row in measured if row["patterns"] == kind) for kind in ("off", "auto"))
    for key in without.keys() & patterns.keys():
        theirs = without[key]
        middle = theirs[len(theirs) // 2]
        kind, repeats = key[1].split("-")
        change, _, _ = curve(patterns[key], "nmr").against(curve(theirs, "nmr"))
        found[kind, int(repeats)] = middle["bytes"] * 8 / middle["seconds"] / 1000, change
    return found


def table(found: dict[tuple[str, int], tuple[float, float]]) -> Iterator[str]:
    kinds = [kind for kind in BAR_SECONDS if any(kind == measured for measured, _ in found)]
    yield from head(["repeats", *(column for kind in kinds for column in (f"{kind}, kbit/s off", "auto", "size"))])
    for repeats in sorted({repeats for _, repeats in found}):
        cells = [str(repeats)]
        for kind in kinds:
            rate, change = found.get((kind, repeats), (math.nan, math.nan))
            cells += [f"{rate:.1f}", f"{rate * (1 + change):.1f}", percent(change)]
        yield line(cells)


def draw(found: dict[tuple[str, int], tuple[float, float]], target: Path) -> None:
    """Bits saved and kbit/s at equal NMR over the number of repeats."""
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for kind, colour in zip(BAR_SECONDS, COLOURS, strict=True):
        if points := sorted((repeats, *figures) for (of, repeats), figures in found.items() if of == kind):
            repeats, rates, changes = map(np.array, zip(*points))
            left.plot(repeats, -100 * changes, "o-", color=colour, label=kind, markersize=4)
            right.plot(repeats, rates * (1 + changes), "o-", color=colour, label=kind, markersize=4)
            right.plot(repeats, rates, ":", color=colour, linewidth=1)
    once = np.array(sorted({repeats for _, repeats in found}))
    left.plot(once, 100 * (1 - 1 / once), "--", color=INK, linewidth=1, label="each repeat free")
    left.set_title("bits saved by patterns at equal NMR, %", loc="left", color=INK, fontsize=11)
    right.set_title("kbit/s at equal NMR (dotted: patterns off)", loc="left", color=INK, fontsize=11)
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        axis.set_xticks(once, [str(repeats) for repeats in once])
        axis.set_xlabel("times the bar of two seconds is played")
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
        axis.grid(alpha=0.3)
    left.legend(frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    Image.open(drawn).convert("RGB").quantize(64).save(target, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, required=True, help="where measurements are kept")
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    parser.add_argument("--kinds", default=",".join(BAR_SECONDS), help="default: all")
    parser.add_argument("--repeats", type=numbers, default=list(REPEATS), help="default 1 to 64")
    parser.add_argument("--qualities", type=numbers, default=[3.0, 5.0, 7.0], help="default 3,5,7")
    parser.add_argument("--effort", default="", help="default: the encoder's")
    parser.add_argument("--jobs", type=int, default=1, help="files at a time")
    parser.add_argument("--tag", default="", help="a name for the state of the encoder")
    parser.add_argument("--metrics", type=Path, default=BENCH, help="the rate-distortion bench")
    arguments = parser.parse_args()
    bench(arguments.metrics)

    settings = [Setting(quality, "off") for quality in arguments.qualities]
    settings += [Setting(quality, "auto", arguments.effort) for quality in arguments.qualities]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "repetition"
        folder.mkdir()
        tasks = []
        for kind in arguments.kinds.split(","):
            for repeats in map(int, arguments.repeats):
                path = folder / f"{kind}-{repeats}.wav"
                shared = (None, arguments.tag, arguments.metrics, arguments.csv)
                tasks.append(Task(path, tuple(settings), *shared))
                if tasks[-1].rest().settings:
                    soundfile.write(path, track(kind, repeats), RATE, subtype="PCM_16")
        fine = measure_all(tasks, arguments.jobs)
    keys = [task.key(setting) for task in tasks for setting in settings]
    found = savings(matching(rows(arguments.csv), keys, KEY))
    print("\n".join(table(found)))
    if arguments.picture:
        draw(found, arguments.picture)
    raise SystemExit(not fine)


if __name__ == "__main__":
    main()
