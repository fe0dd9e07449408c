"""The latent networks for encoding and decoding, in NumPy or compiled: what `network` says, without torch.

Audio is float32 [2 (mid, side), samples] of columns with `config.margin` more on each side. Every layer is computed no
farther out than what follows needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from evc.models.latents import lapped
from evc.models.latents.blocks import Linear
from evc.models.latents.coders import AROUND, Decoder, Encoder, looked_at, trimmed
from evc.models.latents.layout import (
    BANDS,
    CHANNELS,
    CODED,
    COEFFICIENTS,
    COLUMN,
    EDGE,
    FRAMES_PER_COLUMN,
    HOP,
    LATENT_SCALE,
    MOST_DETAIL,
    NOISE_POWER,
    SIDE_COEFFICIENTS,
    WINDOW,
    Ends,
    LatentConfig,
)
from evc.models.latents.views import Envelope, Spectra, envelope, spectrum, waveform
from evc.models.latents.weights import Tensors, read_weights

Floats = NDArray[np.float32]


class LatentInference(Protocol):
    """What encodes and decodes latents, wherever it runs."""

    config: LatentConfig

    def encode(self, x: Floats, y: Floats, noise: Floats, ends: Ends) -> Floats:
        """What is to be divided by the step size and rounded [columns, DIMENSIONS], of columns without the margins; y
        is all that other layers render, `noise` the part of it that is noise; `ends` those of the file, as columns with
        the margins."""

    def decode(self, integers: Floats, steps: Floats, y: Floats, noise: Floats, ends: Ends) -> Floats:
        """x_hat [2, samples] without the margins, from quantised latents [columns, DIMENSIONS] and step sizes [columns]
        with them."""


class Known(NamedTuple):
    """What decoder and encoder make of y: its envelope over some spectra, of which the one with number `first` is the
    first; E(y | y) [columns, LEARNED] and the scale of coefficients [columns, CODED] of some columns."""

    over: Envelope
    first: int
    latents: Floats
    units: Floats


class ArrayNetwork:
    """Runs on the processor."""

    def __init__(self, config: LatentConfig, tensors: Tensors) -> None:
        self.config = config
        self._encoder, self._decoder = Encoder(config, tensors), Decoder(config, tensors)
        self._leave, self._measure = Linear(tensors, "leave"), tensors["measure"]
        self._detail, self._guess = (tensors["detail.slope"], tensors["detail.tilt"]), Linear(tensors, "detail.guess")
        self._ceiling = np.maximum(tensors["ceiling"], 0)
        self._reach = config.kernel // 2
        # Columns on each side: of the spectra that are bent, of what the decoder enters, of what is changed in these.
        self._looked = -(-(AROUND + self._reach * config.fine_blocks) // FRAMES_PER_COLUMN)
        self._entered = self._looked + self._reach * config.coarse_blocks
        self._changed = min(
            self._looked + 2, max(self._entered, config.margin - self._reach * config.encoder_blocks - 1)
        )

    @classmethod
    def load(cls, path: Path) -> ArrayNetwork:
        """The network in a file of weights. Raises InputError if it holds something else."""
        return cls(*read_weights(path))

    def encode(self, x: Floats, y: Floats, noise: Floats, ends: Ends) -> Floats:
        """As `LatentInference` says."""
        known = self._known(y, 0)
        lacking = _around(x, self.config.margin - 1) - _around(y - noise, self.config.margin - 1)
        coded = _columns(lapped.coefficients(lacking, _seen_from(ends, self.config.margin - 1))[1:-1]) / known.units
        spectra = _spectra(x, known.first, known.first + len(known.over.scale))
        learned, _ = self._learned(spectra, known.over)
        return np.concatenate([coded, np.float32(LATENT_SCALE) * (learned - known.latents)], axis=1)

    def decode(self, integers: Floats, steps: Floats, y: Floats, noise: Floats, ends: Ends) -> Floats:
        """As `LatentInference` says."""
        known = self._known(y, max(self._entered, self._changed))
        nearer = self._nearer(integers[:, :CODED], steps, y, noise, ends, known.units)
        first = (self.config.margin - self._looked) * FRAMES_PER_COLUMN - known.first
        frames = (nearer.shape[1] // COLUMN - 2) * FRAMES_PER_COLUMN
        over = known.over.part(slice(first, first + frames))
        spectra = _spectra(nearer, FRAMES_PER_COLUMN, FRAMES_PER_COLUMN + frames)
        entered = slice(self.config.margin - self._entered, len(integers) - self.config.margin + self._entered)
        latents = trimmed(known.latents, entered.stop - entered.start)
        columns = len(integers) - 2 * self.config.margin
        heard = self._decoder(columns, integers[entered], steps[entered, None], latents, spectra, over)
        begin = AROUND * HOP + EDGE
        return waveform(heard)[:, begin : begin + columns * COLUMN]

    def _known(self, y: Floats, reach: int) -> Known:
        """Of the columns without the margins, and `reach` more on each side."""
        joined = reach + self._reach * self.config.encoder_blocks
        first = (self.config.margin - joined) * FRAMES_PER_COLUMN - self._reach
        spectra = _spectra(y, first - 1, y.shape[1] // HOP - first + 1)
        over = envelope(spectra).part(slice(1, -1))
        learned, seen = self._learned(spectra[1:-1], over)
        return Known(over, first, learned, self._units(over.scale, seen))

    def _learned(self, spectra: Spectra, over: Envelope) -> tuple[Floats, Floats]:
        """E of spectra [columns, LEARNED], and the encoder's view of them [columns, channels]."""
        levels = np.empty((len(spectra), CHANNELS * BANDS), np.float32)
        seen = self._encoder(looked_at(self._encoder.enter, spectra, over, levels=levels))
        inner = trimmed(levels, len(seen) * FRAMES_PER_COLUMN)
        found = self._leave(seen)
        found += inner.reshape(len(seen), -1) @ self._measure
        return found, seen

    def _units(self, scale: Floats, seen: Floats) -> Floats:
        """Units of coefficients [columns, CODED] from the envelope and the encoder's view of y."""
        columns = len(seen)
        inner = trimmed(scale[..., : COEFFICIENTS // 2], columns * FRAMES_PER_COLUMN)
        power = np.square(inner).reshape(columns, FRAMES_PER_COLUMN, CHANNELS, -1).mean(axis=1)
        level = _columns(np.sqrt(power / np.float32(NOISE_POWER)).repeat(2, axis=-1))
        logarithm = np.log(level)
        above = logarithm - logarithm[:, :COEFFICIENTS].mean(axis=1, keepdims=True)
        slope, tilt = self._detail
        finer = slope * above + tilt + self._guess(seen)
        return level * np.exp(-np.clip(finer, np.float32(-MOST_DETAIL), np.float32(MOST_DETAIL)))

    def _nearer(self, coded: Floats, steps: Floats, y: Floats, noise: Floats, ends: Ends, units: Floats) -> Floats:
        """y with what the coefficients change, of the columns that are looked at and one more on each side."""
        margin, looked, changed = self.config.margin, self._looked, self._changed
        columns = slice(margin - changed, len(coded) - margin + changed)
        coded = coded[columns]
        sizes = steps[columns, None] * trimmed(units, len(coded))
        outside = margin - changed - 1
        own = _columns(lapped.coefficients(_around(noise, outside), _seen_from(ends, outside))[1:-1])
        most = self._ceiling * sizes
        change = np.where(coded == 0, np.clip(own, -most, most), coded * sizes) - own
        change = np.pad(change, ((looked + 2 - changed, looked + 2 - changed), (0, 0)))
        added = lapped.samples(_planes(change), _seen_from(ends, margin - looked - 2))
        return _around(y, margin - looked - 1) + _around(added, 1)


def _spectra(audio: Floats, first: int, last: int) -> Spectra:
    """Spectra first … last - 1 of audio [2, samples]; what lies outside counts as silence."""
    start, end = first * HOP - EDGE, (last - 1) * HOP - EDGE + WINDOW
    inside = audio[:, max(start, 0) : max(end, 0)]
    before = max(-start, 0)
    return spectrum(np.pad(inside, ((0, 0), (before, end - start - before - inside.shape[1]))), last - first)


def _around(audio: Floats, columns: int) -> Floats:
    """Audio without so many columns on each side."""
    return audio[:, columns * COLUMN : audio.shape[1] - columns * COLUMN]


def _seen_from(ends: Ends, column: int) -> Ends:
    """The ends of a file, counted from a column."""
    return ends[0] - column, ends[1] - column


def _columns(planes: Floats) -> Floats:
    """Coefficients of mid and side [columns, 2, COEFFICIENTS] to [columns, CODED]."""
    return np.concatenate([planes[:, 0], planes[:, 1, :SIDE_COEFFICIENTS]], axis=1)


def _planes(columns: Floats) -> Floats:
    """The inverse of `_columns`, with zeros for what side lacks."""
    planes = np.zeros((len(columns), CHANNELS, COEFFICIENTS), np.float32)
    planes[:, 0], planes[:, 1, :SIDE_COEFFICIENTS] = columns[:, :COEFFICIENTS], columns[:, COEFFICIENTS:]
    return planes
