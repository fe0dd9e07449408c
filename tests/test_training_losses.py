"""Losses and the discriminator."""

from __future__ import annotations

import pytest
import torch

from evc.models.training import losses
from evc.models.training.discriminator import (
    SpectrogramDiscriminator,
    discriminator_loss,
    generator_loss,
    half_masked,
)

RATE = 22_050


def test_spectral_loss_is_zero_for_the_target_and_knows_phase():
    wave = torch.sin(2 * torch.pi * 440 * torch.arange(RATE) / RATE)[None]
    loss = losses.SpectralLoss(RATE)
    assert float(loss(wave, wave)) == pytest.approx(0, abs=1e-6)
    assert float(loss(-wave, wave)) > 1.5


def test_mel_bands_cover_all_bins():
    matrix = losses.mel_matrix(RATE, 512, 64)
    assert matrix.shape == (64, 257)
    torch.testing.assert_close(matrix.sum(1), torch.ones(64))


def test_ratios_do_not_telescope():
    """The gradient of the first event's ratio knows the first event only, however good the second is."""
    target = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    first = torch.zeros(1, 64, requires_grad=True)
    left = target - first
    ratio = losses.energy_ratios(target, left).sum() + losses.energy_ratios(left.detach(), left.detach() * 0.1).sum()
    ratio.backward()
    torch.testing.assert_close(first.grad, -2 * target / (target.square().sum() + 1e-5))


def test_sparsity_prefers_few_amplitudes():
    scale = torch.ones(1)
    few, many = torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 4), 0.25)
    assert losses.amplitude_sparsity(few, scale) < losses.amplitude_sparsity(many, scale)


# Discriminator


def test_half_of_the_parts_is_masked():
    parts = torch.eye(6)[None].repeat(3, 1, 1)
    total = half_masked(parts, torch.Generator().manual_seed(0))
    assert total.sum(1).tolist() == [3, 3, 3]


def test_discriminator_learns_to_tell_noise_from_tones():
    torch.manual_seed(0)
    judge = SpectrogramDiscriminator(4, 3)
    optimiser = torch.optim.Adam(judge.parameters(), 3e-3)
    random = torch.Generator().manual_seed(1)

    def tones():
        hertz = 200 + 2000 * torch.rand(4, 1, generator=random)
        return torch.sin(2 * torch.pi * hertz * torch.arange(8192) / RATE)

    for _ in range(40):
        fake = torch.randn(4, 8192, generator=random)
        loss = discriminator_loss(judge, tones(), fake)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        real, fake = judge(tones())[0].mean(), judge(torch.randn(4, 8192, generator=random))[0].mean()
    assert float(real) > float(fake) + 1


def test_only_the_maker_gets_gradients_from_its_loss():
    judge = SpectrogramDiscriminator(4, 2)
    real, fake = torch.randn(1, 4096), torch.randn(1, 4096, requires_grad=True)
    discriminator_loss(judge, real, fake).backward()
    assert fake.grad is None
    generator_loss(judge, real, fake).backward()
    assert float(fake.grad.abs().sum()) > 0
