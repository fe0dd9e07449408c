"""The search for repetition: lags that were planted must be found, and nothing where there is nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evc.format.constants import superframe_length
from evc.models.patterns.correlation import History, RangeCorrelator, baseband, weighted_spectra
from evc.models.patterns.delay import Refiner
from evc.models.patterns.matching import Candidate
from evc.models.patterns.search import LagSearch
from evc.models.patterns.timeline import delayed as interpolated
from evc.models.source import ArraySource

RATE = 8000  # the shortest superframes: the search is the same at all rates, in superframes
SIZE = superframe_length(RATE)
PHASES = 32


def search(audio: np.ndarray, span: int | None = None, effort: int = 5, rate: int = RATE) -> list[list[Candidate]]:
    """Candidates of all superframes of audio [frames] or [frames, channels]."""
    segments = LagSearch(ArraySource(audio.astype(np.float32), rate), span or len(audio), effort).run()
    return [frame for segment in segments for frame in segment]


def delayed(signal: np.ndarray, lag: float, frames: int) -> np.ndarray:
    """`signal` later by `lag` frames, exactly: by the phase of its spectrum."""
    size = 2 * (frames + len(signal))
    spectrum = np.fft.rfft(signal, size) * np.exp(-2j * np.pi / size * lag * np.arange(size // 2 + 1))
    return np.fft.irfft(spectrum, size)[:frames]


def noise(seed: int, frames: int, level: float = 0.1) -> np.ndarray:
    """Noise below 0.8 of half the sample rate, with soft ends."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0, level, frames))
    spectrum[int(0.8 * len(spectrum)) :] = 0
    fade = np.minimum(1, np.minimum(np.arange(frames), np.arange(frames)[::-1]) / 64)
    return np.fft.irfft(spectrum, frames) * fade


def bursts(seed: int, frames: int) -> np.ndarray:
    """Short decaying tones of random pitches, one every tenth of a superframe's length or so."""
    rng = np.random.default_rng(seed)
    out = np.zeros(frames)
    for start in range(0, frames, SIZE // 4):
        time = np.arange(min(SIZE, frames - start))
        tone = np.sin(2 * np.pi * rng.uniform(0.01, 0.4) * time) * np.exp(-time / 200)
        out[start : start + len(time)] += 0.2 * tone * np.minimum(1, time / 16)
    return out


def plant(pattern: np.ndarray, places: list[tuple[float, float]], frames: int) -> np.ndarray:
    """`pattern` at the given (frame, gain)."""
    return np.sum([gain * delayed(pattern, place, frames) for place, gain in places], axis=0)


def found(frames: list[list[Candidate]], lags, inside, tolerance: float = 1.0) -> float:
    """Share of the superframes `inside` that list one of `lags` (frames), within `tolerance` of its fractions."""
    wanted = np.atleast_1d(lags) * PHASES
    hits = [any(np.abs(one.lag - wanted).min() <= tolerance + 1e-6 for one in frames[number]) for number in inside]
    return float(np.mean(hits))


@settings(max_examples=8)
@given(
    st.integers(9 * SIZE * PHASES, 24 * SIZE * PHASES), st.floats(0.4, 1.2), st.sampled_from([noise, bursts]),
    st.integers(0, 99),
)  # fmt: skip
def test_planted_lag(lag, gain, kind, seed):
    """A pattern that comes back at a fractional lag is found to 1/32 frame, and predicts to -40 dB."""
    lag = lag / PHASES
    pattern = kind(seed, int(min(lag, 12 * SIZE)))
    first = 1000.25
    frames = int(first + lag + len(pattern)) + SIZE
    audio = plant(pattern, [(first, 1.0), (first + lag, gain)], frames)
    listed = search(audio)
    begin, end = first + lag, first + lag + len(pattern)
    inside = range(int(begin / SIZE) + 2, int(end / SIZE) - 1)
    assert found(listed, lag, inside) == 1
    for number in inside:
        best = min(listed[number], key=lambda one: abs(one.lag - lag * PHASES))
        assert residue(audio, best.lag, number) < 1e-4
        assert listed[number][0] == best and best.score > 0.95
    before = range(int(begin / SIZE))
    assert sum(len(listed[number]) for number in before) <= len(before)


def residue(audio: np.ndarray, lag: int, superframe: int) -> float:
    """Energy that the best gain leaves of a superframe, predicted from `lag` by the format's interpolation."""
    padded = np.concatenate([np.zeros(4 * SIZE), audio])
    start = (superframe + 4) * SIZE
    prediction = interpolated(lambda first, count: padded[None, first : first + count], start, SIZE, lag, 5)[0]
    signal = audio[superframe * SIZE : (superframe + 1) * SIZE]
    gain = (prediction @ signal) / (prediction @ prediction)
    return float(np.sum((signal - gain * prediction) ** 2) / np.sum(signal**2))


def test_layers_that_repeat_at_different_lags():
    """Two patterns overlap; each comes back at a lag of its own, and a third sound never does."""
    frames = 64 * SIZE
    lags = 11 * SIZE + 307.53125, 7 * SIZE + 717.25
    layers = [plant(bursts(1 + i, int(lag)), [(k * lag, 1.0) for k in range(4)], frames) for i, lag in enumerate(lags)]
    listed = search(sum(layers) + noise(9, frames, 0.003))
    for lag, layer in zip(lags, layers):
        active = [n for n in range(16, 28) if np.mean(layer[n * SIZE : (n + 1) * SIZE] ** 2) > 1e-4]
        assert len(active) > 10 and found(listed, [lag, 2 * lag], active) > 0.9


def test_layers_in_different_bands():
    """A bass repeats at one lag, hi-hats at another: both are listed."""
    frames = 64 * SIZE
    split = np.fft.rfftfreq(frames) < 0.05
    lags = 12.4 * SIZE + 0.5, 9.1 * SIZE
    low, high = (plant(noise(i, int(lag)), [(k * lag, 1.0) for k in range(7)], frames) for i, lag in enumerate(lags))
    audio = np.fft.irfft(np.fft.rfft(low) * split, frames) * 8 + np.fft.irfft(np.fft.rfft(high) * ~split, frames) / 4
    listed = search(audio)
    inside = range(16, 48)
    assert found(listed, lags[1], inside) > 0.8
    assert found(listed, lags[0], inside, tolerance=0.5 * PHASES) > 0.8


def test_one_channel_repeats_while_the_other_changes():
    frames, lag = 48 * SIZE, 10 * SIZE + 77
    left = plant(noise(1, lag), [(k * lag, 1.0) for k in range(5)], frames)
    listed = search(np.stack([left, noise(2, frames)], axis=1))
    assert found(listed, lag, range(14, 40)) > 0.9


def test_runs_and_order():
    """Runs count the superframes in a row that list a lag; the best comes first; segments are of the size asked for."""
    lag = 9 * SIZE + 5
    audio = plant(noise(3, lag), [(k * lag, 1.0) for k in range(6)], 50 * SIZE)
    segments = list(LagSearch(ArraySource(audio, RATE), len(audio), per_segment=20).run())
    assert [len(segment) for segment in segments] == [20, 20, 10]
    for number, segment in enumerate(segments):
        for place, frame in enumerate(segment):
            assert len({one.lag for one in frame}) == len(frame)
            for one in frame:
                assert 20 * number <= one.first <= 20 * number + place < one.first + one.count
                inside = segment[one.first - 20 * number : one.first + one.count - 20 * number]
                assert all(one.lag in {other.lag for other in frame} for frame in inside)


def test_lags_within_bounds():
    """Neither nearer than two superframes and the interpolation's reach, nor beyond the span."""
    short, period = 20 * SIZE, SIZE // 2 + 3
    audio = plant(noise(4, period), [(k * period, 1.0) for k in range(100)], 48 * SIZE)
    listed = search(audio, short)
    lags = [one.lag for frame in listed for one in frame]
    assert lags
    assert min(lags) >= (2 * SIZE + 16) * PHASES and max(lags) <= short * PHASES


@pytest.mark.parametrize("effort", range(10))
def test_every_effort_finds_a_loop(effort):
    lag = 9 * SIZE + 5
    audio = plant(noise(5, lag), [(k * lag, 1.0) for k in range(5)], 40 * SIZE)
    listed = search(audio, effort=effort)
    assert found(listed, lag, range(14, 38)) > 0.9


FRAMES = 100 * SIZE
CLICKS = np.zeros(FRAMES)
CLICKS[:: SIZE // 3] = 0.5
SIGNALS = {
    "silence": np.zeros(FRAMES),
    "constant": np.full(FRAMES, 0.3),
    "noise": np.random.default_rng(0).normal(0, 0.1, FRAMES),
    "tone": 0.5 * np.sin(2 * np.pi * 0.0871 * np.arange(FRAMES)),
    "clicks": CLICKS,
    "sweep": 0.5 * np.sin(2e-6 * np.arange(FRAMES) ** 2),
    "one click": np.eye(1, FRAMES, 5000)[0],
    "quietest": np.eye(1, FRAMES, 5000)[0] * 1e-30,
    "loud": np.random.default_rng(0).choice([-200.0, 200.0], FRAMES),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_hostile_signals(name):
    """Few candidates, and none where nothing repeats."""
    counts = [len(frame) for frame in search(SIGNALS[name])]
    assert len(counts) == 100 and max(counts) <= 8
    if name in ("silence", "noise", "sweep", "one click", "quietest", "loud"):
        assert sum(counts) <= 5


def test_tone_prefers_recent_lags():
    """All multiples of its period predict a tone; near ones need less history."""
    lags = [one.lag for frame in search(SIGNALS["tone"])[30:] for one in frame]
    assert lags and np.median(lags) < 16 * SIZE * PHASES


@pytest.mark.parametrize("frames", [0, 1, SIZE - 1, 2 * SIZE, 4 * SIZE + 1])
def test_short_sources(frames):
    assert len(search(np.full(frames, 0.1))) == -(-frames // SIZE)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_channels_and_rates(channels):
    """Any number of channels, and the longest superframes."""
    rate = 44_100
    size = superframe_length(rate)
    lag = 5 * size + 31
    loop = plant(noise(6, lag), [(k * lag, 1.0) for k in range(3)], 16 * size)
    listed = search(np.stack([loop] * channels, axis=1), rate=rate)
    assert found(listed, lag, range(6, 15)) == 1


def test_progress_reaches_the_end():
    seen = []
    audio = np.zeros(130 * SIZE + 5)
    for _ in LagSearch(ArraySource(audio, RATE), len(audio)).run(lambda done, of: seen.append((done, of))):
        pass
    assert seen == sorted(seen) and seen[-1] == (len(audio), len(audio))


@settings(max_examples=20)
@given(st.integers(1, 400), st.lists(st.integers(0, 90), max_size=80))
def test_history(keep, pieces):
    """The samples kept are the last ones appended, zeros before the first."""
    history = History(keep, np.int64)
    everything = np.concatenate([np.zeros(keep, int), np.arange(1, sum(pieces) + 1)])
    for count in pieces:
        history.append(np.arange(history.end + 1, history.end + 1 + count))
        expected = everything[keep + history.end - keep : keep + history.end]
        np.testing.assert_array_equal(history.view(history.end - keep, history.end), expected)


def test_correlator_equals_direct_correlation():
    """The block-wise correlation is that of the definition, at every lag, also for windows of two tiles."""
    rng = np.random.default_rng(0)
    tile, longest = 32, 600
    signal = (rng.normal(size=40 * tile) + 1j * rng.normal(size=40 * tile)).astype(np.complex64)
    signal[20 * tile : 24 * tile] = signal[5 * tile + 7 : 9 * tile + 7]
    correlator = RangeCorrelator(tile, 5, longest, (1, 2), 3)
    for number in range(40):
        peaks = correlator.push(signal[number * tile : (number + 1) * tile])
        for length, listed in peaks.items():
            begin, end = (number + 1 - length) * tile, (number + 1) * tile
            for peak in listed:
                assert 5 <= peak.lag <= longest + 31
                past = signal[max(0, begin - peak.lag) : end - peak.lag]
                here = signal[end - len(past) : end]
                power = np.vdot(past, past).real + 1e-3 * np.vdot(here, here).real
                expected = abs(np.vdot(past, here)) ** 2 / power / np.vdot(here, here).real
                assert peak.score == pytest.approx(min(expected, 1), rel=1e-3)
        if 20 <= number < 24:
            assert peaks[1][0].lag == 15 * tile - 7


def test_baseband_keeps_delays():
    """A delay of the signal by a whole number of decimated samples is that delay in every range."""
    hop, bins = 256, 128
    signal = np.random.default_rng(1).normal(0, 1000, 40 * hop).astype(np.float32)
    later = np.concatenate([np.zeros(4 * hop, np.float32), signal])[: len(signal)]
    for low in (0, 128):
        one, two = (baseband(weighted_spectra(x, hop), low, bins) for x in (signal, later))
        np.testing.assert_allclose(two[4 * bins // 2 + bins : -bins], one[bins : -bins - 4 * bins // 2], atol=1e-2)


@settings(max_examples=20)
@given(st.integers(-40 * PHASES, 40 * PHASES), st.floats(0, 1), st.integers(0, 99))
def test_refiner(offset, disturbance, seed):
    """A lag is refined to 1/32 sample, even under noise as loud as the signal."""
    rng = np.random.default_rng(seed)
    signal = noise(seed, 8192, 1.0)
    stretch = (signal + disturbance * rng.normal(size=8192)).astype(np.float32)
    refiner = Refiner(stretch, 48, PHASES)
    past = delayed(np.concatenate([np.zeros(500), signal]), refiner.margin - 500 + offset / PHASES + 500, 12000)
    past = past[500 : 500 + 8192 + 2 * refiner.margin].astype(np.float32)
    refined = refiner.refine(past)
    assert refined is not None and abs(refined.offset + offset) <= 1
    assert refined.behind[PHASES] == 0 and refined.bits > 1000
