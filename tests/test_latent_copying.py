"""Encoding with copies beside latents: which stretches are copied, and what that is worth."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import evc
from evc.format import constants as c
from evc.models.hearing import level_offset, mel_distance, mel_distances
from evc.models.latents import copies, encoder
from evc.models.latents.copies import Copies, LeftOver
from evc.models.latents.ways import Way
from evc.models.source import ArraySource

RATE = 32_000
N = c.superframe_length(RATE)
ONE = 1 << c.DEFAULT_PHASE_BITS
LAGS = st.lists(st.one_of(st.none(), st.integers(3 * N * ONE, 12 * N * ONE)), max_size=40)


@given(LAGS)
def test_copies_lead_to_where_sound_comes_from(lags: list[int | None]) -> None:
    """Nothing before the file is read, whatever the lags; few generations are left."""
    unit = N * ONE
    lags = [lag if lag is not None and copies._sources(n, lag, unit)[0] >= 0 else None for n, lag in enumerate(lags)]
    found = copies._to_origins(lags, unit)
    generations = [0] * len(found)
    for number, lag in enumerate(found):
        assert lag is None or lags[number] is not None
        if lag is not None:
            sources = copies._sources(number, lag, unit)
            assert sources[0] >= 0 and sources[-1] < number
            generations[number] = 1 + max(generations[source] for source in sources)
    assert max(generations, default=0) <= copies.MOST_GENERATIONS


def test_a_loop_is_copied_from_its_first_round() -> None:
    unit, bar = N * ONE, 8 * N * ONE
    found = copies._to_origins([None] * 9 + [bar] * 23, unit)
    assert {found[n] for n in range(18, 24)} == {2 * bar}


def test_the_best_succession_of_lags() -> None:
    values = [{1: 0.2, 2: 0.1}, {1: 0.2, 2: 0.3}, {2: 0.3}, {}, {1: 0.1}, {1: -5.0, 2: 0.5}]
    assert copies._best(values) == [2, 2, 2, None, None, 2]
    assert copies._best([{7: copies.SWITCH / 2}]) == [None]


def test_what_is_left_to_be_told() -> None:
    found = Copies([None, 5, 5, 9, None, 9, None], 4096)
    inside = copies.INSIDE
    assert found.untold() == [(4096 + inside, 4 * 4096 - inside)]
    assert found.share == pytest.approx(4 / 7)
    columns = found.columns(14)
    assert np.flatnonzero(columns).tolist() == list(range(3, 7))
    assert found.told(np.array([0, 2 * 4096, 6 * 4096])).tolist() == [True, False, True]
    source = LeftOver(ArraySource(np.ones((7 * 4096, 1), np.float32), RATE), found)
    audio = source.read(0, source.frames)[0]
    np.testing.assert_array_equal(np.concatenate([source.read(0, 9000), source.read(9000, 19_672)], axis=1)[0], audio)
    assert not audio[2 * 4096 : 3 * 4096].any() and audio[:5000].all() and (audio[4 * 4096 :] == 1).all()


def test_distances_by_stretch_are_about_those_of_the_whole() -> None:
    random = np.random.default_rng(1)
    one, other = random.standard_normal((2, 2, 10 * N + 4096)).astype(np.float32)
    found = mel_distances(one, 0.5 * other, RATE, N, 2048)
    assert found.shape == (10,) and found.mean() == pytest.approx(mel_distance(one, 0.5 * other, RATE), rel=0.2)
    assert level_offset(one, 0.5 * other, RATE) == pytest.approx(np.log10(2), abs=0.02)


def loop(rounds: int) -> np.ndarray:
    """Decaying tones over noise, over and over: float32 [frames, channels]."""
    random, time = np.random.default_rng(5), np.arange(44_100) / 44_100
    tones = sum(
        np.sin(2 * np.pi * hertz * time) * np.exp(-6 * ((time - at) % 0.5)) for hertz, at in ((220, 0), (660, 0.2))
    )
    bar = 0.2 * tones[:, None] + 0.05 * random.standard_normal((len(time), 2))
    return np.tile(bar, (rounds, 1)).astype(np.float32)


@pytest.fixture
def noise_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside latents."""
    monkeypatch.setattr(encoder, "chosen_way", lambda *_: Way(False, 0.8))


def test_a_loop_is_nearer_to_its_source_at_the_same_bitrate(noise_alone: None) -> None:
    audio = loop(4)
    found = {}
    for patterns in ("off", "auto"):
        data = evc.encode(audio, 44_100, hints="latent", bitrate=4, patterns=patterns)
        with evc.open(io.BytesIO(data)) as file:
            found[patterns] = len(data), file.layers, mel_distance(file.read().T, audio.T, 44_100)
    assert "patterns" not in found["off"][1] and "patterns" in found["auto"][1]
    assert found["auto"][0] <= 1.02 * found["off"][0]
    assert found["auto"][2] < 0.95 * found["off"][2]


def test_what_does_not_repeat_is_as_without_copies(noise_alone: None) -> None:
    audio = np.random.default_rng(8).normal(0, 0.1, (50_000, 1)).astype(np.float32)
    coded = {evc.encode(audio, 44_100, hints="latent", bitrate=4, patterns=patterns) for patterns in ("off", "auto")}
    assert len(coded) == 1
