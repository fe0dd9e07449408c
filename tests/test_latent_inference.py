"""Inference of the latent networks without torch: the same as in training, compiled or not, in any threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from evc import kernels
from evc.format.errors import InputError
from evc.format.networks import weights
from evc.models import hearing
from evc.models.device import encoding_device, one_thread
from evc.models.latents import blocks, features, lapped, transform, views
from evc.models.latents.entropy import untrained_entropy
from evc.models.latents.inference import ArrayNetwork
from evc.models.latents.layout import BINS, COLUMN, DIMENSIONS, FEATURES, HOP, LATENTS_NETWORK, WINDOW, LatentConfig
from evc.models.latents.network import LatentNetwork
from evc.models.latents.on_device import DeviceNetwork
from evc.models.latents.weights import shapes
from evc.models.training import measures

Floats = np.ndarray
PATHS = pytest.mark.parametrize("path", [nullcontext, kernels.reference], ids=["compiled", "numpy"])
CONFIGS = [
    LatentConfig(channels=24, expansion=2, encoder_blocks=1, coarse_blocks=1, fine_blocks=1),
    LatentConfig(channels=17, expansion=1, kernel=3, encoder_blocks=2, coarse_blocks=1, fine_blocks=3),
    LatentConfig(channels=8, expansion=3, kernel=7, encoder_blocks=0, coarse_blocks=2, fine_blocks=0),
]
needs_kernels = pytest.mark.skipif(kernels.lib is None, reason="there are no kernels")


def drawn(config: LatentConfig, folder: Path, seed: int = 0) -> Path:
    """A file of weights that are all random, but make no sound much louder than what they hear."""
    torch.manual_seed(seed)
    network = LatentNetwork(config)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            size = 0.02 if name.startswith("decoder.") and "norm" not in name else 0.05
            parameter += size * torch.randn_like(parameter)
    path = folder / "network.safetensors"
    network.save(path, untrained_entropy(DIMENSIONS))
    return path


class Case:
    """What networks get: `columns` of a file with a margin on both sides, the last of which ends within it or not."""

    def __init__(self, config: LatentConfig, columns: int, seed: int = 0, last: int | None = None) -> None:
        random, margin = np.random.default_rng(seed), config.margin
        total = columns + 2 * margin
        self.ends = margin, margin + columns if last is None else last
        inside = slice(margin * COLUMN, (margin + columns) * COLUMN)
        self.x, self.y, self.noise = np.zeros((3, 2, total * COLUMN), np.float32)
        for audio, size in ((self.x, 0.2), (self.y, 0.1), (self.noise, 0.05)):
            audio[:, inside] = size * np.cumsum(random.normal(0, 0.1, (2, columns * COLUMN)), axis=1)
            audio[:, inside] -= audio[:, inside].mean(axis=1, keepdims=True)
            audio[1] *= 0.05
        self.integers = np.zeros((total, DIMENSIONS), np.float32)
        self.integers[margin:-margin] = np.rint(random.laplace(0, 1, (columns, DIMENSIONS)))
        self.steps = np.full(total, 6.0, np.float32)

    def encoded(self, network: ArrayNetwork | DeviceNetwork) -> Floats:
        return network.encode(self.x, self.y, self.noise, self.ends)

    def decoded(self, network: ArrayNetwork | DeviceNetwork) -> Floats:
        return network.decode(self.integers, self.steps, self.y, self.noise, self.ends)


@PATHS
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.channels} channels")
@pytest.mark.parametrize("columns", [1, 9])
def test_inference_is_what_is_trained(
    config: LatentConfig, columns: int, path: type[AbstractContextManager[None]], tmp_path: Path
) -> None:
    weights_path = drawn(config, tmp_path)
    case, trained = Case(config, columns), DeviceNetwork.load(weights_path, "cpu")
    with path():
        network = ArrayNetwork.load(weights_path)
        latents, heard = case.encoded(network), case.decoded(network)
    expected, sound = case.encoded(trained), case.decoded(trained)
    np.testing.assert_allclose(latents, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)
    np.testing.assert_allclose(heard, sound, atol=1e-4 * np.abs(sound).max(), rtol=0)
    inside = slice(config.margin * COLUMN, -config.margin * COLUMN)
    assert np.abs(sound - case.y[:, inside]).max() > 0.05 * np.abs(sound).max() and np.abs(expected).max() > 1


@PATHS
def test_the_shipped_network(path: type[AbstractContextManager[None]]) -> None:
    found = weights(LATENTS_NETWORK)
    trained = DeviceNetwork.load(found, "cpu")
    case = Case(trained.config, 5, last=trained.config.margin + 4)
    with path():
        network = ArrayNetwork.load(found)
        latents, heard = case.encoded(network), case.decoded(network)
    np.testing.assert_allclose(heard, case.decoded(trained), atol=2**-16, rtol=0)
    expected = case.encoded(trained)
    np.testing.assert_allclose(latents, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.channels} channels")
def test_shapes_are_those_of_the_trained_network(config: LatentConfig) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in LatentNetwork(config).state_dict().items()}
    assert shapes(config) == expected


def test_weights_of_other_shapes_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    path = drawn(CONFIGS[0], tmp_path)
    tensors, texts = load_file(path), {"config": '{"channels": 24, "expansion": 2}'}
    for changes, config in (
        ({}, '{"channels": 25}'),
        ({}, '{"channels": -24}'),
        ({}, '{"kernel": 4}'),
        ({}, '{"kernel": "5"}'),
        ({}, '{"channels": 1e3}'),
        ({"encoder.norm.bias": tensors["encoder.norm.bias"][:-1]}, None),
        ({"more": tensors["ceiling"]}, None),
    ):
        metadata = texts if config is None else {"config": config}
        save_file(tensors | changes, tmp_path / "other.safetensors", metadata)
        for load in (ArrayNetwork.load, LatentNetwork.load):
            with pytest.raises(InputError, match="latent network"):
                load(tmp_path / "other.safetensors")


def test_threads_change_nothing() -> None:
    network = ArrayNetwork.load(weights(LATENTS_NETWORK))
    cases = [Case(network.config, 3 + number, number) for number in range(3)]
    with one_thread():
        alone = [case.decoded(network) for case in cases]
        with ThreadPoolExecutor(3) as threads:
            together = list(threads.map(lambda case: case.decoded(network), cases))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_gpu_is_used_only_where_it_is_asked_for() -> None:
    assert encoding_device("auto") == encoding_device("cpu") == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="CUDA"):
            encoding_device("cuda")


# The parts, beside those of training and compiled or not


def _spectra(frames: int, seed: int = 0, kind: str = "noise") -> Floats:
    random = np.random.default_rng(seed)
    audio = random.normal(0, 0.3, (2, (frames - 1) * HOP + WINDOW))
    if kind == "steep":  # from full scale to next to nothing
        audio = np.cumsum(np.cumsum(audio - audio.mean(axis=1, keepdims=True), axis=1), axis=1)
        audio /= np.abs(audio).max()
    scale = {"silence": 0.0, "faint": 1e-9, "loud": 1e6}.get(kind, 1.0)
    return (scale * audio).astype(np.float32)


KINDS = ["noise", "steep", "silence", "faint", "loud"]


@PATHS
@pytest.mark.parametrize("kind", KINDS)
def test_views_are_those_of_training(kind: str, path: type[AbstractContextManager[None]]) -> None:
    frames = 9
    audio = _spectra(frames, kind=kind)
    with path():
        spectra = views.spectrum(audio, frames)
        over = views.envelope(spectra)
        seen, levels = np.empty((frames, FEATURES), np.float32), np.empty((frames, 128), np.float32)
        views.view(spectra, over, seen, levels=levels)
    edge = (WINDOW - HOP) // 2
    expected = features.spectrum(torch.from_numpy(audio[None, :, edge:-edge]))
    loudest = float(expected.abs().max())
    inner = slice(2, -2)  # at the ends training has less of the audio
    difference = spectra[inner] - expected[0].transpose(0, 1).numpy()[inner]
    assert np.abs(difference).max() <= 1e-6 * loudest
    same = torch.from_numpy(spectra).transpose(0, 1)[None]
    local, scale = features.envelope(same)
    np.testing.assert_allclose(over.local, local[0].transpose(0, 1), rtol=1e-5)
    np.testing.assert_allclose(over.scale, scale[0].transpose(0, 1), rtol=1e-5)
    view = features.whitened(same, torch.from_numpy(over.scale).transpose(0, 1)[None])
    np.testing.assert_allclose(seen, view.features[0], atol=2e-5)
    np.testing.assert_allclose(levels, view.levels[0], atol=2e-5)


@PATHS
def test_waveforms_are_turned_back(path: type[AbstractContextManager[None]]) -> None:
    audio = _spectra(12)
    with path():
        again = views.waveform(views.spectrum(audio, 12))
    inner = slice(WINDOW - HOP, HOP - WINDOW)
    np.testing.assert_allclose(again[:, inner], audio[:, inner], atol=1e-6)


@PATHS
def test_only_the_real_part_of_the_first_and_the_last_bin_counts(path: type[AbstractContextManager[None]]) -> None:
    spectra = np.zeros((1, 2, BINS), np.complex64)
    spectra[0, 0, [0, -1]] = 1j
    with path():
        assert not views.waveform(spectra).any()


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
def test_bending_is_the_same_compiled(kind: str) -> None:
    frames, random = 5, np.random.default_rng(1)
    spectra = views.spectrum(_spectra(frames, kind=kind), frames)
    local = views.envelope(spectra).local
    power = (10 ** random.uniform(-12, 3, local.shape)).astype(np.float32)
    said, biases = (random.normal(0, size, (frames, 6 * BINS + 128)).astype(np.float32) for size in (3, 0.5))
    louder = random.normal(0, 1, (frames, 128)).astype(np.float32)
    found = []
    for path in (nullcontext, kernels.reference):
        with path():
            found.append(spectra.copy())
            views.bend(found[-1], local, power, said, biases[0], louder)
    assert np.isfinite(found[0]).all()
    scale = np.abs(found[1]) + np.abs(spectra) * np.exp(3) + local * np.abs(said).max()
    assert (np.abs(found[0] - found[1]) <= 2e-5 * scale).all()


@PATHS
def test_gelu(path: type[AbstractContextManager[None]]) -> None:
    random = np.random.default_rng(0)
    values = np.concatenate([np.linspace(-12, 12, 4001), random.normal(0, 1, 999), [0.0, -1e6, 1e6]])[None]
    values, biases = values.astype(np.float32), random.normal(0, 0.5, values.shape[1]).astype(np.float32)
    expected = torch.nn.functional.gelu(torch.from_numpy(values + biases).double()).numpy()
    with path():
        blocks.gelu(values, biases)
    assert (np.abs(values - expected) <= 2e-7 * np.maximum(np.abs(expected), 1)).all()


@PATHS
@pytest.mark.parametrize("ends", [(2, 7), (2, 3), (0, 8), (-3, 5), (4, 20)])
def test_the_lapped_transform_is_that_of_training(
    ends: tuple[int, int], path: type[AbstractContextManager[None]]
) -> None:
    audio = np.random.default_rng(0).normal(0, 1, (2, 8 * COLUMN)).astype(np.float32)
    with path():
        coded = lapped.coefficients(audio, ends)
        again = lapped.samples(coded, ends)
    expected = transform.coefficients(torch.from_numpy(audio)[None], ends)[0].transpose(0, 1)
    np.testing.assert_allclose(coded, expected, atol=1e-5)
    whole = transform.samples(torch.from_numpy(np.ascontiguousarray(coded)).transpose(0, 1)[None], ends)[0]
    np.testing.assert_allclose(again, whole, atol=1e-5)


def test_measures_are_those_of_training() -> None:
    random = np.random.default_rng(0)
    target = (0.1 * random.normal(size=(2, 30_000)) * np.linspace(0, 1, 30_000)).astype(np.float32)
    for estimate in (target, 0.5 * target, (target + 0.05 * random.normal(size=target.shape)).astype(np.float32)):
        ours, theirs = torch.from_numpy(estimate), torch.from_numpy(target)
        mel, tonal = measures.mel_distance(ours, theirs, 44_100), measures.tonal_similarity(ours, theirs, 44_100)
        assert hearing.mel_distance(estimate, target, 44_100) == pytest.approx(float(mel), rel=1e-4, abs=1e-5)
        assert hearing.tonal_similarity(estimate, target, 44_100) == pytest.approx(float(tonal), rel=1e-4)
