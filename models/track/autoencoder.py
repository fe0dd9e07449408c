"""The autoencoder of one song, after "Stereo Sound Autoencoder" (akuz.me), and how it is fitted to a track.

Two convolutions of size 4 and stride 2 make 64 features of the sound, at a quarter of its rate; two transposed ones
make sound of these again. Segments are drawn at random out of the one track. That is not compression: eight times as
many numbers come out as went in. `fit_priced` goes on where the experiment stopped: features are rounded to whole
steps, and the loss counts the bits they take. `coding` has these bits, `film` what the fitting looks like.

Audio is float32 [channels, frames], of one or two channels, scaled to a mean square of 1 (`scaled`); features are
float32 [FEATURES, moments], never negative, a moment being four frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from evc.format.errors import InputError
from evc.models.arrays import Signal
from evc.models.progress import Progress

FEATURES = 64
SEGMENT, BATCH, STEPS = 1024, 100, 150  # frames, segments a step, steps
STRIDE = 4  # frames of a moment
_HIDDEN = 32  # channels between the layers
_SIZE, _HOP, _MARGIN = 4, 2, 1  # of a convolution: as many moments come out as half the frames
_LEARNING_RATE, _CLIP = 1e-2, 1.0
_SILENCE = 1e-5  # root mean square of what has nothing to learn
_PART, _REACH = 1 << 16, 4  # moments that go through the network at once, which bounds memory; those beside that count

Watch = Callable[[Signal], None]  # takes what the network makes of `watched_segment` by now


class Autoencoder(nn.Module):
    """Sound [batch, channels, frames] to features [batch, FEATURES, frames / 4] and back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down1 = nn.Conv1d(channels, _HIDDEN, _SIZE, _HOP, _MARGIN)
        self.down2 = nn.Conv1d(_HIDDEN, FEATURES, _SIZE, _HOP, _MARGIN)
        self.up2 = nn.ConvTranspose1d(FEATURES, _HIDDEN, _SIZE, _HOP, _MARGIN)
        self.up1 = nn.ConvTranspose1d(_HIDDEN, channels, _SIZE, _HOP, _MARGIN)

    def encode(self, sound: Tensor) -> Tensor:
        return functional.relu(self.down2(functional.relu(self.down1(sound))))

    def decode(self, features: Tensor) -> Tensor:
        return self.up1(functional.relu(self.up2(features)))

    def forward(self, sound: Tensor) -> Tensor:
        return self.decode(self.encode(sound))


@dataclass(frozen=True, eq=False)
class Track:
    """A track as the network takes it: `audio` has a mean square of 1, `gain` is what it was divided by."""

    audio: Signal
    gain: float


def scaled(audio: Signal) -> Track:
    """Raises InputError for a track that is too short, silent, or of more than two channels."""
    channels, frames = audio.shape
    if channels > 2:
        raise InputError(f"{channels} channels: the network is one for mono and stereo")
    if frames < SEGMENT:
        raise InputError(f"{frames} frames are too few: a segment to learn from has {SEGMENT}")
    gain = float(np.sqrt(np.square(audio, dtype=np.float64).mean()))
    if gain < _SILENCE:
        raise InputError("there is nothing to learn from silence")
    return Track((audio / gain).astype(np.float32), gain)


def fit(
    track: Track, steps: int = STEPS, seed: int = 0, progress: Progress | None = None, watch: Watch | None = None
) -> Autoencoder:
    """The network fitted to a track by Adam, on mean square errors. The same arguments give the same network on the
    same machine. `watch` is called before the first step and after each."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = Autoencoder(len(track.audio))
    segment = torch.from_numpy(watched_segment(track, seed))[None]

    def loss(sound: Tensor) -> Tensor:
        return functional.mse_loss(network(sound), sound)

    for step in _descent(network, loss, track, steps, seed):
        if progress:
            progress(step, steps)
        if watch:
            with torch.inference_mode():
                watch(network(segment)[0].numpy())
    return network


def fit_priced(
    network: Autoencoder, track: Track, step: float, steps: int, seed: int = 0, progress: Progress | None = None
) -> None:
    """Go on fitting a network whose features are rounded to whole `step`s, and whose bits cost as much of the error as
    such a step is worth (`price_of`)."""
    price = price_of(step)

    def loss(sound: Tensor) -> Tensor:
        exact = network.encode(sound) / step
        rounded = exact + (exact.round() - exact).detach()  # rounding has no gradient of its own
        error = functional.mse_loss(network.decode(rounded * step), sound)
        return error + price * geometric_bits(rounded.mean(2)).sum(1).mean() / STRIDE

    for number in _descent(network, loss, track, steps, seed):
        if progress:
            progress(number, steps)


def price_of(step: float) -> float:
    """Mean square error that a bit for each frame is worth, where features are rounded to such steps: the slope that a
    uniform quantiser of high rate has, of the error step**2 / 12 over a doubling of its values."""
    return float(np.log(2)) * step * step / 6


def geometric_bits(mean: Tensor) -> Tensor:
    """Entropy, in bits, of whole numbers from 0 upward of this mean that are geometrically distributed: what a coder of
    integers spends on them that knows the mean of each feature in a segment, and no more. `coding` knows what is near
    in time as well, but a loss that counts with that leaves more features in use, and ends with more bits."""
    mean = mean + 1e-4  # a slope at 0 that is not infinite
    return (1 + mean) * torch.log2(1 + mean) - mean * torch.log2(mean)


def features_of(network: Autoencoder, audio: Signal) -> Signal:
    """The features of audio of any length, whose end is filled up with zeros to a whole moment."""
    padded = functional.pad(torch.from_numpy(audio), (0, -audio.shape[1] % STRIDE))
    return _in_parts(network.encode, padded, STRIDE)


def sound_of(network: Autoencoder, features: Signal, frames: int) -> Signal:
    """The sound of features, as many frames of it."""
    return _in_parts(network.decode, torch.from_numpy(features), 1)[:, :frames]


def _in_parts(function: Callable[[Tensor], Tensor], values: Tensor, moment: int) -> Signal:
    """`function` of `values` [rows, columns], of which a moment has so many columns: part by part, as if of all at
    once, since nothing reaches further than a part's margins."""
    step, margin, columns = _PART * moment, _REACH * moment, values.shape[1]
    found = []
    with torch.inference_mode():
        for begin in range(0, columns, step):
            first, end = max(0, begin - margin), min(columns, begin + step)
            part = function(values[None, :, first : min(columns, end + margin)])[0]
            scale = part.shape[1] / (min(columns, end + margin) - first)
            found.append(part[:, round((begin - first) * scale) : round((end - first) * scale)])
    return torch.cat(found, 1).numpy()


def watched_segment(track: Track, seed: int) -> Signal:
    """Of a batch of segments [channels, SEGMENT] drawn by `seed` the loudest that is stereo, too: of the greatest
    energy in its middle, as long as that is not more than a few times the energy of its side."""
    batch = _segments(track.audio, np.random.default_rng(seed)).astype(np.float64)
    middle = batch.mean(1)
    side = np.square(batch[:, 0] - middle).sum(1)
    energy = np.square(middle).sum(1)
    return batch[(np.minimum(energy, 8 * side) + 1e-6 * energy).argmax()].astype(np.float32)


def _descent(
    network: Autoencoder, loss: Callable[[Tensor], Tensor], track: Track, steps: int, seed: int
) -> Iterator[int]:
    """Steps of Adam on segments drawn anew for each: yields how many are done, at the start 0."""
    random = np.random.default_rng(seed)
    optimiser = torch.optim.Adam(network.parameters(), _LEARNING_RATE)
    yield 0
    for step in range(1, steps + 1):
        optimiser.zero_grad()
        loss(torch.from_numpy(_segments(track.audio, random))).backward()
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        yield step


def _segments(audio: Signal, random: np.random.Generator) -> NDArray[np.float32]:
    """[BATCH, channels, SEGMENT] from anywhere in the track."""
    starts = random.integers(0, audio.shape[1] - SEGMENT + 1, BATCH)
    return np.stack([audio[:, start : start + SEGMENT] for start in starts])
