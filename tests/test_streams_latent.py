from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_coder import ReferenceDecoder
from reference_latents import LatentReference
from stream_tools import assert_changes_are_harmless, assert_harmless, assert_round_trip, coded, read, words
from threadpoolctl import threadpool_limits

from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import InputError, UnsupportedError
from evc.format.header import NetworkReference
from evc.format.networks import find, installed_too, reference_of, tensors
from evc.format.streams import StreamContext
from evc.format.streams.latent import LatentStream, columns
from evc.format.streams.latent_model import PREFIX, SHARED, Known, LatentModel, levels
from evc.models.latents.entropy import untrained_entropy
from evc.spec.latents import drawn_entropy, write_weights

MODELS = {
    "one": drawn_entropy([1], [], 15),
    "ahead": drawn_entropy([], [1], 21),
    "seven": drawn_entropy([3, 2], [2], 18),
    "nine": drawn_entropy([2, 3], [2, 2], 17),
    "wide": drawn_entropy([20, 24], [10, 10], 29),
    "plain": untrained_entropy(64),
}


@pytest.fixture(scope="module", autouse=True)
def networks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, NetworkReference]]:
    """A network for each model, by the model's name."""
    folder = tmp_path_factory.mktemp("weights")
    NETWORKS.update({name: reference_of(write_weights(folder, tables, name)) for name, tables in MODELS.items()})
    with installed_too(folder):
        yield NETWORKS


NETWORKS: dict[str, NetworkReference] = {}


def context_of(network: str, frames: int, channels: int = 2) -> StreamContext:
    return StreamContext(44_100, channels, frames, networks=(NETWORKS[network],))


def model_of(network: str) -> LatentModel:
    return LatentModel.load(find(NETWORKS[network]))


def drawn(network: str, frames: int, spread: float, seed: int, step: int = 50) -> LatentStream:
    """Latents of a Laplace distribution whose spread varies from dimension to dimension and with time."""
    random = np.random.default_rng(seed)
    shape = columns(frames), model_of(network).dimensions
    around = spread * 2 ** (np.cumsum(random.normal(0, 0.3, shape), axis=0) + random.normal(0, 1, shape[1]))
    values = np.rint(random.laplace(0, np.maximum(around, 1e-9))).astype(np.int64)
    return LatentStream(np.clip(values, -c.MAX_LATENT, c.MAX_LATENT), step)


frame_counts = st.sampled_from([1, 2048, 2049, 18_000])


@st.composite
def streams(draw: st.DrawFn) -> tuple[LatentStream, str, int]:
    network, frames = draw(st.sampled_from(sorted(MODELS))), draw(frame_counts)
    spread = draw(st.sampled_from([0.0, 0.1, 1.0, 30.0, 5000.0]))
    return drawn(network, frames, spread, draw(st.integers(0, 99)), draw(st.integers(0, 127))), network, frames


@given(streams(), st.integers(1, 2))
def test_round_trip(case: tuple[LatentStream, str, int], channels: int) -> None:
    stream, network, frames = case
    assert_round_trip(stream, context_of(network, frames, channels))


@given(streams())
@settings(max_examples=15)
def test_the_reference_decoder_agrees(case: tuple[LatentStream, str, int]) -> None:
    stream, network, frames = case
    coding = coded(stream, context_of(network, frames))
    decoder = ReferenceDecoder(coding.words)
    arrays = {name.removeprefix(PREFIX): array.tolist() for name, array in MODELS[network].items()}
    assert LatentReference(decoder, arrays).columns(frames) == (stream.step, stream.latents.tolist())
    assert (decoder.symbols, decoder.checksum) == (coding.symbols, coding.checksum)


def test_literal_words() -> None:
    """Both directions stay what they were."""
    stream = LatentStream(np.array([[0, 1, -2, 0, 30, 4, 4], [5, 0, 0, -700, 1, 3, 5], [0, 0, 0, 0, 0, 0, -90]]), 77)
    context = context_of("seven", 6000)
    coding = coded(stream, context)
    assert coding.words.hex() == "1000009a1dee7394f1f579ec1c2b083e0d4ff464"
    assert (coding.symbols, coding.checksum) == (39, 2758873219)


@given(streams())
def test_bits_are_what_is_coded(case: tuple[LatentStream, str, int]) -> None:
    stream, network, frames = case
    encoder = SymbolEncoder(account=True)
    stream.write(encoder, context_of(network, frames))
    spent = sum(bits for kind, (_, bits) in encoder.account.items() if kind != "header")
    assert model_of(network).bits(stream.latents, stream.step).sum() == pytest.approx(spent, rel=1e-4)
    assert abs(8 * len(encoder.finish().words) - spent - c.LATENT_STEP_BITS) < 64 + 1e-4 * spent


# Contexts


@pytest.mark.parametrize("network", sorted(MODELS))
def test_what_is_known_grows_as_in_the_whole(network: str) -> None:
    """Column by column, a decoder knows what an encoder takes from all latents at once."""
    model, latents = model_of(network), drawn(network, 24_000, 3.0, 1).latents
    whole = Known.before(latents, model.predicted, 9)
    growing = Known(1, model.dimensions, model.predicted, 9)
    predictions = model.predictions(latents, 9)
    for number, column in enumerate(latents):
        np.testing.assert_array_equal(growing.features[0], whole.features[number])
        np.testing.assert_array_equal(growing.values[0], whole.values[number])
        for stage, at in enumerate(model.passes):
            for part, other in zip(model.predict(stage, growing), predictions[stage], strict=True):
                np.testing.assert_array_equal(part[0], other[number])
            growing.add(at, column[at])
        growing.advance()


def test_levels_are_logarithms() -> None:
    magnitudes = np.arange(3000)
    exact = np.minimum(12 * np.log2(magnitudes + 1.0), c.FEATURE_LIMIT)
    found = levels(magnitudes)
    assert found.max() == c.FEATURE_LIMIT and (np.diff(found) >= 0).all() and found[0] == 0
    assert (np.abs(found - exact) < 2.1).all()


def test_only_what_is_decoded_counts() -> None:
    """Later columns, and what is coded later in the same one, change no prediction."""
    model, latents = model_of("nine"), drawn("nine", 18_000, 3.0, 2).latents
    before = model.predictions(latents, 50)
    for stage in range(len(model.passes)):
        changed = latents.copy()
        changed[4, np.concatenate(model.passes[stage:])] += 99
        changed[5:] += 99
        after = model.predictions(changed, 50)
        for earlier in range(stage + 1):
            for part, other in zip(before[earlier], after[earlier], strict=True):
                np.testing.assert_array_equal(part[:5], other[:5])
        assert any((part[5:] != other[5:]).any() for part, other in zip(before[stage], after[stage], strict=True))


# The same integers everywhere


Product = Callable[[Any, Any, Any], Any]


def in_numpy(dtype: type) -> Product:
    return lambda x, weights, biases: x.astype(dtype) @ weights.T.astype(dtype) + biases.astype(dtype)


def in_torch(dtype: torch.dtype, device: str) -> Product:
    def product(x: Any, weights: Any, biases: Any) -> Any:
        tensors = [torch.from_numpy(np.asarray(part, np.float64)).to(device, dtype) for part in (x, weights, biases)]
        return (tensors[0] @ tensors[1].T + tensors[2]).cpu().numpy()

    return product


def outputs(network: str, stage: int, known: Known, product: Product) -> tuple[Any, Any]:
    """Centres [columns, n], and scales and shapes [columns, n, 2], of a pass by section 8.2 of the specification, with
    another arithmetic for the products."""
    arrays = {name.removeprefix(PREFIX): array.astype(np.int64) for name, array in MODELS[network].items()}

    def layer(x: Any, name: str, biases: Any, shift: int) -> Any:
        return np.floor(product(x, arrays[name], biases) / 2.0**shift).astype(np.int64)

    at, count = np.flatnonzero(arrays["order"] == stage), len(known.features)
    centre, place = np.zeros((count, len(at)), np.int64), at - (len(arrays["order"]) - len(arrays["centre.w"]))
    if place[0] >= 0:
        centre = layer(known.values, "centre.w", arrays["centre.b"], arrays["centre.shift"][0])[:, place]
    x = known.features[:, arrays["look"][at]].reshape(count * len(at), -1)
    for number, shift in enumerate(arrays["shifts"]):
        biases = np.tile(arrays["b0"][at], (count, 1)) if number == 0 else arrays[f"b{number}"]
        x = layer(x, f"w{number}", biases, shift)
        x = x if number == len(arrays["shifts"]) - 1 else np.clip(x, 0, c.ACTIVATION_LIMIT)
    return centre, x.reshape(count, len(at), 2)


ARITHMETIC = {
    "int64": in_numpy(np.int64),
    "float32": in_numpy(np.float32),
    "float64": in_numpy(np.float64),
    "torch float32": in_torch(torch.float32, "cpu"),
    "torch float64": in_torch(torch.float64, "cpu"),
}
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize(
    "product",
    [
        *(pytest.param(product, id=name) for name, product in ARITHMETIC.items()),
        pytest.param(in_torch(torch.float32, "cuda"), id="cuda float32", marks=needs_cuda),
        pytest.param(in_torch(torch.float64, "cuda"), id="cuda float64", marks=needs_cuda),
    ],
)
@pytest.mark.parametrize("network", ["wide", "nine", "plain"])
def test_every_arithmetic_gives_the_same_integers(network: str, product: Product) -> None:
    model, latents = model_of(network), drawn(network, 120_000, 20.0, 3).latents
    known = Known.before(latents, model.predicted, 50)
    for stage, at in enumerate(model.passes):
        found = model.predict(stage, known)
        centre, found_by_product = outputs(network, stage, known, product)
        scale, shape = found_by_product.transpose(2, 0, 1)
        scale, shape = np.clip(scale, 0, c.MOST_LATENT_SCALE), np.clip(shape, 0, c.LATENT_SHAPES - 1)
        low_bits = np.maximum((scale - 28) // 3, 0)
        row = 4 * (scale - 3 * low_bits) + centre % 4 if model.signed(stage) else 31 * shape + scale - 3 * low_bits
        for part, expected in zip(found, (centre // 4, row, low_bits), strict=True):
            np.testing.assert_array_equal(part, expected)
        known.add(at, latents[:, at])


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_threads_do_not_matter(threads: int) -> None:
    """Neither those of the matrix library nor segments decoded beside each other."""
    stream, context = drawn("wide", 80_000, 2.0, 4), context_of("wide", 80_000)
    with threadpool_limits(1):
        coding = coded(stream, context)
    with threadpool_limits(threads), ThreadPoolExecutor(threads) as pool:
        assert list(pool.map(lambda _: coded(stream, context), range(threads))) == [coding] * threads
        for found in pool.map(lambda _: read(LatentStream, coding, context), range(threads)):
            np.testing.assert_array_equal(found.latents, stream.latents)


# What it is for


def test_the_untrained_model_finds_the_scale_of_each_dimension() -> None:
    """Within a tenth of the entropy of a Laplace distribution per dimension."""
    spread = np.linspace(0.3, 6, 64)
    latents = np.rint(np.random.default_rng(5).laplace(0, spread, (300, 64))).astype(np.int64)
    beyond = np.exp(-(np.arange(200)[:, None] - 0.5) / spread)
    beyond[0] = 1
    mass = np.maximum(beyond[:-1] - beyond[1:], 1e-300)
    entropy = -(mass * np.log2(mass)).sum() + beyond[1].sum()
    assert model_of("plain").bits(latents, 0)[20:].mean() < 1.1 * entropy


def test_silence_is_cheap() -> None:
    stream = LatentStream(np.zeros((columns(800_000), 64), np.int64), 0)
    assert len(coded(stream, context_of("plain", 800_000)).words) < 0.02 * stream.latents.size


# Limits and errors


@pytest.mark.parametrize(
    "stream",
    [
        LatentStream(np.zeros((3, 7), np.int64), 128),
        LatentStream(np.zeros((3, 7), np.int64), -1),
        LatentStream(np.zeros((2, 7), np.int64), 0),
        LatentStream(np.zeros((3, 6), np.int64), 0),
        LatentStream(np.zeros(21, np.int64), 0),
        LatentStream(np.full((3, 7), 32_768), 0),
        LatentStream(np.full((3, 7), -32_768), 0),
    ],
)
def test_what_breaks_a_limit_is_not_written(stream: LatentStream) -> None:
    with pytest.raises(InputError):
        coded(stream, context_of("seven", 6000))


def test_a_network_that_is_not_installed_is_named() -> None:
    stream, context = drawn("seven", 6000, 1.0, 0), context_of("seven", 6000)
    coding = coded(stream, context)
    for missing in (NetworkReference("other", bytes(8)), replace(NETWORKS["seven"], digest=bytes(8))):
        lacking = replace(context, networks=(NETWORKS["nine"], missing))
        with pytest.raises(UnsupportedError, match=missing.id):
            coded(stream, lacking)
        with pytest.raises(UnsupportedError, match=missing.id):
            read(LatentStream, coding, lacking)
    with pytest.raises(UnsupportedError, match="no network"):
        read(LatentStream, coding, replace(context, networks=()))


@pytest.mark.parametrize(
    "name, array",
    [
        ("order", np.array([0, 1, 0, 1, 0, 4, 4])),
        ("order", np.array([0, 0, 0, 0, 0, 2, 2])),
        ("order", np.array([0, 1, 0, 1, -1, 2, 2])),
        ("order", np.array([0, 1, 0, 1, 2, 2, 2])),
        ("order", np.zeros((7, 1), np.int64)),
        ("look", np.zeros((6, 12), np.int64)),
        ("look", np.zeros((7, 11), np.int64)),
        ("look", np.full((7, 12), 5 * 7 + 2 + SHARED)),
        ("look", np.full((7, 12), -1)),
        ("magnitudes", np.ones((93, 18), np.int64)),
        ("magnitudes", np.full((93, 19), -1)),
        ("differences", np.ones((124, 36), np.int64)),
        ("centre.w", np.zeros((2, 5), np.int64)),
        ("centre.w", np.zeros((8, 24), np.int64)),
        ("centre.w", np.full((2, 6), 3000)),
        ("centre.b", np.zeros(3, np.int64)),
        ("centre.shift", np.array([-1])),
        ("b0", np.zeros((6, 8), np.int64)),
        ("b0", np.zeros(8, np.int64)),
        ("w0", np.zeros((8, 3), np.int64)),
        ("w0", np.eye(8, 12, dtype=np.int64) << 15),
        ("w0", np.eye(8, 12, dtype=np.int64) * -(1 << 15)),
        ("w1", np.full((5, 8), 1 << 20)),
        ("w2", np.zeros((3, 5), np.int64)),
        ("b2", np.zeros((7, 2), np.int64)),
        ("shifts", np.zeros(0, np.int64)),
        ("shifts", np.array([3, 4])),
        ("shifts", np.array([3, 4, 60])),
        ("w2", None),
    ],
)
def test_arrays_that_make_no_model_are_refused(name: str, array: Any) -> None:
    arrays = {key.removeprefix(PREFIX): value for key, value in MODELS["seven"].items()}
    LatentModel(arrays)
    arrays[name] = array
    if array is None:
        del arrays[name]
    with pytest.raises(InputError, match="probabilities of latents"):
        LatentModel(arrays)


def test_weights_of_one_name_are_told_by_their_digest(tmp_path: Path) -> None:
    other = reference_of(write_weights(tmp_path, MODELS["nine"], "seven"))
    with pytest.raises(UnsupportedError, match="seven has other weights"):
        find(other)
    with installed_too(tmp_path):
        assert find(other).parent == tmp_path and LatentModel.of([other]).dimensions == 9
        assert LatentModel.of([other, NETWORKS["seven"]]).dimensions == 7
    with pytest.raises(UnsupportedError, match="seven has other weights"):
        find(other)


def test_tensors_of_a_file_of_weights() -> None:
    found = tensors(find(NETWORKS["wide"]), PREFIX)
    assert {PREFIX + name for name in found} == set(MODELS["wide"])
    for name, array in MODELS["wide"].items():
        np.testing.assert_array_equal(found[name.removeprefix(PREFIX)], array)


@given(words, st.integers(0, 2000), st.sampled_from(sorted(MODELS)), frame_counts)
def test_any_words_are_harmless(data: bytes, symbols: int, network: str, frames: int) -> None:
    assert_harmless(LatentStream, data, symbols, context_of(network, frames))


@pytest.mark.parametrize("network", ["nine", "plain"])
@pytest.mark.parametrize("spread", [1.0, 3000.0])
def test_changed_words_are_harmless(network: str, spread: float) -> None:
    assert_changes_are_harmless(drawn(network, 18_000, spread, 1), context_of(network, 18_000), changes=20)


def test_nothing_is_allocated_for_symbols_that_are_not_there() -> None:
    with pytest.raises(Exception, match="declares"):
        LatentStream.read(SymbolDecoder(b"", 1000, 0), context_of("wide", 1 << 40))
