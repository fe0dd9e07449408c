"""Small convolutional discriminators on spectrograms, with hinge losses and feature matching."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from evc.models.training.losses import stft

_SLOPE = 0.2
_FLOOR = 1e-4


class SpectrogramDiscriminator(nn.Module):
    """Judges patches of the log spectrogram of waveforms [batch, frames]: scores [batch, patches], high for real ones.

    The spectrogram is levelled by its own mean, so that loudness alone gives nothing away.
    """

    def __init__(self, channels: int = 16, layers: int = 4, size: int = 1024) -> None:
        super().__init__()
        self.size = size
        widths = [1, *(min(channels << i, 8 * channels) for i in range(layers))]
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(a, b, (5, 3), stride=(3, 2), padding=(2, 1))) for a, b in zip(widths, widths[1:])
        )
        self.out = weight_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores [batch, patches] and the features of each layer."""
        level = torch.log(stft(audio, self.size, self.size // 4).abs() + _FLOOR)
        x = (level - level.mean(dim=(-2, -1), keepdim=True))[:, None]
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), _SLOPE)
            features.append(x)
        return self.out(x).flatten(1), features


class MultiDiscriminator(nn.Module):
    """Judges patches of spectrograms with several window sizes: scores [batch, patches] and features of all of them.

    Each size has about as many patches, since what it has in frequency it lacks in time.
    """

    def __init__(self, channels: int = 16, layers: int = 4, sizes: tuple[int, ...] = (2048, 1024, 512)) -> None:
        super().__init__()
        self.judges = nn.ModuleList(SpectrogramDiscriminator(channels, layers, size) for size in sizes)

    def forward(self, audio: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Scores [batch, patches] and the features of each layer of each size."""
        scores, features = zip(*(judge(audio) for judge in self.judges), strict=True)
        return torch.cat(scores, dim=1), [feature for each in features for feature in each]


Discriminator = SpectrogramDiscriminator | MultiDiscriminator


def discriminator_loss(discriminator: Discriminator, real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator; no gradient reaches what made `fake`."""
    scores = discriminator(real)[0], discriminator(fake.detach())[0]
    return functional.relu(1 - scores[0]).mean() + functional.relu(1 + scores[1]).mean()


def generator_loss(discriminator: Discriminator, real: Tensor, fake: Tensor, matching: float = 2.0) -> Tensor:
    """What the maker of `fake` minimises: the negated score, and `matching` times the distance of features."""
    with torch.no_grad():
        wanted = discriminator(real)[1]
    score, features = discriminator(fake)
    distance = torch.stack([(a - b).abs().mean() / (b.abs().mean() + _FLOOR) for a, b in zip(features, wanted)]).mean()
    return -score.mean() + matching * distance


def half_masked(parts: Tensor, random: torch.Generator) -> Tensor:
    """The sum [batch, frames] of a random half of the events in `parts` [batch, events, frames]: what half of them
    make must sound like music too, so each event has to stand alone."""
    batch, events = parts.shape[:2]
    order = torch.rand(batch, events, generator=random, device=random.device).argsort(dim=1)
    kept = (order < (events + 1) // 2).to(parts)
    return (parts * kept[..., None]).sum(dim=1)
