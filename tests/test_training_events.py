"""The event network's training: features, proposer, planted mixes, the differentiable encoder, the whole command."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from evc import kernels
from evc.cli import train as cli
from evc.format.errors import InputError
from evc.format.networks import weights
from evc.models.events import train as training
from evc.models.events.cells import CELLS, HOP, SAMPLERATE, cell_features
from evc.models.events.features import CellFeatures, cell_notes, note_hertz
from evc.models.events.generator import Generator
from evc.models.events.hearing import OnsetNetwork, downmix
from evc.models.events.network import EventNetwork, projections
from evc.models.events.onsets import PROPOSER, onset_times
from evc.models.events.planted import Mix, Note, Planter, without_onsets
from evc.models.events.proposer import GUESSED, Proposer, ProposerConfig
from evc.models.events.scores import Score
from evc.models.events.targets import Targets
from evc.models.events.vectors import PARTS
from evc.models.events.voices import generator_voices, vectors_of
from evc.models.training.ahead import workers
from evc.models.training.loop import Draws

TINY = ProposerConfig(channels=8, gathered=2, glance=4, hidden=16)
FRAMES = 22_016
FAINT = 1e-6  # of full scale: some last bits of float32


@pytest.fixture(scope="module")
def generator():
    return Generator()


@pytest.fixture(scope="module")
def proposer():
    torch.manual_seed(0)
    return Proposer(TINY).eval()


# Features


def test_features_tell_the_frequency_of_a_sine_between_cells():
    note = 69.2
    wave = torch.sin(2 * torch.pi * note_hertz(note) * torch.arange(FRAMES) / SAMPLERATE)[None]
    features = CellFeatures()(wave)[0, FRAMES // HOP // 2]
    cell = int(note_hertz(cell_notes()).sub(440).abs().argmin())
    level, deviation = features[:, :3], features[:, 3:6]
    fine = int(level[cell].argmax())
    assert int(level.amax(1).argmax()) == cell
    assert float(deviation[cell, fine]) + (fine - 1) / 3 == pytest.approx(0.2, abs=0.01)


def test_group_delay_points_at_a_click():
    wave = torch.zeros(1, FRAMES)
    hop = 20
    wave[0, hop * HOP + 100] = 1
    delay = CellFeatures()(wave)[0, hop, 20:90, 6:9]
    torch.testing.assert_close(delay, torch.full_like(delay, 100 / 1024), atol=0.02, rtol=0)


def test_features_do_not_depend_on_the_level():
    wave = torch.randn(1, FRAMES, generator=torch.Generator().manual_seed(0))
    features = CellFeatures()
    torch.testing.assert_close(features(wave), features(wave / 100), atol=0.01, rtol=0)


def test_arrays_of_features_are_the_tensors():
    audio = np.random.default_rng(0).standard_normal(FRAMES).astype(np.float32) * np.linspace(1, 1e-4, FRAMES)
    audio = audio.astype(np.float32)
    features = CellFeatures()(torch.from_numpy(audio)[None])[0].numpy()
    np.testing.assert_allclose(cell_features(audio), features, atol=2e-3)


# Proposer


@pytest.mark.parametrize("shipped", [False, True])
def test_onsets_are_heard_without_torch_as_with_it(proposer, shipped):
    """All of them, and a span alone; by compiled kernels and without."""
    if shipped:
        proposer = Proposer.load(weights(PROPOSER))
    network = OnsetNetwork({name: tensor.numpy() for name, tensor in proposer.state_dict().items()})
    audio = np.random.default_rng(1).standard_normal(90 * HOP).astype(np.float32)
    audio *= np.repeat(np.random.default_rng(2).uniform(0, 1, 90).astype(np.float32) ** 4, HOP)
    wanted = proposer.propose(audio[None]).onset
    assert np.ptp(wanted) > 1e-3
    np.testing.assert_allclose(network.onset(audio, 0, len(wanted)), wanted, atol=1e-4)
    np.testing.assert_allclose(network.onset(audio, 40, 52), wanted[40:52], atol=1e-4)
    with kernels.reference():
        np.testing.assert_allclose(network.onset(audio, 40, 52), wanted[40:52], atol=1e-4)


def test_proposals_have_their_shapes(proposer):
    audio = np.random.default_rng(0).standard_normal((2, 3 * HOP)).astype(np.float32)
    proposals = proposer.propose(audio)
    assert proposals.switch.shape == (4, CELLS) and proposals.onset.shape == (4,)
    assert proposals.frequencies[69 - 23] == pytest.approx(440)
    said = proposals.describe(np.array([0, 3]), np.array([0, CELLS - 1]))
    assert set(said) == {"time", "frequency", *GUESSED}
    for part in PARTS:
        if part.name in GUESSED:
            assert said[part.name].shape == (2, part.codes)
            np.testing.assert_allclose(said[part.name].sum(1), 1, atol=1e-5)
    assert np.all(np.abs(said["time"] * SAMPLERATE / HOP - [0, 3]) <= 1)


def test_peaks_are_the_highest_nearby(proposer):
    proposals = proposer.propose(np.zeros((1, 20 * HOP), np.float32))
    proposals.switch[:] = 0
    proposals.switch[[5, 6, 5, 12], [10, 10, 11, 40]] = [0.9, 0.8, 0.7, 0.6]
    hops, cells = proposals.peaks(0.5)
    assert list(zip(hops.tolist(), cells.tolist(), strict=True)) == [(5, 10), (12, 40)]
    assert len(proposals.peaks(0.95)[0]) == 0


def test_onset_times_lie_between_hops(proposer):
    proposals = proposer.propose(np.zeros((1, 20 * HOP), np.float32))
    proposals.onset = torch.sigmoid(4 - 2 * (torch.arange(21) - 7.3) ** 2).numpy()
    times, probabilities = proposals.likely_onsets(0.5)
    np.testing.assert_allclose(times * SAMPLERATE / HOP, [7.3], atol=0.01)
    np.testing.assert_allclose(probabilities, proposals.onset[7])
    assert len(proposals.likely_onsets(0.999)[0]) == 0


def test_proposer_is_read_as_it_was_written(proposer, tmp_path):
    proposer.save(tmp_path / "p.safetensors")
    again = Proposer.load(tmp_path / "p.safetensors")
    audio = np.random.default_rng(1).standard_normal((1, 8 * HOP)).astype(np.float32)
    np.testing.assert_allclose(proposer.propose(audio).switch, again.propose(audio).switch, atol=1e-5)
    assert again.config == TINY
    for name, tensor in proposer.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_files_that_are_no_proposer_are_refused(generator, tmp_path):
    generator.save(tmp_path / "g.safetensors")
    with pytest.raises(InputError, match="g.safetensors"):
        Proposer.load(tmp_path / "g.safetensors")


def test_the_side_is_looked_at_where_the_mid_is_silent():
    left = np.sin(np.arange(100, dtype=np.float32))
    np.testing.assert_allclose(downmix(np.stack([left, -left])), left)
    np.testing.assert_allclose(downmix(np.stack([left, left])), left)


# Planted mixes


@pytest.mark.parametrize("seed", range(3))
def test_mixes_depend_on_the_seed_and_know_their_notes(generator, seed):
    planter = Planter(0.5, lambda random: generator_voices(random, generator))
    mix, again = (planter.mix(np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_allclose(mix.audio, again.audio, rtol=0, atol=FAINT)
    assert [(note.time, note.pitch, note.codes) for note in mix.notes] == [
        (note.time, note.pitch, note.codes) for note in again.notes
    ]
    assert mix.audio.shape == (SAMPLERATE // 2,) and np.abs(mix.audio).max() <= 1
    assert len(mix.notes) > 1 and any(note.wanted for note in mix.notes)
    assert all(0 < note.time < 0.5 for note in mix.notes)
    assert {note.time for note in mix.notes if note.wanted} <= set(mix.onsets)
    for note in mix.notes:
        assert all(-1 <= code < GUESSED[name] for name, code in note.codes.items())


def test_a_background_keeps_its_spectrum_without_onsets():
    random = np.random.default_rng(0)
    click = np.zeros(4096, np.float32)
    click[1000] = 1
    texture = without_onsets(click, random)
    np.testing.assert_allclose(np.abs(np.fft.rfft(texture))[1:-1], 1, atol=1e-4)
    assert np.abs(texture).max() < 0.2


def test_targets_lie_where_the_notes_begin():
    late = HOP / SAMPLERATE * 10.25
    notes = [Note(late, 60.2, {"decay": 7}, level=-3), Note(0.5, 90.0, {}, level=-35)]
    targets = Targets.of([Mix(np.zeros(FRAMES, np.float32), notes, [late])], FRAMES // HOP + 1)
    assert targets.switch.nonzero().tolist() == [[0, 10, 37]] and targets.onset.nonzero().tolist() == [[0, 10]]
    assert [x.tolist() for x in targets.places] == [[0], [10], [37]]
    assert [float(targets.delay[0]), float(targets.bend[0])] == pytest.approx([0.25, 0.2], abs=1e-4)
    assert targets.codes["decay"].tolist() == [7] and targets.codes["attack"].tolist() == [-1]
    doubtful = round(0.5 * SAMPLERATE / HOP)
    assert targets.switch_weight[0, doubtful, 67] == 0 and targets.onset_weight[0, doubtful] == 0


def test_what_knows_the_targets_scores_full_marks(proposer):
    planter = Planter(1.0)
    mixes = [planter.mix(np.random.default_rng(seed)) for seed in range(3)]
    targets = Targets.of(mixes, planter.frames // HOP + 1)
    seen = proposer(torch.from_numpy(np.stack([mix.audio for mix in mixes])))
    said = proposer.describe(seen, *targets.places)
    seen.switch, seen.onset, said.delay = 20 * targets.switch - 10, 20 * targets.onset - 10, targets.delay
    score = Score()
    score.add(seen, said, targets)
    figures = score.figures()
    assert figures["note.f@0.5"] > 0.95 and figures["onset.f@0.5"] > 0.95 and figures["delay"] == 0


# The differentiable encoder


def _planted(generator, seed, count=2):
    random = np.random.default_rng(seed)
    codes = np.stack([random.integers(0, part.codes, count) for part in PARTS], axis=1)
    codes[:, 0] = 64 * random.uniform(50, 80, count)
    codes[:, 2], codes[:, 3], codes[:, 4] = random.integers(0, 4, count), random.integers(8, 16, count), 4
    codes[:, 5] = 0  # harmonic
    codes[:, 13:] = 0
    return vectors_of(generator, codes), torch.from_numpy(random.uniform(0.05, 0.3, count))


@pytest.mark.parametrize("seed", range(3))
def test_phases_and_multipliers_follow_by_projection(generator, proposer, seed):
    vectors, offsets = _planted(generator, seed)
    sounds = generator.render(vectors, offsets, SAMPLERATE, FRAMES)
    blank = vectors.clone()
    blank[:, 1:3] = torch.tensor([1.0, 0.0])
    blank[:, 11:25] = torch.tensor([1.0, 0.0]).repeat(7)
    found = EventNetwork(generator, proposer).projected(blank, 0.3 * sounds, offsets)
    again = generator.render(found, offsets, SAMPLERATE, FRAMES)
    left = (again - sounds).square().sum(1) / sounds.square().sum(1)
    assert float(left.detach().max()) < 1e-3


def test_projections_of_nothing_are_nothing(generator):
    vectors, offsets = _planted(generator, 0)
    assert float(projections(generator(vectors), torch.zeros(2, FRAMES), offsets).detach().abs().max()) == 0


def test_energy_never_grows_and_gradients_reach_all_that_learns(generator, proposer):
    network = EventNetwork(generator, proposer)
    vectors, offsets = _planted(generator, 3)
    audio = generator.render(vectors, offsets, SAMPLERATE, FRAMES).detach()
    found = network.decompose(audio, 3, 2, False, torch.Generator().manual_seed(0))
    energies = torch.stack([residual.square().sum(1) for residual in found.residuals]).detach()
    assert bool((energies[1:] <= energies[:-1] * (1 + 1e-5)).all())
    torch.testing.assert_close(found.residuals[0] - found.parts.sum(1), found.residuals[-1])
    found.expected.sum().backward()
    books = generator.codebook["decay"], generator.attack_times
    for parameter in (proposer.switch.weight, proposer.describer[0].weight, *books):
        assert float(parameter.grad.abs().sum()) > 0


@pytest.mark.parametrize("detach", [True, False])
def test_gradients_pass_through_residuals_only_if_asked_to(generator, proposer, detach):
    network = EventNetwork(generator, proposer)
    vectors, offsets = _planted(generator, 4)
    audio = generator.render(vectors, offsets, SAMPLERATE, FRAMES).detach()
    found = network.decompose(audio, 2, 1, detach)
    gradient = torch.autograd.grad(found.expected[1], found.parts, allow_unused=True, retain_graph=True)[0]
    depends = torch.autograd.grad(found.expected[1], found.residuals[1], allow_unused=True)[0]
    assert gradient is None and (depends is None) == detach


def test_processes_make_the_same_batches(generator, music):
    """But for the last bits, which hang on where in memory a process has its arrays."""
    folder, config, device = training.scan(music), _tiny(4), torch.device("cpu")
    with workers(1) as pool:
        tasks = [training.EventTask(folder, folder, config, device, generator, each) for each in (None, pool)]
        for step in range(2):
            here, there = (task.batch(Draws.of(0, step), step) for task in tasks)
            torch.testing.assert_close(here.planted, there.planted, atol=FAINT, rtol=0)
            assert torch.equal(here.targets.switch, there.targets.switch) and here.targets.switch.any()
            assert (here.recorded is None) == (there.recorded is None) == (step == 1)
            if step == 0:
                torch.testing.assert_close(here.recorded, there.recorded, atol=FAINT, rtol=0)


def test_losses_survive_half_precision(generator, music):
    """As on a GPU: what needs more than bfloat16 asks for it."""
    folder = training.scan(music)
    task = training.EventTask(folder, folder, replace(_tiny(4), discriminator_from=0), torch.device("cpu"), generator)
    exact, _ = task.losses(task.batch(Draws.of(0, 0), 0), Draws.of(0, 0), 0, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = task.losses(task.batch(Draws.of(0, 0), 0), Draws.of(0, 0), 0, 1.0)
    for name in ("network", "discriminator"):
        assert float(rough[name].detach()) == pytest.approx(float(exact[name].detach()), rel=0.05)


# The whole command


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    for number, name in enumerate(("first", "second", "third")):
        planter = Planter(2.0)
        soundfile.write(folder / f"{name}.wav", planter.mix(np.random.default_rng(number)).audio, SAMPLERATE)
    return folder


def _tiny(steps):
    config = training.CONFIGS["small"]
    loop = replace(config.loop, steps=steps, report_steps=1, warm_up=1)
    return replace(
        config, loop=loop, proposer=TINY, seconds=0.5, planted=2, fresh=1, recorded=1, recorded_every=2, events=2,
        candidates=2, discriminator_from=0.6, discriminator_channels=2, validation_batches=1,
    )  # fmt: skip


def test_training_writes_what_encoder_and_decoder_need_and_resumes(music, tmp_path):
    training.train(music, tmp_path / "whole", _tiny(3), device="cpu")
    with pytest.raises(InputError, match="exists already"):
        training.train(music, tmp_path / "whole", _tiny(3), device="cpu")
    original = training.Loop.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Loop, "run", lambda loop, progress, pause: original(loop, progress, until=1))
        training.train(music, tmp_path / "parts", _tiny(3), device="cpu")
    training.train(music, tmp_path / "parts", _tiny(3), resume=True, device="cpu")
    for name in (training.GENERATOR_FILE, training.PROPOSER_FILE):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "parts" / name).read_bytes()
    assert Proposer.load(tmp_path / "whole" / training.PROPOSER_FILE).config == TINY
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert {"greedy", "adversarial", "discriminator.loss"} <= set(lines[2]) and lines[-1]["validation"]
    assert list((tmp_path / "whole").glob("*-events.flac")) and list((tmp_path / "whole").glob("*-switch.png"))


def test_codes_for_none_stay_none_and_others_keep_their_strength(music, tmp_path):
    training.train(music, tmp_path, replace(_tiny(3), generator_scale=20.0), device="cpu")
    books = Generator.load(tmp_path / training.GENERATOR_FILE).codebook
    for name in ("deform", "noise", "room"):
        radius = books[name].detach().norm(dim=1)
        assert float(radius[0]) == 0 and float(radius[1:].min()) > 0.999
    for m in range(2, 9):
        assert torch.equal(books[f"partial{m}"], Generator().codebook[f"partial{m}"])


def test_one_work_alone_cannot_be_validated(music, tmp_path):
    with pytest.raises(InputError, match="two works"):
        training.train(music, tmp_path, _tiny(1), skip=("first", "second"), device="cpu")


def test_the_command_trains_and_reports(music, tmp_path, monkeypatch):
    monkeypatch.setitem(training.CONFIGS, "small", _tiny(50))
    arguments = ["events", str(music), "--out", str(tmp_path / "run"), "--steps", "1", "--device", "cpu", "--json"]
    result = CliRunner().invoke(cli.train, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert {"note.f@0.5", "onset.f@0.5", "explained_db"} <= set(json.loads(result.stdout))
    again = CliRunner().invoke(cli.train, arguments)
    assert isinstance(again.exception, InputError)


def test_the_command_names_the_configurations_there_are():
    assert set(cli.CONFIG_NAMES) == set(training.CONFIGS)


# The shipped weights


@pytest.mark.parametrize(("samplerate", "channels"), [(44_100, 2), (22_050, 1), (48_000, 1)])
def test_shipped_proposer_finds_the_onsets_of_plucked_tones(samplerate, channels):
    """Also across the seams of the windows that a long signal passes through."""
    beginnings = np.array([0.5, 1.2, 1.9, 19.7, 20.3, 21.1])
    audio = np.zeros((channels, 22 * samplerate))
    for number, beginning in enumerate(beginnings):
        t = np.arange(audio.shape[1]) / samplerate - beginning
        hertz = 220 * 2 ** (number / 3)
        tone = np.exp(-np.maximum(t, 0) / 0.3) * sum(np.sin(2 * np.pi * m * hertz * t) / m**2 for m in (1, 2, 3))
        audio += 0.3 * np.where(t >= 0, tone, 0)
    np.testing.assert_allclose(onset_times(audio, samplerate), beginnings, atol=0.025)


def test_silence_has_no_onsets():
    assert len(onset_times(np.zeros((2, 5000)), 44_100)) == 0
    assert len(onset_times(np.zeros((1, 1)), 44_100)) == 0
