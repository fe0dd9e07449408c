"""The training loop: its log, its checkpoints, trials of batch sizes."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from evc.format.errors import InputError
from evc.models.training import loop as loop_module
from evc.models.training import trial
from evc.models.training.log import TrainingLog, spectrogram_picture, write_png
from evc.models.training.loop import Draws, Loop, LoopSettings, Losses

RATE = 22_050


# Log


def test_pictures_are_png(tmp_path):
    levels = np.linspace(0, 1, 12).reshape(3, 4)
    write_png(tmp_path / "a.png", levels)
    data = (tmp_path / "a.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, payload = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + payload)
        chunks[kind] = payload
        at += 12 + length
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (4, 3, 8, 0, 0, 0, 0)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(3, 5)
    np.testing.assert_array_equal(rows, np.c_[np.zeros(3), np.rint(levels * 255)])


def test_log_holds_numbers_sounds_and_pictures(tmp_path):
    log = TrainingLog(tmp_path / "run")
    log.numbers({"step": 1, "loss": 0.5})
    log.numbers({"step": 2, "loss": 0.25})
    log.audio("sound", np.full((2, 100), 2.0), RATE)
    log.picture("picture", spectrogram_picture(np.sin(np.arange(5000))))
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2]
    audio, samplerate = soundfile.read(tmp_path / "run" / "sound.flac")
    assert samplerate == RATE and audio.shape == (100, 2) and np.abs(audio).max() <= 1
    assert (tmp_path / "run" / "picture.png").stat().st_size > 100


# Loop


class Line:
    """Fits a line to random points; a second player follows the first one."""

    def __init__(self):
        torch.manual_seed(0)
        self.players = {"line": nn.Linear(1, 1), "follower": nn.Linear(1, 1)}
        self.settled = 0

    def parameter_groups(self, player):
        return [{"params": list(self.players[player].parameters())}]

    def batch(self, draws, step):
        x = torch.from_numpy(draws.numpy.standard_normal((16, 1)).astype(np.float32))
        return x, 3 * x - 2

    def losses(self, batch, draws, step, share):
        x, y = batch
        guess = self.players["line"](x) + 0.01 * torch.randn(16, 1, generator=draws.torch)
        first = (guess - y).square().mean()
        second = (self.players["follower"](x) - guess.detach()).square().mean()
        return Losses({"line": first, "follower": second}, {"error": first.detach()})

    def settle(self):
        self.settled += 1

    def validate(self):
        return {"slope": float(self.players["line"].weight.detach())}

    def illustrate(self, log, step):
        log.picture(f"{step}", np.zeros((2, 2)))


SETTINGS = LoopSettings(steps=60, learning_rate=0.2, warm_up=5, report_steps=10, clip=100.0, weight_decay=0.0)
CPU = torch.device("cpu")


def _weights(loop):
    return [p.detach().clone() for player in loop.task.players.values() for p in player.parameters()]


def test_loop_trains_validates_and_logs(tmp_path):
    task = Line()
    loop = Loop(task, SETTINGS, tmp_path, CPU)
    done = []
    figures = loop.run(lambda step, steps: done.append((step, steps)))
    assert figures["slope"] == pytest.approx(3, abs=0.3)
    assert done[-1] == (60, 60) and task.settled == 60
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40, 50, 60, 60]
    assert lines[0]["error"] > lines[-2]["error"] and lines[-1]["validation"]
    assert (tmp_path / "60.png").exists()


def test_resumed_training_ends_as_training_without_a_break(tmp_path):
    whole = Loop(Line(), SETTINGS, tmp_path / "whole", CPU)
    whole.run()
    Loop(Line(), SETTINGS, tmp_path / "parts", CPU).run(until=23)
    second = Loop(Line(), SETTINGS, tmp_path / "parts", CPU)
    second.resume()
    assert second.step == 23
    second.run()
    for a, b in zip(_weights(whole), _weights(second), strict=True):
        assert torch.equal(a, b)


def test_resuming_needs_a_checkpoint_of_the_same_settings(tmp_path):
    loop = Loop(Line(), SETTINGS, tmp_path, CPU)
    with pytest.raises(InputError, match="no checkpoint"):
        loop.resume()
    loop.run(until=1)
    with pytest.raises(InputError, match="other settings"):
        Loop(Line(), replace(SETTINGS, seed=1), tmp_path, CPU).resume()


@given(step=st.integers(0, 200), steps=st.integers(0, 200), warm_up=st.integers(0, 50), seconds=st.floats(0, 300))
def test_rate_stays_in_bounds(step, steps, warm_up, seconds):
    for settings in (replace(SETTINGS, steps=steps, warm_up=warm_up), replace(SETTINGS, minutes=3, warm_up=warm_up)):
        share = settings.share(step, seconds)
        assert 0 <= share <= 1 and 0 < settings.rate(step, share) <= 1


def test_training_of_some_minutes_pauses_resumes_and_ends(tmp_path, monkeypatch):
    class Clock:
        """A tenth of a second passes between looks."""

        def __init__(self, before):
            self.now = before

        def seconds(self):
            self.now += 0.1
            return self.now

    monkeypatch.setattr(loop_module, "_Clock", Clock)
    settings = replace(SETTINGS, minutes=0.1)
    first = Loop(Line(), settings, tmp_path, CPU)
    done = []
    first.run(lambda *now: done.append(now), pause=0.03)
    assert first.seconds == pytest.approx(2, abs=0.25) and first.share == first.seconds / 6
    assert done[-1] == (first.seconds, pytest.approx(6))
    second = Loop(Line(), settings, tmp_path, CPU)
    second.resume()
    assert second.step == first.step and second.share == first.share
    figures = second.run()
    assert second.share == 1 and second.seconds == pytest.approx(6, abs=0.25)
    assert figures["slope"] == pytest.approx(3, abs=0.3)


def test_checkpoints_without_new_settings_have_their_defaults(tmp_path):
    loop = Loop(Line(), SETTINGS, tmp_path, CPU)
    loop.run(until=2)
    state = torch.load(loop.checkpoint, weights_only=True)
    for name in ("minutes", "bfloat16"):
        del state["settings"][name]
    torch.save(state, loop.checkpoint)
    again = Loop(Line(), SETTINGS, tmp_path, CPU)
    again.resume()
    assert again.step == 2


def test_the_log_tells_the_speed(tmp_path):
    Loop(Line(), SETTINGS, tmp_path, CPU).run()
    first = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[0])
    assert first["steps_per_second"] > 0 and 0 <= first["waiting"] <= 1


# Trials


def test_trials_measure_steps_and_change_nothing(tmp_path):
    class Slow(Line):
        def losses(self, batch, draws, step, share):
            losses = super().losses(batch, draws, step, share)
            return Losses(losses.players, losses.figures | {"network.loss": losses.players["line"].detach()})

    said = []
    found = trial.tried(lambda scale: Loop(Slow(), SETTINGS, tmp_path, CPU), 3, 0.05, said.append)
    assert [each.scale for each in found] == list(trial.SCALES)[: len(found)] and len(said) == len(found)
    assert all(each.steps_per_second > 0 and 0 <= each.waiting <= 1 and each.busy is None for each in found)
    assert not list(tmp_path.iterdir())


def _trial(scale, speed):
    return trial.Trial(scale, speed, 0.0, None, 1.0, 1.0)


@pytest.mark.parametrize(
    ("speeds", "scale"), [((10,), 1), ((10, 9), 2), ((10, 9, 4.6), 2), ((10, 9, 8), 4), ((10, 5), 1)]
)
def test_batches_grow_as_long_as_that_pays(speeds, scale):
    assert trial.best([_trial(1 << number, speed) for number, speed in enumerate(speeds)]) == scale


def test_the_scale_is_noted(tmp_path):
    def none(scale):
        raise AssertionError

    assert trial.chosen_scale(none, SETTINGS, tmp_path / "a", CPU) == 1
    assert trial.chosen_scale(none, SETTINGS, tmp_path / "b", CPU, 4) == 4
    assert trial.chosen_scale(none, SETTINGS, tmp_path / "b", CPU) == 4


def test_draws_depend_on_seed_and_step():
    def numbers(seed, step):
        draws = Draws.of(seed, step)
        return draws.numpy.random(), float(torch.rand(1, generator=draws.torch))

    assert numbers(1, 2) == numbers(1, 2)
    assert len({numbers(s, t) for s in range(3) for t in range(3)}) == 9
