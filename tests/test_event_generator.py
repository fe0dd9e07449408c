"""The generator of events: its sound against formulas written out here, its gradients, its renderer."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evc.format.errors import InputError
from evc.format.networks import weights
from evc.models.events.codebooks import Codebooks
from evc.models.events.generator import Generator
from evc.models.events.intermediates import intermediates
from evc.models.events.noise_source import event_keys, white_series
from evc.models.events.rendering import EventRenderer
from evc.models.events.sounding import SoundTables
from evc.models.events.sounds import DURATION
from evc.models.events.vectors import EVENTS_NETWORK, MIDI_0_HZ, PART_INDEX, PARTS

RATE = 22_050
QUIET = 10 ** (-90 / 20)
Array = NDArray[np.float64]


@pytest.fixture(scope="module")
def generator() -> Generator:
    return Generator()


@pytest.fixture(scope="module")
def books(generator: Generator) -> Codebooks:
    return Codebooks({name: book.detach().numpy() for name, book in generator.codebook.items()})


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def codes_of(**parts: int) -> NDArray[np.int64]:
    """[1, 16]: an A of 440 Hz that lasts, with the parts given."""
    names = {"pitch": 69 * 64, "decay": 12, "length": 3} | parts
    return np.array([[names.get(part.name, 0) for part in PARTS]])


def random_codes(random: np.random.Generator, count: int, plain: bool = False) -> NDArray[np.int64]:
    codes = np.stack([random.integers(0, part.codes, count) for part in PARTS], 1)
    codes[:, 0] = random.integers(30 * 64, 100 * 64, count)
    if plain:
        codes[:, PART_INDEX["noise"] :] = 0
    return codes


def render(generator: Generator, books: Codebooks, codes: NDArray[np.int64], offset: float, frames: int) -> Array:
    """By the renderer of tensors, in float64, of the first event: [frames]."""
    vectors = torch.from_numpy(books.codes_to_vectors(codes)).double()
    offsets = torch.full((len(codes),), offset, dtype=torch.float64)
    with torch.no_grad():
        return np.asarray(generator.render(vectors, offsets, RATE, frames, event_keys(codes))[0])


def layer(
    generator: Generator, books: Codebooks, codes: NDArray[np.int64], times: Array, start: int, frames: int,
    rate: int = RATE, channels: int = 2,
) -> NDArray[np.float32]:  # fmt: skip
    """By the renderer of layers, with amplitudes and pans of their own."""
    count = np.arange(len(codes))
    renderer = EventRenderer(SoundTables.of(generator), rate, channels)
    vectors, keys = books.codes_to_vectors(codes), event_keys(codes)
    return renderer.render(times, 0.1 + 0.01 * (count % 7), np.cos(count), vectors, keys, start, frames)


def loudest(signal: NDArray[np.floating]) -> float:
    return float(np.abs(signal).max())


# The sound


def test_an_event_without_anything_is_a_damped_sinusoid(generator: Generator, books: Codebooks) -> None:
    """Attack 1 of 4 ms, time constant 1 s, gate of 0.48 s; phase code 8 is a quarter turn."""
    codes = codes_of(phase=8, attack=1)
    t = np.arange(RATE) / RATE - 0.1234567
    frequency = MIDI_0_HZ * 2 ** (69 / 12)
    rise = np.sin(np.pi / 2 * np.clip(t / 0.004, 0, 1)) ** 2
    gate = np.cos(np.pi / 2 * np.clip((t - 0.48) / 0.05, 0, 1)) ** 2
    decay = np.geomspace(4e-3, 4, 16)[12]
    expected = rise * gate * np.exp(-t / decay) * np.cos(2 * np.pi * frequency * t + np.pi / 2)
    sound = render(generator, books, codes, 0.1234567, RATE)
    assert frequency == pytest.approx(440)
    assert loudest(sound - expected) < 2e-3  # the softmax mixes neighbours into the attack, float32 into the pitch
    assert loudest(sound[t < 0]) == 0 and loudest(sound[t > 0.531]) == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 30), offset=st.floats(-0.5, 0.5))
def test_closed_form_is_the_sum_written_out(generator: Generator, books: Codebooks, seed: int, offset: float) -> None:
    codes = random_codes(np.random.default_rng(seed), 1, plain=True)
    s = generator(torch.from_numpy(books.codes_to_vectors(codes)))
    t = (np.arange(4000) / RATE - offset)[:, None]
    f, d, a, b = (value[0].detach().numpy() for value in (s.frequencies, s.decays, s.amplitudes, s.states))
    below = np.cos(np.pi / 2 * np.clip((f / (RATE / 2) - 0.9) / 0.08, 0, 1)) ** 2
    mu = np.exp(-np.maximum(t, 0) * float(s.deformation.detach()))
    damped = np.exp(-np.maximum(t, 0) * d)
    tone = ((mu + (1 - mu) * b) * below * abs(a) * damped * np.cos(2 * np.pi * f * t + np.angle(a))).sum(1)
    rise = np.sin(np.pi / 2 * np.clip(t / float(s.attacks.detach()), 0, 1)) ** 2
    gate = np.cos(np.pi / 2 * np.clip((t - float(s.lengths.detach())) / float(s.falls.detach()), 0, 1)) ** 2
    expected = tone * (rise * gate)[:, 0]
    assert loudest(render(generator, books, codes, offset, 4000) - expected) < 1e-6 * max(1, loudest(expected))


def test_a_shift_by_a_fraction_is_a_band_limited_shift(generator: Generator, books: Codebooks) -> None:
    codes = codes_of(attack=6, resonator=3, partial2=3, partial3=5, noise=1 + 9 + 2)  # a slow attack, and noise
    placed = render(generator, books, codes, 0.1, RATE)
    shifted = render(generator, books, codes, 0.1 + 0.37 / RATE, RATE)
    ramp = np.exp(-2j * np.pi * np.fft.rfftfreq(RATE) * 0.37)
    assert loudest(np.fft.irfft(np.fft.rfft(placed) * ramp, RATE) - shifted) < 1e-4 * loudest(placed)
    assert loudest(placed - shifted) > 1e-3 * loudest(placed)


@pytest.mark.parametrize("parts", [{}, {"noise": 14}, {"deform": 2, "resonator": 3, "partial2": 4}, {"room": 3}])
def test_the_sample_rate_changes_nothing_at_common_samples(
    generator: Generator, books: Codebooks, parts: dict[str, int]
) -> None:
    codes, times = codes_of(attack=2, **parts), np.array([0.01234])
    low = layer(generator, books, codes, times, 0, 20_000)
    high = layer(generator, books, codes, times, 0, 40_000, 2 * RATE)
    assert loudest(low) > 0.01
    assert loudest(low - high[:, ::2]) < QUIET * loudest(low)


def test_partials_near_nyquist_are_left_out(generator: Generator, books: Codebooks) -> None:
    high = codes_of(pitch=8191)  # 13 kHz
    assert loudest(render(generator, books, high, 0.0, 4000)) == 0
    assert loudest(layer(generator, books, high, np.zeros(1), 0, 4000, 44_100)) > 0.01


def test_none_is_none(generator: Generator, books: Codebooks) -> None:
    s = generator(torch.from_numpy(books.codes_to_vectors(codes_of())))
    assert (s.amplitudes[:, 1:] == 0).all() and (s.states == 1).all()
    assert (s.noise_levels == 0).all() and (s.dry == 1).all() and (s.echo_gains == 0).all()


def test_every_entry_selects_a_row(generator: Generator) -> None:
    """A head takes what is at its entry nearly alone."""
    for select, book in (
        (generator.attack_select, generator.codebook["attack"]),
        (generator.resonator_select, generator.codebook["resonator"]),
        (generator.deform_select, generator.codebook["deform"][1:]),
        (generator.room_select, generator.codebook["room"][1:]),
    ):
        weights = select(book.double())
        assert (weights.argmax(1) == torch.arange(len(book))).all() and weights.amax(1).min() > 0.999


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1 << 30))
def test_codes_come_back_from_their_vectors(books: Codebooks, seed: int) -> None:
    codes = np.stack([np.random.default_rng(seed).integers(0, size, 64) for size in books.sizes], 1)
    assert books.sizes == tuple(part.codes for part in PARTS)
    assert (books.vectors_to_codes(books.codes_to_vectors(codes)) == codes).all()


# Noise


def test_noise_is_drawn_by_the_codes(generator: Generator, books: Codebooks) -> None:
    codes = codes_of(noise=20)
    again, other = codes.copy(), codes_of(noise=20, pitch=69 * 64 + 1)
    assert event_keys(again) == event_keys(codes) != event_keys(other)
    first, second = (layer(generator, books, codes, np.array([at]), round(at * RATE), 5000) for at in (0.0, 2.0))
    assert loudest(first - second) < QUIET * loudest(first)


def test_noise_has_the_power_and_the_band_of_its_filter(generator: Generator) -> None:
    series = white_series(np.arange(50) * 99_991, RATE // 2 + 1)
    assert (series[:, 0] == 0).all()
    assert np.mean(np.abs(series[:, 1:]) ** 2) == pytest.approx(2, rel=0.01)
    assert abs(np.mean(series[:-1] * series[1:].conj())) < 0.01 and abs(np.mean(series[:, 1:] ** 2)) < 0.01
    filters = generator.noise_filters(20_001)
    torch.testing.assert_close(filters.square().sum(1), torch.ones(len(filters)))
    assert filters[2].argmax() == pytest.approx(1000, abs=2)


# Gradients


def test_every_table_and_dimension_gets_a_gradient(books: Codebooks) -> None:
    generator = Generator()
    random = np.random.default_rng(1)
    codes = random_codes(random, 64)
    codes[:, PART_INDEX["attack"]] = np.arange(64) % 8
    codes[:, PART_INDEX["resonator"]] = np.arange(64) % 32
    codes[:, PART_INDEX["length"]] = np.arange(64) % 3
    vectors = torch.from_numpy(books.codes_to_vectors(codes)).requires_grad_()
    offsets = torch.linspace(-0.01, 0.3, 64, requires_grad=True)
    sound = generator.render(vectors, offsets, RATE, 8192, event_keys(codes))
    assert sound.dtype == torch.float32
    (sound * torch.from_numpy(random.standard_normal(8192).astype(np.float32))).sum().backward()
    assert vectors.grad is not None and offsets.grad is not None
    assert vectors.grad.isfinite().all() and (vectors.grad != 0).any(0).all()
    assert offsets.grad.isfinite().all() and (offsets.grad != 0).all()
    for name, table in generator.named_parameters():
        if not name.startswith("codebook."):
            assert table.grad is not None and table.grad.isfinite().all(), name
            assert (table.grad != 0).flatten(1).any(1).all() if table.ndim > 1 else (table.grad != 0).all(), name


def test_gradients_are_those_of_differences(generator: Generator, books: Codebooks) -> None:
    codes = codes_of(attack=3, resonator=3, partial2=2, partial3=7, deform=1, noise=30)
    vector = torch.from_numpy(books.codes_to_vectors(codes)).double() + 0.01
    offset = torch.tensor([0.0123], dtype=torch.float64)
    target = torch.from_numpy(np.random.default_rng(0).standard_normal(2048))

    def overlap(v: torch.Tensor, o: torch.Tensor) -> torch.Tensor:
        return (generator.render(v, o, RATE, 2048) * target).sum()

    v, o = vector.clone().requires_grad_(), offset.clone().requires_grad_()
    overlap(v, o).backward()
    assert v.grad is not None and o.grad is not None
    direction = torch.from_numpy(np.random.default_rng(1).standard_normal(vector.shape))
    step = 1e-6
    change = (overlap(vector + step * direction, offset) - overlap(vector - step * direction, offset)) / (2 * step)
    assert float(change.detach()) == pytest.approx(float((v.grad * direction).sum()), rel=1e-3)
    later = (overlap(vector, offset + 1e-8) - overlap(vector, offset - 1e-8)) / 2e-8
    assert float(later.detach()) == pytest.approx(float(o.grad[0]), rel=1e-3)


# The renderer, without torch


@pytest.mark.parametrize("seed", range(4))
def test_arrays_are_the_tensors(seed: int) -> None:
    """Of random weights and of those that are shipped, at random vectors and at the codebooks' entries."""
    random = np.random.default_rng(seed)
    torch.manual_seed(seed)
    generator = Generator() if seed else Generator.load(weights(EVENTS_NETWORK))
    if seed:
        with torch.no_grad():
            for table in generator.parameters():
                table.add_(0.1 * torch.randn(table.shape))
    tables = SoundTables.of(generator)
    codes = random_codes(random, 50)
    for vectors in (random.standard_normal((50, 32)).astype(np.float32), tables.codebooks.codes_to_vectors(codes)):
        with torch.no_grad():
            wanted = generator(torch.from_numpy(vectors))
        for name, values in vars(tables.sounds(vectors)).items():
            np.testing.assert_allclose(values, getattr(wanted, name).numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
    filters = generator.noise_filters(RATE // 2 + 1).detach().numpy()
    np.testing.assert_allclose(tables.noise_filters(RATE // 2 + 1), filters, atol=1e-6)


def test_an_event_sounds_the_same_whatever_is_beside_it(generator: Generator, books: Codebooks) -> None:
    tables, vectors = SoundTables.of(generator), books.codes_to_vectors(random_codes(np.random.default_rng(0), 20))
    together = tables.sounds(vectors)
    for row in range(20):
        for name, values in vars(tables.sounds(vectors[row : row + 1])).items():
            assert np.array_equal(values[0], getattr(together, name)[row]), name


def test_the_renderer_agrees_with_the_tensors(generator: Generator, books: Codebooks) -> None:
    codes = random_codes(np.random.default_rng(5), 12)
    codes[:, PART_INDEX["room"]] = 0
    renderer = EventRenderer(SoundTables.of(generator), RATE, 1)
    for row in codes[:, None]:
        vectors, keys = books.codes_to_vectors(row), event_keys(row)
        fast = renderer.render([0.2], [1.0], [0.0], vectors, keys, 0, RATE)[0]
        slow = render(generator, books, row, 0.2, RATE)
        assert loudest(fast - slow) < 1e-4 * max(1, loudest(slow))


def test_the_layer_is_the_sum_of_its_events(generator: Generator, books: Codebooks) -> None:
    random = np.random.default_rng(2)
    codes, times = random_codes(random, 20), random.uniform(-1, 2, 20)
    whole = layer(generator, books, codes, times, 0, RATE)
    renderer = EventRenderer(SoundTables.of(generator), RATE)
    vectors, keys = books.codes_to_vectors(codes), event_keys(codes)
    alone = [
        renderer.render([at], [0.1 + 0.01 * (i % 7)], [np.cos(i)], vectors[[i]], keys[[i]], 0, RATE)
        for i, at in enumerate(times)
    ]
    assert loudest(np.sum(alone, 0) - whole) < QUIET * loudest(whole)


def test_spans_are_cut_without_trace(generator: Generator, books: Codebooks) -> None:
    random = np.random.default_rng(3)
    codes, times = random_codes(random, 20), random.uniform(0, 1.5, 20)
    whole = layer(generator, books, codes, times, 0, 3 * RATE)
    cuts = [0, 1, 700, 701, 9000, 30_000, 3 * RATE]
    parts = [layer(generator, books, codes, times, low, high - low) for low, high in zip(cuts, cuts[1:])]
    assert loudest(np.concatenate(parts, 1) - whole) < QUIET * loudest(whole)


def test_threads_change_nothing(generator: Generator, books: Codebooks) -> None:
    random = np.random.default_rng(4)
    codes, times = random_codes(random, 20), random.uniform(0, 1, 20)
    first = layer(generator, books, codes, times, 0, RATE)
    vectors = torch.from_numpy(books.codes_to_vectors(codes))
    generator = copy.deepcopy(generator).requires_grad_(False)
    one = generator.render(vectors, torch.zeros(20), RATE, 2000)
    torch.set_num_threads(2)
    second = layer(generator, books, codes, times, 0, RATE)
    two = generator.render(vectors, torch.zeros(20), RATE, 2000)
    torch.set_num_threads(1)
    assert loudest(first - second) < QUIET * loudest(first)
    assert float((one - two).abs().max()) < QUIET * float(one.abs().max())


@pytest.mark.parametrize("seed", range(8))
def test_nothing_sounds_outside_an_event(generator: Generator, books: Codebooks, seed: int) -> None:
    random = np.random.default_rng(seed)
    codes, times = random_codes(random, 3), random.uniform(0.5, 1, 3)
    sound = layer(generator, books, codes, times, 0, 8 * RATE)
    heard = np.flatnonzero(sound.any(0)) / RATE
    assert np.isfinite(sound).all() and loudest(sound) > 0.001
    assert heard[0] >= times.min() and heard[-1] <= times.max() + DURATION
    assert not layer(generator, books, codes, times, 8 * RATE, RATE).any()
    assert not layer(generator, books, codes, times, -RATE, RATE).any()


def test_pans_and_channels(generator: Generator, books: Codebooks) -> None:
    codes = codes_of()
    vectors, keys = books.codes_to_vectors(codes), event_keys(codes)

    def peaks(pan: float, channels: int) -> Array:
        renderer = EventRenderer(SoundTables.of(generator), RATE, channels)
        return np.abs(renderer.render([0.0], [0.5], [pan], vectors, keys, 0, 4000)).max(1).astype(np.float64)

    (mono,) = peaks(0.3, 1)
    np.testing.assert_allclose(peaks(0, 2), mono * np.sqrt(0.5), rtol=1e-5)
    np.testing.assert_allclose(peaks(-1, 2), [mono, 0], atol=1e-6)
    np.testing.assert_allclose(peaks(1, 3), [0, mono, 0], atol=1e-6)
    assert not EventRenderer(SoundTables.of(generator), RATE).render([], [], [], np.zeros((0, 32)), [], 0, 100).any()
    with pytest.raises(InputError):
        EventRenderer(SoundTables.of(generator), RATE).render([0.0], [1.0], [0.0], np.zeros((1, 31)), [0], 0, 100)


def test_intermediates_add_up(generator: Generator, books: Codebooks) -> None:
    codes = codes_of(resonator=3, partial2=2, deform=1, noise=30, room=2)
    stages = intermediates(generator, books.codes_to_vectors(codes)[0], RATE, int(event_keys(codes)[0]))
    tone = (stages.resonance * stages.deformation).sum(0)
    total = tone + stages.noise + stages.room
    assert loudest(total - stages.sound) < 1e-5
    assert stages.impulse.sum() == pytest.approx(1, abs=1e-5)
    assert loudest(stages.noise) > 0.01 and loudest(stages.room) > 0.01
    assert loudest(stages.excitation - stages.impulse - stages.noise) < 1e-6
    with pytest.raises(InputError):
        intermediates(generator, np.zeros(31))


def test_weights_come_back(generator: Generator, tmp_path: Path) -> None:
    generator.save(tmp_path / "weights.safetensors")
    loaded = Generator.load(tmp_path / "weights.safetensors")
    for name, tensor in generator.state_dict().items():
        assert (loaded.state_dict()[name] == tensor).all(), name
    assert Codebooks.load(tmp_path / "weights.safetensors").sizes == tuple(part.codes for part in PARTS)
