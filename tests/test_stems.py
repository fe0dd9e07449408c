"""Stems and loops: what is exported adds up to what the file decodes to, and says where it repeats."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from pattern_tools import LOOP_FRAMES, LOOP_RATE, encoded_loop

import evc
from evc.cli.decode import decode
from evc.exports.kits import at_zero_crossings, samples_of, sfz_text
from evc.exports.stems import INDEX, write_stems
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
@pytest.mark.parametrize("name", ["rejoined", "placements", "loop", "hiss", "surround"])
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
    assert result.exception is None and result.output.endswith("3 WAV files: patterns, spectrum, rounding\n")
    part = slice(3 * LOOP_RATE, 5 * LOOP_RATE)
    for name, layer in layers.items():
        sound, _ = soundfile.read(tmp_path / "out" / f"{name}.wav", dtype="float32", always_2d=True)
        assert np.abs(layer[part]).max() > 0.01
        np.testing.assert_allclose(sound, layer[part], atol=1e-6)
    np.testing.assert_array_equal(added(tmp_path / "out"), whole[part])
    again = CliRunner().invoke(decode, [str(tmp_path / "loop.evc"), *options])
    assert "stems.json: exists already; --force replaces it" in str(again.exception)
    assert CliRunner().invoke(decode, [str(tmp_path / "loop.evc"), "a.wav", *options]).exit_code == 2


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
