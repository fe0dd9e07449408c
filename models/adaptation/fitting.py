"""Fitting a difference to one track, with its own bits in the loss. In torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evc.format import constants as c
from evc.format.streams.difference import DifferenceStream
from evc.models.adaptation.parts import Part, merged, parts, start, step_size, stream_of
from evc.models.latents.batches import left_right
from evc.models.latents.features import bands, envelope, spectrum, whitened
from evc.models.latents.layout import CODED, LATENT_SCALE, LEARNED, SAMPLES_PER_COLUMN, LatentConfig
from evc.models.latents.network import LatentNetwork, Layers
from evc.models.training.measures import level_error, mel_distance, short_time_similarity, tonal_similarity

Floats = NDArray[np.floating[Any]]

_CLIP = 1.0
_WARM_UP = 10
_DECAY = 0.7
_ROUNDED_FROM = 0.25  # of the steps: from there on numbers are rounded
_PRICED_FROM, _PRICED = 0.15, 0.4  # from there on bits cost something, and as much as they do
_ROUNDING = 0.4  # of a step, added to magnitudes before they are cut off
_LEAST_MEAN = 0.03  # of magnitudes in steps, for their bits
_OVERLAP = 2
_MOMENTS = ("exp_avg", "exp_avg_sq")  # of the optimiser, besides how many steps it made
_TONAL_SIZES = (8192, 4096)
_RATES = (3e-3, 3e-3, 1e-2, 2e-3, 3e-2)  # of learning, of each group


@dataclass(frozen=True)
class FitSettings:
    """How a difference is fitted. `price`: of a bit, in the loss; `steps`: those of the numbers, by their indices."""

    price: float
    rank: int = 2
    steps: tuple[int, ...] = (13, 13, 20, 11, 28)
    crops: int = 2
    columns: int = 40
    seed: int = 0
    mel: float = 1.0
    tonal: float = 4.0
    short: float = 16.0
    level: float = 0.2


def margin_of(config: LatentConfig) -> int:
    """Columns on each side of a crop that a decoder hears its middle by: the rest of the network's is the encoder's."""
    return config.margin - config.kernel // 2 * config.encoder_blocks


class Stretch(NamedTuple):
    """A piece of a track as its file decodes it without a difference: what was, what all other layers render, and that
    with its coefficients [2, frames]; integers [columns, CODED], learned latents dequantised, E(y | y) [columns,
    LEARNED] and step sizes [columns, 1]. All of it has margins around what may be compared (`margin_of`)."""

    source: Tensor
    y: Tensor
    nearer: Tensor
    coded: Tensor
    learned: Tensor
    latents: Tensor
    steps: Tensor

    @classmethod
    @torch.inference_mode()
    def of(
        cls, network: LatentNetwork, planes: Iterable[Floats], latents: Iterable[Floats], ends: tuple[int, int]
    ) -> Stretch:
        """From mid and side [2, frames] of the source, of y and of the noise in that, and latents [columns, DIMENSIONS]
        and step sizes [columns], all with the margin of the network around; `ends` of the file, as columns of these."""
        moved = [torch.from_numpy(np.ascontiguousarray(array))[None] for array in (*planes, *latents)]
        wanted, others, hiss, values, step = moved
        known = network.known(others)
        coded, learned = values.split([CODED, LEARNED], dim=-1)
        step = step[..., None]
        nearer = network.nearer(coded, step, others, hiss, known, ends)
        spare = network.config.margin - margin_of(network.config)
        audio = slice(spare * SAMPLES_PER_COLUMN, wanted.shape[-1] - spare * SAMPLES_PER_COLUMN)
        waves = (wave[0, :, audio].clone() for wave in (wanted, others, nearer))
        rows = (coded, learned * step / LATENT_SCALE, known.latents, step)
        return cls(*waves, *(row[0, spare : values.shape[1] - spare].clone() for row in rows))

    def crop(self, first: int, columns: int) -> Stretch:
        """Some columns, margins included."""
        rows = slice(first, first + columns)
        frames = slice(rows.start * SAMPLES_PER_COLUMN, rows.stop * SAMPLES_PER_COLUMN)
        return Stretch(*(wave[:, frames] for wave in self[:3]), *(row[rows] for row in self[3:]))


class Fit:
    """Numbers on their way. Same seeds and stretches give the same numbers on the same machine."""

    def __init__(
        self, network: LatentNetwork, stretches: Sequence[Stretch], samplerate: int, settings: FitSettings
    ) -> None:
        self._network, self._stretches, self._samplerate = network, stretches, samplerate
        self._margin = margin_of(network.config)
        self.settings = settings
        self._fixed = {name: tensor.detach() for name, tensor in network.state_dict().items()}
        self._numbers = {
            part: nn.Parameter(torch.zeros(part.shape)) for part in parts(network.config, settings.rank)
        }
        groups = [{"params": [value], "lr": _RATES[part.group], "usual": _RATES[part.group]}
                  for part, value in self._numbers.items()]  # fmt: skip
        self._optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99))
        self.done = 0

    def run(self, steps: int, watch: Callable[[int, dict[str, float]], None] | None = None) -> None:
        """Go on until so many `steps` are done; `watch` is told of each."""
        while self.done < steps:
            figures = self._step(self.done / steps)
            self.done += 1
            if watch is not None:
                watch(self.done, figures)

    def stream(self) -> DifferenceStream:
        """The numbers as a file tells them."""
        integers = {part: _levels(value.detach(), self._size(part)).long().numpy()
                    for part, value in self._numbers.items()}  # fmt: skip
        return stream_of(integers, self.settings.steps, self.settings.rank)

    def state(self) -> dict[str, Any]:
        """What a fit goes on from."""
        moments = [[self._optimiser.state[value][name] for value in self._numbers.values()] for name in _MOMENTS]
        return {"done": self.done, "numbers": [value.detach() for value in self._numbers.values()],
                "moments": moments}  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`. Raises ValueError, KeyError or TypeError for what is none, before anything changes."""
        done, tensors = state["done"], [state["numbers"], *state["moments"]]
        if type(done) is not int or done < 1 or len(tensors) != 1 + len(_MOMENTS):
            raise ValueError("no state of a fit")
        rows = list(zip(self._numbers.values(), *tensors, strict=True))
        for value, *kept in rows:
            if not all(one.shape == value.shape and one.dtype == value.dtype and one.isfinite().all() for one in kept):
                raise ValueError("a state of another fit")
            if (kept[-1] < 0).any():
                raise ValueError("squares below 0")
        self.done = done
        for value, numbers, *moments in rows:
            value.data.copy_(numbers)
            step = torch.tensor(float(done))
            self._optimiser.state[value] = {"step": step, **dict(zip(_MOMENTS, moments, strict=True))}

    def _size(self, part: Part) -> float:
        return step_size(self.settings.steps[part.group])

    def _step(self, share: float) -> dict[str, float]:
        random = np.random.default_rng((self.settings.seed, self.done))
        rate = min(1.0, (self.done + 1) / _WARM_UP) * (1 - share) ** _DECAY
        for group in self._optimiser.param_groups:
            group["lr"] = group["usual"] * rate
        rounded = share >= _ROUNDED_FROM
        values = {part: self._rounded(part, value) if rounded else value for part, value in self._numbers.items()}
        self._optimiser.zero_grad()
        terms = self._distances(self._crops(random), values)
        bits = torch.stack([self._bits(part, value) for part, value in self._numbers.items()]).sum()
        priced = min(max((share - _PRICED_FROM) / (_PRICED - _PRICED_FROM), 0.0), 1.0)
        loss = priced * self.settings.price * bits
        for name, term in terms.items():
            loss = loss + getattr(self.settings, name) * term
        loss.backward()
        nn.utils.clip_grad_norm_(list(self._numbers.values()), _CLIP)
        self._optimiser.step()
        return {name: float(term.detach()) for name, term in terms.items()} | {"kbit": float(bits.detach()) / 1000}

    def _crops(self, random: np.random.Generator) -> Stretch:
        """A batch of them."""
        lengths = np.array([len(stretch.coded) for stretch in self._stretches])
        columns = min(self.settings.columns + 2 * self._margin, int(lengths.max()))
        chances = np.where(lengths >= columns, lengths - columns + 1.0, 0)
        found = []
        for number in random.choice(len(lengths), self.settings.crops, p=chances / chances.sum()):
            first = int(random.integers(lengths[number] - columns + 1))
            found.append(self._stretches[number].crop(first, columns))
        return Stretch(*(torch.stack(each) for each in zip(*found, strict=True)))

    def _distances(self, crops: Stretch, values: dict[Part, Tensor]) -> dict[str, Tensor]:
        heard = self._heard(crops, values)
        around = self._margin * SAMPLES_PER_COLUMN
        ours, theirs = (left_right(x[..., around:-around]) for x in (heard, crops.source))
        return distances(ours, theirs, self._samplerate)

    def _heard(self, crops: Stretch, values: dict[Part, Tensor]) -> Tensor:
        with torch.no_grad():
            spectra = spectrum(crops.y)
            local, scale = envelope(spectra)
            layers = Layers(spectra, local, scale, whitened(spectra, scale))
        tensors = merged(self._fixed, values, bands(crops.y.device), _start)
        given = (crops.coded, crops.learned, crops.latents, crops.steps, layers, crops.nearer)
        heard: Tensor = torch.func.functional_call(_Hearing(self._network), _renamed(tensors), given)
        return heard

    def _rounded(self, part: Part, value: Tensor) -> Tensor:
        size = self._size(part)
        return value + (size * _levels(value.detach(), size) - value.detach())

    def _bits(self, part: Part, value: Tensor) -> Tensor:
        """About those of the numbers of a part: magnitudes that are geometrically distributed, and signs."""
        levels = value.abs() / self._size(part)
        mean = float(_levels(levels.detach(), 1.0).mean()) + _LEAST_MEAN
        ratio = mean / (1 + mean)
        worth = levels * -math.log2(ratio) + levels.clamp_max(1.0)
        return worth.sum() - part.numbers * math.log2(1 - ratio)


class _Hearing(nn.Module):
    """`LatentNetwork.heard` as what a module does."""

    def __init__(self, network: LatentNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, *given: Any) -> Tensor:
        return self.network.heard(*given)


def distances(ours: Tensor, theirs: Tensor, samplerate: int) -> dict[str, Tensor]:
    """How far one waveform is from another [..., frames], in four ways, each 0 where they are the same."""
    tonal = [tonal_similarity(ours, theirs, samplerate, size, _OVERLAP) for size in _TONAL_SIZES]
    return {
        "mel": mel_distance(ours, theirs, samplerate, _OVERLAP),
        "tonal": 1 - torch.stack(tonal).mean(),
        "short": 1 - short_time_similarity(ours, theirs, samplerate),
        "level": level_error(ours, theirs, samplerate),
    }


def _renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"network.{name}": tensor for name, tensor in tensors.items()}


def _levels(values: Tensor, size: float) -> Tensor:
    """In steps, whole ones."""
    return (torch.sign(values) * torch.floor(values.abs() / size + _ROUNDING)).clamp(
        -c.MAX_DIFFERENCE, c.MAX_DIFFERENCE
    )


def _start(rank: int, inputs: int) -> Tensor:
    return torch.from_numpy(start(rank, inputs))
