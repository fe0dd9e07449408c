"""The ends of a file are coded as well as its inside; a loop's ends meet."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from sound_tools import noise

import evc
from evc.format.errors import InputError
from evc.format.header import Header
from evc.models.spectrum.extrapolation import HISTORY, REACH, continued, prediction

RATE = 48_000


def tones(frames: int, cycles: tuple[int, ...] = (220, 555, 3001)) -> np.ndarray:
    """A sound of whole numbers of cycles, so that its end meets its start; float32 [frames, 2]."""
    phases = 2 * np.pi * np.arange(frames)[:, None] * np.array(cycles) / frames + np.array([1.0, 2.0, 0.3])
    return (np.sin(phases) @ np.array([[0.3, 0.25], [0.2, 0.1], [0.05, 0.1]])).astype(np.float32)


def errors_in_ms(data: bytes, audio: np.ndarray) -> tuple[float, float, float]:
    """The largest error within the first and the last millisecond, over the largest elsewhere, and the latter."""
    error = np.abs(evc.decode(data)[0] - audio).max(axis=1)
    inside = error[48:-48].max()
    return error[:48].max() / inside, error[-48:].max() / inside, float(inside)


# --- What is assumed behind the end -----------------------------------------------------------


@pytest.mark.parametrize("hertz", [300, 440, 5000])
def test_a_tone_goes_on(hertz):
    wave = np.sin(2 * np.pi * hertz * np.arange(HISTORY + REACH) / RATE + 1).astype(np.float32)
    found = continued(wave[None, :HISTORY], REACH)
    expected = wave[None, HISTORY:] * np.cos(np.pi / 2 * (np.arange(REACH) + 0.5) / REACH) ** 2
    assert np.abs(found - expected).max() < 0.05


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.sampled_from([0.0, 1e-6, 1.0, 1e4]))
def test_whatever_goes_on_fades_and_never_grows(seed, frames, scale):
    known = (noise(frames, 2, seed).T * np.float32(scale)).astype(np.float32)
    found = continued(known, REACH)
    assert found.shape == (2, REACH) and np.isfinite(found).all()
    assert np.abs(found).max(initial=0) <= 2 * np.abs(known).max(initial=0)
    assert np.abs(found[:, -8:]).max(initial=0) <= 0.01 * np.abs(known).max(initial=0)


def test_silence_goes_on_as_silence():
    assert not continued(np.zeros((3, 100), np.float32), 10).any() and len(prediction(np.zeros(50), 32)) == 0
    assert continued(np.zeros((1, 0), np.float32), 10).shape == (1, 10)


# --- Ends of files ----------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"quality": 10}, {"bitrate": 48}, {"bitrate": 96}])
def test_a_tone_that_stops_is_as_good_at_its_end_as_inside(settings):
    """With silence assumed behind it, the last millisecond had 18 times the error at 48 and 96 kbit/s."""
    audio = tones(47_000)[:46_813]
    _, last, inside = errors_in_ms(evc.encode(audio, RATE, patterns="off", **settings), audio)
    assert last < 2 and inside < 0.05


@pytest.mark.parametrize("frames", [1, 2, 3, 100, 4095, 4096, 4097])
def test_short_files(frames):
    audio = tones(9000)[:frames]
    decoded, _ = evc.decode(evc.encode(audio, RATE, quality=9))
    assert decoded.shape == audio.shape and np.abs(decoded - audio).max() < 0.05


# --- Loops ------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"quality": 10}, {"bitrate": 48}, {"bitrate": 96}])
@pytest.mark.parametrize("patterns", ["auto", "off"])
def test_the_ends_of_a_loop_meet(settings, patterns):
    audio = tones(48_000)
    data = evc.encode(audio, RATE, loop=True, patterns=patterns, **settings)
    first, last, inside = errors_in_ms(data, audio)
    # At 48 and 96 kbit/s so simple a sound is exact; what is below half a step of 16 bits counts for nothing.
    assert max(first, last) * inside < max(1.2 * inside, 2.0**-16) and inside < 0.05
    with evc.open(io.BytesIO(data)) as file:
        assert file.loop
    assert evc.info(io.BytesIO(data)).loop and evc.info(io.BytesIO(data)).as_dict()["loop"] is True


def test_what_is_no_loop_does_not_say_so():
    data = evc.encode(tones(9000), RATE, quality=3)
    assert not evc.info(io.BytesIO(data)).loop


def test_literal_bit():
    header = Header(8000, 1, 4096, layers=("spectrum",), loop=True)
    assert header.loop_overlap == 128 and header.sound_frames == 3968
    mask = 2 + 4 + 1 + 8 + 1
    assert header.write()[mask] == 0x84
    assert Header.read(header.write()) == header


def test_an_intact_loop_has_no_damage_and_a_cut_one_is_no_loop(tmp_path):
    audio = tones(600_000)
    path = tmp_path / "a.evc"
    path.write_bytes(evc.encode(audio, RATE, loop=True, patterns="off", quality=3))
    whole = evc.decode(path.read_bytes())[0]
    for salvage in (False, True):
        with evc.open(path, salvage) as file:
            file.read()
            assert file.damage == [] and file.loop
    with evc.open(path) as file:
        cut = file.segments[-1].offset
    path.write_bytes(path.read_bytes()[:cut])
    with evc.open(path, salvage=True) as file:
        assert not file.loop and file.damage[0].reason == "the file is cut short"
        found = file.read()
        assert file.damage[-1].start + file.damage[-1].frames == len(audio)
    assert 300_000 < len(found) < 600_000
    assert np.array_equal(found[512:-4096], whole[512 : len(found) - 4096])
    assert np.abs(found[:512] - audio[:512]).max() < 0.1
    path.write_bytes(path.read_bytes()[:100])
    assert evc.info(path, salvage=True).frames == 0


def test_a_loop_has_sound_before_its_overlap():
    assert Header(8000, 1, 129, loop=True).sound_frames == 1
    with pytest.raises(InputError, match="a loop of 128 frames has nothing before its overlap"):
        Header(8000, 1, 128, loop=True)
    with pytest.raises(InputError, match="a loop without a frame has no end to meet its start"):
        evc.encode(np.zeros((0, 2)), RATE, loop=True)


@pytest.mark.parametrize("hints", ["noise", "latent"])
def test_other_hints_hold_no_loops(hints):
    with pytest.raises(InputError, match=f"the hints {hints} hold no loop"):
        evc.encode(tones(9000), RATE, hints=hints, loop=True)
    with pytest.raises(InputError, match="at least 6 kbit/s"):
        evc.encode(tones(9000), RATE, bitrate=4, loop=True)
    with evc.open(io.BytesIO(evc.encode(tones(9000), RATE, bitrate=8, loop=True))) as file:
        assert file.layers == ("spectrum",)


@pytest.mark.parametrize("blocksize", [1000, 9000, 20_000])
def test_blocks_play_over_the_seam(blocksize):
    with evc.open(io.BytesIO(evc.encode(tones(9000), RATE, loop=True, patterns="off"))) as file:
        once = file.read()
        file.seek(0)
        blocks = list(file.blocks(blocksize, loops=3))
        assert [len(block) for block in blocks[:-1]] == [blocksize] * (len(blocks) - 1)
        assert np.array_equal(np.concatenate(blocks), np.concatenate([once] * 3))
        file.seek(8000)
        blocks = list(file.blocks(4000, frames=11_000, loops=4))
        assert np.array_equal(np.concatenate(blocks), np.concatenate([once[8000:], once, once[:1000]]))
        file.seek(0)
        for wrong in ({"loops": 0}, {"loops": 2, "overlap": 10}):
            with pytest.raises(InputError, match="loops with an overlap"):
                file.blocks(100, **wrong)


def test_a_loop_shorter_than_what_is_assumed_behind_it():
    audio = tones(300, (3, 5, 7))
    data = evc.encode(audio, RATE, loop=True, quality=9)
    assert np.abs(evc.decode(data)[0] - audio).max() < 0.05


def test_from_the_command_line(tmp_path, run_evc):
    soundfile.write(tmp_path / "loop.wav", tones(9000), RATE)
    result = run_evc("encode", "loop.wav", "--loop", "--patterns", "off", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert b"(9000 frames), a loop\n" in run_evc("info", "loop.evc", cwd=tmp_path).stdout
    assert run_evc("decode", "loop.evc", "again.wav", cwd=tmp_path).returncode == 0
    assert soundfile.info(tmp_path / "again.wav").frames == 9000
    assert run_evc("encode", "again.wav", "again.evc", "--patterns", "off", cwd=tmp_path).returncode == 0
    with evc.open(tmp_path / "again.evc") as file:  # as a smpl chunk says
        assert not file.loop and file.loops[["start", "frames"]].tolist() == [(0, 9000)]
    assert run_evc("decode", "loop.evc", "part.wav", "--duration", "0.1", cwd=tmp_path).stderr == b""
    assert b"smpl" in (tmp_path / "again.wav").read_bytes() and b"smpl" not in (tmp_path / "part.wav").read_bytes()
    result = run_evc("encode", "loop.wav", "other.evc", "--loop", "--hints", "noise", cwd=tmp_path)
    assert result.returncode == 2 and b"the hints noise hold no loop" in result.stderr
