"""From samples to samples: the spectrum layer as a whole, at its ends, its seams and its extremes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from conftest import RATE
from damage import segment_places, with_flipped_bit
from hypothesis import given, settings
from hypothesis import strategies as st
from synthesis_tools import DecodedSegments

import evc
from evc.format import constants as c
from evc.format.decoding import SegmentDecoder
from evc.format.errors import InputError
from evc.format.header import Header
from evc.format.reader import ContainerReader
from evc.format.writer import text_chunks
from evc.models import pipeline, sequencer
from evc.models.settings import EncodeSettings
from evc.models.source import ArraySource
from evc.models.spectrum import file as plain_file
from evc.models.synthesis import Synthesiser

LOWEST_RATE = 8_000
SUPERFRAME = c.superframe_length(LOWEST_RATE)
SEGMENT = 4 * SUPERFRAME  # of the files that `encoded` makes
TRANSPARENT = 0.002  # error at the bitrates below, of noise with amplitude 0.1


def noise(frames: int, channels: int = 1, seed: int = 0, amplitude: float = 0.1) -> np.ndarray:
    audio = amplitude * np.random.default_rng(seed).normal(size=(frames, channels))
    return audio.astype(np.float32)


def encoded(audio: np.ndarray, **options: float) -> bytes:
    """A file of short segments at 8 kHz, without patterns."""
    source = ArraySource(audio, LOWEST_RATE)
    header = Header(LOWEST_RATE, source.channels, source.frames, layers=("spectrum",), segment_frames=SEGMENT)
    settings = EncodeSettings(patterns="off", hints="spectrum", **options)
    coded = pipeline.encode(source, header, settings, len(text_chunks(header, {}, 0)))
    return coded.as_file().getvalue()


def decoded(data: bytes, channels: int = 1) -> np.ndarray:
    """[frames, channels]"""
    return evc.decode(data)[0].reshape(-1, channels)


def generous(audio: np.ndarray) -> bytes:
    """At so many bits that almost nothing is lost."""
    bits = 8 * max(len(audio), SUPERFRAME) * audio.shape[1] + 10_000
    return encoded(audio, bitrate=bits * LOWEST_RATE / len(audio) / 1000)


def rms(audio: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) if audio.size else 0.0


# Lengths, rates, channels


@pytest.mark.parametrize(
    "frames",
    [0, 1, 2, 100, 1023, 1024, 1025, SEGMENT - 1, SEGMENT, SEGMENT + 1, SEGMENT + SUPERFRAME, 2 * SEGMENT + 600],
)
def test_length_is_exact(frames: int) -> None:
    audio = noise(frames)
    found = decoded(encoded(audio, quality=3))
    assert found.shape == audio.shape and found.dtype == np.float32
    if frames >= SUPERFRAME:
        assert rms(found) == pytest.approx(rms(audio), rel=0.3)


@settings(max_examples=15)
@given(st.integers(0, 5000), st.integers(1, 8), st.integers(8_000, 192_000))
def test_any_length_any_rate_any_channels(frames: int, channels: int, samplerate: int) -> None:
    audio = noise(min(frames, 40_000 // channels), channels)
    found, rate = evc.decode(evc.encode(audio, samplerate, quality=2))
    assert rate == samplerate and found.reshape(-1, channels).shape == audio.shape
    assert np.isfinite(found).all()


@pytest.mark.parametrize("samplerate", [8_000, 11_025, 22_050, 32_000, 44_100, 48_000, 88_200, 192_000])
def test_the_highest_quality_reaches_half_the_sample_rate(samplerate: int) -> None:
    audio = noise(4 * c.superframe_length(samplerate))
    found = decoded(evc.encode(audio, samplerate, quality=10))
    spectrum, error = np.abs(np.fft.rfft(audio[:, 0])), np.abs(np.fft.rfft((found - audio)[:, 0]))
    for part in np.array_split(np.arange(len(spectrum)), 40):
        assert rms(error[part]) < 0.25 * rms(spectrum[part]), f"lost near {part[0] / len(spectrum):.3f} of the band"


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 8])
def test_channels_stay_apart(channels: int) -> None:
    """A tone in each channel, of its own pitch: it comes out there, and little of it elsewhere."""
    time = np.arange(8192)[:, None] / 16_000
    pitches = 250 * (2 + np.arange(channels))
    audio = (0.3 * np.sin(2 * np.pi * pitches * time)).astype(np.float32)
    found = decoded(evc.encode(audio, 16_000, quality=8), channels)
    for channel in range(channels):
        likeness = [abs(np.corrcoef(found[:, channel], audio[:, other])[0, 1]) for other in range(channels)]
        assert likeness[channel] > 0.999 and sum(likeness) - likeness[channel] < 0.1


# Ends and seams


@pytest.mark.parametrize("frames, channels", [(1, 1), (100, 2), (1024, 1), (SEGMENT + 1, 3), (2 * SEGMENT + 500, 1)])
def test_much_rate_leaves_little_error_everywhere(frames: int, channels: int) -> None:
    """Also at both ends of the file, which do not fade, and where segments meet."""
    audio = noise(frames, channels)
    error = np.abs(decoded(generous(audio), channels) - audio)
    assert error.max() < TRANSPARENT


def test_seams_are_no_worse_than_the_rest(track: np.ndarray, whole: np.ndarray) -> None:
    """At the default quality, where all segments have coarse steps of their own."""
    segment = c.default_segment_frames(RATE)
    error = np.square(whole - track, dtype=np.float64).mean(axis=1)
    near = np.concatenate([error[k * segment - 512 : k * segment + 512] for k in range(1, 4)])
    around = np.concatenate([error[k * segment - 8192 : k * segment + 8192] for k in range(1, 4)])
    assert near.mean() < 4 * around.mean() and near.max() <= 4 * around.max()


def test_a_file_does_not_fade_at_its_ends() -> None:
    time = np.arange(3 * 4096 + 1000) / 44_100
    audio = (0.5 * np.cos(2 * np.pi * 441 * time)).astype(np.float32)[:, None]
    found = decoded(evc.encode(audio, 44_100, quality=8))
    for part in (slice(0, 200), slice(-200, None)):
        assert rms(found[part] - audio[part]) < 0.05 * rms(audio[part])


@pytest.mark.parametrize("quality", [1, 6])
def test_a_part_of_a_file_is_the_same_part_of_the_whole(quality: int) -> None:
    audio = noise(2 * SEGMENT + 300, 2)
    data = encoded(audio, quality=quality)
    whole = decoded(data, 2)
    edges = [0, 1, SEGMENT - 513, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT - 7, 2 * SEGMENT + 299]
    for start in edges:
        with evc.open(io.BytesIO(data)) as file:
            file.seek(start)
            np.testing.assert_array_equal(file.read(700), whole[start : start + 700])


def test_segments_decoded_one_by_one_are_those_decoded_in_parallel() -> None:
    audio = noise(5 * SEGMENT, 2)
    data = encoded(audio, quality=3)
    container = ContainerReader(io.BytesIO(data))
    decoder = SegmentDecoder(container)
    segments = {index: decoder.decode([index])[index] for index in range(container.segments)}
    alone = DecodedSegments(container.header, segments)
    in_turn = [Synthesiser(alone).render(*container.header.segment_span(index)) for index in segments]
    np.testing.assert_array_equal(np.concatenate(in_turn, axis=1).T, decoded(data, 2))


def test_a_lost_segment_leaves_its_neighbours_alone() -> None:
    data = encoded(noise(3 * SEGMENT), quality=3)
    whole = decoded(data)
    broken = with_flipped_bit(data, segment_places(data)[1].offset + 200)
    with evc.open(io.BytesIO(broken), salvage=True) as file:
        found = file.read(always_2d=True)
    reach = SUPERFRAME // 2 + SUPERFRAME // 8  # what overlaps, under a hop's window
    np.testing.assert_array_equal(found[: SEGMENT - reach], whole[: SEGMENT - reach])
    np.testing.assert_array_equal(found[2 * SEGMENT + reach :], whole[2 * SEGMENT + reach :])
    assert not found[SEGMENT : 2 * SEGMENT].any()
    # Beside the gap nothing is louder than the music itself.
    assert np.abs(found).max() < 2 * np.abs(whole).max()


# Extremes


@pytest.mark.parametrize("channels, samplerate", [(1, 8_000), (2, 44_100), (8, 48_000), (2, 192_000)])
def test_digital_silence_costs_nearly_nothing(channels: int, samplerate: int) -> None:
    short, long = (evc.encode(np.zeros((s * samplerate, channels), np.float32), samplerate) for s in (2, 20))
    assert (len(long) - len(short)) / 18 < 16  # bytes per second
    assert not evc.decode(short)[0].any()


def test_silence_beside_sound_is_exact_and_cheap() -> None:
    audio = noise(3 * SEGMENT, 2)
    silent = audio.copy()
    silent[SEGMENT // 2 :] = 0
    data, full = (encoded(samples, quality=3) for samples in (silent, audio))
    found = decoded(data, 2)
    assert not found[SEGMENT // 2 + 2 * SUPERFRAME :].any()
    assert len(data) < 0.3 * len(full)


@pytest.mark.parametrize("amplitude", [1e-12, 1e-6, 2.0**-15])
def test_the_faintest_sound_has_an_outcome(amplitude: float) -> None:
    audio = noise(4096, 2, amplitude=amplitude)
    found = decoded(evc.encode(audio, LOWEST_RATE), 2)
    assert np.isfinite(found).all() and np.abs(found).max() < 2.0**-13


def test_direct_current_stays() -> None:
    audio = np.full((3 * 4096, 1), 0.5, np.float32)
    found = decoded(evc.encode(audio, 44_100, quality=8))
    assert np.abs(found[1000:-1000] - 0.5).max() < 0.05


def test_a_full_scale_square_wave_stays() -> None:
    audio = np.where(np.arange(3 * 4096) // 100 % 2, 1, -1).astype(np.float32)[:, None]
    found = decoded(evc.encode(audio, 44_100, quality=9))
    assert rms(found - audio) < 0.1 and np.abs(found).max() < 1.5


@pytest.mark.parametrize("place", [0, 1, 5000, 3 * 4096 - 1])
def test_one_click_stays_where_it_was(place: int) -> None:
    audio = np.zeros((3 * 4096, 1), np.float32)
    audio[place] = 0.9
    found = decoded(evc.encode(audio, 44_100, quality=9))[:, 0]
    assert np.abs(found).argmax() == place and found[place] == pytest.approx(0.9, abs=0.15)
    far = np.abs(np.arange(len(found)) - place) > 2048
    assert np.abs(found[far]).max() < 0.01


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e6, -1e30])
@pytest.mark.parametrize("options", [{"quality": 2}, {"bitrate": 24}])
def test_samples_that_mean_nothing_are_refused(value: float, options: dict[str, float]) -> None:
    audio = noise(SEGMENT + 100, 2)
    audio[SEGMENT + 50, 1] = value
    with pytest.raises(InputError):
        encoded(audio, **options)


def test_sound_beyond_full_scale_is_kept() -> None:
    """As far as floats may go: clipping is the business of who plays it."""
    audio = noise(8192, amplitude=8)
    found = decoded(evc.encode(audio, LOWEST_RATE, quality=9))
    assert rms(found - audio) < 0.1 * rms(audio) and np.abs(found).max() > 16


# Rate and quality


@pytest.fixture(scope="module")
def music() -> np.ndarray:
    """Two and a half seconds at 44.1 kHz, more than a segment: float32 [frames, 2]."""
    return sequencer.track(2.5, 44_100)


@pytest.mark.parametrize(
    "bitrate, samplerate, channels", [(6, 44_100, 2), (160, 44_100, 2), (64, 44_100, 1), (10, 16_000, 1)]
)
def test_bitrates_are_met(music: np.ndarray, bitrate: float, samplerate: int, channels: int) -> None:
    """More of them, and with patterns: tests/benchmarks/rates.py."""
    audio = music if samplerate == 44_100 else sequencer.track(4.0, samplerate)
    data = evc.encode(audio[:, :channels], samplerate, bitrate=bitrate, hints="spectrum", patterns="off")
    assert 8 * len(data) / (len(audio) / samplerate) / 1000 == pytest.approx(bitrate, rel=0.02)


def test_more_quality_costs_more_and_errs_less(track: np.ndarray) -> None:
    audio = track[4 * RATE : 5 * RATE]
    sizes, errors = [], []
    for quality in (0, 2, 4, 6, 8, 10):
        data = evc.encode(audio, RATE, quality=quality, patterns="off")
        sizes.append(len(data))
        errors.append(rms(decoded(data, 2) - audio))
    assert all(a < b for a, b in zip(sizes, sizes[1:]))
    assert all(a > b for a, b in zip(errors, errors[1:]))


def test_an_attack_spreads_no_noise_before_itself() -> None:
    """A burst after near silence: what is heard before it stays far below the burst."""
    random = np.random.default_rng(0)
    attack = 5 * 4096 + 1500
    audio = 1e-4 * random.normal(size=10 * 4096)
    burst = np.arange(len(audio) - attack)
    audio[attack:] += 0.5 * random.normal(size=len(burst)) * np.exp(-burst / 2000)
    for quality in (3, 6):
        found = decoded(evc.encode(audio.astype(np.float32), 44_100, quality=quality))[:, 0]
        error = found - audio
        burst_level = rms(audio[attack : attack + 1000])
        # Hearing masks only a few milliseconds before an attack: the reach of the shortest blocks.
        assert rms(error[attack - 4096 : attack - 400]) < 0.001 * burst_level


def test_stereo_of_equal_channels_costs_hardly_more_than_one() -> None:
    mono = sequencer.track(3.0, 16_000)[:, 0]
    alone = evc.encode(mono, 16_000, quality=5, patterns="off")
    both = evc.encode(np.stack([mono, mono], axis=1), 16_000, quality=5, patterns="off")
    assert len(both) < 1.5 * len(alone)
    found = decoded(both, 2)
    np.testing.assert_allclose(found[:, 0], found[:, 1], atol=1e-3)


def test_encoding_does_not_depend_on_the_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = noise(3 * SEGMENT)
    several = encoded(audio, bitrate=24)
    monkeypatch.setattr(plain_file, "WORKERS", 1)
    assert encoded(audio, bitrate=24) == several
