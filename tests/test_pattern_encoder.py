"""The pattern layer's encoder as a whole: what it saves, what it must not lose, and input that is hard on it."""

import io

import numpy as np
import pytest
from stream_tools import without_envelopes

import evc
from evc.format.header import Header
from evc.format.writer import ContainerWriter
from evc.models import pipeline
from evc.models.patterns.encoder import SegmentCoder
from evc.models.settings import EncodeSettings
from evc.models.source import ArraySource
from evc.models.spectrum.encoder import SegmentAnalyser

RATE = 16_000


def loop(seconds: float, seed: int = 1) -> np.ndarray:
    """Hits of decaying noise and tones, [frames]."""
    random = np.random.default_rng(seed)
    out = np.zeros(int(seconds * RATE))
    for start in np.arange(0, len(out) - 3000, 2000):
        t = np.arange(3000) / RATE
        tone = np.sin(2 * np.pi * random.uniform(100, 3000) * t) + 0.5 * random.normal(size=3000)
        out[start : start + 3000] += 0.2 * tone * np.exp(-t / random.uniform(0.01, 0.08))
    return out


def error(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(np.mean((one - other) ** 2)))


def decoded(data: bytes) -> np.ndarray:
    return evc.decode(data)[0]


def test_a_loop_costs_little_more_than_once() -> None:
    audio = np.tile(loop(1.0), 4)
    plain = evc.encode(audio, RATE, quality=5, patterns="off")
    data = evc.encode(audio, RATE, quality=5)
    assert len(data) < 0.5 * len(plain)
    assert error(decoded(data), audio) < error(decoded(plain), audio)
    with evc.open(io.BytesIO(data)) as file:
        assert file.layers == ("patterns", "spectrum")
        assert len(file.occurrences) and len(file.patterns)
        file.verify(synthesis=True)


def test_a_loop_at_a_fractional_tempo() -> None:
    """Every repeat lies 0.37 frames later on the grid than the one before."""
    source = loop(1.0)
    spectrum = np.fft.rfft(source)
    period = len(source) + 0.37
    audio = np.zeros(int(4 * period) + 1)
    for k in range(4):
        start = int(k * period)
        shift = np.exp(-2j * np.pi * np.fft.rfftfreq(len(source)) * (k * period - start))
        audio[start : start + len(source)] += np.fft.irfft(spectrum * shift, len(source))
    sizes = {patterns: len(evc.encode(audio, RATE, quality=5, patterns=patterns)) for patterns in ("auto", "off")}
    assert sizes["auto"] < 0.6 * sizes["off"]


@pytest.mark.parametrize("quality", [2, 4])
def test_a_copy_is_as_loud_as_what_it_stands_for(quality: float) -> None:
    """Hiss that is in part another each time: a copy of least squared error would be too quiet, and is filled up."""
    random, t = np.random.default_rng(3), np.arange(RATE) / RATE
    tones = sum(0.1 * np.sin(2 * np.pi * f * t) * np.exp(-3 * (t % 0.25)) for f in (220, 331, 554, 887))
    hiss = random.normal(size=RATE)
    audio = np.concatenate([tones + 0.01 * (0.9 * hiss + 0.44 * random.normal(size=RATE)) for _ in range(6)])
    files = [evc.encode(audio, RATE, quality=quality, patterns=patterns) for patterns in ("auto", "off")]
    above = np.fft.rfftfreq(len(audio), 1 / RATE) > 4000
    levels = [20 * np.log10(np.linalg.norm(np.fft.rfft(decoded(data))[above])) for data in files]
    assert len(files[0]) < len(files[1])
    assert levels[0] > levels[1] - 0.2


def test_stereo_and_several_channels() -> None:
    mono = np.tile(loop(0.75), 3)
    for pans in ((1.0, 0.4), (1.0, 0.2, 0.7)):
        audio = mono[:, None] * np.array(pans)
        plain = evc.encode(audio, RATE, quality=4, patterns="off")
        data = evc.encode(audio, RATE, quality=4)
        assert len(data) < 0.8 * len(plain)
        assert decoded(data).shape == audio.shape


def test_the_encoder_knows_what_the_decoder_will_have(monkeypatch: pytest.MonkeyPatch) -> None:
    coders: list[SegmentCoder] = []
    start = SegmentCoder.__init__

    def remember(self: SegmentCoder, analyser: SegmentAnalyser, *rest: object) -> None:
        coders.append(self)
        start(self, analyser, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(SegmentCoder, "__init__", remember)
    audio = np.tile(loop(0.75), 4)
    data = evc.encode(audio, RATE, quality=5)
    own = coders[-1].past.timelines[0].fetch(0, len(audio))[0] / 32768  # of the last pass
    np.testing.assert_allclose(decoded(without_envelopes(data)), own, atol=1e-5)


@pytest.mark.parametrize("superframes", [2, 5])
def test_short_segments(superframes: int) -> None:
    """Copies cross many borders, and copies of copies make chains of dependencies."""
    audio = np.tile(loop(0.5), 6)
    files = {}
    for patterns in ("auto", "off"):
        source, target = ArraySource(audio.astype(np.float32), RATE), io.BytesIO()
        header = Header(RATE, 1, len(audio), layers=("spectrum",), segment_frames=superframes * 1024)
        coded = pipeline.encode(source, header, EncodeSettings(quality=5, patterns=patterns), 0)
        with ContainerWriter(target, coded.header) as writer:
            for segment in coded.segments:
                writer.add_segment(segment)
        files[patterns] = target.getvalue()
    assert len(files["auto"]) < 0.4 * len(files["off"])
    assert error(decoded(files["auto"]), audio) < error(decoded(files["off"]), audio)
    with evc.open(io.BytesIO(files["auto"])) as file:
        file.verify(synthesis=True)
        whole = file.read()
        file.seek(2 * RATE)
        np.testing.assert_array_equal(file.read(RATE // 2), whole[2 * RATE : 5 * RATE // 2])


@pytest.mark.parametrize("effort", [0, 9])
def test_efforts(effort: int) -> None:
    audio = np.tile(loop(1.0), 3)
    data = evc.encode(audio, RATE, quality=3, effort=effort)
    assert len(data) < len(evc.encode(audio, RATE, quality=3, patterns="off"))
    assert decoded(data).shape == audio.shape


def test_the_same_bytes_twice() -> None:
    audio = np.tile(loop(1.0), 3)
    assert evc.encode(audio, RATE) == evc.encode(audio, RATE)


def test_a_bitrate_is_met() -> None:
    audio = np.tile(loop(1.0), 6) + 0.01 * np.random.default_rng(1).normal(size=6 * RATE)
    data = evc.encode(audio, RATE, bitrate=16)
    assert 8 * len(data) / 6 / 1000 == pytest.approx(16, rel=0.02)
    with evc.open(io.BytesIO(data)) as file:
        assert len(file.occurrences)


NOISE = np.random.default_rng(2).normal(size=2 * RATE) * 0.1


@pytest.mark.parametrize(
    "audio",
    [
        np.zeros(2 * RATE),
        np.full(2 * RATE, 0.5),
        NOISE,
        0.5 * np.sin(2 * np.pi * 440.3 * np.arange(2 * RATE) / RATE),
        (np.arange(2 * RATE) % 1600 == 0).astype(float),
        loop(2.0),
        loop(0.05),
        np.full(1, 0.5),
        np.zeros(0),
    ],
    ids=["silence", "constant", "noise", "tone", "clicks", "no repetition", "short", "one sample", "empty"],
)
def test_hard_input_does_not_grow_the_file(audio: np.ndarray) -> None:
    data = evc.encode(audio, RATE, quality=4)
    assert len(data) <= 1.005 * len(evc.encode(audio, RATE, quality=4, patterns="off")) + 8
    assert len(decoded(data)) == len(audio)
