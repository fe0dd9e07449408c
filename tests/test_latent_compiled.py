"""The compiled walk over latents beside the one in Python: the same words, the same integers, the same errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from evc import kernels
from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.errors import EvcError
from evc.format.header import NetworkReference
from evc.format.networks import installed_too, reference_of
from evc.format.streams import StreamContext
from evc.format.streams.latent import LatentStream, columns
from evc.format.streams.latent_model import PREFIX, LatentModel
from evc.models.latents.entropy import untrained_entropy
from evc.models.latents.quantise import chosen
from evc.spec.latents import drawn_entropy, write_weights

pytestmark = pytest.mark.skipif(kernels.lib is None, reason="there are no kernels")

SIZES = {
    "one": ([1], []),
    "ahead": ([], [1]),
    "seven": ([3, 2], [2]),
    "nine": ([2, 3], [2, 2]),
    "wide": ([20, 24], [10, 10]),
}
SPREADS = (0.0, 0.1, 1.0, 30.0, 5000.0)


@pytest.fixture(scope="module", params=[*SIZES, "plain"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, plain = tmp_path_factory.mktemp("weights"), request.param == "plain"
    entropy = untrained_entropy(64) if plain else drawn_entropy(*SIZES[request.param], 5)
    path = write_weights(folder, entropy, request.param)
    with installed_too(folder):
        yield LatentModel.load(path), reference_of(path)


def drawn(model: LatentModel, count: int, spread: float, seed: int) -> np.ndarray:
    """Latents of dimensions and times that differ."""
    random = np.random.default_rng(seed)
    around = spread * 2 ** np.cumsum(random.normal(0, 0.5, (count, model.dimensions)), axis=0)
    values = np.rint(random.laplace(0, np.maximum(around, 1e-9)))
    return np.clip(values, -c.MAX_LATENT, c.MAX_LATENT).astype(np.int64)


def context_of(reference: NetworkReference, frames: int) -> StreamContext:
    return StreamContext(44_100, 2, frames, networks=(reference,))


def written(stream: LatentStream, context: StreamContext) -> Any:
    encoder = SymbolEncoder()
    stream.write(encoder, context)
    return encoder.finish()


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("step", [0, 50, 127])
def test_words_and_integers(network: Any, spread: float, step: int) -> None:
    model, reference = network
    frames = 23 * c.LATENT_HOP - 5
    context, latents = context_of(reference, frames), drawn(model, columns(frames), spread, step)
    coding = written(LatentStream(latents, step), context)
    with kernels.reference():
        assert written(LatentStream(latents, step), context) == coding
        slow = LatentStream.read(SymbolDecoder(coding.words, coding.symbols, coding.checksum), context)
    decoder = SymbolDecoder(coding.words, coding.symbols, coding.checksum)
    assert decoder.port is not None and model.compiled is not None
    found = LatentStream.read(decoder, context)
    decoder.finish()
    np.testing.assert_array_equal(found.latents, latents)
    np.testing.assert_array_equal(slow.latents, latents)
    assert found.step == slow.step == step


@pytest.mark.parametrize("spread", SPREADS)
def test_bits_and_choices(network: Any, spread: float) -> None:
    model, _ = network
    latents, random = drawn(model, 30, spread, 3), np.random.default_rng(4)
    wanted = (latents + random.normal(0, 0.4, latents.shape)).astype(np.float32)
    bits, choices = model.bits(latents, 60), [chosen(model, wanted, 60, worth) for worth in (0.0, 0.05, 0.2)]
    with kernels.reference():
        np.testing.assert_allclose(model.bits(latents, 60), bits, rtol=1e-6)
        slow = [chosen(model, wanted, 60, worth) for worth in (0.0, 0.05, 0.2)]
    for one, other in zip(choices, slow, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("largest", [3e4, 1e9, np.inf])
def test_what_is_wanted_far_outside_the_range_is_limited(network: Any, largest: float) -> None:
    model, _ = network
    wanted = np.full((3, model.dimensions), largest, np.float32)
    wanted[1] *= -1
    found = chosen(model, wanted, 10, 0.05)
    with kernels.reference():
        np.testing.assert_array_equal(chosen(model, wanted, 10, 0.05), found)
    assert np.abs(found).max() <= c.MAX_LATENT


def outcome(words: bytes, symbols: int, context: StreamContext) -> tuple[str, Any]:
    """What reading gives: latents, or the error's name."""
    decoder = SymbolDecoder(words, symbols, 0)
    try:
        stream = LatentStream.read(decoder, context)
    except EvcError as error:
        return type(error).__name__, str(error)
    return "read", (stream.step, stream.latents.tolist())


def test_hostile_words(network: Any) -> None:
    """Random words, and true ones with a flipped bit or cut off, end alike in both; some as latents, some in errors."""
    model, reference = network
    random, context = np.random.default_rng(8), context_of(reference, 3 * c.LATENT_HOP)
    kinds = set()
    for number in range(60):
        coding = written(LatentStream(drawn(model, 3, float(random.choice(SPREADS)), number), 40), context)
        words = bytearray(coding.words)
        if number % 3 == 0:
            words[:] = random.bytes(4 * int(random.integers(0, 60)))
        elif number % 3 == 1:
            words[int(random.integers(len(words)))] ^= 1 << int(random.integers(8))
        else:
            del words[4 * int(random.integers(len(words) // 4 + 1)) :]
        symbols = coding.symbols if number % 2 else int(random.integers(0, 2 * coding.symbols + 1))
        found = outcome(bytes(words), symbols, context)
        with kernels.reference():
            expected = outcome(bytes(words), symbols, context)
        # Python asks for all symbols of a call before it looks at one of them: of two errors it may see the other one.
        assert found == expected or "read" not in (found[0], expected[0])
        kinds.add(found[0])
    assert {"read", "DamagedError"} <= kinds


def test_networks_too_large_for_kernels_run_in_python() -> None:
    entropy = {name.removeprefix(PREFIX): array for name, array in untrained_entropy(4).items()}
    hidden = 600
    entropy["w0"], entropy["b0"] = np.zeros((hidden, 4), int), np.zeros((4, hidden), int)
    entropy["w1"] = np.zeros((2, hidden), int)
    model = LatentModel(entropy)
    assert model.compiled is None and model.bits(np.ones((2, 4), np.int64), 5).shape == (2,)
