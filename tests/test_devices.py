"""The networks where torch runs them: on a GPU where there is one, else in torch on the processor. Both have to agree
with what the format's decoder computes without torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from latent_tools import SMALL, random_network

from evc.format.networks import weights
from evc.models.events.generator import Generator
from evc.models.events.onsets import likely_onsets
from evc.models.events.proposer import Proposer
from evc.models.events.vectors import EVENTS_NETWORK, VECTOR_DIMS
from evc.models.latents.autoencoder import Autoencoder, LatentBatch
from evc.models.latents.inference import ArrayNetwork
from evc.models.latents.layout import COLUMN, DIMENSIONS, LATENTS_NETWORK
from evc.models.latents.on_device import DeviceNetwork
from evc.models.training.discriminator import MultiDiscriminator, discriminator_loss, generator_loss

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
COLUMNS = 6


@pytest.fixture(scope="module")
def audio() -> np.ndarray:
    """Mid and side of a source, of what other layers render of it, and of the noise in that: [3, 2, samples]."""
    random = np.random.default_rng(1)
    margin = ArrayNetwork.load(weights(LATENTS_NETWORK)).config.margin
    time = np.arange((COLUMNS + 2 * margin) * COLUMN) / 44_100
    tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in (220, 660, 1600, 5000)) / 8
    noise = 0.02 * random.normal(size=(2, len(time)))
    known = tones * [[0.5], [0.1]] + noise
    return np.stack([tones * [[0.6], [0.2]] + 0.5 * noise, known, noise]).astype(np.float32)


def test_latents_are_the_same(audio: np.ndarray) -> None:
    path = weights(LATENTS_NETWORK)
    ours, theirs = ArrayNetwork.load(path), DeviceNetwork.load(path, DEVICE)
    ends = (0, audio.shape[2] // COLUMN)
    expected, found = (network.encode(*audio, ends) for network in (ours, theirs))
    assert np.abs(found - expected).max() < 2e-3 * np.abs(expected).max()
    margin = ours.config.margin
    integers = np.zeros((COLUMNS + 2 * margin, DIMENSIONS), np.float32)
    integers[margin : margin + COLUMNS] = np.rint(expected / 8)
    steps = np.full(len(integers), 8, np.float32)
    expected, found = (network.decode(integers, steps, audio[1], audio[2], ends) for network in (ours, theirs))
    assert np.square(found - expected).sum() < 1e-6 * np.square(expected).sum()


def test_events_sound_the_same() -> None:
    generator, random = Generator.load(weights(EVENTS_NETWORK)), torch.Generator().manual_seed(2)
    vectors, offsets = torch.rand(5, VECTOR_DIMS, generator=random), torch.linspace(0, 0.3, 5)
    with torch.inference_mode():
        expected, found = (
            generator.to(device).render(vectors.to(device), offsets.to(device), 22_050, 11_025).cpu()
            for device in ("cpu", DEVICE)
        )
    assert float((found - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_onsets_are_found_at_the_same_times() -> None:
    random, rate = np.random.default_rng(3), 22_050
    struck = np.zeros((2, 3 * rate), np.float32)
    for at in (0.5, 1.2, 2.1):
        start = int(at * rate)
        struck[:, start : start + 4000] += random.normal(size=4000) * np.exp(-np.arange(4000) / 800) / 4
    expected, found = (likely_onsets(struck, rate, device=device)[0] for device in ("cpu", DEVICE))
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_proposer_sees_the_same() -> None:
    proposer = Proposer.load(weights(f"{EVENTS_NETWORK}-encoder"))
    audio = torch.randn(1, 22_050, generator=torch.Generator().manual_seed(4)) / 4
    with torch.inference_mode():
        expected, found = (proposer.to(device)(audio.to(device)).onset.float().cpu() for device in ("cpu", DEVICE))
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_training_has_gradients(audio: np.ndarray, half: bool) -> None:
    """Of the networks and of the discriminator, in both precisions: finite, and not zero."""
    source, known, noise = torch.from_numpy(audio).to(DEVICE)[:, None, :, : 40 * COLUMN]
    model = Autoencoder(random_network()).to(DEVICE)
    judge = MultiDiscriminator(4).to(DEVICE)
    batch = LatentBatch(source, known, noise, torch.tensor([4.0], device=DEVICE))
    with torch.autocast(DEVICE, torch.bfloat16, enabled=half):
        heard, bits = model(batch, torch.Generator(DEVICE).manual_seed(1))
        real, fake = source[:, 0], heard[:, 0].float()
        loss = generator_loss(judge, real, fake) + heard.float().square().mean() + 1e-6 * bits.sum()
        judged = discriminator_loss(judge, real, fake)
    for loss_of, module in ((loss, model), (judged, judge)):
        module.zero_grad()
        loss_of.backward()
        gradients = [each.grad for each in module.parameters() if each.grad is not None]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert sum(float(gradient.abs().sum()) for gradient in gradients) > 0
    assert model.network.config == SMALL
