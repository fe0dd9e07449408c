"""Files that change the network of their latents: the numbers, what they make of weights, what keeps them."""

from __future__ import annotations

import io
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latent_tools import RATE, SEGMENT, SMALL, file_of, latent_header, network_installed, random_network, streams_of
from test_latent_inference import CONFIGS, Case, drawn

import evc
from evc import kernels
from evc.editing.joining import join_files
from evc.format import constants as c
from evc.format.chain import Chain
from evc.format.coder import SymbolEncoder
from evc.format.container import chunk_bytes
from evc.format.decoding import SegmentDecoder
from evc.format.errors import DamagedError, EvcError, EvcWarning, FormatError, InputError, UnsupportedError
from evc.format.networks import find
from evc.format.reader import ContainerReader
from evc.format.segment import StreamData, read_adaptation, write_adaptation
from evc.format.streams.difference import DifferenceStream, coded_difference, decoded_difference
from evc.format.streams.port import WritePort
from evc.format.writer import ContainerWriter
from evc.models.adaptation.parts import adapted, numbers_of, parts, start
from evc.models.latents.inference import ArrayNetwork
from evc.models.latents.layout import LatentConfig
from evc.models.latents.network import LatentNetwork
from evc.models.latents.on_device import DeviceNetwork
from evc.models.latents.weights import read_weights, shapes

Run = Callable[..., subprocess.CompletedProcess[bytes]]
PATHS = pytest.mark.parametrize("path", [nullcontext, kernels.reference], ids=["compiled", "numpy"])
FRAMES = 2 * SEGMENT + 3333


def drawn_difference(config: LatentConfig, rank: int, size: float = 0.7, seed: int = 0) -> DifferenceStream:
    """Numbers of a mean size, in steps that differ."""
    random = np.random.default_rng(seed)
    counts = [sum(part.numbers for part in parts(config, rank) if part.group == group) for group in range(5)]
    values = (np.rint(random.laplace(0, size, count)).astype(np.int64) for count in counts)
    return DifferenceStream(rank, (12, 11, 20, 9, 27), tuple(np.clip(each, -63, 63) for each in values))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A small one, in place of the package's."""
    with network_installed(tmp_path_factory.mktemp("weights"), random_network()):
        yield


@pytest.fixture(scope="module")
def plain(network: None) -> bytes:
    header = latent_header(RATE, 2, FRAMES, segment_frames=SEGMENT)
    return file_of(streams_of(header), header)


@pytest.fixture(scope="module")
def changed(network: None) -> bytes:
    header = latent_header(RATE, 2, FRAMES, segment_frames=SEGMENT)
    return file_of(streams_of(header), header, coded_difference(drawn_difference(SMALL, 2)))


def read(data: bytes) -> np.ndarray:
    with evc.open(io.BytesIO(data)) as file:
        return file.read(always_2d=True)


def same(one: DifferenceStream, other: DifferenceStream) -> bool:
    equal = all(np.array_equal(*pair) for pair in zip(one.values, other.values, strict=True))
    return (one.rank, one.steps) == (other.rank, other.steps) and equal


GROUPS = st.lists(
    st.one_of(
        st.lists(st.integers(-63, 63), max_size=70),
        st.builds(lambda count, at, value: [value if n == at else 0 for n in range(count)],
                  st.integers(0, 400), st.integers(0, 400), st.integers(-63, 63)),
    ), min_size=5, max_size=5,
)  # fmt: skip


@given(st.integers(0, 4), st.tuples(*[st.integers(0, 31)] * 5), GROUPS)
def test_what_is_written_is_read(rank: int, steps: tuple[int, ...], groups: list[list[int]]) -> None:
    wanted = DifferenceStream(rank, steps, tuple(np.array(group, np.int64) for group in groups))
    data = coded_difference(wanted)
    with kernels.reference():
        assert coded_difference(wanted) == data
        assert same(decoded_difference(data)[0], wanted)
    found, account = decoded_difference(data, account=True)
    assert same(found, wanted) and sum(symbols for symbols, _ in account.values()) == data.symbols
    payload = write_adaptation(data)
    assert read_adaptation(payload, latent_header(RATE, 1, 1)) == data


@pytest.mark.parametrize(
    "wrong",
    [
        DifferenceStream(rank=5), DifferenceStream(steps=(0, 0, 0, 0, 32)), DifferenceStream(steps=(0, 0, 0, 0)),
        DifferenceStream(values=(np.array([64]), *[np.zeros(0, np.int64)] * 4)),
        DifferenceStream(values=(np.zeros((1 << 17) + 1, np.int64), *[np.zeros(0, np.int64)] * 4)),
    ],
)  # fmt: skip
def test_what_breaks_a_limit_is_not_written(wrong: DifferenceStream) -> None:
    with pytest.raises(InputError):
        coded_difference(wrong)


@settings(max_examples=150)
@given(st.binary(max_size=80), st.integers(0, 1 << 21), st.integers(0, 2**32 - 1))
def test_any_words_are_numbers_or_an_error(words: bytes, symbols: int, checksum: int) -> None:
    for data in (words, words[: len(words) // 4 * 4]):
        with pytest.raises((DamagedError, FormatError)):  # the checksum is never right
            decoded_difference(StreamData(c.STREAM_ADAPTATION, data, symbols, checksum ^ 1))


@settings(max_examples=40)
@given(st.data())
def test_damaged_payloads(data: st.DataObject) -> None:
    payload = bytearray(write_adaptation(coded_difference(drawn_difference(SMALL, 1, 0.3))))
    for at in data.draw(st.sets(st.integers(0, len(payload) - 1), min_size=1, max_size=3)):
        payload[at] ^= data.draw(st.integers(1, 255))
    payload = payload[: data.draw(st.one_of(st.just(len(payload)), st.integers(0, len(payload))))]
    with pytest.raises(EvcError):
        decoded_difference(read_adaptation(bytes(payload), latent_header(RATE, 1, 1)))


def test_counts_are_checked_before_memory_is_taken() -> None:
    """Five groups of the most there may be, and not a symbol for them."""
    encoder = SymbolEncoder()
    port = WritePort(encoder)
    port.field(1, c.DIFFERENCE_RANK_BITS)
    for _ in range(5):
        port.field(9, c.DIFFERENCE_STEP_BITS)
    for _ in range(5):
        port.number(1 << 17, c.DIFFERENCE_COUNT_ORDER)
    coded = encoder.finish()
    data = StreamData(c.STREAM_ADAPTATION, coded.words, coded.symbols, coded.checksum)
    with pytest.raises(DamagedError, match="more than"):
        decoded_difference(data)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.channels} channels")
@PATHS
def test_decoding_is_that_of_torch(
    config: LatentConfig, path: type[AbstractContextManager[None]], tmp_path: Path
) -> None:
    """With changed weights, and unlike what it is without."""
    file = drawn(config, tmp_path)
    _, tensors = read_weights(file)
    tensors_then = adapted(tensors, config, drawn_difference(config, 3))
    assert {name: tensor.shape for name, tensor in tensors_then.items()} == shapes(config)
    assert {tensor.dtype for tensor in tensors_then.values()} == {np.dtype(np.float32)}
    case = Case(config, 3)
    expected = case.decoded(DeviceNetwork(LatentNetwork.of(config, tensors_then), "cpu"))
    with path():
        heard = case.decoded(ArrayNetwork(config, tensors_then))
        before = case.decoded(ArrayNetwork(config, tensors))
        latents = case.encoded(ArrayNetwork(config, tensors_then))
        np.testing.assert_array_equal(latents, case.encoded(ArrayNetwork(config, tensors)))
    np.testing.assert_allclose(heard, expected, atol=1e-4 * np.abs(expected).max(), rtol=0)
    assert np.abs(heard - before).max() > 0.01 * np.abs(before).max()


@PATHS
@pytest.mark.parametrize("sign", [-1, 1])
def test_the_greatest_numbers_make_finite_sound(
    sign: int, path: type[AbstractContextManager[None]], tmp_path: Path
) -> None:
    config = LatentConfig(channels=24, expansion=3, encoder_blocks=0, coarse_blocks=2, fine_blocks=4)
    _, tensors = read_weights(drawn(config, tmp_path))
    full = drawn_difference(config, c.MAX_DIFFERENCE_RANK)
    values = tuple(np.full_like(group, 63 * sign ** number) for number, group in enumerate(full.values))
    greatest = adapted(tensors, config, replace(full, steps=(31,) * 5, values=values))
    with path(), np.errstate(over="ignore"):
        assert np.isfinite(Case(config, 2).decoded(ArrayNetwork(config, greatest))).all()


def test_nothing_changes_nothing(tmp_path: Path) -> None:
    config = CONFIGS[0]
    _, tensors = read_weights(drawn(config, tmp_path))
    for rank in (0, 2):
        same_tensors = adapted(tensors, config, drawn_difference(config, rank, 0.0))
        assert all(np.array_equal(same_tensors[name], tensor) for name, tensor in tensors.items())
    assert set(start(2, 5).ravel()) == {1.0, -1.0} and start(2, 5).shape == (2, 5)
    with pytest.raises(FormatError, match="do not fit"):
        numbers_of(drawn_difference(CONFIGS[1], 2), config)


def test_a_file_sounds_otherwise_with_the_same_integers(plain: bytes, changed: bytes) -> None:
    latents = []
    for data in (plain, changed):
        container = ContainerReader(io.BytesIO(data))
        decoded = SegmentDecoder(container).decode(range(container.segments))
        latents.append(np.concatenate([streams[c.STREAM_LATENT].latents for streams in decoded.values()]))
    np.testing.assert_array_equal(*latents)
    before, after = read(plain), read(changed)
    assert np.isfinite(after).all() and np.abs(after - before).max() > 1e-3
    with evc.open(io.BytesIO(changed)) as file:
        file.verify(synthesis=True)
        file.seek(SEGMENT + 100)
        np.testing.assert_allclose(file.read(5000), after[SEGMENT + 100 :][:5000], atol=1e-6)


def test_it_is_charged_and_named(changed: bytes, tmp_path: Path, run_evc: Run) -> None:
    (tmp_path / "a.evc").write_bytes(changed)
    with evc.open(io.BytesIO(changed)) as file:
        stats = file.stats()
        words = file.container.adaptation.words
        assert file.stats(symbols=False).layers[-1].bits == 8 * len(words)
    layer = stats.layers[-1]
    assert layer.name == "adaptation" and layer.bits == 8 * len(words) and abs(layer.model_bits - layer.bits) < 64
    assert [stream.name for stream in layer.streams] == [
        "header", "gains", "biases", "band values", "outputs", "inputs"
    ]  # fmt: skip
    assert sum(layer.bits for layer in stats.layers) + stats.overhead_bits == 8 * len(changed)
    place = next(p for p in ContainerReader(io.BytesIO(changed)).chunks if p.type == c.CHUNK_NETW)
    assert evc.info(tmp_path / "a.evc").adapted == place.size
    assert b", adapted by " in run_evc("info", tmp_path / "a.evc").stdout


def test_editing_keeps_it(plain: bytes, changed: bytes) -> None:
    sound = read(changed)
    tagged = io.BytesIO()
    evc.edit_tags(io.BytesIO(changed), tagged, {"title": "x" * 99})
    np.testing.assert_array_equal(read(tagged.getvalue()), sound)
    part = io.BytesIO()
    with evc.open(io.BytesIO(changed)) as file:
        evc.cut_file(file, part, 1000, SEGMENT)
    np.testing.assert_allclose(read(part.getvalue()), sound[1000:][:SEGMENT], atol=1e-6)
    joined = io.BytesIO()
    assert join_files([io.BytesIO(data) for data in (changed, plain, changed)], joined) == []
    expected = np.concatenate([sound, read(plain), sound])
    np.testing.assert_allclose(read(joined.getvalue()), expected, atol=1e-6)
    assert evc.info(io.BytesIO(joined.getvalue())).adapted == 2 * evc.info(io.BytesIO(changed)).adapted
    silent = io.BytesIO()
    with evc.open(io.BytesIO(changed)) as file:
        evc.write_events(silent, file.events[:3], file)
    assert Chain(io.BytesIO(silent.getvalue())).adapted_bytes > 0


def test_without_the_weights_all_else_can_be_read(changed: bytes) -> None:
    container = ContainerReader(io.BytesIO(changed))
    head = container.header
    other = replace(head, networks=(head.networks[0], replace(head.networks[1], digest=b"otherone")))
    lacking = changed.replace(chunk_bytes(c.CHUNK_HEAD, head.write()), chunk_bytes(c.CHUNK_HEAD, other.write()))
    assert lacking != changed
    with evc.open(io.BytesIO(lacking)) as file:
        assert len(file.events) == 40 and file.stats(symbols=False).layers[-1].name == "adaptation"
        with pytest.raises(UnsupportedError, match="other weights"):
            file.read()


@pytest.mark.parametrize("sealed", [False, True])
def test_salvage_goes_on_without_it(sealed: bool, plain: bytes, changed: bytes) -> None:
    """Where the CRC is wrong, and where it is right but the numbers are not."""
    place = next(p for p in ContainerReader(io.BytesIO(changed)).chunks if p.type == c.CHUNK_NETW)
    damaged = bytearray(changed)
    damaged[place.offset + 40] ^= 4
    if sealed:
        payload = bytes(damaged[place.offset + c.CHUNK_HEADER_BYTES :][: place.length])
        damaged[place.offset : place.end] = chunk_bytes(c.CHUNK_NETW, payload)
    with pytest.raises(EvcError):
        evc.open(io.BytesIO(damaged)).read()
    with pytest.warns(EvcWarning, match="changes of its network"):
        file = evc.open(io.BytesIO(damaged), salvage=True)
    np.testing.assert_allclose(file.read(), read(plain), atol=1e-6)


def test_one_for_another_network_is_refused(plain: bytes) -> None:
    header = latent_header(RATE, 2, FRAMES, segment_frames=SEGMENT)
    data = file_of(streams_of(header), header, coded_difference(drawn_difference(CONFIGS[1], 1)))
    with evc.open(io.BytesIO(data)) as file:
        file.verify()
        with pytest.raises(FormatError, match="do not fit the network"):
            file.read()
    assert read_weights(find(header.networks[-1]))[0] == SMALL


def test_writers_put_it_first_and_once() -> None:
    header, stream = latent_header(RATE, 1, 0), coded_difference(DifferenceStream())
    writer = ContainerWriter(io.BytesIO(), header)
    writer.add_adaptation(stream)
    with pytest.raises(InputError, match="once"):
        writer.add_adaptation(stream)
    with pytest.raises(InputError, match="has none"):
        ContainerWriter(io.BytesIO(), replace(header, layers=("noise",))).add_adaptation(stream)
    huge = StreamData(c.STREAM_ADAPTATION, bytes(c.MAX_ADAPTATION_BYTES), 0, 0)
    with pytest.raises(InputError, match="more than"):
        ContainerWriter(io.BytesIO(), header).add_adaptation(huge)
    file = io.BytesIO()
    with ContainerWriter(file, header):
        pass
    end = file.getvalue().index(c.CHUNK_END)
    payload = write_adaptation(replace(huge, words=huge.words[:-100]))
    data = bytearray(file.getvalue()[:end] + chunk_bytes(c.CHUNK_NETW, payload + bytes(200)))
    data += chunk_bytes(c.CHUNK_END, struct.pack("<IQQ", 0, len(data) + 33, 0))
    with pytest.raises(FormatError, match="more than is allowed"):
        ContainerReader(io.BytesIO(bytes(data)))
