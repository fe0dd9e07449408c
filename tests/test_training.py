"""Training: excerpts and splits, losses, discriminator, log, and the loop's checkpoints."""

from __future__ import annotations

import json
import struct
import zlib
from contextlib import nullcontext
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
from evc.models.training import losses, trial
from evc.models.training.ahead import Store, each, workers
from evc.models.training.augmentation import Augmentation
from evc.models.training.dataset import AudioFolder, Recording, resampled, scan, work_of
from evc.models.training.discriminator import (
    SpectrogramDiscriminator,
    discriminator_loss,
    generator_loss,
    half_masked,
)
from evc.models.training.log import TrainingLog, spectrogram_picture, write_png
from evc.models.training.loop import Draws, Loop, LoopSettings, Losses

RATE = 22_050


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Sines whose frequency tells the file, under names as albums have them, and a file that is none."""
    folder = tmp_path_factory.mktemp("sounds")
    for number, name in enumerate(("suite_01", "suite_02", "nocturne", "etude-3b", "etude-3c", "waltz")):
        wave = np.sin(2 * np.pi * 100 * (number + 1) * np.arange(3 * RATE) / RATE)
        soundfile.write(folder / f"{name}.wav", np.stack([wave, 0.5 * wave], 1), RATE)
    (folder / "broken.flac").write_bytes(b"fLaC but no more")
    return folder


def test_scan_skips_what_cannot_be_read_and_says_so(sounds):
    said = []
    folder = scan(sounds, report=said.append)
    assert len(folder.entries) == 6 and folder.seconds == pytest.approx(18)
    assert len(said) == 1 and "broken.flac" in said[0]


def test_scan_leaves_out_works_by_name_and_by_word(sounds, tmp_path):
    soundfile.write(tmp_path / "Noc turne.flac", np.zeros(100), RATE)
    names = {entry.path.stem for entry in scan(sounds, exclude=tmp_path, skip=("suite",)).entries}
    assert names == {"etude-3b", "etude-3c", "waltz"}


def test_scan_leaves_out_works_by_manifest(sounds, tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    for path in ("one/first.wav", "one/second.wav", "other/renamed.wav"):
        soundfile.write(tmp_path / path, np.zeros(100), RATE)
    rows = ["path,source_repo,source_path", "one/first.wav,a/b,x.mid", "one/second.wav,a/b,y.mid"]
    (tmp_path / "MANIFEST.csv").write_text("\n".join([*rows, "other/renamed.wav,a/b,x.mid"]))
    found = scan(tmp_path / "one", exclude=tmp_path / "other").entries
    assert [entry.path.name for entry in found] == ["second.wav"]


def test_folder_without_sounds_is_an_error(tmp_path):
    with pytest.raises(InputError, match="no sound files"):
        scan(tmp_path)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("suite_01.wav", "suite_02.flac", True),
        ("album-01-night-2.wav", "album-07-night-3.wav", True),
        ("beat_a.wav", "beat_b.wav", True),
        ("night.wav", "day.wav", False),
    ],
)
def test_parts_of_a_work_share_its_name(tmp_path, one, other, same):
    assert (work_of(tmp_path / one) == work_of(tmp_path / other)) == same


@given(works=st.lists(st.integers(0, 9), min_size=2, max_size=40), share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_split_never_parts_a_work(works, share, seed):
    folder = AudioFolder([Recording(str(i), f"work {work}", 100, 10) for i, work in enumerate(works)])
    if len(set(works)) < 2:
        with pytest.raises(InputError, match="two works"):
            folder.split(share, seed)
        return
    training, validation = folder.split(share, seed)
    names = [{entry.work for entry in side.entries} for side in (training, validation)]
    assert not names[0] & names[1]
    assert len(training.entries) + len(validation.entries) == len(works)


@pytest.mark.parametrize("samplerate", [16_000, 22_050, 44_100])
@pytest.mark.parametrize("speed", [0.8, 1.0, 1.3])
def test_excerpts_are_resampled(sounds, samplerate, speed):
    folder = scan(sounds, skip=("suite", "etude", "waltz"))
    audio = folder.excerpt(np.random.default_rng(0), samplerate, samplerate, 2, speed)
    assert audio.shape == (2, samplerate) and audio.dtype == np.float32
    spectrum = np.abs(np.fft.rfft(audio[0] * np.hanning(samplerate)))
    assert np.argmax(spectrum) == pytest.approx(300 * speed, abs=1)
    assert np.abs(audio[0]).max() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(audio[1], 0.5 * audio[0], atol=1e-3)


def test_resampling_keeps_a_sine():
    ratio, frames = 48_000 / 22_050, 9600
    wave = np.sin(2 * np.pi * 1000 * np.arange(frames) / 48_000)[None].astype(np.float32)
    out = resampled(wave, ratio)[0]
    t = (np.arange(len(out)) + round(64 / ratio)) * (frames / round(frames / ratio)) / 48_000
    middle = slice(100, -100)
    np.testing.assert_allclose(out[middle], np.sin(2 * np.pi * 1000 * t)[middle], atol=5e-3)


def test_augmented_excerpts_depend_on_the_random_numbers_only(sounds):
    folder = scan(sounds)
    first, again, other = (Augmentation().excerpt(folder, np.random.default_rng(s), RATE, RATE, 2) for s in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# Losses


def test_spectral_loss_is_zero_for_the_target_and_knows_phase():
    wave = torch.sin(2 * torch.pi * 440 * torch.arange(RATE) / RATE)[None]
    loss = losses.SpectralLoss(RATE)
    assert float(loss(wave, wave)) == pytest.approx(0, abs=1e-6)
    assert float(loss(-wave, wave)) > 1.5


def test_mel_bands_cover_all_bins():
    matrix = losses.mel_matrix(RATE, 512, 64)
    assert matrix.shape == (64, 257)
    torch.testing.assert_close(matrix.sum(1), torch.ones(64))


def test_ratios_do_not_telescope():
    """The gradient of the first event's ratio knows the first event only, however good the second is."""
    target = torch.randn(1, 64, generator=torch.Generator().manual_seed(0))
    first = torch.zeros(1, 64, requires_grad=True)
    left = target - first
    ratio = losses.energy_ratios(target, left).sum() + losses.energy_ratios(left.detach(), left.detach() * 0.1).sum()
    ratio.backward()
    torch.testing.assert_close(first.grad, -2 * target / (target.square().sum() + 1e-5))


def test_sparsity_prefers_few_amplitudes():
    scale = torch.ones(1)
    few, many = torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 4), 0.25)
    assert losses.amplitude_sparsity(few, scale) < losses.amplitude_sparsity(many, scale)


# Discriminator


def test_half_of_the_parts_is_masked():
    parts = torch.eye(6)[None].repeat(3, 1, 1)
    total = half_masked(parts, torch.Generator().manual_seed(0))
    assert total.sum(1).tolist() == [3, 3, 3]


def test_discriminator_learns_to_tell_noise_from_tones():
    torch.manual_seed(0)
    judge = SpectrogramDiscriminator(4, 3)
    optimiser = torch.optim.Adam(judge.parameters(), 3e-3)
    random = torch.Generator().manual_seed(1)

    def tones():
        hertz = 200 + 2000 * torch.rand(4, 1, generator=random)
        return torch.sin(2 * torch.pi * hertz * torch.arange(8192) / RATE)

    for _ in range(40):
        fake = torch.randn(4, 8192, generator=random)
        loss = discriminator_loss(judge, tones(), fake)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        real, fake = judge(tones())[0].mean(), judge(torch.randn(4, 8192, generator=random))[0].mean()
    assert float(real) > float(fake) + 1


def test_only_the_maker_gets_gradients_from_its_loss():
    judge = SpectrogramDiscriminator(4, 2)
    real, fake = torch.randn(1, 4096), torch.randn(1, 4096, requires_grad=True)
    discriminator_loss(judge, real, fake).backward()
    assert fake.grad is None
    generator_loss(judge, real, fake).backward()
    assert float(fake.grad.abs().sum()) > 0


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


# Processes


@pytest.mark.parametrize("processes", [0, 1])
def test_stores_make_each_item_once_while_they_keep_it(processes):
    with processes_of(processes) as pool:
        store = Store(_square, 3, pool)
        store.ahead([2, 3])
        assert [store.get(number) for number in (3, 2, 5, 9)] == [9, 4, 25, 81]
        assert store.get(3) == 9  # made again
        assert _in_two_threads(lambda: Store(_threads, 3, pool).get(0)) == 1


def test_what_is_made_here_is_made_in_one_thread():
    """As in processes, and so in the same order of sums, however many cores there are."""
    assert _in_two_threads(lambda: list(each(_threads, [0]))) == [1]
    assert _in_two_threads(lambda: _threads(0)) == 2


def _in_two_threads(function):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        return function()
    finally:
        torch.set_num_threads(before)


def _threads(_):
    return torch.get_num_threads()


def _square(number):
    return number * number


def processes_of(count):
    return workers(count) if count else nullcontext()


def test_draws_depend_on_seed_and_step():
    def numbers(seed, step):
        draws = Draws.of(seed, step)
        return draws.numpy.random(), float(torch.rand(1, generator=draws.torch))

    assert numbers(1, 2) == numbers(1, 2)
    assert len({numbers(s, t) for s in range(3) for t in range(3)}) == 9
