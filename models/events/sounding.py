"""The generator without torch: the vectors of events to the parameters of their sounds, as arrays.

It reads the weights that `generator.Generator` writes, and computes what that does; the formulas are explained there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from evc.format.errors import InputError
from evc.format.networks import tensors
from evc.models.arrays import Floats, Signal
from evc.models.events import initial
from evc.models.events.codebooks import CODEBOOK, Codebooks
from evc.models.events.initial import PARTIALS
from evc.models.events.noise_source import TOP
from evc.models.events.sounds import FALL, FASTEST, LONGEST, SHORTEST, Sounds
from evc.models.events.vectors import MIDI_0_HZ, PARTS, PITCH_MIDDLE, PITCH_PER_SEMITONE

if TYPE_CHECKING:
    from evc.models.events.generator import Generator

_SHAPES = {
    "attack_select.slopes": (8, 2), "attack_select.offsets": (8,), "attack_times": (8,),
    "resonator_select.slopes": (32, 4), "resonator_select.offsets": (32,),
    "resonator_ratios": (32, 7), "resonator_gains": (32, 7), "resonator_decays": (32, 7), "resonator_phases": (32, 7),
    "deform_select.slopes": (7, 2), "deform_select.offsets": (7,), "deform_times": (7,), "deform_states": (7, 8),
    "noise_select.slopes": (7, 3), "noise_select.offsets": (7,), "noise_centres": (7,), "noise_widths": (7,),
    "noise_level": (4,), "noise_time": (4,),
    "room_select.slopes": (7, 2), "room_select.offsets": (7,), "room_delays": (7, 16), "room_gains": (7, 16),
    "room_wet": (7,), "room_dry": (7,),
}  # fmt: skip


class SoundTables:
    """The tables and codebooks of a network."""

    def __init__(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """`weights` by name. Raises InputError where one is missing or has another shape."""
        for name, shape in _SHAPES.items():
            if name not in weights or weights[name].shape != shape:
                raise InputError(f"{name} of an event generator is missing or has another shape")
        self._tables = {name: weights[name].astype(np.float64) for name in _SHAPES}
        books = {name.removeprefix(CODEBOOK): book for name, book in weights.items() if name.startswith(CODEBOOK)}
        self.codebooks = Codebooks(books)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Those in a file of weights. Raises InputError if they are not a generator's."""
        try:
            return cls(tensors(path, ""))
        except InputError as error:
            raise InputError(f"{path.name} does not hold the weights of an event generator") from error

    @classmethod
    def of(cls, generator: Generator) -> Self:
        """Those of a generator as it is now."""
        return cls({name: tensor.detach().cpu().numpy() for name, tensor in generator.state_dict().items()})

    def sounds(self, vectors: NDArray[np.floating]) -> Sounds:
        """Vectors [n, 32] to the parameters of their sounds."""
        parts = {part.name: vectors[:, part.dims].astype(np.float64, order="C") for part in PARTS}
        rate = np.minimum(np.exp(-initial.DECAY_SCALE * parts["decay"]) / initial.DECAY_CENTRE, 1 / SHORTEST)
        lengths = initial.LENGTH_CENTRE * np.exp(initial.LENGTH_SCALE * parts["length"][:, 0])
        lengths = np.clip(lengths, 0.01, LONGEST)
        attacks = np.exp(_mixed(self._selected("attack", parts), self._tables["attack_times"]))
        frequencies, decays, amplitudes = self._partials(parts)
        return Sounds(
            frequencies, rate * decays, amplitudes, *self._deformation(parts), np.clip(attacks, 1e-4, 2.0), lengths,
            np.minimum(lengths / 4, FALL), *self._noise(parts), *self._room(parts),
        )  # fmt: skip

    def noise_filters(self, bins: int) -> Signal:
        """H(k) of each filter, float32 [filters, bins] for k = 0, 1, … Hz."""
        pitch = np.log(np.arange(1, TOP + 1))
        offsets = (pitch - self._tables["noise_centres"][:, None]) / np.exp(self._tables["noise_widths"])[:, None]
        shapes = np.exp(-0.5 * np.square(offsets))
        shapes /= np.sqrt(np.square(shapes).sum(axis=1, keepdims=True))
        return np.pad(shapes, ((0, 0), (1, max(0, bins - 1 - TOP))))[:, :bins].astype(np.float32)

    @property
    def noise_bands(self) -> Floats:
        """Centre and width of each filter of the noise, in natural logarithms of Hz: [filters, 2]."""
        return np.stack([self._tables["noise_centres"], np.exp(self._tables["noise_widths"])], axis=1)

    def _selected(self, part: str, parts: Mapping[str, Floats]) -> Floats:
        """Weights [n, rows] of the rows that a part of the vectors selects from."""
        logits = _mixed(parts[part], self._tables[f"{part}_select.slopes"].T) + self._tables[f"{part}_select.offsets"]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def _partials(self, parts: Mapping[str, Floats]) -> tuple[Floats, Floats, NDArray[np.complex128]]:
        """Frequencies, factors of decay and complex amplitudes [n, 8]."""
        rows = self._selected("resonator", parts)
        ratios, gains, decays, phases = (
            np.pad(_mixed(rows, self._tables[f"resonator_{name}"]), ((0, 0), (1, 0)))
            for name in ("ratios", "gains", "decays", "phases")
        )
        octaves = parts["pitch"] + PITCH_MIDDLE / (12 * PITCH_PER_SEMITONE)
        start = np.arctan2(parts["phase"][:, 1:], parts["phase"][:, :1])
        angles = start * np.arange(1, PARTIALS + 1) + phases
        others = [parts[f"partial{m}"].view(np.complex128)[:, 0] for m in range(2, PARTIALS + 1)]
        multipliers = np.stack([np.ones(len(rows)), *others], axis=1)
        amplitudes = np.exp(gains + 1j * angles) * multipliers
        return MIDI_0_HZ * np.exp2(octaves) * np.exp(ratios), np.minimum(np.exp(decays), FASTEST), amplitudes

    def _deformation(self, parts: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        """Gains of the second state [n, 8] and the rate of change [n]."""
        rows, strength = self._selected("deform", parts), _strength(parts["deform"])
        states = 1 + strength[:, None] * (_mixed(rows, self._tables["deform_states"]) - 1)
        return states, np.minimum(np.exp(-_mixed(rows, self._tables["deform_times"])), 1 / SHORTEST)

    def _noise(self, parts: Mapping[str, Floats]) -> tuple[Floats, Floats, Floats]:
        """Levels [n], rates [n] and weights of the filters [n, filters]."""
        place = parts["noise"]
        lines = self._tables["noise_level"], self._tables["noise_time"]
        levels, times = (np.exp(_mixed(place, line[:-1]) + line[-1]) for line in lines)
        levels = _strength(place) * np.minimum(levels, 100)
        return levels, 1 / np.clip(times, SHORTEST, 10.0), self._selected("noise", parts)

    def _room(self, parts: Mapping[str, Floats]) -> tuple[Floats, Floats, Floats]:
        """Gain of the dry sound [n], delays and gains of the echoes [n, rooms, echoes]."""
        rows = _strength(parts["room"])[:, None] * self._selected("room", parts)
        gains = self._tables["room_wet"][:, None] * self._tables["room_gains"]
        delays = np.minimum(np.exp(self._tables["room_delays"]), LONGEST)
        dry = 1 + _mixed(rows, self._tables["room_dry"] - 1)
        return dry, np.broadcast_to(delays, (len(rows), *delays.shape)), rows[..., None] * gains


def audible_below(frequencies: Floats, samplerate: int) -> Floats:
    """Gain of partials by their frequency: 1 up to 0.9 of Nyquist, falling to 0 at 0.98."""
    over = np.clip((frequencies / (samplerate / 2) - 0.9) / 0.08, 0, 1)
    return np.square(np.cos(over * (np.pi / 2)))


def _mixed(weights: Floats, table: Floats) -> Floats:
    """weights [n, rows] times a table [rows, ...]; each row's sum is the same whatever is beside it, as it is not in
    BLAS."""
    return np.einsum("nr,r...->n...", weights, table)


def _strength(place: Floats) -> Floats:
    """How far from none: 0 at the origin, 1 from a radius of 1. [n, dimensions] to [n]."""
    return np.minimum(np.square(place).sum(axis=-1), 1.0)
