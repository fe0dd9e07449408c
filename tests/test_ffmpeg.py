"""Sound that libsndfile does not read, through ffmpeg; what is said where that is missing."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
import soundfile
from sound_tools import noise, read_all, sound_file

import evc
from evc.format.errors import InputError
from evc.sound import ffmpeg
from evc.sound.source import FileSource

needs_ffmpeg = pytest.mark.skipif(not ffmpeg.available(), reason="ffmpeg is not installed")
AUDIO = noise(60_000)


def converted(tmp_path, suffix: str, *options: str, channels: int = 2):
    """A file that ffmpeg wrote."""
    source, target = tmp_path / "source.wav", tmp_path / f"a.{suffix}"
    soundfile.write(source, noise(60_000, channels), 48_000, format="WAVEX")
    command = ["ffmpeg", "-v", "error", "-y", "-i", source, *options, target]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return target


@needs_ffmpeg
@pytest.mark.parametrize(
    "suffix, options, subtype",
    [
        ("wv", [], "PCM_16"),
        ("mka", ["-c:a", "pcm_s24le"], "PCM_24"),
        ("mka", ["-c:a", "pcm_f32le"], "FLOAT"),
        ("m4a", ["-c:a", "alac"], "PCM_16"),
    ],
)
def test_lossless_files_are_read_to_the_sample(tmp_path, suffix, options, subtype):
    path = converted(tmp_path, suffix, *options)
    audio, notes = read_all(path)
    assert notes == [] and np.array_equal(audio, AUDIO)
    with FileSource(path) as source:
        assert (source.samplerate, source.subtype, source.speakers) == (48_000, subtype, 3)
        assert np.array_equal(source.read(30_000, 500).T, AUDIO[30_000:30_500])
        assert np.array_equal(source.read(100, 500).T, AUDIO[100:600])


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["m4a", "aac", "mka"])
def test_from_aac_to_a_file(tmp_path, run_evc, suffix):
    path = converted(tmp_path, suffix, "-c:a", "aac", "-metadata", "title=A tune", "-metadata", "track=7")
    result = run_evc("encode", path, tmp_path / "a.evc", "--patterns", "off")
    assert result.returncode == 0 and result.stderr == b"", result.stderr
    found = evc.info(tmp_path / "a.evc")
    assert abs(found.frames - 60_000) < 4096 and found.channels == 2
    if suffix == "m4a":
        assert found.tags["title"] == "A tune" and found.tags["tracknumber"] == "7"


@needs_ffmpeg
def test_from_a_pipe(tmp_path, start_evc):
    data = converted(tmp_path, "wv").read_bytes()
    result = start_evc("encode", "-", tmp_path / "a.evc", "--patterns", "off", stdin=data)
    assert result.returncode == 0, result.stderr
    assert evc.info(tmp_path / "a.evc").frames == 60_000


@needs_ffmpeg
def test_speakers(tmp_path):
    with FileSource(converted(tmp_path, "wv", channels=6)) as source:
        assert source.speakers == 0x3F and np.array_equal(source.read(0, 60_000).T, noise(60_000, 6))


@needs_ffmpeg
def test_a_cut_file_is_read_as_far_as_it_goes(tmp_path):
    path = converted(tmp_path, "wv")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    audio, (note,) = read_all(path)
    assert 0 < len(audio) < 60_000 and note == f"declares 60000 frames, but {len(audio)} are there: these are taken"


@needs_ffmpeg
@pytest.mark.parametrize("content", [b"nothing\n", b"", b"\x1aE\xdf\xa3" + bytes(100), b"#EXTM3U\n#EXTINF:1,\na.wav\n"])
def test_what_is_no_sound_is_refused_in_one_line(tmp_path, run_evc, content):
    (tmp_path / "a.wav").write_bytes(sound_file(AUDIO, "WAV"))
    (tmp_path / "b.m3u8").write_bytes(content)
    result = run_evc("encode", "b.m3u8", "a.evc", cwd=tmp_path)
    (line,) = result.stderr.decode().splitlines()
    assert result.returncode == 1 and line.startswith("evc: b.m3u8: not a sound file that can be read")
    assert not (tmp_path / "a.evc").exists()


@needs_ffmpeg
def test_files_that_name_other_files_are_refused(tmp_path):
    (tmp_path / "other.wav").write_bytes(sound_file(AUDIO, "WAV"))
    (tmp_path / "a.m4a").write_bytes(b"ffconcat version 1.0\nfile other.wav\n")
    with pytest.raises(InputError, match="not a sound file"):
        FileSource(tmp_path / "a.m4a")


@needs_ffmpeg
def test_what_ffmpeg_passes_over_is_said(tmp_path):
    path = converted(tmp_path, "m4a", "-c:a", "aac")
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat") + 4 + 3000
    data[at : at + 1000] = bytes(1000)
    path.write_bytes(data)
    _, (note,) = read_all(path)
    assert "may lack some of its sound (ffmpeg: " in note


def test_without_ffmpeg_the_message_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(100))
    message = r"a\.m4a: not a sound file that can be read .*; ffmpeg, which reads more formats, is not installed"
    with pytest.raises(InputError, match=message):
        FileSource(tmp_path / "a.m4a")
