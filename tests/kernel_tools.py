"""What comparisons of the compiled kernels with NumPy share: random spectrum streams, damage, what comes of both."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from evc import kernels
from evc.format import constants as c
from evc.format.coder import CodedStream, SymbolDecoder, SymbolEncoder
from evc.format.streams import StreamContext
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import Group, SpectrumStream, channel_groups
from evc.format.streams.spectrum_blocks import Block

Random = np.random.Generator

needs_kernels = pytest.mark.skipif(kernels.lib is None, reason=kernels.what_runs())
RATES = (8_000, 22_050, 44_100, 96_000, 192_000)  # of all lengths of superframes
SPARE = 300  # symbols that a damaged stream may have more than it declares, or fewer


@dataclass(frozen=True)
class Refused:
    """An exception in place of a result."""

    kind: type[BaseException]
    message: str


def outcome(function: Callable[[], Any]) -> Any:
    """What a function returns, or `Refused`."""
    try:
        return function()
    except Exception as error:
        return Refused(type(error), str(error))


def both(function: Callable[[], Any]) -> tuple[Any, Any]:
    """The outcomes with kernels and without."""
    compiled = outcome(function)
    with kernels.reference():
        return compiled, outcome(function)


def assert_same_outcome(one: Any, other: Any) -> None:
    """Equal results, or exceptions of the same class. Which of several faults in a call is told may differ."""
    if isinstance(one, Refused) and isinstance(other, Refused):
        assert one.kind is other.kind, (one, other)
    else:
        assert one == other


# --- Random streams ---


def spectrum_case(
    random: Random, rates: tuple[int, ...] = RATES, most: int = 4
) -> tuple[SpectrumStream, StreamContext]:
    """A stream of at most `most` superframes in which all that the format knows may occur, with sense or without."""
    rate, channels = int(random.choice(rates)), int(random.choice([1, 2, 2, 3]))
    superframe = c.superframe_length(rate)
    count = int(random.integers(1, most + 1))
    context = StreamContext(rate, channels, count * superframe - int(random.integers(superframe)))
    if random.random() < 0.5:
        starts = random.integers(-superframe, count * superframe, random.integers(0, 4))
        spans = np.stack([starts, starts + random.integers(0, 2 * superframe, len(starts))], axis=1)
        context = context.with_covered(spans)
    groups = [_group(random, rate, part.stop - part.start, count) for part in channel_groups(channels)]
    return SpectrumStream(groups), context


def _group(random: Random, rate: int, channels: int, count: int) -> Group:
    gain = int(random.choice([-c.SPECTRUM_GAIN_OFFSET, -900, -300, 0, 200, c.SPECTRUM_GAIN_OFFSET - 1]))
    if random.random() < 0.1:
        return Group(gain, 0)
    most = layout.most_coarse_bands(rate)
    coarse = most if random.random() < 0.3 else int(random.integers(1, most + 1))
    geometry, group = layout.geometry(c.superframe_length(rate), coarse), Group(gain, coarse)
    share, last = random.choice([0.0, 0.4, 0.8]), None
    for _ in range(count):
        blocks = []
        for depth in partition(random, share):
            last = random_block(random, geometry, channels, depth, last)
            blocks.append(last)
        group.superframes.append(blocks)
    if random.random() < 0.5:
        group.offsets = random.choice([0, 1, 7, c.SPECTRUM_OFFSETS - 1], count).tolist()
    return group


def partition(random: Random, share: float, depth: int = 0) -> list[int]:
    """Depths of the blocks of a superframe that is cut by a random tree."""
    if depth == c.BLOCK_DEPTHS - 1 or random.random() >= share:
        return [depth]
    return partition(random, share, depth + 1) + partition(random, share, depth + 1)


def random_block(random: Random, geometry: layout.Geometry, channels: int, depth: int, last: Block | None) -> Block:
    bands = geometry.layouts[depth]
    shape = channels, bands.bands
    energies = np.clip(random.integers(0, 48) + np.cumsum(random.integers(-6, 7, shape), axis=1), 0, c.ENERGY_MAX)
    if random.random() < 0.2:  # log steps below 0, too
        energies = random.integers(0, 4, shape)
    energies[random.random(shape) < random.choice([0, 0.1, 0.6, 1.0])] = random.choice([0, 0, c.ENERGY_MAX])
    sizes = random.choice([0.0, 0.0, 0.3, 3.0, 40.0, 1e4, c.MAX_MAGNITUDE], shape)[:, bands.band_of_bin]
    values = np.clip(np.rint(random.laplace(0, 1, sizes.shape) * sizes), -c.MAX_MAGNITUDE, c.MAX_MAGNITUDE)
    if random.random() < 0.8:  # else some lie where there is no energy, and are not coded
        values[energies[:, bands.band_of_bin] == 0] = 0
    modes = random.integers(0, c.STEREO_MODES, geometry.coarse_bands) * (channels == 2)
    block = Block(depth, modes.astype(np.int32), energies, values.astype(np.int32))
    block.held = last is not None and last.depth == depth and bool(random.random() < 0.4)
    block.alone = bool(random.random() < 0.2)
    if random.random() < 0.5:
        block.rises = random.integers(-c.MOST_RISE, c.MOST_RISE + 1, shape) // random.choice([1, 10, 100])
    return block


def written(stream: SpectrumStream, context: StreamContext) -> CodedStream:
    """What a stream is coded as. A copy of it is written: one of the two writers changes what is not to be coded."""
    encoder = SymbolEncoder()
    copy.deepcopy(stream).write(encoder, context)
    return encoder.finish()


# --- What is read ---


def reads(coded: CodedStream, context: StreamContext, account: bool = False) -> list[Any]:
    """All integers that a stream decodes to, those that the walk finds out included; symbols left, and the checksum."""
    decoder = SymbolDecoder(coded.words, coded.symbols, coded.checksum, account)
    stream = SpectrumStream.read(decoder, context)
    groups = [
        (group.gain, group.coarse_bands, list(group.offsets), [[_content(block) for block in blocks]
                                                               for blocks in group.superframes])
        for group in stream.groups
    ]  # fmt: skip
    return [decoder.remaining, decoder._words.checksum, *groups]


def _content(block: Block) -> list[Any]:
    arrays = block.modes, block.energies, block.coefficients, block.rises, block.steps
    flat = [None if array is None else np.asarray(array, np.int64).tobytes() for array in arrays]
    return [block.depth, bool(block.held), bool(block.alone), *flat]


def damaged(coded: CodedStream, random: Random) -> CodedStream:
    """The same with other words or counts; the checksum becomes one that no words match."""
    words, symbols = coded.words, coded.symbols
    change = int(random.integers(8))
    at = int(random.integers(max(len(words), 1)))
    if change <= 2 and words:
        changed = bytearray(words)
        for place in (at,) if change < 2 else random.integers(0, len(words), 5).tolist():
            changed[place] ^= 1 << int(random.integers(8))
        words = bytes(changed)
    elif change == 3:
        words = words[: at // 4 * 4] + random.bytes(len(words) - at // 4 * 4)
    elif change == 4:
        words = words[: at // 4 * 4]
    elif change == 5:
        words = random.bytes(4 * int(random.integers(0, 100)))
    elif change == 6:
        words = words[: at // 4 * 4] + bytes([int(random.choice([0, 255]))]) * 40
    if change == 7 or random.random() < 0.3:
        symbols = max(0, symbols + int(random.integers(-SPARE, SPARE)))
    else:
        symbols += SPARE
    return CodedStream(words, symbols, coded.checksum)
