"""Chains: several files joined into one, each a link that is coded as before (spec 4.6)."""

from __future__ import annotations

import io
import warnings
from functools import cache

import numpy as np
import pytest
from damage import with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st

import evc
from evc.format import constants as c
from evc.format.chain import Chain
from evc.format.container import chunk_bytes
from evc.format.edits import Stretch
from evc.format.errors import DamagedError, EvcError, EvcWarning, FormatError, InputError
from evc.format.header import Header
from evc.format.reader import ContainerReader
from evc.format.rewriting import join, rewrite
from evc.format.tags import read_tags
from evc.format.writer import ContainerWriter
from evc.spec.signals import FOLDER

MONO = ("mono", "graded", "lattices", "tagged")
STEREO = ("loop", "copies", "hiss", "edited")


@cache
def vector(name: str) -> bytes:
    return (FOLDER / f"{name}.evc").read_bytes()


@cache
def decoded(name: str) -> np.ndarray:
    return opened(vector(name)).read(always_2d=True)


def opened(data: bytes, salvage: bool = False) -> evc.EvcFile:
    return evc.open(io.BytesIO(data), salvage)


def joined(*files: bytes) -> bytes:
    target = io.BytesIO()
    join([io.BytesIO(data) for data in files], target)
    return target.getvalue()


def chain_of(*names: str) -> bytes:
    return joined(*map(vector, names))


def edited(data: bytes, stretches: list[tuple[int, int]]) -> bytes:
    target = io.BytesIO()
    rewrite(io.BytesIO(data), target, edits=[Stretch(*one) for one in stretches])
    return target.getvalue()


def link_starts(data: bytes) -> list[int]:
    """The byte at which each link begins."""
    return [link.start for link in Chain(io.BytesIO(data)).links]


# --- Joining --------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [MONO, STEREO])
@settings(max_examples=15)
@given(choices=st.data())
def test_a_chain_plays_what_its_parts_play_to_the_bit(names, choices):
    chosen = choices.draw(st.lists(st.sampled_from(names), min_size=1, max_size=5))
    expected = np.concatenate([decoded(name) for name in chosen])
    file = opened(chain_of(*chosen))
    assert (file.frames, file.container.segments > 0) == (len(expected), True)
    first = choices.draw(st.integers(0, len(expected) - 1))
    assert file.seek(first) == first
    blocks = [file.read(choices.draw(st.integers(0, 3000)), always_2d=True) for _ in range(3)]
    blocks += list(file.blocks(choices.draw(st.integers(300, 9000)), always_2d=True))
    assert np.array_equal(np.concatenate(blocks), expected[first:])


@settings(max_examples=25)
@given(choices=st.data())
def test_an_edit_list_reaches_over_all_links(choices):
    names = ("hiss", "loop", "copies")
    audio = np.concatenate([decoded(name) for name in names])
    start = st.integers(0, len(audio) - 1)
    stretch = start.flatmap(lambda at: st.tuples(st.just(at), st.integers(1, min(len(audio) - at, 20_000))))
    stretches = choices.draw(st.lists(stretch, min_size=1, max_size=4))
    file = opened(edited(chain_of(*names), stretches))
    assert np.array_equal(file.read(), np.concatenate([audio[at : at + n] for at, n in stretches]))


def test_edit_lists_are_joined_as_well():
    parts = [edited(vector("loop"), [(5, 10), (0, 3)]), vector("copies"), edited(vector("loop"), [(2000, 300)])]
    file = opened(joined(*parts))
    assert file.edits.tolist() == [(5, 10), (0, 3), (2300, 12_000), (16_300, 300)]
    assert np.array_equal(file.read(), np.concatenate([opened(part).read() for part in parts]))
    assert not len(opened(chain_of("loop", "copies")).edits)


def test_the_bytes_of_a_link_stay_what_they_were():
    first, second = vector("copies"), vector("hiss")
    data = joined(first, second)
    assert joined(first) == first
    at, other = link_starts(data)
    assert at == 0 and data[other:] == second
    # All but the bit in HEAD and its CRC, and what stands behind the last segment, which begins with HEAD once more.
    assert first[25 + 8] | 1 << c.CHAIN_BIT == data[25 + 8]
    index = first.rindex(b"INDX")
    assert data[:33] == first[:33] and data[34:45] == first[34:45] and data[49:index] == first[49:index]
    assert data[index : index + 41] == data[8:49] and len(data) == len(first) + 41 + len(second)
    assert joined(joined(first, second), first) == joined(first, joined(second, first)) == joined(first, second, first)


def test_metadata_are_those_of_the_first():
    data = chain_of("tagged", "mono", "tagged")
    file, alone = opened(data), opened(vector("tagged"))
    assert (file.tags, file.pictures, file.foreign) == (alone.tags, alone.pictures, alone.foreign) and file.tags
    starts = link_starts(data)
    for number in (1, 2):
        types = [place.type for place in Chain(io.BytesIO(data)).links[number].chunks]
        assert not {b"TAGS", b"PICT", b"FRGN", b"SPKR", b"EDIT"} & set(types)
    changed = io.BytesIO()
    rewrite(io.BytesIO(data), changed, {"title": "Another"}, pictures=[])
    other = changed.getvalue()
    assert opened(other).tags == {"title": "Another"} and not opened(other).pictures
    assert other[link_starts(other)[1] :] == data[starts[1] :]
    assert edited(edited(data, [(0, 5)]), []) == data


@pytest.mark.parametrize("names", [("mono", "loop"), ("mono", "loud")])
def test_what_does_not_go_together_is_refused(names):
    with pytest.raises(InputError, match="same sample rate, channels and speakers"):
        chain_of(*names)


# --- What a chain tells ---------------------------------------------------------------------------


def test_events_patterns_and_segments_count_from_the_start_of_the_file():
    one, file = opened(vector("layers")), opened(chain_of("layers", "layers"))
    seconds, frames, count = one.duration, one.frames, len(one.segments)
    for name, fields in {"uses": ["pattern"], "occurrences": ["pattern", "use"]}.items():
        found, alone = getattr(file, name), getattr(one, name)
        size = len(alone)
        assert size and len(found) == 2 * size
        assert np.array_equal(found["frame"], np.concatenate([alone["frame"], alone["frame"] + frames]))
        assert np.allclose(found["time"], np.concatenate([alone["time"], alone["time"] + seconds]))
        for field in fields:
            more = len(one.patterns if field == "pattern" else one.uses)
            later = alone[field] + np.where(alone[field] < 0, 0, more)
            assert np.array_equal(found[field], np.concatenate([alone[field], later]))
    assert np.allclose(file.events.times, np.concatenate([one.events.times, one.events.times + seconds]))
    assert np.array_equal(file.events.known_codes[len(one.events) :], one.events.known_codes)
    excerpt = one.patterns["frame"] >= 0
    assert excerpt.any() and len(file.patterns) == 2 * len(one.patterns)
    assert np.array_equal(file.patterns["frame"][len(excerpt) :][excerpt], one.patterns["frame"][excerpt] + frames)
    for before, after in zip(one.segments, file.segments[count:], strict=True):
        assert (after.index, after.start, after.frames) == (before.index + count, before.start + frames, before.frames)
        assert after.dependencies == tuple(index + count for index in before.dependencies)
        assert after.bytes == before.bytes
    assert (file.layers, file.networks) == (one.layers, one.networks)


def test_statistics_are_those_of_all_links():
    data = chain_of("copies", "hiss", "loop")
    file, parts = opened(data), [opened(vector(name)).stats() for name in ("copies", "hiss", "loop")]
    found = file.stats()
    assert found.bits == 8 * len(data) == found.payload_bits + sum(found.overhead.values())
    assert found.payload_bits == sum(part.payload_bits for part in parts)
    assert found.frames == sum(part.frames for part in parts) and len(found.seconds) == 4
    assert found.seconds.sum() == pytest.approx(sum(part.seconds.sum() for part in parts))
    layers = {layer.name: layer for layer in found.layers}
    assert set(layers) == {"patterns", "spectrum", "envelope", "noise"}
    symbols = sum(layer.symbols for part in parts for layer in part.layers if layer.name == "spectrum")
    assert layers["spectrum"].symbols == symbols > 0
    assert [one.number for one in found.patterns] == list(range(len(file.patterns)))
    done: list[tuple[float, float]] = []
    file.stats(progress=lambda *at: done.append(at))
    file.verify(progress=lambda *at: done.append(at))
    assert all(second <= total + 0.1 for second, total in done) and done[-1][0] == pytest.approx(file.duration, abs=0.1)


def test_parts_of_the_sound_add_up():
    names = ("lattices", "graded", "lattices")
    file, one = opened(chain_of(*names)), opened(vector("lattices"))
    expected = np.concatenate([opened(vector(n)).render(["spectrum"]) for n in names])
    assert np.array_equal(file.render(["spectrum"]), expected)
    size, rest = len(one.occurrences), file.frames - one.frames
    only = file.render(["patterns"], occurrences=[size])
    assert only.any() and np.array_equal(only[rest:], one.render(["patterns"], occurrences=[0]))
    assert np.array_equal(only[: one.frames], one.render(["patterns"], occurrences=[]))
    for number in range(len(one.patterns)):
        later = file.pattern_audio(len(one.patterns) + number)
        assert np.array_equal(later, one.pattern_audio(number)) and later.any()


def test_a_chain_of_loops_is_no_loop():
    assert opened(vector("loop")).loop and not opened(chain_of("loop", "loop")).loop


def test_information(tmp_path, run_evc):
    (tmp_path / "a.evc").write_bytes(chain_of("hiss", "copies"))
    found = evc.info(tmp_path / "a.evc")
    assert (found.links, found.segments, found.frames) == (2, 7, 27_000)
    assert (found.layers, found.hints) == (("patterns", "spectrum", "noise"), "spectrum")
    assert found.bytes == (tmp_path / "a.evc").stat().st_size
    assert "links     2" in run_evc("info", tmp_path / "a.evc").stdout.decode()
    with evc.open(tmp_path / "a.evc") as file:
        evc.write_events(tmp_path / "b.evc", file.events, file)
        with evc.open(tmp_path / "b.evc") as other:
            assert np.array_equal(other.read(), file.read()) and len(other.chain.links) == 2


def test_few_links_keep_what_they_have_decoded():
    file = opened(chain_of(*["loop"] * 8))
    file.read()
    assert sum("decoder" in link.__dict__ for link in file._links._all) == 2


# --- Malformed and damaged ------------------------------------------------------------------------


def without_audio(chained: bool, tags=None, samplerate: int = 8000) -> bytes:
    file = io.BytesIO()
    with ContainerWriter(file, Header(samplerate, 1, 0, chained=chained), tags):
        pass
    return file.getvalue()


def test_links_without_audio():
    data = without_audio(True) + without_audio(True) + vector("mono")
    assert np.array_equal(opened(data).read(always_2d=True), decoded("mono"))
    assert opened(without_audio(True) + without_audio(False)).frames == 0


def test_malformed_chains_are_refused():
    first = without_audio(True)
    with pytest.raises(DamagedError, match="cut short: another link should follow"):
        opened(first)
    with pytest.raises(FormatError, match="not an EVC file"):
        opened(first + b"something else")
    with pytest.raises(FormatError, match=f"TAGS chunk at byte {len(first) + 49} is out of place"):
        opened(first + without_audio(False, {"title": "A"}))
    with pytest.raises(FormatError, match="differ in sample rate or channels"):
        opened(first + without_audio(False, samplerate=16_000))
    with pytest.raises(FormatError, match="more than 4096 links"):
        opened(first * 4096 + without_audio(False))
    assert opened(first * 4095 + without_audio(False)).frames == 0
    for chunk in (b"EDIT", b"PICT", b"FRGN", b"SPKR"):
        second = bytearray(without_audio(False))
        second[49:49] = chunk_bytes(chunk, b"\3\0\0\0")
        with pytest.raises(FormatError, match="out of place"):
            opened(first + bytes(second))


def test_what_follows_the_last_link_is_no_part_of_the_file():
    with pytest.warns(EvcWarning, match="^4 bytes follow the end marker: ignored$"):
        file = opened(chain_of("mono", "mono") + b"more")
    assert file.frames == 2000
    with pytest.raises(FormatError, match="4 bytes follow the end marker"):
        file.verify()
    with pytest.warns(EvcWarning, match="bytes follow"):
        assert opened(vector("mono") * 2).frames == 1000


def test_a_stretch_beyond_the_last_link_is_refused():
    data = edited(chain_of("mono", "mono"), [(1999, 1)])
    assert opened(data).frames == 1
    with pytest.raises(InputError, match="plays frames 1999 to 2001 of 2000"):
        edited(chain_of("mono", "mono"), [(1999, 2)])
    start = data.index(b"EDIT")
    end = start + 13 + data[start + 5]
    longer = data[:start] + chunk_bytes(b"EDIT", data[start + 9 : end - 5] + b"\2") + data[end:]
    with pytest.raises(FormatError, match="plays frames 1999 to 2001 of 2000"):
        opened(longer)
    with pytest.warns(EvcWarning, match="edit list is damaged"):
        assert opened(longer, salvage=True).frames == 2000


def salvaged(data: bytes) -> evc.EvcFile:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", EvcWarning)
        return opened(data, salvage=True)


def test_a_flipped_byte_anywhere_silences_its_own_segment_at_most():
    """In links that repeat their header: what is heard elsewhere stays the same, but for a block at the borders."""
    data = chain_of("loop", "loop", "loop", "loop")
    whole, parts = opened(data).read(), opened(data).segments
    starts, silenced = link_starts(data), set()
    for byte in range(0, starts[-1], 29):
        file = salvaged(with_flipped_bit(data, byte, byte % 8))
        assert file.frames == len(whole), byte
        different = np.flatnonzero((file.read() != whole).any(axis=1))
        near = [part for part in parts if part.offset <= byte < part.offset + part.bytes]
        if not near:
            assert not len(different), byte
        else:  # a loop's overlap is faded in at its start
            (part,) = near
            silenced |= {part.index} if len(different) else set()
            loop = part.start - part.index % 3 * part.frames if part.index % 3 == 2 else part.start
            inside = (different >= part.start - 1024) & (different < part.start + part.frames + 1024)
            assert (inside | (different - loop < 128)).all(), byte
    assert silenced == set(range(9))


def test_salvage_of_a_cut_chain_plays_what_is_whole():
    data = chain_of("copies", "copies")
    audio, second = decoded("copies"), link_starts(data)[1]
    with pytest.warns(EvcWarning, match="all that follows link 1 of the file is lost"):
        file = opened(data[:second], salvage=True)
    assert np.array_equal(file.read(), audio)
    place = opened(data).segments[5]
    file = salvaged(data[: place.offset + 5])
    assert np.array_equal(file.read()[:12_000], audio) and 12_000 < file.frames < 24_000
    assert [(span.start + span.frames, span.reason) for span in file.damage] == [(24_000, "the file is cut short")]


def test_the_search_for_chunks_is_bounded_for_all_links_together():
    """Bytes that were spent on false chunks of the second link cannot be spent on the third."""
    first, second = chain_of("mono", "mono"), chain_of("mono", "mono")
    false = b"junk\0" + (150).to_bytes(4, "little")
    start = link_starts(second)[1]
    data = first[: link_starts(first)[1]] + second[:start][:-33] + 30 * false + second[start:]
    links = Chain(io.BytesIO(data), salvage=True).links
    left = [link.search_budget for link in links]
    assert len(links) == 3 and left[0] == 8 * len(data) + c.MAX_CHUNK_BYTES > left[1] == left[2]


def test_a_link_whose_headers_are_lost_ends_the_chain():
    data = chain_of("mono", "mono", "mono")
    starts = link_starts(data)
    damaged = with_flipped_bit(data, starts[1] + 20)
    assert salvaged(damaged).frames == 3000
    damaged = with_flipped_bit(damaged, data.index(b"HEAD", starts[1] + 20) + 12)
    assert salvaged(damaged).frames == 1000
    assert len(ContainerReader(io.BytesIO(data), salvage=True).damage) == 0


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_whatever_is_changed_ends_in_one_line(seed):
    random = np.random.default_rng(seed)
    data = bytearray(edited(chain_of("mono", "mono"), [(5, 60), (900, 1000)]))
    for _ in range(random.integers(1, 4)):
        data[random.integers(len(data))] = random.integers(256)
    for salvage in (False, True):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", EvcWarning)
                file = opened(bytes(data), salvage)
                assert len(file.read()) == file.frames
        except EvcError as error:
            assert "\n" not in str(error)


def test_the_tags_of_a_joined_file_can_be_read_alone():
    data = chain_of("tagged", "mono")
    first = ContainerReader(io.BytesIO(data))
    (place,) = [place for place in first.chunks if place.type == b"TAGS"]
    assert read_tags(first.payload(place)) == first.tags and first.header.chained


@pytest.mark.parametrize("broken, message", [(0, "no chunk at byte {at}"), (20, "segment 1 is damaged")])
def test_errors_count_bytes_and_segments_from_the_start_of_the_file(broken, message):
    data = chain_of("mono", "mono")
    link = Chain(io.BytesIO(data)).links[1]
    place = link.place(0)
    assert place is not None and link.first == 1
    at = link.start + place.offset
    assert data[at : at + 4] == c.CHUNK_SEGM
    with pytest.raises(DamagedError, match=message.format(at=at)):
        opened(with_flipped_bit(data, at + broken, 7)).read()
