"""Streams that were joined to one file are all heard: chained Ogg, FLAC and MP3 behind one another."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sound_tools import noise, read_all, sound_file

from evc.format.errors import InputError
from evc.sound.parts import holds_no_sound, is_cut_off, stream_spans
from evc.sound.source import FileSource

FIRST, SECOND, THIRD = noise(60_000, 1, 1) / 2, noise(30_000, 1, 2) / 2, noise(40_000, 1, 3) / 2
ID3 = b"ID3\4\0\0\0\0\1\0" + bytes(128)  # an empty tag of 128 bytes


def decoded(tmp_path, data: bytes) -> np.ndarray:
    (tmp_path / "one").write_bytes(data)
    audio, notes = read_all(tmp_path / "one")
    assert notes == []
    return audio


def decoded_bytes(data: bytes) -> np.ndarray:
    with FileSource(io.BytesIO(data)) as source:
        return source.read(0, source.frames).T


@pytest.mark.parametrize(
    "format, subtype, between",
    [
        ("FLAC", "PCM_16", b""),
        ("FLAC", "PCM_16", ID3),
        ("OGG", "VORBIS", b""),
        ("OGG", "OPUS", b""),
        ("MP3", "MPEG_LAYER_III", b""),
        ("MP3", "MPEG_LAYER_III", ID3),
    ],
)
def test_every_stream_is_read(tmp_path, monkeypatch, format, subtype, between):
    monkeypatch.setenv("PATH", str(tmp_path))  # without ffmpeg
    streams = [sound_file(audio, format, 48_000, subtype) for audio in (FIRST, SECOND, THIRD)]
    alone = [decoded(tmp_path, data) for data in streams]
    together = decoded(tmp_path, between.join(streams))
    assert np.array_equal(together, np.concatenate(alone))
    assert len(together) == 130_000
    assert np.array_equal(decoded_bytes(between.join(streams)), together)
    with FileSource(tmp_path / "one") as source:  # across both borders, and back
        assert np.array_equal(source.read(85_000, 10_000).T, together[85_000:95_000])
        assert np.array_equal(source.read(59_000, 2_000).T, together[59_000:61_000])


def test_the_last_stream_may_be_cut(tmp_path):
    whole, tail = sound_file(FIRST, "FLAC"), sound_file(SECOND, "FLAC")
    (tmp_path / "one").write_bytes(whole + tail[: len(tail) // 2])
    audio, (note,) = read_all(tmp_path / "one")
    assert np.abs(audio - np.concatenate([FIRST, SECOND])[: len(audio)]).max() < 2**-15 and len(audio) > 70_000
    assert note == f"declares 30000 frames, but {len(audio) - 60_000} are there: these are taken"


@pytest.mark.parametrize(
    "other, samplerate, message",
    [
        (SECOND, 32_000, "stream 2 of the file has 1 channels at 32000 Hz, the first 1 at 44100 Hz"),
        (noise(9000, 2), 44_100, "stream 2 of the file has 2 channels at 44100 Hz, the first 1 at 44100 Hz"),
    ],
)
def test_streams_that_do_not_fit_are_refused(tmp_path, other, samplerate, message):
    (tmp_path / "one").write_bytes(sound_file(FIRST, "FLAC") + sound_file(other, "FLAC", samplerate))
    with pytest.raises(InputError, match=message):
        FileSource(tmp_path / "one")


def test_a_flac_within_a_flac_is_where_it_starts():
    data = ID3 + sound_file(FIRST, "FLAC")
    both = data + sound_file(SECOND, "FLAC")
    assert stream_spans(io.BytesIO(both), len(both)) == [(0, len(data)), (len(data), len(both))]
    assert stream_spans(io.BytesIO(data), len(data)) == [(0, len(data))]


def test_streams_are_found_at_the_border_of_what_is_read_at_once(monkeypatch):
    one, two = sound_file(FIRST[:5000], "FLAC"), sound_file(SECOND, "FLAC")
    data = one + two
    for window in range(len(one) - 8, len(one) + 9):
        monkeypatch.setattr("evc.sound.parts._WINDOW", window)
        assert stream_spans(io.BytesIO(data), len(data)) == [(0, len(one)), (len(one), len(data))]


@pytest.mark.skipif(os.name != "posix", reason="limits are set otherwise there")
@pytest.mark.parametrize("format", ["FLAC", "MP3", "OGG"])
def test_any_number_of_streams_takes_few_files(tmp_path, format):
    import resource

    stream = sound_file(SECOND[:1000], format)
    (tmp_path / "one").write_bytes(stream * 100)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 40, before[1]))
    try:
        audio, _ = read_all(tmp_path / "one")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(audio) == 100_000


def test_a_stream_that_nobody_reads_is_left_out(tmp_path):
    one = sound_file(FIRST[:8000], "FLAC")
    (tmp_path / "one").write_bytes(one + b"fLaC\0\0\0\x22" + bytes(34) + one)
    audio, notes = read_all(tmp_path / "one")
    assert len(audio) == 16_000 and len(notes) == 1 and notes[0].startswith("stream 2 of the file cannot be read")


def test_rubbish_before_an_mp3_is_no_stream(tmp_path):
    data = sound_file(FIRST, "MP3")
    alone = decoded(tmp_path, data)
    (tmp_path / "one.mp3").write_bytes(bytes(200) + data)
    audio, notes = read_all(tmp_path / "one.mp3")
    assert np.array_equal(audio, alone) and notes == []


def test_the_word_info_within_music_starts_no_stream(tmp_path):
    data = bytearray(sound_file(FIRST, "MP3"))
    for at in (5000, 7000, 9001):
        data[at : at + 4] = b"Info"
    assert stream_spans(io.BytesIO(data), len(data)) == [(0, len(data))]


@given(st.sampled_from([b"OggS", b"fLaC\0\0\0\x22", b"ID3\4", b"Xing", b"\xff\xfb\x90\0"]), st.binary(max_size=300))
def test_any_bytes_are_cut_into_spans_that_cover_them(start, data):
    file = io.BytesIO(start + data)
    spans = stream_spans(file, len(start + data))
    assert spans[0][0] == 0 and spans[-1][1] == len(start + data)
    assert all(a[1] == b[0] and a[0] < a[1] for a, b in zip(spans, spans[1:], strict=False))
    for span in spans:
        assert is_cut_off(file, span) in (True, False) and holds_no_sound(file, span) in (True, False)
