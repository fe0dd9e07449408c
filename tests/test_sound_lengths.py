"""A declared length is a hint: what sound files really hold is read to the end, and a difference is said."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from sound_tools import CASES, needs_cases, noise, read_all, sound_file

import evc
from evc.format.errors import EvcWarning, InputError
from evc.sound.headers import sound_length
from evc.sound.mpeg import mpeg_stream
from evc.sound.source import FileSource
from evc.sound.view import ByteView

AUDIO = noise(5000)
BYTES = 5000 * 4  # of 16-bit stereo samples


def u32(value: int, order: str = "little") -> bytes:
    return value.to_bytes(4, order)


def with_sizes(data: bytes, riff: int | None, samples: int) -> bytes:
    """A WAV file that declares other sizes."""
    at = data.index(b"data") + 4
    head = data[:4] + u32(len(data) - 8 if riff is None else riff) + data[8:at]
    return head + u32(samples) + data[at + 4 :]


WAV = sound_file(AUDIO, "WAV")
LIST = b"LIST" + u32(26) + b"INFOINAM" + u32(14) + b"A title of it\0"
DIFFERENT = "declares {} frames, but {} are there: these are taken"


@pytest.mark.parametrize(
    "data, frames, note",
    [
        (WAV, 5000, None),
        (with_sizes(WAV, 0, 0), 5000, DIFFERENT.format(0, 5000)),  # a recorder that died
        (with_sizes(WAV, 36, 0), 5000, DIFFERENT.format(0, 5000)),
        (with_sizes(WAV, 0xFFFFFFFF, 0xFFFFFFFF), 5000, None),  # a pipe, which declares nothing
        (with_sizes(WAV, 0x7FFFF024, 0x7FFFF000), 5000, None),
        (with_sizes(WAV, None, BYTES + 4000), 5000, DIFFERENT.format(6000, 5000)),
        (WAV[:-8000], 3000, DIFFERENT.format(5000, 3000)),  # cut
        (WAV[:-8001], 2999, DIFFERENT.format(5000, 2999)),  # in the middle of a frame
        (with_sizes(WAV, None, 400), 5000, DIFFERENT.format(100, 5000)),  # a header of some time ago
        (WAV + LIST, 5000, None),
        (with_sizes(WAV + LIST, 0, 0), 5000, DIFFERENT.format(0, 5000)),
        (with_sizes(WAV + LIST, 0xFFFFFFFF, 0xFFFFFFFF), 5000, None),
        (with_sizes(WAV + LIST + LIST, None, BYTES + 4000), 5000, DIFFERENT.format(6000, 5000)),
        (with_sizes(WAV, None, BYTES) + b"TAG" + b"\0" * 125, 5000, None),
        (WAV + b"\0" * 999, 5000, None),
        (WAV + b"rubbish", 5000, None),
        (with_sizes(sound_file(AUDIO[:0], "WAV") + LIST, None, 0), 0, None),  # rightly empty
    ],
)
def test_wav(tmp_path, data, frames, note):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    audio, notes = read_all(path)
    assert notes == ([] if note is None else [note])
    assert audio.shape == (frames, 2) and np.array_equal(audio, AUDIO[:frames])


def rf64(samples: int, magic: bytes = b"RF64") -> bytes:
    """As ffmpeg writes it to a pipe: nothing is known but that sizes may have 64 bits."""
    wide = b"ds64" + u32(28) + (0).to_bytes(8, "little") + samples.to_bytes(8, "little") + bytes(12)
    head = magic + u32(0xFFFFFFFF) + b"WAVE" + wide + WAV[12 : WAV.index(b"data")]
    return head + b"data" + u32(0xFFFFFFFF) + WAV[-BYTES:]


@pytest.mark.parametrize("magic", [b"RF64", b"BW64"])
@pytest.mark.parametrize("declared, notes", [(0, [DIFFERENT.format(0, 5000)]), (BYTES, [])])
def test_wav_of_64_bits(tmp_path, magic, declared, notes):
    path = tmp_path / "a.wav"
    path.write_bytes(rf64(declared, magic))
    audio, found = read_all(path)
    assert found == notes and np.array_equal(audio, AUDIO)


@pytest.mark.parametrize("format, suffix", [("AIFF", "aiff"), ("AU", "au"), ("W64", "w64"), ("CAF", "caf")])
@pytest.mark.parametrize("cut", [4000, 4001])
def test_other_files_of_samples_are_read_to_where_they_were_cut(tmp_path, format, suffix, cut):
    whole, path = sound_file(AUDIO, format), tmp_path / f"a.{suffix}"
    path.write_bytes(whole)
    assert read_all(path)[1] == [] and np.array_equal(read_all(path)[0], AUDIO)
    path.write_bytes(whole[:-cut])
    audio, (note,) = read_all(path)
    assert np.array_equal(audio, AUDIO[: len(audio)]) and 3990 <= len(audio) < 5000
    assert "declares " in note and f"but {len(audio)} are there" in note


def test_samples_behind_a_size_of_zero_in_aiff(tmp_path):
    data, path = bytearray(sound_file(AUDIO, "AIFF")), tmp_path / "a.aiff"
    at = data.index(b"SSND") + 4
    data[at : at + 4] = u32(8, "big")
    common = data.index(b"COMM") + 10
    data[common : common + 4] = u32(0, "big")
    path.write_bytes(data)
    assert np.array_equal(read_all(path)[0], AUDIO)


@pytest.mark.parametrize("data", [with_sizes(WAV, None, BYTES)[:-BYTES], WAV[:40], rf64(BYTES)[:-BYTES]])
def test_a_header_without_its_sound_is_an_error(tmp_path, data):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    with pytest.raises(InputError, match="no sound is found|not a sound file"):
        evc.encode_file(path, tmp_path / "a.evc")
    assert [each.name for each in tmp_path.iterdir()] == ["a.wav"]


STARTS = {
    b"RIFF\0\0\0\0WAVEdata": 30,
    b"RF64\0\0\0\0WAVEds64" + u32(28) + bytes(28) + b"data": 30,
    b"FORM\0\0\0\0AIFFCOMM" + u32(2, "big") + b"\0\2SSND": 30,
    b"riff" + bytes(36) + b"data" + bytes(12): 30,
    b"caff\0\1\0\0data": 30,
    b".snd\0\0\0\x18": 30,
    b"RIFF\0\0\0\0WAVE": 0,
    b"riff" + bytes(36): 0,
    b"caff\0\1\0\0": 0,
    b"": 0,
}


@pytest.mark.parametrize("start, least", STARTS.items())
def test_headers_of_all_sorts_of_bytes_are_harmless(start, least):
    found, random = 0, np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(random.bytes(random.integers(100)))
        data[::2] = data[::2] if random.random() < 0.5 else bytes(len(data[::2]))  # sizes are small now and then
        file = start + bytes(data)
        length = sound_length(io.BytesIO(file), len(file))
        if length is not None:
            found += 1
            assert 0 <= length.there <= len(file)
            assert len(ByteView(io.BytesIO(file), 0, len(file), length.patches).read()) == len(file)
    assert found >= least


def test_a_view_is_what_it_shows():
    view = ByteView(io.BytesIO(b"0123456789"), 2, 8, [(1, b"ab"), (4, b"xy"), (7, b"cd")])
    assert view.read() == b"b3xy6c"
    assert view.seek(-2, io.SEEK_END) == 4 and view.read(5) == b"6c" and view.read(1) == b""
    assert view.seek(3) == 3 and view.read(2) == b"y6"


def flac(frames: int | None, audio: np.ndarray = AUDIO) -> bytes:
    """A FLAC file that declares so many frames; None: none, as one written to a pipe."""
    data = bytearray(sound_file(audio, "FLAC"))
    fields = int.from_bytes(data[18:26], "big") >> 36 << 36 | (frames or 0)
    data[18:26] = fields.to_bytes(8, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data, notes",
    [(flac(5000), []), (flac(None), []), (flac(6000), [DIFFERENT.format(6000, 5000)])],
)
def test_flac(tmp_path, data, notes):
    path = tmp_path / "a.flac"
    path.write_bytes(data)
    audio, found = read_all(path)
    assert found == notes and np.array_equal(audio, AUDIO)


def test_flac_that_is_cut(tmp_path):
    audio, path = noise(40_000), tmp_path / "a.flac"
    data = sound_file(audio, "FLAC")
    path.write_bytes(data[: len(data) * 6 // 10])
    found, (note,) = read_all(path)
    assert 20_000 < len(found) < 26_000 and np.array_equal(found, audio[: len(found)])
    assert note == DIFFERENT.format(40_000, len(found))
    path.write_bytes(flac(None, audio)[: len(data) * 6 // 10])
    assert read_all(path)[1] == [f"is cut off: the {len(found)} frames that are there are taken"]


def test_flac_that_is_damaged_in_the_middle_is_refused(tmp_path):
    data = bytearray(sound_file(noise(100_000), "FLAC"))
    data[len(data) // 3 : len(data) // 3 + 500] = bytes(500)
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(InputError, match="damaged near frame 3"):
        FileSource(tmp_path / "a.flac")


@pytest.mark.parametrize("format, frames, at", [("FLAC", 20_000, 0.33), ("MP3", 400_000, 0.5)])
def test_small_files_and_mp3_that_are_damaged_in_the_middle(tmp_path, format, frames, at):
    data = bytearray(sound_file(noise(frames), format))
    place = int(at * len(data))
    data[place : place + 3000] = np.random.default_rng(0).bytes(3000)
    path = tmp_path / f"a.{format.lower()}"
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged near frame"):
        FileSource(path)


@pytest.mark.parametrize("format, suffix", [("OGG", "ogg"), ("FLAC", "flac"), ("MP3", "mp3")])
def test_no_sound_is_rightly_empty_or_an_error(tmp_path, format, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(sound_file(AUDIO, format)[: {"OGG": 3000, "FLAC": 60, "MP3": 300}[format]])
    with pytest.raises(InputError, match="no sound is found in its|not a sound file that can be read"):
        FileSource(path)


def test_an_empty_flac_is_empty(tmp_path):
    data = flac(0)
    path = tmp_path / "a.flac"
    path.write_bytes(data[:4] + b"\x80" + data[5:42])  # STREAMINFO alone
    assert len(read_all(path)[0]) == 0


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_ogg_that_is_cut(tmp_path, subtype):
    data, path = sound_file(0.5 * noise(480_000, 1), "OGG", 48_000, subtype), tmp_path / "a.ogg"
    path.write_bytes(data)
    whole, notes = read_all(path)
    assert notes == [] and len(whole) == 480_000
    path.write_bytes(data[: len(data) * 6 // 10])
    audio, (note,) = read_all(path)
    assert 180_000 < len(audio) < 300_000 and note == f"is cut off: the {len(audio)} frames that are there are taken"
    assert np.array_equal(audio, whole[: len(audio)])


@pytest.mark.parametrize("format, subtype", [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", None), ("FLAC", None)])
def test_any_stretch_is_that_of_the_whole(tmp_path, format, subtype):
    """libsndfile's own seeks give wrong samples at every tenth place of a Vorbis file."""
    path = tmp_path / "a"
    time = np.arange(480_000) / 48_000
    music = 0.3 * np.sin(2 * np.pi * (200 * time[:, None] + 40 * np.sin(9 * time)[:, None])) + noise(480_000, 1) / 4
    path.write_bytes(sound_file(music, format, 48_000, subtype))
    random = np.random.default_rng(1)
    with FileSource(path) as source:
        whole = source.read(0, source.frames)
        for start in [*random.integers(0, source.frames, 40).tolist(), source.frames - 10]:
            part = source.read(start, 2000)
            assert np.array_equal(part, whole[:, start : start + 2000])
    with soundfile.SoundFile(path) as file:
        assert np.array_equal(whole[0], file.read(dtype="float32"))


def test_stretches_far_apart_are_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr("evc.sound.source._KEPT_FRAMES", 1000)
    monkeypatch.setattr("evc.sound.source._BLOCK", 700)
    path = tmp_path / "a.flac"
    path.write_bytes(sound_file(AUDIO, "FLAC"))
    with FileSource(path) as source:
        spans = [(0, 600), (590, 1300), (4000, 1000), (0, 100), (50, 2500), (2000, 10), (4999, 9), (0, 5000)]
        for start, count in spans:
            assert np.array_equal(source.read(start, count), AUDIO[start : start + count].T)


@needs_cases
@pytest.mark.parametrize(
    "name, frames, numbers",
    [
        ("01_data_size_zero.wav", 22_050, "0 22050"),
        ("02_unknown_length.flac", 22_050, ""),
        ("03_no_xing.mp3", 24_192, "24371 24192"),
    ],
)
def test_cases(tmp_path, run_evc, name, frames, numbers):
    result = run_evc("encode", CASES / name, tmp_path / "a.evc", "--patterns", "off")
    assert result.returncode == 0, result.stderr
    assert evc.info(tmp_path / "a.evc").frames == frames
    lines = result.stderr.decode().splitlines()
    assert len(lines) == bool(numbers) and all(number in lines[0] for number in numbers.split())


def test_warnings_are_of_one_category(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(WAV[:-8000])
    with pytest.warns(EvcWarning, match="declares 5000 frames, but 3000 are there"):
        evc.encode_file(path, tmp_path / "a.evc", patterns="off")


def variable_mp3(samplerate: int, channels: int) -> bytes:
    """An MP3 stream whose bitrate varies, without a header that counts its frames."""
    audio = noise(3 * samplerate, channels) * np.where(np.arange(3 * samplerate) < samplerate, 0.5, 0)[:, None]
    file = io.BytesIO()
    soundfile.write(file, audio, samplerate, format="MP3", bitrate_mode="VARIABLE")
    data = file.getvalue()
    found = mpeg_stream(io.BytesIO(data), 0, len(data))
    assert found is not None and found.counted
    second = mpeg_stream(io.BytesIO(data), found.start + 4, len(data))
    assert second is not None and not second.counted
    return data[second.start :]


@pytest.mark.parametrize("samplerate, channels", [(44100, 2), (48000, 1), (22050, 1), (16000, 2), (11025, 1)])
def test_mp3_of_a_bitrate_that_varies(samplerate, channels, tmp_path):
    """libsndfile takes all frames for as long as the first, and would stop early."""
    data = variable_mp3(samplerate, channels)
    stream = mpeg_stream(io.BytesIO(data), 0, len(data))
    assert stream is not None and stream.samples > 2.9 * samplerate
    for number, file in enumerate([data, b"rubbish in front" * 9 + data, data + b"TAG" + bytes(125)]):
        path = tmp_path / f"{number}.mp3"
        path.write_bytes(file)
        audio, notes = read_all(path)
        assert len(audio) == stream.samples
        assert len(notes) == 1 and f"{stream.samples} are there" in notes[0]
    (tmp_path / "guessed.mp3").write_bytes(data)
    guessed = soundfile.read(tmp_path / "guessed.mp3", dtype="float32", always_2d=True)[0]
    assert len(guessed) < stream.samples / 2
    assert np.abs(read_all(tmp_path / "guessed.mp3")[0][: len(guessed)] - guessed).max() < 1e-5


def test_what_is_no_mpeg_stream():
    for data in (b"", b"text" * 999, bytes(9999), b"ID3\3\0\0\0\0\0\x0a" + bytes(10)):
        assert mpeg_stream(io.BytesIO(data), 0, len(data)) is None


@pytest.mark.parametrize("declared", [1, 1000, 4999])
@pytest.mark.parametrize("before, behind", [(b"", b""), (b"ID3\3\0\0\0\0\0\x0a" + bytes(10), b"TAG" + bytes(125))])
def test_flac_that_declares_less(declared, before, behind, tmp_path):
    data = bytearray(sound_file(AUDIO, "FLAC"))
    data[22:26] = u32(declared, "big")
    (tmp_path / "a.flac").write_bytes(before + bytes(data) + behind)
    audio, notes = read_all(tmp_path / "a.flac")
    assert notes == [DIFFERENT.format(declared, 5000)] and np.array_equal(audio, AUDIO)


@pytest.mark.parametrize("format", ["WAV", "RF64", "W64", "AIFF", "CAF", "AU"])
def test_a_second_file_behind(format, tmp_path):
    data = sound_file(AUDIO, format)
    (tmp_path / "a").write_bytes(data + data)
    audio, notes = read_all(tmp_path / "a")
    assert np.array_equal(audio, AUDIO)
    assert notes == ["another file is joined to its end: left out, only FLAC, Ogg and MP3 go on there"]


def test_numbers_of_a_cut_aiff(tmp_path):
    data = sound_file(AUDIO, "AIFF")
    for cut in (2001, 8002, 12003):
        (tmp_path / "a.aiff").write_bytes(data[:-cut])
        audio, notes = read_all(tmp_path / "a.aiff")
        assert notes == [DIFFERENT.format(5000, len(audio))] and len(audio) == (BYTES - cut) // 4


def test_sizes_of_64_bits_from_a_pipe(tmp_path):
    data = sound_file(AUDIO, "W64")
    at = data.index(b"data") + 16
    (tmp_path / "a.w64").write_bytes(data[:at] + (1 << 63).to_bytes(8, "little") + data[at + 8 :])
    audio, notes = read_all(tmp_path / "a.w64")
    assert notes == [] and np.array_equal(audio, AUDIO)
