"""The spectrum stream against a decoder written from the specification alone."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from reference_coder import ReferenceDecoder
from reference_spectrum import spectrum

import evc
from evc import constants as c
from evc.coder import SymbolDecoder, SymbolEncoder
from evc.models import sequencer
from evc.reader import ContainerReader
from evc.streams import StreamContext
from evc.streams import spectrum_layout as layout
from evc.streams.spectrum import Group, SpectrumStream
from evc.streams.spectrum_walk import Block

FRAMES = 2048


def music(channels: int) -> np.ndarray:
    """Two superframes at 8 kHz that begin with an attack."""
    return sequencer.track(10.0, 8000)[63_800 : 63_800 + FRAMES, :channels]


def agrees(stream: SpectrumStream, words: bytes, context: StreamContext) -> ReferenceDecoder:
    """Whether the reference decodes the integers of `stream` from `words`; the decoder, to compare its sums."""
    decoder = ReferenceDecoder(words)
    found = spectrum(decoder, context.samplerate, context.channels, context.frames)
    assert len(found) == len(stream.groups)
    for expected, group in zip(stream.groups, found, strict=True):
        assert (expected.gain, expected.coarse_bands) == (group["gain"], group["coarse_bands"])
        assert len(expected.superframes) == len(group["superframes"])
        for blocks, others in zip(expected.superframes, group["superframes"], strict=True):
            assert [block.depth for block in blocks] == [other["depth"] for other in others]
            for block, other in zip(blocks, others, strict=True):
                assert block.held == other["held"]
                for name in ("modes", "energies", "coefficients"):
                    assert getattr(block, name).tolist() == other[name]
    return decoder


@pytest.mark.parametrize("channels, quality", [(1, 9.0), (2, 5.0)])
def test_a_file_of_the_encoder(channels: int, quality: float) -> None:
    data = evc.encode(music(channels), 8000, quality=quality)
    (stream,) = ContainerReader(io.BytesIO(data)).segment(0).streams
    context = StreamContext(8000, channels, FRAMES)
    expected = SpectrumStream.read(SymbolDecoder(stream.words, stream.symbols, stream.checksum), context)
    decoder = agrees(expected, stream.words, context)
    assert (decoder.symbols, decoder.checksum) == (stream.symbols, stream.checksum)


def random_group(samplerate: int, channels: int, frames: int, coarse_bands: int, gain: int, seed: int) -> Group:
    """Blocks of all sizes, all stereo modes, energies that jump, coefficients with escapes and low bits."""
    random = np.random.default_rng(seed)
    superframe = c.superframe_length(samplerate)
    geometry = layout.geometry(superframe, coarse_bands)
    partitions = [[0], [1, 2, 3, 4, 4], [4, 4, 3, 2, 1], [2, 2, 2, 2]]
    superframes = []
    last: Block | None = None
    for number in range(-(-frames // superframe)):
        blocks = []
        for depth in partitions[number % 4]:
            bands = geometry.layouts[depth]
            energies = random.integers(0, c.ENERGY_MAX + 1, (channels, bands.bands))
            scale = 10.0 ** random.integers(-1, 6, (channels, bands.bins))
            coefficients = np.rint(random.laplace(0, scale)).astype(np.int32)
            coefficients[(random.random((channels, bands.bands)) < 0.7)[:, bands.band_of_bin]] = 0
            coefficients[(energies == 0)[:, bands.band_of_bin]] = 0
            modes = random.integers(0, c.STEREO_MODES, coarse_bands) * (channels == 2)
            block = Block(depth, modes.astype(np.int32), energies, coefficients)
            if last is not None and last.depth == depth and random.random() < 0.5:
                block = replace(block, modes=last.modes, energies=last.energies, held=True)
                block.coefficients[(block.energies == 0)[:, bands.band_of_bin]] = 0
            blocks.append(block)
            last = block
        superframes.append(blocks)
    return Group(gain, coarse_bands, superframes)


def test_any_integers() -> None:
    """Three channels: a pair, a channel alone; and silence in place of a pair."""
    context = StreamContext(8000, 3, 3500)
    pair = random_group(8000, 2, 3500, 14, -700, seed=1)
    alone = random_group(8000, 1, 3500, 2, -2048, seed=2)
    for groups in ([pair, alone], [Group(0, 0), alone]):
        encoder = SymbolEncoder()
        SpectrumStream(groups).write(encoder, context)
        coded = encoder.finish()
        decoder = agrees(SpectrumStream(groups), coded.words, context)
        assert (decoder.symbols, decoder.checksum) == (coded.symbols, coded.checksum)
