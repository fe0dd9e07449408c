"""The generator D(v): the vector of an event to the parameters of its sound, and to the sound.

With t in seconds from the event's start, a vector stands for

    D(t)         = dry (resonance + noise)(t) + wet sum over j of echo_j (resonance + noise)(t - delay_j)
    resonance(t) = e(t) sum over m of [mu(t) + (1 - mu(t)) b_m] |a_m| exp(-(d_m - d_1) t) cos(2 pi f_m t + arg a_m)
    noise(t)     = A(t) G(t) level exp(-t / T_noise) n(t)
    e(t)         = A(t) G(t) exp(-d_1 t),     mu(t) = exp(-t / theta)

A is the attack, a rise sin^2(pi t / 2 alpha) over alpha; G the gate, 1 until the length and a raised-cosine fall after
it; n(t) the filtered noise of `noise_source`. All of it is known in closed form at any time, at any sample rate.
`sounding.SoundTables` computes the same without torch.

Each part of the vector (`vectors.PARTS`) has a head of its own. Those of pitch, decay and length are formulas; the
others select from a learned table, by a softmax over linear functions of their dimensions. At an entry of the initial
codebooks it takes one row, nearly; in between, a mixture of the rows' logarithms.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from evc.format.errors import InputError
from evc.models.events import initial
from evc.models.events.codebooks import Codebooks
from evc.models.events.initial import PARTIALS
from evc.models.events.noise_source import TOP
from evc.models.events.sounds import FALL, FASTEST, LONGEST, SHORTEST, Sounds
from evc.models.events.vectors import MIDI_0_HZ, PARTS, PITCH_MIDDLE, PITCH_PER_SEMITONE, VECTOR_DIMS
from evc.models.events.waveforms import waveforms

_LEAK = 10.0  # logits between an entry's row and the nearest other one


class Selector(nn.Module):
    """Weights of the rows of a table: a softmax over linear functions of a place. One row nearly, at `places`."""

    def __init__(self, places: initial.Table) -> None:
        """places [rows, dimensions]: each row's own."""
        super().__init__()
        rows = torch.as_tensor(places, dtype=torch.float64)
        distances = torch.cdist(rows, rows) + torch.diag(torch.full((len(rows),), torch.inf))
        sharpness = _LEAK / distances.min().square()
        self.slopes = nn.Parameter((2 * sharpness * rows).float())
        self.offsets = nn.Parameter((-sharpness * rows.square().sum(-1)).float())

    def forward(self, points: Tensor) -> Tensor:
        """float64 [n, dimensions] to [n, rows]."""
        return torch.softmax(points @ self.slopes.double().T + self.offsets.double(), -1)


class Generator(nn.Module):
    """Vectors to sounds. Its parameters are the tables and codebooks of a network, float32; it computes in float64."""

    def __init__(self) -> None:
        """With the tables and codebooks that learning starts from."""
        super().__init__()
        books = {name: _parameter(book) for name, book in initial.codebooks().items()}
        self.codebook = nn.ParameterDict(books)
        self.attack_select = Selector(books["attack"].detach().numpy())
        self.attack_times = _parameter(np.log(initial.ATTACK_TIMES))
        self.resonator_select = Selector(books["resonator"].detach().numpy())
        tables = initial.resonators()
        self.resonator_ratios, self.resonator_gains, self.resonator_decays = (
            _parameter(tables[name][:, 1:]) for name in ("ratios", "gains", "decays")
        )
        self.resonator_phases = _parameter(np.zeros_like(tables["ratios"][:, 1:]))
        self.deform_select = Selector(books["deform"].detach().numpy()[1:])
        times, states = initial.deformations()
        self.deform_times, self.deform_states = _parameter(np.log(times)), _parameter(states)
        colours = np.stack([np.arange(-3, 4), np.full(7, 2), np.zeros(7)], -1)
        self.noise_select = Selector(colours * [1.0, 0.0, 0.0])
        self.noise_centres = _parameter(np.log(initial.NOISE_BANDS))
        self.noise_widths = _parameter(np.log(initial.NOISE_WIDTHS))
        self.noise_level = _parameter([0, np.log(5), 0, np.log(0.06)])  # 0.3, 1.5, 7.5: slopes and offset
        self.noise_time = _parameter([0, 0, np.log(4), np.log(0.05)])  # 12, 50, 200 ms
        self.room_select = Selector(books["room"].detach().numpy()[1:])
        delays, gains = initial.rooms()
        self.room_delays, self.room_gains = _parameter(np.log(delays)), _parameter(gains)
        self.room_wet, self.room_dry = _parameter(np.full(7, 0.5)), _parameter(np.full(7, 0.85))

    @classmethod
    def load(cls, path: Path) -> Self:
        """A generator with the weights of a file. Raises InputError if they are not a generator's."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        generator = cls()
        try:
            generator.load_state_dict(load_file(path))
        except (RuntimeError, SafetensorError) as error:
            raise InputError(f"{path.name} does not hold the weights of an event generator") from error
        return generator.eval()

    def codebooks(self) -> Codebooks:
        """What its vectors may be, as arrays."""
        return Codebooks({name: book.detach().cpu().numpy() for name, book in self.codebook.items()})

    def save(self, path: Path) -> None:
        """Write the weights as safetensors, float32."""
        from safetensors.torch import save_file

        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}, path)

    def forward(self, vectors: Tensor) -> Sounds:
        """vectors [n, 32] to the parameters of their sounds. Differentiable."""
        parts = {part.name: vectors[:, part.dims].double() for part in PARTS}
        rate = torch.exp(-initial.DECAY_SCALE * parts["decay"]) / initial.DECAY_CENTRE
        rate = rate.clamp(max=1 / SHORTEST)
        lengths = initial.LENGTH_CENTRE * torch.exp(initial.LENGTH_SCALE * parts["length"][:, 0])
        lengths = lengths.clamp(0.01, LONGEST)
        attacks = torch.exp(self.attack_select(parts["attack"]) @ self.attack_times.double())
        frequencies, decays, amplitudes = self._partials(parts)
        states, deformation = self._deformation(parts["deform"])
        levels, noise_rates, colours = self._noise(parts["noise"])
        dry, echo_delays, echo_gains = self._room(parts["room"])
        return Sounds(
            frequencies, rate * decays, amplitudes, states, deformation, attacks.clamp(1e-4, 2.0), lengths,
            (lengths / 4).clamp(max=FALL), levels, noise_rates, colours, dry, echo_delays, echo_gains,
        )  # fmt: skip

    def _partials(self, parts: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Frequencies, factors of decay and complex amplitudes [n, 8]."""
        rows = self.resonator_select(parts["resonator"])
        ratios, gains, decays, phases = (
            nn.functional.pad(rows @ table.double(), (1, 0))
            for table in (self.resonator_ratios, self.resonator_gains, self.resonator_decays, self.resonator_phases)
        )
        octaves = parts["pitch"] + PITCH_MIDDLE / (12 * PITCH_PER_SEMITONE)
        start = torch.atan2(parts["phase"][:, 1:], parts["phase"][:, :1])
        angles = start * torch.arange(1, PARTIALS + 1, device=start.device) + phases
        re, im = torch.stack([parts[f"partial{m}"] for m in range(2, PARTIALS + 1)], 1).unbind(-1)
        multipliers = torch.complex(nn.functional.pad(re, (1, 0), value=1.0), nn.functional.pad(im, (1, 0)))
        amplitudes = torch.polar(torch.exp(gains), angles) * multipliers
        return MIDI_0_HZ * torch.exp2(octaves) * torch.exp(ratios), torch.exp(decays).clamp(max=FASTEST), amplitudes

    def _deformation(self, place: Tensor) -> tuple[Tensor, Tensor]:
        """Gains of the second state [n, 8] and the rate of change [n]. None at the origin, where all gains are 1."""
        rows, strength = self.deform_select(place), _strength(place)
        states = 1 + strength[:, None] * (rows @ self.deform_states.double() - 1)
        return states, torch.exp(-rows @ self.deform_times.double()).clamp(max=1 / SHORTEST)

    def _noise(self, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Levels [n], rates [n] and weights of the filters [n, filters]. Silent at the origin."""
        levels, times = (
            torch.exp(place @ line[:-1].double() + line[-1].double()) for line in (self.noise_level, self.noise_time)
        )
        return _strength(place) * levels.clamp(max=100), 1 / times.clamp(SHORTEST, 10.0), self.noise_select(place)

    def _room(self, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gain of the dry sound [n], delays and gains of the echoes [n, rooms, echoes]. Dry at the origin."""
        rows, strength = self.room_select(place), _strength(place)[:, None]
        dry = 1 + (strength * rows) @ (self.room_dry.double() - 1)
        gains = self.room_wet.double()[:, None] * self.room_gains.double()
        delays = torch.exp(self.room_delays.double()).clamp(max=LONGEST)
        return dry, delays.expand(len(place), -1, -1), (strength * rows)[..., None] * gains

    def noise_filters(self, bins: int) -> Tensor:
        """H(k) of each filter, float32 [filters, bins] for k = 0, 1, … Hz: Gaussian over the logarithm of the
        frequency, of unit power over all of the series of `noise_source`."""
        pitch = torch.log(torch.arange(1, TOP + 1, device=self.noise_centres.device))
        offsets = (pitch - self.noise_centres[:, None]) / torch.exp(self.noise_widths)[:, None]
        shapes = torch.exp(-0.5 * offsets.square())
        shapes = shapes / shapes.square().sum(-1, keepdim=True).sqrt()
        return nn.functional.pad(shapes, (1, max(0, bins - 1 - TOP)))[:, :bins]

    def render(
        self, vectors: Tensor, offsets: Tensor, samplerate: int, frames: int, keys: ArrayLike | None = None
    ) -> Tensor:
        """The sounds of events, [n, frames] in the vectors' float type. Differentiable in vectors, offsets and tables.

        vectors [n, 32]; offsets [n]: seconds from frame 0 to each event's start, negative if it began before; keys
        uint32 [n] of the noise (`noise_source.event_keys`), by default 0. Echoes of what sounded before frame 0 are
        left out; `rendering.EventRenderer` has them.
        """
        if vectors.ndim != 2 or vectors.shape[1] != VECTOR_DIMS or offsets.shape != vectors.shape[:1]:
            raise InputError(f"events have vectors [n, {VECTOR_DIMS}] and offsets [n]")
        with torch.autocast(vectors.device.type, enabled=False):  # phases need all their bits
            sounds = self(vectors)
            return waveforms(sounds, self.noise_filters, offsets, samplerate, frames, keys, vectors.dtype)


def _parameter(values: ArrayLike) -> nn.Parameter:
    return nn.Parameter(torch.as_tensor(np.array(values, np.float32)))


def _strength(place: Tensor) -> Tensor:
    """How far from none: 0 at the origin, 1 from a radius of 1. [n, dimensions] to [n]."""
    return place.square().sum(-1).clamp(max=1.0)
