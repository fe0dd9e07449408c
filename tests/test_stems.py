"""Stems and loops: what is exported adds up to what the file decodes to, and says where it repeats."""

from __future__ import annotations

import io
import json
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from pattern_tools import LOOP_FRAMES, LOOP_RATE, encoded_loop, planted

import evc
from evc.cli.decode import decode
from evc.cli.patterns import patterns
from evc.exports.kits import at_zero_crossings, samples_of, sfz_text
from evc.exports.stems import INDEX, write_stems
from evc.format.coder import CodedStream
from evc.format.reader import ContainerReader
from evc.format.streams.dictionary import Explicit, Loop
from evc.spec.signals import FOLDER


def added(folder: Path) -> np.ndarray:
    """The stems of a folder, added up as its index says."""
    told = json.loads((folder / INDEX).read_text())
    total = np.zeros((told["frames"], told["channels"]), np.float32)
    for stem in told["stems"]:
        sound, rate = soundfile.read(folder / stem["file"], dtype="float32", always_2d=True)
        assert rate == told["samplerate"] and soundfile.info(folder / stem["file"]).subtype == "FLOAT"
        total += sound
    return total


@pytest.mark.parametrize("by_pattern", [False, True])
@pytest.mark.parametrize("name", ["rejoined", "placements", "loop", "hiss", "surround", "envelopes", "beneath"])
@pytest.mark.filterwarnings("ignore:WAVEX cannot say")
def test_stems_add_up_to_the_file(name, by_pattern, tmp_path):
    with evc.open(FOLDER / f"{name}.evc") as file:
        write_stems(file, tmp_path, by_pattern=by_pattern)
        np.testing.assert_array_equal(added(tmp_path), file.read(always_2d=True))


def test_events_and_noise_add_up_in_order(track, tmp_path):
    data = evc.encode(track, 16_000, hints="noise", bitrate=1, effort=0)
    with evc.open(io.BytesIO(data)) as file:
        stems = write_stems(file, tmp_path)
        assert [stem.name for stem in stems] == ["events", "noise"]  # nothing is left by rounding
        np.testing.assert_array_equal(added(tmp_path), file.read())
        events, _ = soundfile.read(tmp_path / "events.wav", dtype="float32")
        np.testing.assert_array_equal(events, file.render(["events"]))


def test_patterns_and_what_is_coded_beside_them_sound_apart(tmp_path):
    """What the stem of the spectrum has is what the layer has, but for rounding; of a part as well."""
    with evc.open(io.BytesIO(encoded_loop())) as file:
        whole = file.read(always_2d=True)
        layers = {name: file.render([name]) for name in ("patterns", "spectrum")}
    (tmp_path / "loop.evc").write_bytes(encoded_loop())
    options = ["--stems", str(tmp_path / "out"), "--start", "3", "--duration", "2"]
    result = CliRunner().invoke(decode, [str(tmp_path / "loop.evc"), *options])
    # What is left to rounding may be nothing.
    assert result.exception is None and re.search(r"WAV files: patterns, spectrum(, rounding)?\n$", result.output)
    part = slice(3 * LOOP_RATE, 5 * LOOP_RATE)
    for name, layer in layers.items():
        sound, _ = soundfile.read(tmp_path / "out" / f"{name}.wav", dtype="float32", always_2d=True)
        assert np.abs(layer[part]).max() > 0.003
        np.testing.assert_allclose(sound, layer[part], atol=1e-6)
    np.testing.assert_array_equal(added(tmp_path / "out"), whole[part])
    again = CliRunner().invoke(decode, [str(tmp_path / "loop.evc"), *options])
    assert "stems.json: exists already; --force replaces it" in str(again.exception)
    assert CliRunner().invoke(decode, [str(tmp_path / "loop.evc"), "a.wav", *options]).exit_code == 2


def test_one_shots_are_instruments(tmp_path):
    """A tone with a loop, and noise: WAVs that say their keys and loops, and an SFZ of each."""
    period, frames = 8000 / 220, 4 * 1024
    sounds = [np.sin(2 * np.pi * np.arange(frames) / period), np.random.default_rng(0).normal(0, 0.3, frames)]
    loops = [Loop(1000 * 32, round(4 * period * 32), ping_pong=True), None]
    entries = [waveform(0.5 * sound, loop) for sound, loop in zip(sounds, loops, strict=True)]
    row = {"patterns": 0, "times": 0, "lengths": 5000, "semitones": -12, "gains": np.zeros((1, 4), np.int64)}
    (tmp_path / "a.evc").write_bytes(planted(2, {0: [row]}, entries, spans=True, rates=True))
    result = CliRunner().invoke(patterns, [str(tmp_path / "a.evc"), "--export", str(tmp_path / "out"), "--json"])
    assert result.exception is None, result.output
    first, second = json.loads((tmp_path / "out" / "index.json").read_text())["patterns"]
    assert first["root_key"] == pytest.approx(57, abs=0.05) and second["root_key"] is None
    assert first["loop"]["ping_pong"] and first["loop"]["start"] == 1000 / 8000 and second["loop"] is None
    (told,) = json.loads((tmp_path / "out" / first["json"]).read_text())["occurrences"]
    assert told["rate"] == 0.5
    data = (tmp_path / "out" / first["wav"]).read_bytes()
    smpl = data[data.index(b"smpl") + 8 :]
    note, fraction = struct.unpack("<2I", smpl[12:20])
    assert note + fraction / 2**32 == pytest.approx(first["root_key"])
    assert struct.unpack("<3I", smpl[40:52]) == (1, 1000, 1000 + round(4 * period) - 1)
    text, other = ((tmp_path / "out" / one["sfz"]).read_text() for one in (first, second))
    assert f"sample={first['wav']}" in text and "pitch_keycenter=57 " in text and "loop_type=alternate" in text
    assert "pitch_keycenter=60 tune=0\nloop_mode=no_loop" in other
    both = (tmp_path / "out" / "instrument.sfz").read_text()
    assert both.count("loop_mode=one_shot") == 2 and "key=37 pitch_keycenter=37" in both


def waveform(sound: np.ndarray, loop: Loop | None) -> Explicit:
    """A sound at 8 kHz as an entry, as `evc encode` would code it."""
    container = ContainerReader(io.BytesIO(evc.encode(sound, 8000, quality=8, patterns="off")))
    (segment,) = [container.segment(index) for index in range(container.segments)]
    stream = segment.streams[0]
    return Explicit(1, len(sound), CodedStream(stream.words, stream.symbols, stream.checksum), loop)


def test_loops_are_whole_beats_and_samplers_are_told():
    with evc.open(io.BytesIO(encoded_loop())) as file:
        samples, tempo = samples_of(file, [0])
        audio = file.pattern_audio(0)
    sample = samples[0]
    assert tempo is not None and 60 <= tempo < 200
    beats = LOOP_FRAMES / LOOP_RATE * tempo / 60  # of what was repeated, two seconds
    assert beats == pytest.approx(round(4 * beats) / 4, abs=0.02)
    assert sample.beats is not None and sample.loop == pytest.approx(sample.beats * 60 / tempo * LOOP_RATE, abs=1)
    smpl, *others = sample.chunks(LOOP_RATE)
    assert struct.unpack("<2I", smpl.data[44:52]) == (0, sample.loop - 1)  # its last frame
    if sample.beats.is_integer():
        assert struct.unpack("<f", others[0].data[-4:])[0] == pytest.approx(tempo, rel=1e-3)
    text = sfz_text([(sample, "a.wav"), (sample, "b.wav")], "x.evc", tempo)
    assert "sample=b.wav\nkey=37 pitch_keycenter=37 loop_start=0 " in text
    moved = at_zero_crossings(sample, audio, LOOP_RATE)
    mono = audio.mean(axis=1)
    for frame in (moved.start, moved.start + moved.frames):
        if 0 < frame < len(mono) and frame not in (0, sample.frames):
            assert mono[frame - 1] < 0 <= mono[frame]
    assert 0 < moved.loop <= moved.frames <= sample.frames
