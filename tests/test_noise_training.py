"""How the tables of the noise stream are made."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch

from evc.format import constants as c
from evc.format.streams.noise import NoisePlane
from evc.format.streams.noise_changes import END, FIRST, START, tables
from evc.models.noise import make_noise, train_contexts


def test_noise_becomes_smoother_and_stays_white() -> None:
    gaussian = make_noise.whitened(torch.randn(1 << 14, generator=torch.Generator().manual_seed(0)))
    made = make_noise.make(1 << 14, 12)
    found = torch.tensor(made / make_noise.POWER, dtype=torch.float32)
    assert made.dtype == np.int8
    assert make_noise.fluctuation(found) < 0.9 * make_noise.fluctuation(gaussian)
    assert float(found.square().mean()) == pytest.approx(1, abs=0.02)
    power = torch.fft.rfft(found).abs().square()[1:8193].reshape(32, -1).mean(1)
    assert (power / power.mean()).log().abs().max() < 0.2


def test_bands_of_the_ear() -> None:
    for window, count in make_noise.BAND_WINDOWS.items():
        weights = make_noise.bands(window, count)
        assert weights.shape == (count, window // 2 + 1)
        assert torch.allclose(weights.sum(1), torch.ones(count)) and weights.min() >= 0


def test_the_shipped_noise_fluctuates_little() -> None:
    shipped = torch.tensor(tables()["noise"] / make_noise.POWER, dtype=torch.float32)
    gaussian = torch.randn(c.NOISE_TABLE, generator=torch.Generator().manual_seed(0))
    assert make_noise.fluctuation(shipped) < 0.6 * make_noise.fluctuation(gaussian)


def test_changes_that_a_plane_codes() -> None:
    starts, ends = np.array([[3, 4], [5, 4], [7, 7]]), np.array([[3, 4], [6, 6], [7, 8]])
    found = list(train_contexts.changes(NoisePlane(np.array([1, 1, 1]), starts, ends, 2)))
    expected = [(FIRST, [3, 4]), (START, [2, 0]), (END, [1, 2]), (START, [1, 1]), (END, [0, 1])]
    assert [(which, change.tolist()) for which, change in found] == expected


def test_contexts_are_counted(tmp_path) -> None:
    random = np.random.default_rng(0)
    audio = random.normal(0, 0.1, (50_000, 2)) * np.repeat(10 ** random.uniform(-1, 0, 10), 5000)[:, None]
    soundfile.write(tmp_path / "hiss.wav", audio, 22_050)
    found = train_contexts.count([tmp_path / "hiss.wav"])
    for name, most in (("scales", 24 * c.SCALE_ONE), ("signs", c.FLAG_ONE)):
        assert found[name].shape == tables()[name].shape and 0 <= found[name].min() <= found[name].max() <= most
    assert (found["scales"] != tables()["scales"]).any()
