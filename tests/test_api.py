"""The functions of the library: what goes in comes out, and bad input is refused in one clear line."""

import io
from typing import get_type_hints

import numpy as np
import pytest
import soundfile
from conftest import RATE

import evc
from evc.format.errors import DamagedError, EvcError, FormatError, InputError
from evc.models.settings import EncodeOptions


def likeness(a, b):
    """Correlation of two signals: 1 where they are equal but for a factor."""
    a, b = np.ravel(a).astype(float), np.ravel(b).astype(float)
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_what_goes_in_comes_out(track, encoded):
    audio, rate = evc.decode(encoded)
    assert rate == RATE and audio.shape == track.shape and audio.dtype == np.float32
    assert likeness(audio, track) > 0.95


@pytest.mark.parametrize("frames", [0, 1, 2, 1023, 1024, 1025, 5000])
def test_length_is_exact(frames):
    audio = 0.5 * np.sin(np.arange(frames) / 7)
    decoded, _ = evc.decode(evc.encode(audio, 8000))
    assert decoded.shape == (frames,)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 48_000, 96_000, 192_000])
def test_any_sample_rate(rate):
    audio = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 4) / rate)
    decoded, decoded_rate = evc.decode(evc.encode(audio, rate))
    assert decoded_rate == rate and likeness(decoded, audio) > 0.99


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_up_to_eight_channels(channels):
    time = np.arange(6000)[:, None] / 16_000
    audio = 0.3 * np.sin(2 * np.pi * 300 * (1 + np.arange(channels)) * time)
    decoded, _ = evc.decode(evc.encode(audio, 16_000))
    decoded = decoded.reshape(6000, channels)
    for channel in range(channels):
        assert likeness(decoded[:, channel], audio[:, channel]) > 0.98


def test_silence_costs_nearly_nothing():
    data = evc.encode(np.zeros((44_100 * 20, 2), np.float32), 44_100)
    assert len(data) < 400
    assert not evc.decode(data)[0].any()


def test_full_scale_and_direct_current():
    square = np.sign(np.sin(np.arange(8000) / 20)).astype(np.float32)
    assert likeness(evc.decode(evc.encode(square, 16_000))[0], square) > 0.98
    constant = np.full(8000, 0.5, np.float32)
    decoded = evc.decode(evc.encode(constant, 16_000))[0]
    assert abs(decoded[2000:6000].mean() - 0.5) < 0.05


@pytest.mark.parametrize("dtype, full, zero", [("int16", 2**15, 0), ("int32", 2**31, 0), ("uint8", 128, 128)])
def test_integers_have_full_scale_at_the_ends_of_their_range(dtype, full, zero):
    wave = 0.5 * np.sin(np.arange(6000) / 9)
    stored = np.rint(wave * (full - 1) + zero).astype(dtype)
    assert likeness(evc.decode(evc.encode(stored, 16_000))[0], wave) > 0.98


@pytest.mark.parametrize("value, name", [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")])
def test_samples_that_are_not_finite_are_named(value, name):
    audio = np.zeros((60_000, 2), np.float32)
    audio[55_123, 1] = value
    with pytest.raises(InputError, match=rf"frame 55123 of channel 1 is {name}"):
        evc.encode(audio, 8000)


@pytest.mark.parametrize(
    "audio, rate, message",
    [
        (np.zeros(100), 7_999, "7999 Hz is outside 8000 to 192000 Hz: resample"),
        (np.zeros(100), 192_001, "192001 Hz is outside"),
        (np.zeros(100), 44_100.5, "whole number"),
        (np.zeros(100), float("nan"), "whole number"),
        (np.zeros(100), float("inf"), "whole number"),
        (np.zeros(100), "44100", "whole number"),
        (np.zeros((100, 9)), 8_000, "9 channels, but 1 to 8 are possible: split"),
        (np.zeros((100, 0)), 8_000, "0 channels"),
        (np.zeros((2, 2, 2)), 8_000, "3 dimensions"),
        (np.array(["a"]), 8_000, "cannot be encoded"),
        (np.zeros(100, np.int64), 8_000, "int64 cannot be encoded"),
        (np.zeros(100, np.complex64), 8_000, "complex64 cannot be encoded"),
    ],
)
def test_audio_the_format_cannot_hold_is_refused(audio, rate, message):
    with pytest.raises(InputError, match=message):
        evc.encode(audio, rate)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"bitrate": 0.049}, "at least 0.05 kbit/s"),
        ({"bitrate": float("nan")}, "at least 0.05 kbit/s"),
        ({"bitrate": 64, "quality": 5}, "exclude each other"),
        ({"quality": 10.1}, "not within 0 to 10"),
        ({"quality": -1}, "not within 0 to 10"),
        ({"quality": "6"}, "quality '6' is no number"),
        ({"bitrate": "48k"}, "bitrate '48k' is no number"),
        ({"subtype": "VORBIS"}, "not one of PCM_16"),
        ({"tags": {"": "no name"}}, "tags must be text"),
        ({"tags": {"title": 3}}, "tags must be text"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=message):
        evc.encode(np.zeros(100), 8000, **settings)


def test_settings_may_be_an_object_or_keywords():
    """The same ones, under the same names."""
    audio = 0.5 * np.sin(np.arange(5000) / 7)
    settings = evc.EncodeSettings(quality=3, patterns="off")
    assert evc.encode(audio, 8000, settings=settings) == evc.encode(audio, 8000, quality=3, patterns="off")
    assert get_type_hints(EncodeOptions) == get_type_hints(evc.EncodeSettings)
    with pytest.raises(InputError, match="settings and quality exclude each other"):
        evc.encode(audio, 8000, settings=settings, quality=3)
    with pytest.raises(TypeError, match="qualty"):
        evc.encode(audio, 8000, qualty=3)


def test_device_is_checked(folder, tmp_path):
    with pytest.raises(InputError, match="not one of auto, cpu, cuda"):
        evc.encode_file(folder / "track.wav", tmp_path / "x.evc", device="abacus")
    assert not list(tmp_path.iterdir())


def test_bitrate_is_met(track):
    data = evc.encode(track[: 4 * RATE], RATE, bitrate=32, patterns="off")
    assert 8 * len(data) / 4 == pytest.approx(32_000, rel=0.02)


def test_more_quality_costs_more(track):
    sizes = [len(evc.encode(track[: 3 * RATE], RATE, quality=quality, patterns="off")) for quality in (2, 6, 9)]
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_encoding_is_reproducible_and_tells_its_progress(track, encoded):
    seen = []
    again = evc.encode(
        track,
        RATE,
        patterns="off",
        tags={"title": "Grid", "artist": ["A", "B"]},
        progress=lambda *now: seen.append(now),
    )
    assert again == encoded
    assert seen[-1] == (10, 10) and seen == sorted(seen)


@pytest.mark.parametrize("repeated", [1, 4])
def test_progress_ends_whether_patterns_pay_or_not(repeated):
    seen = []
    noise = np.random.default_rng(1).normal(size=8000 * 8 // repeated)
    evc.encode(0.1 * np.tile(noise, repeated), 8000, quality=2, progress=lambda *now: seen.append(now))
    assert seen[-1] == (8, 8) and seen == sorted(seen)


def test_info_reads_metadata(folder, encoded):
    found = evc.info(folder / "track.evc")
    assert (found.samplerate, found.channels, found.frames, found.duration) == (RATE, 2, 160_000, 10.0)
    assert found.format_version == "1.0" and found.subtype == "PCM_16" and found.segments == 4
    assert found.bytes == len(encoded) and found.kbps == pytest.approx(8 * len(encoded) / 10_000)
    assert found.tags["title"] == "Grid" and found.tags["artist"] == ["A", "B"]
    assert found.as_dict()["tags"] == found.tags
    assert evc.info(io.BytesIO(encoded)) == found


def test_tags_of_the_source_are_carried_both_ways(folder, tmp_path):
    tags = {"album": "Tests", "title": "Other"}
    evc.encode_file(folder / "track.wav", tmp_path / "a.evc", tags=tags, patterns="off")
    tags = evc.info(tmp_path / "a.evc").tags
    assert (tags["artist"], tags["tracknumber"], tags["title"]) == ("Nobody", "7", "Other")
    assert tags["encoder"].startswith(f"evc {evc.__version__}")
    for name in ("b.wav", "b.flac"):
        evc.decode_file(tmp_path / "a.evc", tmp_path / name)
        with soundfile.SoundFile(tmp_path / name) as file:
            assert (file.title, file.artist, file.album) == ("Other", "Nobody", "Tests")


def test_edited_tags_leave_the_audio_alone(folder, tmp_path):
    evc.edit_tags(folder / "track.evc", tmp_path / "a.evc", {"title": "New"})
    evc.edit_tags(tmp_path / "a.evc", tmp_path / "a.evc", {"title": "Newer"})
    assert evc.info(tmp_path / "a.evc").tags == {"title": "Newer"}
    with evc.open(folder / "track.evc") as before, evc.open(tmp_path / "a.evc") as after:
        assert np.array_equal(before.read(), after.read())


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_wav_gets_the_subtype_of_the_source(subtype, tmp_path):
    wave = 0.5 * np.sin(np.arange(4000) / 9)
    soundfile.write(tmp_path / "in.wav", wave, 16_000, subtype)
    evc.encode_file(tmp_path / "in.wav", tmp_path / "a.evc")
    evc.decode_file(tmp_path / "a.evc", tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").subtype == subtype
    decoded, _ = soundfile.read(tmp_path / "out.wav")
    with evc.open(tmp_path / "a.evc") as file:
        exact = file.read(dtype="float64")
    step = {"PCM_U8": 2.0**-7, "PCM_16": 2.0**-15, "PCM_24": 2.0**-23, "PCM_32": 2.0**-31}.get(subtype, 0)
    assert np.abs(decoded - exact).max() <= step / 2


@pytest.mark.parametrize(
    "source, extension, found",
    [
        ("PCM_24", "flac", "PCM_24"),
        ("FLOAT", "flac", "PCM_24"),
        ("PCM_U8", "flac", "PCM_S8"),
        ("FLOAT", "ogg", "VORBIS"),
        ("PCM_16", "aiff", "PCM_16"),
        ("PCM_16", "WAV", "PCM_16"),
    ],
)
def test_other_formats_get_the_nearest_subtype(source, extension, found, tmp_path):
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros(1000), 16_000, subtype=source))
    evc.decode_file(tmp_path / "a.evc", tmp_path / f"out.{extension}")
    assert soundfile.info(tmp_path / f"out.{extension}").subtype == found


def test_a_subtype_can_be_asked_for(folder, tmp_path):
    evc.decode_file(folder / "track.evc", tmp_path / "a.wav", subtype="FLOAT")
    assert soundfile.info(tmp_path / "a.wav").subtype == "FLOAT"
    with pytest.raises(InputError, match="FLAC files have no subtype FLOAT"):
        evc.decode_file(folder / "track.evc", tmp_path / "a.flac", subtype="FLOAT")
    assert not (tmp_path / "a.flac").exists()


def test_a_part_is_the_same_as_in_the_whole(folder, tmp_path):
    evc.decode_file(folder / "track.evc", tmp_path / "all.wav")
    evc.decode_file(folder / "track.evc", tmp_path / "part.wav", start=2.5, duration=3.25)
    whole, part = soundfile.read(tmp_path / "all.wav")[0], soundfile.read(tmp_path / "part.wav")[0]
    assert np.array_equal(part, whole[40_000:92_000])
    evc.decode_file(folder / "track.evc", tmp_path / "end.wav", start=9, duration=float("inf"))
    assert np.array_equal(soundfile.read(tmp_path / "end.wav")[0], whole[144_000:])


@pytest.mark.parametrize(
    "start, duration", [(10.1, None), (-1, None), (float("nan"), None), (0, -1), (0, float("nan"))]
)
def test_impossible_parts_are_refused(start, duration, folder, tmp_path):
    with pytest.raises(InputError, match="a part cannot"):
        evc.decode_file(folder / "track.evc", tmp_path / "a.wav", start=start, duration=duration)
    assert not list(tmp_path.iterdir())


def test_an_unknown_extension_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="a.xyz: the extension is not that of a sound file"):
        evc.decode_file(folder / "track.evc", tmp_path / "a.xyz")


def test_a_format_that_cannot_hold_the_audio_is_refused(tmp_path):
    (tmp_path / "a.evc").write_bytes(evc.encode(np.zeros((100, 8)), 192_000))
    with pytest.raises(InputError, match="MP3 cannot hold 8 channels at 192000 Hz"):
        evc.decode_file(tmp_path / "a.evc", tmp_path / "a.mp3")
    assert [path.name for path in tmp_path.iterdir()] == ["a.evc"]


def test_sound_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "bad.wav").write_bytes(b"RIFF of nothing")
    with pytest.raises(InputError, match="bad.wav: not a sound file that can be read"):
        evc.encode_file(tmp_path / "bad.wav", tmp_path / "x.evc")
    with pytest.raises(InputError, match="none.wav: no such file"):
        evc.encode_file(tmp_path / "none.wav", tmp_path / "x.evc")
    with pytest.raises(InputError, match="is a directory"):
        evc.encode_file(tmp_path, tmp_path / "x.evc")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.wav"]


def test_targets_are_not_replaced_unless_asked(folder, tmp_path):
    target = tmp_path / "kept.evc"
    target.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists"):
        evc.encode_file(folder / "track.wav", target, overwrite=False)
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("failure", [EvcError, KeyboardInterrupt])
def test_nothing_is_left_behind_when_encoding_stops(failure, folder, tmp_path):
    def stop(done, total):
        raise failure("stop")

    with pytest.raises(failure):
        evc.encode_file(folder / "track.wav", tmp_path / "a.evc", progress=stop)
    with pytest.raises(failure):
        evc.decode_file(folder / "track.evc", tmp_path / "a.wav", progress=stop)
    assert not list(tmp_path.iterdir())


def test_open_files_serve_as_source_and_target(folder, track):
    encoded, decoded = io.BytesIO(), io.BytesIO()
    with open(folder / "track.wav", "rb") as source:
        evc.encode_file(source, encoded, verify=True, patterns="off")
    encoded.seek(0)
    evc.decode_file(encoded, decoded, format="FLAC")
    decoded.seek(0)
    audio, rate = soundfile.read(decoded)
    assert rate == RATE and audio.shape == track.shape and likeness(audio, track) > 0.95


def test_what_is_not_evc_is_refused(folder):
    with pytest.raises(FormatError, match="not an EVC file"):
        evc.open(folder / "track.wav")
    with pytest.raises(FormatError):
        evc.decode(b"")
    with pytest.raises(InputError, match="no.evc: no such file"):
        evc.open(folder / "no.evc")


def test_a_truncated_file_is_refused(encoded):
    with pytest.raises(DamagedError, match="cut short"):
        evc.decode(encoded[:-1])


def test_the_package_lists_its_names():
    assert set(evc.__all__) <= set(dir(evc))
    for name in evc.__all__:
        assert getattr(evc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = evc.nothing
