"""Section 10.10 of the specification in double precision, equation by equation, as `synthesis.py` is for the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.format.header import Header
from evc.format.streams.difference import DifferenceStream
from evc.format.streams.latent import LatentStream

Signal = NDArray[np.float64]
Spectra = NDArray[np.complex128]

COLUMN, WINDOW, BINS, BANDS = 2048, 2048, 1025, 64
MID, SIDE = 256, 128
COARSEST = 127

_bins = np.arange(BINS)
_place = (BANDS - 1) * np.arcsinh(_bins / 12) / np.arcsinh(1024 / 12)
TRIANGLES = np.maximum(0, 1 - np.abs(_place - np.arange(BANDS)[:, None]))  # B_j(b)
CARPET = np.exp(2j * np.pi * (0.6180339887498949 * _bins % 1))
HANN = np.sin(np.pi * np.arange(WINDOW) / WINDOW) ** 2


def latent_signal(
    header: Header, y: Signal, noise: Signal, streams: Mapping[int, LatentStream], weights: Path,
    difference: DifferenceStream | None = None,
) -> Signal:
    """The layer of a whole file, float64 [channels, frames] of full scale 1: what it adds to `y`, all other layers, of
    which `noise` is a part. From the streams of its segments, the weights of their network, and what the file changes
    of these."""
    decoder = _Decoder(weights)
    if difference is not None:
        decoder.adapt(difference)
    columns, around = -(-header.known_frames // COLUMN), decoder.around
    ends = around * COLUMN, (columns + around) * COLUMN - header.known_frames
    planes, hiss = (np.pad(_planes(part), ((0, 0), ends)) for part in (y, noise))
    integers, steps = np.zeros((columns + 2 * around, MID + SIDE + 64)), np.full(columns + 2 * around, COARSEST)
    per_segment = header.segment_frames // COLUMN
    for index, stream in streams.items():
        at = slice(around + index * per_segment, around + index * per_segment + len(stream.latents))
        integers[at], steps[at] = stream.latents, stream.step
    mid, side = decoder.restored(planes, hiss, integers, 2.0 ** (steps / 16), (around, around + columns)) - planes
    found = np.stack([mid] if header.channels == 1 else [mid + side, mid - side])
    return found[:, ends[0] :][:, : header.known_frames]


def _planes(audio: Signal) -> Signal:
    """Mid and side."""
    first, last = audio[0], audio[-1]
    return np.stack([(first + last) / 2, (first - last) / 2])


class _Decoder:
    """All signals, spectra and columns here are of a file with `around` columns of nothing on either side: farther
    than anything reaches. Spectra are [2, spectra, bins], sequences [spectra or columns, values]."""

    def __init__(self, weights: Path) -> None:
        from safetensors import safe_open

        with safe_open(weights, "np") as file:
            self.config = json.loads(file.metadata()["config"])
            names = [name for name in file.keys() if not name.startswith("entropy.")]
            self.tensors = {name: file.get_tensor(name).astype(np.float64) for name in names}
        blocks = sum(self.config[name] for name in ("encoder_blocks", "coarse_blocks", "fine_blocks"))
        self.around = self.config["kernel"] * (blocks + 2) + 2

    def adapt(self, difference: DifferenceStream) -> None:
        """Section 10.13."""
        steps = [(4 + s % 4) * 2.0 ** (s // 4 - 10) for s in difference.steps]
        numbers = [iter((values * step).tolist()) for values, step in zip(difference.values, steps, strict=True)]

        def taken(group: int, *shape: int) -> Signal:
            return np.array([next(numbers[group]) for _ in range(math.prod(shape))]).reshape(shape)

        tensors, channels, rank = self.tensors, len(self.tensors["decoder.norm.bias"]), difference.rank
        kinds = ("coarse", "fine")
        blocks = [f"decoder.{kind}.{n}" for kind in kinds for n in range(self.config[f"{kind}_blocks"])]
        gains = [f"{b}.{name}" for b in blocks for name in ("near.weight", "norm.weight", "share")]
        for name in (*gains, "decoder.norm.weight"):
            tensors[name] = (tensors[name].T * (1 + taken(0, channels))).T
        biases = [f"{b}.{name}.bias" for b in blocks for name in ("near", "norm", "narrow", "wide")]
        for name in (*biases, "decoder.norm.bias"):
            tensors[name] = tensors[name] + taken(1, len(tensors[name]))
        tensors["decoder.gains.bias"] = tensors["decoder.gains.bias"] + (taken(2, 2, BANDS) @ TRIANGLES).ravel()
        tensors["decoder.contrast.bias"] = tensors["decoder.contrast.bias"] + taken(2, 2 * BANDS)
        heads = [f"decoder.{name}" for name in ("enter", "part", "look", "gains", "contrast", "added")]
        for name in (*heads, *(f"{b}.{layer}" for b in blocks for layer in ("wide", "narrow"))):
            rows, columns = tensors[f"{name}.weight"].shape
            outputs = taken(3, rows, rank)
            inputs = _signs(rank * columns).reshape(rank, columns) + taken(4, rank, columns)
            changed = outputs @ inputs / 2 ** (columns.bit_length() // 2)
            tensors[f"{name}.weight"] = tensors[f"{name}.weight"] + changed

    def restored(self, y: Signal, noise: Signal, integers: Signal, steps: Signal, file: tuple[int, int]) -> Signal:
        """x hat."""
        spectra = _spectra(y)
        self._find_envelope(spectra)
        features, ratio, levels = self._view(spectra)
        seen = self._encoded(features)
        known = self._affine("leave", seen) + _columns(levels) @ self.tensors["measure"]
        change = self._change(integers[:, : MID + SIDE], steps[:, None] * self._units(seen), noise, file)
        nearer = _spectra(y + _from_coefficients(change, file))
        features, ratio, _ = self._view(nearer)
        learned = integers[:, MID + SIDE :] * steps[:, None] / 8
        heard = [np.log(1 + np.abs(integers[:, : MID + SIDE])), learned, known, np.log2(steps)[:, None] / 4]
        x = self._affine("decoder.enter", np.concatenate(heard, axis=1))
        x = self._affine("decoder.part", self._blocks("decoder.coarse", self.config["coarse_blocks"], x))
        x = x.reshape(len(features), -1) + self._affine("decoder.look", features)
        x = self._norm("decoder.norm", self._blocks("decoder.fine", self.config["fine_blocks"], x))
        bent = (learned @ self.tensors["shape"]).reshape(len(features), 2, BANDS) @ TRIANGLES
        contrast = self._affine("decoder.contrast", x).reshape(-1, 2, BANDS) @ TRIANGLES
        gains = self._affine("decoder.gains", x).reshape(-1, 2, BINS) + bent
        gains += contrast * np.moveaxis(0.5 * np.log(np.abs(ratio) ** 2 + 1e-6), 0, 1)
        added = self._affine("decoder.added", x).reshape(-1, 2, 2, BINS)
        bent_spectra = nearer * np.exp(np.clip(np.moveaxis(gains, 1, 0), -6, 3))
        return _from_spectra(bent_spectra + self.local * np.moveaxis(added[:, :, 0] + 1j * added[:, :, 1], 1, 0))

    def _find_envelope(self, spectra: Spectra) -> None:
        power = _means(np.abs(spectra) ** 2)
        power[1] += 1e-3 * power[0]
        near = np.pad(power, ((0, 0), (1, 1), (0, 0)))
        power = near[:, :-2] / 4 + power / 2 + near[:, 2:] / 4
        self.local = np.sqrt(power @ TRIANGLES + 1e-14)
        self.envelope = np.sqrt(self.local**2 + 1e-9 * power.max(axis=(0, 2))[:, None])

    def _view(self, spectra: Spectra) -> tuple[Signal, Spectra, Signal]:
        """Features, R, levels by spectrum."""
        faint = 10**-4.5 * self.envelope.max(axis=(0, 2))[:, None] * CARPET
        ratio = (spectra + faint) / self.envelope
        power = np.abs(ratio) ** 2
        fine = ratio[..., :256] * (power[..., :256] + 1e-3) ** -0.25
        coarse = np.log(_means(self.envelope))
        over = (coarse - coarse.max(axis=(0, 2))[:, None]) / 4
        parts = [np.log(power + 1e-3) / 2, fine.real, fine.imag, over, np.maximum(coarse / 8, -1)]
        features, levels = np.concatenate(parts, axis=2), np.log(_means(power) + 1e-3) / 2
        return np.concatenate([*features], axis=1), ratio, np.concatenate([*levels], axis=1)

    def _units(self, seen: Signal) -> Signal:
        """u by column and coefficient."""
        power = self.envelope[:, :, : MID // 2] ** 2 / 768
        level = np.sqrt(power.reshape(2, -1, 4, MID // 2).mean(axis=2)).repeat(2, axis=2)
        both = np.concatenate([level[0], level[1, :, :SIDE]], axis=1)
        over = np.log(both) - np.log(level[0]).mean(axis=1, keepdims=True)
        detail = self.tensors["detail.slope"] * over + self.tensors["detail.tilt"] + self._affine("detail.guess", seen)
        units: Signal = both * np.exp(-np.clip(detail, -6, 6))
        return units

    def _change(self, integers: Signal, units: Signal, noise: Signal, file: tuple[int, int]) -> Signal:
        """What is added to the coefficients of y, mid and then side."""
        there = _coefficients(noise, file)
        most = np.maximum(self.tensors["ceiling"], 0) * units
        return np.where(integers != 0, integers * units, np.clip(there, -most, most)) - there

    def _encoded(self, features: Signal) -> Signal:
        x = self._block("encoder.fine", self._affine("encoder.enter", features))
        x = self._blocks("encoder.coarse", self.config["encoder_blocks"], self._affine("encoder.join", _columns(x)))
        return self._norm("encoder.norm", x)

    def _affine(self, name: str, v: Signal) -> Signal:
        return v @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def _norm(self, name: str, v: Signal) -> Signal:
        v = v - v.mean(axis=1, keepdims=True)
        v = v / np.sqrt((v**2).mean(axis=1, keepdims=True) + 1e-5)
        return v * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def _blocks(self, name: str, count: int, v: Signal) -> Signal:
        for number in range(count):
            v = self._block(f"{name}.{number}", v)
        return v

    def _block(self, name: str, v: Signal) -> Signal:
        weights = self.tensors[f"{name}.near.weight"][:, 0]
        half = weights.shape[1] // 2
        padded = np.pad(v, ((half, half), (0, 0)))
        u = sum((weights[:, tap] * padded[tap : tap + len(v)] for tap in range(2 * half + 1)), np.zeros_like(v))
        wide = self._affine(f"{name}.wide", self._norm(f"{name}.norm", u + self.tensors[f"{name}.near.bias"]))
        return v + self.tensors[f"{name}.share"] * self._affine(f"{name}.narrow", _gelu(wide))


def _signs(count: int) -> Signal:
    """sigma."""
    found, x = [], 0
    for _ in range(count):
        x = (1664525 * x + 1013904223) % 2**32
        found.append(-1.0 if x >= 2**31 else 1.0)
    return np.array(found)


def _gelu(z: Signal) -> Signal:
    """z times the normal distribution function."""
    erf: Callable[[Signal], Signal] = np.vectorize(math.erf, otypes=[np.float64])
    return z * (1 + erf(z / np.sqrt(2))) / 2


def _columns(values: Signal) -> Signal:
    """The four vectors of each column, one behind the other."""
    return values.reshape(len(values) // 4, -1)


def _means(values: Signal) -> Signal:
    means: Signal = values @ (TRIANGLES / TRIANGLES.sum(axis=1, keepdims=True)).T
    return means


def _spectra(signal: Signal) -> Spectra:
    padded = np.pad(signal, ((0, 0), (768, 768)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::512]
    return np.fft.rfft(HANN * frames)


def _from_spectra(spectra: Spectra) -> Signal:
    out = np.zeros((2, 512 * spectra.shape[1] + 1536))
    for number, frames in enumerate(np.moveaxis(np.fft.irfft(spectra), 1, 0)):
        out[:, 512 * number : 512 * number + WINDOW] += 2 / 3 * HANN * frames
    return out[:, 768:-768]


def _window(number: int, file: tuple[int, int]) -> Signal:
    """v of a column."""
    window = np.sin(np.pi / 2 * np.sin(np.pi * (np.arange(4096) + 0.5) / 4096) ** 2)
    if number == file[0]:
        window[:1024], window[1024:2048] = 0, 1
    if number == file[1] - 1:
        window[2048:3072], window[3072:] = 1, 0
    return window


def _cosines() -> Signal:
    """[4096, 256]."""
    values: Signal = np.cos(np.pi / 2048 * (np.arange(4096)[:, None] + 1024.5) * (np.arange(MID) + 0.5)) / 32
    return values


def _coefficients(signal: Signal, file: tuple[int, int]) -> Signal:
    """Those of the columns of the file, of others 0."""
    out, cosines = np.zeros((signal.shape[1] // COLUMN, MID + SIDE)), _cosines()
    for number in range(*file):
        block = signal[:, COLUMN * number - 1024 : COLUMN * number + 3072] * _window(number, file)
        mid, side = block @ cosines
        out[number] = np.concatenate([mid, side[:SIDE]])
    return out


def _from_coefficients(columns: Signal, file: tuple[int, int]) -> Signal:
    out, cosines = np.zeros((2, COLUMN * len(columns))), _cosines()
    for number in range(*file):
        planes = np.stack([columns[number, :MID], np.pad(columns[number, MID:], (0, MID - SIDE))])
        out[:, COLUMN * number - 1024 : COLUMN * number + 3072] += planes @ cosines.T * _window(number, file)
    return out
