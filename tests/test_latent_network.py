"""The latent networks as signals: what is exact, what reaches how far, and what rounding may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from latent_tools import random_network
from torch import Tensor

from evc.format.errors import InputError
from evc.format.networks import weights
from evc.models.latents.entropy import untrained_entropy
from evc.models.latents.features import spectrum, waveform
from evc.models.latents.layout import (
    CODED,
    COEFFICIENTS,
    COLUMN,
    DIMENSIONS,
    HOP,
    LATENTS_NETWORK,
    SAMPLES_PER_COLUMN,
    LatentConfig,
)
from evc.models.latents.network import LatentNetwork
from evc.models.latents.transform import coefficients, samples


def _noise(columns: int, seed: int = 0, level: float = 0.1) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return level * torch.randn(1, 2, columns * SAMPLES_PER_COLUMN, generator=random)


def _below(audio: Tensor, share: float) -> Tensor:
    """Without what lies above a share of the band."""
    spectra = torch.fft.rfft(audio)
    spectra[..., int(share * spectra.shape[-1]) :] = 0
    return torch.fft.irfft(spectra, audio.shape[-1])


def test_spectra_are_turned_back() -> None:
    audio = _noise(4)
    again = waveform(spectrum(audio))
    inner = slice(3 * HOP, -3 * HOP)
    torch.testing.assert_close(again[..., inner], audio[..., inner], atol=1e-6, rtol=0)


def test_coefficients_of_low_sounds_are_all_there_is() -> None:
    audio = _below(_noise(8), 0.9 * COEFFICIENTS / COLUMN)
    inner = slice(COLUMN, -COLUMN)
    again = samples(coefficients(audio))
    assert (again - audio)[..., inner].abs().max() < 0.01 * audio.abs().max()
    energy = coefficients(audio)[:, :, 2:-2].square().sum(), audio[..., 2 * COLUMN : -2 * COLUMN].square().sum()
    assert energy[0] == pytest.approx(float(energy[1]), rel=0.1)


@pytest.mark.parametrize("ends", [(2, 7), (2, 3), (0, 8), (-3, 5), (4, 20)])
def test_low_sounds_are_whole_up_to_the_ends_of_a_file(ends: tuple[int, int]) -> None:
    first, end = max(ends[0], 0), min(ends[1], 8)
    begin, stop = first * COLUMN, end * COLUMN
    audio = torch.zeros(1, 2, 8 * COLUMN)
    times = torch.arange(stop - begin) + 0.5
    audio[..., begin:stop] = torch.stack([torch.sin(torch.pi * 0.031 * times), torch.sin(torch.pi * 0.05 * times)])
    coded = coefficients(audio, ends)
    again = samples(coded, ends)
    assert not coded[:, :, :first].any() and not coded[:, :, end:].any()
    assert not again[..., :begin].any() and not again[..., stop:].any()
    missing = coefficients(audio)  # what it was like when blocks overlapped with some that no file has
    missing[:, :, :first], missing[:, :, end:] = 0, 0
    for inside, place in ((ends[0] >= 0, slice(begin, begin + 512)), (ends[1] <= 8, slice(stop - 512, stop))):
        if inside:
            assert (again - audio)[..., place].square().mean() < 0.01
            assert (samples(missing) - audio)[..., place].square().mean() > 0.03


def test_an_untrained_network_gives_y_back_where_nothing_is_coded() -> None:
    torch.manual_seed(0)
    network, y = LatentNetwork(LatentConfig(channels=16)), _noise(6)
    with torch.inference_mode():
        heard = network.decode(torch.zeros(1, 6, DIMENSIONS), torch.full((1,), 2.0**8), y, 0 * y)
    inner = slice(3 * HOP, -3 * HOP)
    torch.testing.assert_close(heard[..., inner], y[..., inner], atol=1e-5, rtol=0)


def test_finer_steps_bring_the_lowest_bands_nearer() -> None:
    torch.manual_seed(0)
    network = LatentNetwork(LatentConfig(channels=16))
    x, noise = _below(_noise(8, 1), 0.03), _below(_noise(8, 2), 0.03)
    errors = []
    with torch.inference_mode():
        latents = network.encode(x, noise, noise)
        latents[..., CODED:] = 0
        for step in (64.0, 8.0, 1.0):
            heard = network.decode(torch.round(latents / step), torch.tensor([step]), noise, noise)
            errors.append(float((heard - x)[..., COLUMN:-COLUMN].square().mean()))
    assert errors[2] < 0.2 * errors[1] < 0.2 * errors[0]


def test_what_equals_y_has_learned_latents_of_zero() -> None:
    network, y = random_network(), _noise(6)
    with torch.inference_mode():
        latents = network.encode(y, y, 0 * y)
    assert latents[..., CODED:].abs().max() < 1e-4 and latents[..., :CODED].abs().max() < 1e-4


def test_nothing_beyond_the_margin_matters() -> None:
    network = random_network()
    margin, columns, cut = network.config.margin, 8, 5
    x, y, noise = (_noise(columns + 2 * (margin + cut), seed) for seed in range(3))
    near = slice(cut * SAMPLES_PER_COLUMN, -cut * SAMPLES_PER_COLUMN)
    step = torch.full((1,), 4.0)

    def heard(*audio: Tensor) -> Tensor:
        with torch.inference_mode():
            integers = torch.round(network.encode(*audio) / step)
            return network.decode(integers, step, *audio[1:])

    inner = slice(margin * SAMPLES_PER_COLUMN, (margin + columns) * SAMPLES_PER_COLUMN)
    part, whole = heard(x[..., near], y[..., near], noise[..., near]), heard(x, y, noise)[..., near]
    torch.testing.assert_close(part[..., inner], whole[..., inner], atol=1e-4, rtol=0)


def test_rounding_of_y_changes_next_to_nothing() -> None:
    """Also where bands of y are empty, in which all that transforms leave is rounding."""
    network = LatentNetwork.load(weights(LATENTS_NETWORK))
    x, y = _noise(6, 1), _below(_noise(6, 2), 0.8)
    random = torch.Generator().manual_seed(3)
    other = y * (1 + 1e-6 * torch.randn(y.shape, generator=random))
    step = torch.full((1,), 8.0)
    with torch.inference_mode():
        integers = torch.round(network.encode(x, y, y) / step)
        difference = network.decode(integers, step, y, y) - network.decode(integers, step, other, other)
    assert difference.abs().max() < 1e-3 * x.abs().max()


def test_weights_are_read_back(tmp_path) -> None:
    network, path = random_network(), tmp_path / "weights.safetensors"
    network.save(path, untrained_entropy(DIMENSIONS))
    again = LatentNetwork.load(path)
    assert again.config == network.config
    for name, tensor in network.state_dict().items():
        np.testing.assert_array_equal(tensor.half().float(), again.state_dict()[name])


def test_weights_of_something_else_are_refused(tmp_path) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError, match="latent network"):
        LatentNetwork.load(tmp_path / "a.safetensors")
