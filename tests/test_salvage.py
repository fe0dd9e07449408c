"""Damaged files: what is noticed, what is recovered, and that nothing but our own errors comes of it."""

import io

import numpy as np
import pytest
from conftest import RATE
from damage import segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st

import evc
from evc.format import constants as c
from evc.format.container import ChunkReader, chunk_bytes
from evc.format.errors import DamagedError, EvcError

SEGMENT = 49_152  # frames, at 16 kHz


def test_verify_meets_every_kind_of_damage(encoded):
    for place in segment_places(encoded):
        with evc.open(io.BytesIO(with_flipped_bit(encoded, place.end - 20, 5))) as file:
            with pytest.raises(DamagedError):
                file.verify()


def test_salvage_of_a_whole_file_is_the_file(encoded, whole):
    with evc.open(io.BytesIO(encoded), salvage=True) as file:
        assert np.array_equal(file.read(), whole) and file.damage == []


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_salvage_keeps_all_but_the_damaged_segment(lost, encoded, whole):
    data = with_flipped_bit(encoded, segment_places(encoded)[lost].offset + 100)
    with evc.open(io.BytesIO(data), salvage=True) as file:
        audio = file.read()
        (span,) = file.damage
        assert [s.damaged for s in file.segments] == [index == lost for index in range(4)]
    start, end = lost * SEGMENT, min((lost + 1) * SEGMENT, 160_000)
    assert (span.start, span.frames) == (start, end - start)
    assert span.seconds == (start / RATE, end / RATE) and span.reason
    assert audio.shape == whole.shape and not audio[start:end].any()
    # Next to the lost span half a block leans on what is lost.
    margin = c.superframe_length(RATE)
    kept = np.ones(len(whole), bool)
    kept[max(0, start - margin) : end + margin] = False
    assert np.array_equal(audio[kept], whole[kept])


def test_salvage_joins_neighbouring_losses(encoded):
    places = segment_places(encoded)
    data = with_flipped_bit(with_flipped_bit(encoded, places[1].offset + 99), places[2].offset + 99)
    with evc.open(io.BytesIO(data), salvage=True) as file:
        assert [(span.start, span.frames) for span in file.damage] == [(SEGMENT, 2 * SEGMENT)]


def test_salvage_of_a_cut_file_keeps_its_complete_segments(encoded, whole):
    cut = segment_places(encoded)[2].offset + 50
    with pytest.raises(DamagedError, match="cut short"):
        evc.open(io.BytesIO(encoded[:cut]))
    with evc.open(io.BytesIO(encoded[:cut]), salvage=True) as file:
        audio = file.read()
        assert file.frames == 2 * SEGMENT
        assert [(span.start, span.frames) for span in file.damage] == [(2 * SEGMENT, 160_000 - 2 * SEGMENT)]
    margin = c.superframe_length(RATE)
    assert np.array_equal(audio[:-margin], whole[: len(audio) - margin])


def test_salvage_meets_symbols_that_are_wrong(encoded, whole):
    """Words with a right CRC that decode to other symbols than were coded: known by the symbols' checksum."""
    from dataclasses import replace

    from evc.format.reader import ContainerReader
    from evc.format.writer import ContainerWriter

    reader = ContainerReader(io.BytesIO(encoded))
    target = io.BytesIO()
    with ContainerWriter(target, reader.header, reader.tags) as writer:
        for index in range(reader.segments):
            segment = reader.segment(index)
            if index == 1:
                wrong = replace(segment.streams[0], words=with_flipped_bit(segment.streams[0].words, 9, 3))
                segment = replace(segment, streams=(wrong, *segment.streams[1:]))
            writer.add_segment(segment)
    with evc.open(target) as file:
        with pytest.raises(DamagedError, match="segment 1, spectrum") as caught:
            file.verify()
        assert caught.value.segment == 1
    with evc.open(target, salvage=True) as file:
        file.verify()
        assert [(span.start, span.frames) for span in file.damage] == [(SEGMENT, SEGMENT)]
        assert np.array_equal(file.read(SEGMENT // 2), whole[: SEGMENT // 2])


@pytest.fixture(scope="module")
def small():
    """Less than a tenth of a second: a file of a few hundred bytes."""
    return evc.encode(0.3 * np.sin(np.arange(600) / 5), 8000, quality=1)


def outcome(data, salvage):
    """What becomes of a file: its audio, or None where it is refused as it should be."""
    try:
        with evc.open(io.BytesIO(data), salvage=salvage) as file:
            file.verify()
            return file.read()
    except EvcError:
        return None


def test_every_flipped_bit_is_noticed_and_survived(small):
    good = evc.decode(small)[0]
    for bit in range(8 * len(small)):
        data = with_flipped_bit(small, bit // 8, bit % 8)
        assert outcome(data, salvage=False) is None, f"bit {bit} is not noticed"
        if bit % 3:
            continue  # one bit or more of every byte
        audio = outcome(data, salvage=True)
        assert audio is None or len(audio) == 0 or np.array_equal(audio, good) or not audio.any()


def test_every_truncation_is_noticed_and_survived(small):
    good = evc.decode(small)[0]
    for length in range(len(small)):
        assert outcome(small[:length], salvage=False) is None
        audio = outcome(small[:length], salvage=True)
        assert audio is None or len(audio) == 0 or np.array_equal(audio, good)


@pytest.mark.parametrize("checked", [False, True])
def test_mutated_files_end_in_our_own_errors(small, checked):
    """Also with CRCs that are right again: some are files then, and much of what lies behind CRCs is reached."""
    audible = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        mutated = bytearray(small)
        for _ in range(random.integers(1, 5)):
            mutated[random.integers(len(mutated))] = random.integers(256)
        if checked:
            for place in ChunkReader(io.BytesIO(small)).chunks:
                payload = bytes(mutated[place.offset + c.CHUNK_HEADER_BYTES : place.end - c.CHUNK_CRC_BYTES])
                mutated[place.offset : place.end] = chunk_bytes(place.type, payload, place.critical)
            mutated[: len(c.SIGNATURE)] = c.SIGNATURE
        for salvage in (False, True):
            audio = outcome(bytes(mutated), salvage)
            audible += audio is not None and audio.any()
    assert audible > 10


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_random_bytes_end_in_our_own_errors(noise, signed):
    data = (c.SIGNATURE if signed else b"") + noise
    for salvage in (False, True):
        outcome(data, salvage)
