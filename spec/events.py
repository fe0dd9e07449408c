"""Section 10.9 of the specification in double precision, equation by equation, as `synthesis.py` is for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.format.header import Header
from evc.format.streams.events import USUAL_SIZES, EventStream
from evc.spec.synthesis import noise

Signal = NDArray[np.float64]
Places = Mapping[str, Signal]  # of an event: the numbers of each part of its vector

PARTIALS = range(2, 9)
PARTS = ("pitch", "phase", "attack", "decay", "length", "resonator", *(f"partial{m}" for m in PARTIALS), "deform",
         "noise", "room")  # fmt: skip
NOISE = np.arange(1.0, 20_001)  # Hz
END = 6.05  # seconds
QUIETEST_ECHO = 1e-4


def event_signal(header: Header, streams: Mapping[int, EventStream], weights: Path) -> Signal:
    """The events of a whole file, float64 [channels, frames] of full scale 1, from the streams of its segments and the
    weights of their network."""
    from safetensors.numpy import load_file

    tensors = {name: tensor.astype(np.float64) for name, tensor in load_file(weights).items()}
    out = np.zeros((header.channels, header.known_frames))
    for index, stream in streams.items():
        if stream.sizes != USUAL_SIZES:
            raise ValueError("events of unusual parts have no sound")
        start = header.segment_span(index)[0]
        for time, level, pan, codes in zip(stream.times, stream.amplitudes, stream.pans, stream.codes, strict=True):
            begin = start + int(time) / (1 << header.phase_bits)
            first, last = int(np.ceil(begin)), int(begin + END * header.samplerate) + 1
            frames = np.arange(first, min(last, header.known_frames))
            sound = _Event(codes.tolist(), tensors, header.samplerate).sound((frames - begin) / header.samplerate)
            sound *= 10 ** np.clip(int(level) * stream.amplitude_step / 160, -15, 15)
            turn = ((int(pan) / stream.pan_steps if stream.pan_steps else 0) + 1) * np.pi / 4
            gains = [1.0] if header.channels == 1 else [np.cos(turn), np.sin(turn)]
            out[: len(gains), first : first + len(frames)] += np.outer(gains, sound)
    return out


class _Event:
    """What one vector sounds like."""

    def __init__(self, codes: list[int], tensors: Mapping[str, Signal], samplerate: int) -> None:
        self.tensors, self.samplerate = tensors, samplerate
        self.key = 0x811C9DC5
        for code in codes:
            self.key = ((self.key ^ code) * 0x01000193) & 0xFFFFFFFF
        places = self._places(codes)
        self.attack = np.clip(np.exp(self._chosen("attack", places) @ tensors["attack_times"]), 1e-4, 2)
        self.length = np.clip(0.6 * np.exp(2.3 * places["length"][0]), 0.01, 6)
        self.fall = min(self.length / 4, 0.05)
        self.partials = self._partials(places)
        self._deform(places)
        self._noise(places)
        self._room(places)

    def sound(self, t: Signal) -> Signal:
        """D at the times t, in seconds since the start, from 0 on."""
        out = self.dry * self._dry_sound(t)
        fade = np.cos(np.pi / 2 * np.clip((t - 5.8) / 0.25, 0, 1)) ** 2
        for delay, gain in zip(self.delays, self.gains, strict=True):
            if abs(gain) > QUIETEST_ECHO:
                out += gain * fade * self._dry_sound(t - delay)
        return out

    def _dry_sound(self, t: Signal) -> Signal:
        """x at the times t, 0 before the start."""
        out, on = np.zeros(len(t)), (t >= 0) & (t < self.length + self.fall)
        t = t[on]
        rise = np.sin(np.pi / 2 * np.minimum(t / self.attack, 1)) ** 2
        gate = np.cos(np.pi / 2 * np.clip((t - self.length) / self.fall, 0, 1)) ** 2
        tones = np.zeros(len(t))
        decayed = np.exp(-t * self.changes)
        for m, (hertz, decay, amplitude) in enumerate(self.partials):
            state = decayed + (1 - decayed) * self.states[m]
            phase = 2 * np.pi * (hertz * t % 1) + np.angle(amplitude)
            tones += self._q(hertz) * state * abs(amplitude) * np.exp(-decay * t) * np.cos(phase)
        if self.level and len(t):
            tones += self.level * np.exp(-t / self.time) * self._series(t)
        out[on] = rise * gate * tones
        return out

    def _series(self, t: Signal) -> Signal:
        """n at the times t, which are one frame apart."""
        k = NOISE[NOISE < self.samplerate / 2]
        counters = self.key + 2 * k.astype(np.int64)
        series = noise(counters) - 1j * noise(counters + 1)
        series *= self._q(k) * self.colour[: len(k)] * np.exp(2j * np.pi * k * t[0])
        period = np.zeros(self.samplerate, complex)
        period[1 : len(k) + 1] = series
        # The sum over k at t[0] + i / samplerate, of which a second is a period.
        values: Signal = (np.fft.ifft(period) * self.samplerate).real[np.arange(len(t)) % self.samplerate]
        return values

    def _q(self, hertz: Signal | float) -> Signal:
        values: Signal = np.cos(np.pi / 2 * np.clip((hertz / (self.samplerate / 2) - 0.9) / 0.08, 0, 1)) ** 2
        return values

    def _places(self, codes: list[int]) -> Places:
        angle = 2 * np.pi * codes[1] / 32
        places = {"pitch": np.array([(codes[0] - 4096) / 768]), "phase": np.array([np.cos(angle), np.sin(angle)])}
        places = {name: place.astype(np.float32).astype(np.float64) for name, place in places.items()}
        return places | {
            name: self.tensors[f"codebook.{name}"][code] for name, code in zip(PARTS[2:], codes[2:], strict=True)
        }

    def _chosen(self, part: str, places: Places) -> Signal:
        """The selection of the part's place."""
        logits = self.tensors[f"{part}_select.slopes"] @ places[part] + self.tensors[f"{part}_select.offsets"]
        weights: Signal = np.exp(logits - logits.max())
        return weights / weights.sum()

    def _partials(self, places: Places) -> list[tuple[float, float, complex]]:
        """Frequency, decay and amplitude of partials 1 to 8."""
        w, tensors = self._chosen("resonator", places), self.tensors
        first = 440 * 2 ** (-69 / 12) * 2 ** (places["pitch"][0] + 16 / 3)
        angle = np.arctan2(places["phase"][1], places["phase"][0])
        decay = min(np.exp(-3 * places["decay"][0]) / 0.13, 500)
        found = [(first, decay, np.exp(1j * angle))]
        for m in PARTIALS:
            ratio, gain, factor, phase = (
                w @ tensors[f"resonator_{name}"][:, m - 2] for name in ("ratios", "gains", "decays", "phases")
            )
            place = places[f"partial{m}"]
            amplitude = np.exp(gain + 1j * (m * angle + phase)) * (place[0] + 1j * place[1])
            found.append((first * np.exp(ratio), decay * min(np.exp(factor), 16), amplitude))
        return found

    def _deform(self, places: Places) -> None:
        w = self._chosen("deform", places)
        self.states = 1 + _strength(places["deform"]) * (w @ self.tensors["deform_states"] - 1)
        self.changes = min(float(np.exp(-w @ self.tensors["deform_times"])), 500)

    def _noise(self, places: Places) -> None:
        place, tensors = places["noise"], self.tensors
        level, time = (np.exp(tensors[name][:3] @ place + tensors[name][3]) for name in ("noise_level", "noise_time"))
        self.level, self.time = _strength(place) * min(level, 100), float(np.clip(time, 0.002, 10))
        centres, widths = tensors["noise_centres"], np.exp(tensors["noise_widths"])
        filters = np.exp(-((np.log(NOISE) - centres[:, None]) ** 2) / (2 * widths[:, None] ** 2))
        filters /= np.sqrt((filters**2).sum(axis=1, keepdims=True))
        self.colour = self._chosen("noise", places) @ filters

    def _room(self, places: Places) -> None:
        w, tensors, strength = self._chosen("room", places), self.tensors, _strength(places["room"])
        self.dry = 1 + strength * (w @ (tensors["room_dry"] - 1))
        self.delays = np.minimum(np.exp(tensors["room_delays"]), 6).ravel()
        self.gains = (strength * (w * tensors["room_wet"])[:, None] * tensors["room_gains"]).ravel()


def _strength(place: Signal) -> float:
    return min(float(place @ place), 1.0)
