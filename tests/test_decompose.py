"""Events found in audio: planted ones at their moment, and what a decomposition promises whatever the audio is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evc.format.header import Header
from evc.format.networks import installed_network, weights
from evc.models.events.atoms import Atoms
from evc.models.events.decompose import WindowDecomposer, decompose, time_grid, windows
from evc.models.events.fitted import PAN_STEPS
from evc.models.events.moments import Moments
from evc.models.events.noise_source import event_keys
from evc.models.events.onsets import onset_times
from evc.models.events.reading import AnalysisReader
from evc.models.events.rendering import EventRenderer
from evc.models.events.sounding import SoundTables
from evc.models.events.vectors import EVENTS_NETWORK, PART_INDEX, PARTS
from evc.models.events.weighting import Weighting
from evc.models.source import ArraySource

RATE = 44100
LEAST = 1e-5  # weighted energy per bit


@pytest.fixture(scope="module")
def generator() -> SoundTables:
    return SoundTables.load(weights(EVENTS_NETWORK))


@pytest.fixture(scope="module")
def atoms(generator: SoundTables) -> Atoms:
    return Atoms.of(generator)


def rendered(generator, times, amplitudes, pans, codes, frames, rate=RATE, channels=2):
    """float64 [channels, frames]; times in s."""
    codes = np.asarray(codes)
    renderer = EventRenderer(generator, rate, channels)
    vectors = generator.codebooks.codes_to_vectors(codes)
    return renderer.render(
        np.asarray(times), np.asarray(amplitudes), np.asarray(pans), vectors, event_keys(codes), 0, frames
    ).astype(np.float64)


def codes_of(**parts: int) -> list[int]:
    row = [0] * len(PARTS)
    for name, code in parts.items():
        row[PART_INDEX[name]] = code
    return row


def header(frames: int, channels: int = 2, rate: int = RATE) -> Header:
    return Header(rate, channels, frames, "FLOAT", layers=("events",), networks=(installed_network(EVENTS_NETWORK),))


PLANTED = {
    "plucked": codes_of(pitch=4400, phase=5, attack=1, decay=10, length=6),
    "struck": codes_of(pitch=5003, phase=20, attack=0, decay=7, length=5),
    "held": codes_of(pitch=3811, phase=11, attack=3, decay=15, length=4),
    "rich": codes_of(pitch=4700, phase=3, attack=1, decay=11, length=6, resonator=6, partial2=4, partial3=1),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_event_is_found_at_its_time_and_cancelled(generator, name) -> None:
    """Between two frames, and between two points of the grid; by its first event within 1 ms and by 20 dB."""
    moment = 0.70123
    planted = rendered(generator, [moment], [0.3], [1 / 3], [PLANTED[name]], 3 * RATE)
    events, gains = decompose(ArraySource(planted.T, RATE), header(3 * RATE), 5, "cpu")
    first = int(gains.argmax())
    time = events.times[first] / (1 << header(1).phase_bits) / RATE
    assert abs(time - moment) < 0.001
    assert abs(events.unit_pans()[first] - 1 / 3) < 0.1
    assert abs(events.codes[first][0] - PLANTED[name][0]) <= 1
    one = events.chosen(np.array([first]))
    times = one.times / (1 << header(1).phase_bits) / RATE
    found = rendered(generator, times, one.linear_amplitudes(), one.unit_pans(), one.codes, 3 * RATE)
    assert np.sum(planted**2) > 100 * np.sum((planted - found) ** 2)


def music(seed: int, frames: int, channels: int = 2) -> np.ndarray:
    """A few tones and clicks over noise: float64 [channels, frames] at 22.05 kHz."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames) / 22050
    out = 0.003 * rng.standard_normal((channels, frames))
    for _ in range(8):
        begin, frequency = rng.uniform(0, t[-1]), 110 * 2 ** rng.uniform(0, 5)
        tone = np.where(t > begin, np.exp(-(t - begin) * rng.uniform(1, 30)) * np.sin(frequency * 6.283 * t), 0)
        out += rng.uniform(0.05, 0.3, (channels, 1)) * tone
    return out


def moments_of(audio: np.ndarray) -> Moments:
    return Moments(onset_times(audio, 22050))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 2]), st.sampled_from([0, 1]))
def test_the_energy_left_never_grows_with_another_event(atoms, seed, channels, refinements) -> None:
    audio = music(seed, 30000, channels)
    residual = audio.copy()
    decomposer = WindowDecomposer(atoms, 22050, 32 / 22050, refinements)
    events = decomposer.take(residual, Weighting(audio, 22050), moments_of(audio), 2, LEAST)
    assert events
    left = audio.copy()
    energies = [np.sum(left**2)]
    for event in events:
        left[:, event.first : event.first + event.waveform.shape[1]] -= event.waveform
        energies.append(np.sum(left**2))
    assert np.allclose(left, residual)
    if refinements:  # moved events took their places in the light of later ones
        assert energies[-1] < energies[0]
    else:
        assert np.all(np.diff(energies) < 0)


def test_an_event_is_subtracted_as_the_generator_renders_it(generator, atoms) -> None:
    audio = music(3, 40000)
    decomposer = WindowDecomposer(atoms, 22050, 32 / 22050)
    events = decomposer.take(audio.copy(), Weighting(audio, 22050), moments_of(audio), 2, LEAST)
    assert len(events) > 4
    for event in events[:12]:
        amplitude = 10 ** (event.amplitude * 1.5 / 20)
        sound = rendered(generator, [event.start], [amplitude], [event.pan / PAN_STEPS], [event.codes], 40000, 22050)
        mine = np.zeros_like(sound)
        mine[:, event.first : event.first + event.waveform.shape[1]] = event.waveform
        assert np.sum((mine - sound) ** 2) < 1e-5 * np.sum(sound**2)


def test_streaming_gives_what_the_whole_file_gives_up_to_the_look_ahead() -> None:
    """The events of a longer and a shorter version of a track agree up to a window before the shorter one ends."""
    audio = music(5, 14 * 22050, 1)
    source = AnalysisReader(ArraySource(audio.T, 22050))
    atoms = Atoms.of(SoundTables.load(weights(EVENTS_NETWORK)))
    decomposer = WindowDecomposer(atoms, 22050, 32 / 22050)
    blocks = list(source.blocks())
    short = np.concatenate(blocks, axis=1)[:, : 10 * 22050]

    def starts(found) -> list[tuple[int, float]]:
        return [(first, event.start) for first, events in found for event in events]

    whole = starts(decomposer.stream(blocks, LEAST))
    part = starts(decomposer.stream(np.array_split(short, 7, axis=1), LEAST))
    assert any(first > 0 for first, _ in whole)
    certain = [pair for pair in part if pair[0] < (10 - 8) * 22050]
    assert certain and certain == whole[: len(certain)]


def test_an_event_that_rings_across_a_window_boundary_is_found_once(generator) -> None:
    """Its tail is written back, so that the next window has nothing to find."""
    codes = codes_of(pitch=4400, attack=1, decay=15, length=6)
    planted = rendered(generator, [3.5], [0.3], [0.0], [codes], 12 * RATE)
    events, gains = decompose(ArraySource(planted.T, RATE), header(12 * RATE), 5, "cpu")
    best = events.chosen(np.flatnonzero(gains > 0.02 * gains.max()))
    times = best.times / (1 << header(1).phase_bits) / RATE
    assert len(times) and np.all(np.abs(times - 3.5) < 0.02)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_sample_rates(generator, rate) -> None:
    codes = codes_of(pitch=4700, attack=1, decay=10, length=5)
    planted = rendered(generator, [0.4], [0.3], [0.0], [codes], rate, rate)
    events, gains = decompose(ArraySource(planted.T, rate), header(rate, rate=rate), 0, "cpu")
    first = int(gains.argmax())
    assert abs(events.times[first] / (1 << header(1).phase_bits) / rate - 0.4) < 0.0021
    assert abs(events.codes[first][0] - 4700) <= 1
    assert not np.any(events.times % (time_grid(rate) << header(1).phase_bits))


def test_silence_has_no_events() -> None:
    for audio in (np.zeros((2 * RATE, 2)), np.zeros((0, 2)), np.zeros((5, 1))):
        events, gains = decompose(ArraySource(audio, RATE), header(len(audio), audio.shape[1]), 5, "cpu")
        assert len(events) == len(gains) == 0


@given(st.lists(st.integers(1, 700), min_size=1, max_size=12), st.integers(10, 200))
def test_windows_cover_the_signal_and_hand_on_what_is_left(sizes, half) -> None:
    total = sum(sizes)
    signal = np.arange(1.0, total + 1)[None]
    taken = np.zeros(total)
    for first, last, residual, original in windows(np.split(signal, np.cumsum(sizes)[:-1], axis=1), half):
        end = residual.shape[1] if last else half
        assert np.array_equal(original, signal[:, first : first + residual.shape[1]])
        assert last == (first + residual.shape[1] == total)
        taken[first : first + end] += residual[0, :end]
        residual[0, :end] = 0
    assert np.array_equal(taken, signal[0])
