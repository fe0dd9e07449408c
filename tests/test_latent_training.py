"""Training of the latent networks: pairs, batches, measures, the rate model, the whole command."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner

from evc.cli import train as cli
from evc.format.errors import InputError
from evc.format.streams.latent_model import LatentModel
from evc.models.events.planted import Planter
from evc.models.latents import train as training
from evc.models.latents.autoencoder import levels_of, quantised
from evc.models.latents.batches import Crops, Variety
from evc.models.latents.descriptions import Description, PairSettings
from evc.models.latents.layout import DIMENSIONS, LatentConfig
from evc.models.latents.network import LatentNetwork
from evc.models.latents.pairs import Pairs, describe_pairs, description_of, path_of, render_pairs
from evc.models.latents.rate import RateModel
from evc.models.training import ahead
from evc.models.training.dataset import scan
from evc.models.training.discriminator import MultiDiscriminator, discriminator_loss, generator_loss
from evc.models.training.loop import Draws
from evc.models.training.measures import complex_distance, mel_distance, slaney_matrix, tonal_similarity

RATE = 44_100
PAIRS = PairSettings(training=2, validation=1, seconds=0.6, rates=(2.0,))
CPU = torch.device("cpu")
ROUNDING = 1  # of 16-bit samples, where the floats before them differ in their last bits


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    folder = tmp_path_factory.mktemp("music")
    for number, name in enumerate(("first", "second", "third")):
        planter = Planter(2.0)
        soundfile.write(folder / f"{name}.wav", planter.mix(np.random.default_rng(number)).audio, 22_050)
    return folder


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    monkeypatch.setattr(ahead, "available_cores", lambda: 1)


def make_pairs(out, music, settings, seed, progress=None):
    describe_pairs(out, music, scan(music).split(0.1, seed), settings, seed, progress)
    render_pairs(out, music, settings)


@pytest.fixture(scope="module")
def cached(music, tmp_path_factory):
    """A folder with pairs."""
    out = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ahead, "available_cores", lambda: 1)
        make_pairs(out, music, PAIRS, 0)
    return out


# Pairs


def test_pairs_are_the_source_and_what_the_layers_make_of_it(cached):
    for side, count in PAIRS.sides:
        for number in range(count):
            rows = np.load(path_of(cached, side, number))
            assert rows.shape == (4, 2, PAIRS.frames) and rows.dtype == np.int16
            source, events, noise, alone = rows.astype(np.float64)
            power = np.square(source).mean()
            assert 0.1 * power < np.square(events + noise).mean() < 3 * power
            assert 0.1 * power < np.square(alone).mean() < 3 * power
            assert np.square(source - events).mean() < power  # events follow the waveform, noise does not
            assert not np.array_equal(noise, alone)


def test_pairs_that_are_there_are_used_and_others_are_as_before(music, cached, tmp_path):
    kept, made = path_of(tmp_path, "training", 0), path_of(tmp_path, "validation", 0)
    kept.parent.mkdir(parents=True)
    np.save(kept, np.zeros((4, 2, 9), np.int16))
    said = []
    make_pairs(tmp_path, music, replace(PAIRS, training=1), 0, lambda *done: said.append(done))
    assert np.load(kept).shape == (4, 2, 9) and said == [(2, 2)]
    np.testing.assert_allclose(np.load(made), np.load(path_of(cached, "validation", 0)), atol=ROUNDING)


def test_processes_render_the_same_pairs(music, cached, tmp_path, monkeypatch):
    shutil.copytree(cached / "descriptions", tmp_path / "descriptions")
    monkeypatch.setattr(ahead, "available_cores", lambda: 2)
    render_pairs(tmp_path, music, replace(PAIRS, validation=0))
    for number in range(2):
        wanted, found = (np.load(path_of(folder, "training", number)) for folder in (cached, tmp_path))
        np.testing.assert_allclose(found, wanted, atol=ROUNDING)


def test_pairs_of_another_seed_are_not_mixed_with_these(music, cached):
    with pytest.raises(InputError, match="another seed"):
        make_pairs(cached, music, PAIRS, 1)


def test_descriptions_travel(music, cached, tmp_path):
    """They are small, and with the folder they were made from the pairs are the same elsewhere."""
    shutil.copytree(music, tmp_path / "moved")
    for number in range(PAIRS.training):
        assert description_of(cached, "training", number).stat().st_size < 3000
        made = Description.load(description_of(cached, "training", number)).render(tmp_path / "moved", PAIRS)
        np.testing.assert_allclose(made, np.load(path_of(cached, "training", number)), atol=ROUNDING)
    with pytest.raises(InputError, match="not there"):
        Description.load(description_of(cached, "training", 0)).render(tmp_path, PAIRS)


@pytest.mark.parametrize("text", ["", "{}", '{"file": 3}', "\x00"])
def test_files_that_are_no_descriptions_are_refused(tmp_path, text):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(InputError, match="description"):
        Description.load(tmp_path / "d.json")


def test_crops_are_stretches_of_what_is_rendered(cached):
    pairs = Pairs(cached, "training", 2)
    rows = np.load(path_of(cached, "training", 1))
    np.testing.assert_array_equal(pairs.crop(1, True, 1000), rows[:3, :, :1000])
    source, events, noise = pairs.crop(1, False, 1000)
    assert not events.any()
    np.testing.assert_array_equal(source, rows[0, :, :1000])
    np.testing.assert_array_equal(noise, rows[3, :, :1000])
    longer = pairs.crop(0, True, 2 * PAIRS.frames, np.random.default_rng(0))
    assert longer.shape == (3, 2, 2 * PAIRS.frames) and not longer[..., PAIRS.frames :].any()


def test_what_is_known_is_events_and_noise(cached):
    crop = Pairs(cached, "training", 2).crop(1, True, 1000)
    source, known, noise = Crops.plain(crop).batch(CPU)[0].double().numpy()
    np.testing.assert_allclose(source, crop[0] / 32768, atol=1e-7)
    np.testing.assert_allclose(known, (crop[1] / 32768 + crop[2] / 32768), atol=1e-7)
    np.testing.assert_allclose(noise, crop[2] / 32768, atol=1e-7)


def _batch(pairs, seed, size, frames, variety=None):
    return (variety or Variety()).draw(pairs, np.random.default_rng(seed), size, frames).batch(CPU).numpy()


def test_batches_depend_on_the_random_numbers_only(cached):
    pairs = Pairs(cached, "training", 2)
    first, again, other = (_batch(pairs, seed, 3, 4096) for seed in (4, 4, 5))
    assert first.shape == (3, 3, 2, 4096) and first.dtype == np.float32
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_variety_does_the_same_to_the_source_and_to_what_is_known(tmp_path):
    """If the layers render the source itself, they still do when both are varied."""
    tone = np.rint(8000 * np.sin(0.05 * np.arange(9000))).astype(np.int16) * np.array([[1], [0]], np.int16)
    path = path_of(tmp_path, "training", 0)
    path.parent.mkdir(parents=True)
    np.save(path, np.stack([tone, tone, 0 * tone, tone]))
    crops = _batch(Pairs(tmp_path, "training", 1), 0, 20, 4096, Variety(mix_chance=0.5, mono_chance=0.3))
    source, known = crops[:, 0], crops[:, 1]
    np.testing.assert_allclose(source, known, atol=1e-7)
    silent = np.abs(source).max(axis=2) == 0
    assert silent[:, 0].any() and silent[:, 1].any()  # channels are swapped now and then,
    assert (source[:, 0] == source[:, 1]).all(axis=1).any()  # or made one


def test_mixes_are_sums(cached):
    """With the same random numbers, what is heard of a mix less its first part is its second one."""
    pairs, frames = Pairs(cached, "training", 2), 4096
    crops = Variety(mix_chance=1.0).draw(pairs, np.random.default_rng(3), 4, frames)
    assert crops.items.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    parts = [Crops(crops.samples[i::2], crops.channels[i::2], crops.items[i::2]).batch(CPU) for i in range(2)]
    torch.testing.assert_close(crops.batch(CPU), parts[0] + parts[1])


# Measures


def _tone(hertz, seconds=0.5):
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(round(seconds * RATE)) / RATE)[None]


def test_measures_of_the_same_are_perfect():
    tone = _tone(440) + _tone(1320)
    assert float(mel_distance(tone, tone, RATE)) == 0
    assert float(complex_distance(tone, tone)) == pytest.approx(0, abs=1e-5)
    assert float(tonal_similarity(tone, tone, RATE)) == pytest.approx(1, abs=1e-4)


def test_measures_tell_what_they_are_for():
    tone = _tone(1000)
    noise = 0.2 * torch.randn(tone.shape, generator=torch.Generator().manual_seed(0))
    assert float(tonal_similarity(-tone, tone, RATE)) == pytest.approx(1, abs=1e-4)  # deaf for phase
    assert float(tonal_similarity(_tone(1030), tone, RATE)) < 0.5 > float(tonal_similarity(noise, tone, RATE))
    assert float(mel_distance(10 ** (-6 / 20) * noise, noise, RATE)) == pytest.approx(7 * 6 / 20, rel=0.01)
    assert float(complex_distance(-tone, tone)) == pytest.approx(2, rel=0.01)
    assert float(complex_distance(0 * tone, tone)) == pytest.approx(1, rel=0.01)


@pytest.mark.parametrize("measure", [mel_distance, tonal_similarity])
def test_measures_have_gradients_even_at_silence(measure):
    estimate = torch.zeros(1, 8192, requires_grad=True)
    measure(estimate, _tone(440)[:, :8192], RATE, overlap=2).backward()
    assert bool(torch.isfinite(estimate.grad).all())


def test_measures_have_gradients_after_they_were_used_without():
    with torch.inference_mode():
        mel_distance(_tone(440)[:, :8192], _tone(440)[:, :8192], RATE + 1)
        tonal_similarity(_tone(440)[:, :8192], _tone(440)[:, :8192], RATE + 1, 512)
    estimate = torch.zeros(1, 8192, requires_grad=True)
    mel_distance(estimate, _tone(440)[:, :8192], RATE + 1).backward()
    tonal_similarity(estimate, _tone(440)[:, :8192], RATE + 1, 512).backward()


@pytest.mark.parametrize(("size", "bands"), [(128, 5), (512, 20), (2048, 80)])
def test_mel_bands_have_unit_area(size, bands):
    matrix = slaney_matrix(RATE, size, bands)
    area = matrix.sum(dim=1) * RATE / size
    wide = (matrix > 0).sum(dim=1) > 8
    torch.testing.assert_close(area[wide], torch.ones_like(area[wide]), rtol=0.02, atol=0)


def test_rate_model_learns_the_entropy():
    """Of rounded Gaussian noise: half the logarithm of 2 pi e times the variance."""
    torch.manual_seed(0)
    model, step = RateModel(), torch.ones(1)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(120):
        loss = model(torch.round(3 * torch.randn(1, 12, DIMENSIONS)), step).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * 9), abs=0.1)


def test_discriminators_of_several_resolutions_judge_together():
    torch.manual_seed(0)
    judge = MultiDiscriminator(4, 2, (512, 256))
    real, fake = torch.randn(2, 8192), torch.randn(2, 8192, requires_grad=True)
    scores, features = judge(real)
    assert scores.shape[0] == 2 and len(features) == 4
    discriminator_loss(judge, real, fake).backward()
    assert fake.grad is None
    generator_loss(judge, real, fake).backward()
    assert float(fake.grad.abs().sum()) > 0


# The whole command


@pytest.fixture
def run(cached, tmp_path):
    """Makes a folder for a training run, with its pairs."""

    def made(name="run"):
        shutil.copytree(cached, tmp_path / name)
        return tmp_path / name

    return made


def _tiny(steps):
    config = training.CONFIGS["small"]
    return replace(
        config, loop=replace(config.loop, steps=steps, report_steps=1, warm_up=1), pairs=PAIRS, batch=2, columns=12,
        network=LatentConfig(channels=8, encoder_blocks=1, coarse_blocks=1, fine_blocks=1), rate_first=1,
        discriminator_from=0.3, discriminator_channels=2, validated_columns=16, validated_pairs=1, counted_excerpts=2,
        counting_steps=2,
    )  # fmt: skip


def test_losses_survive_half_precision(cached):
    """As on a GPU: what needs more than bfloat16 asks for it."""
    pairs = Pairs(cached, "training", 2)
    task = training.LatentTask(pairs, pairs, replace(_tiny(1), rate_first=0, discriminator_from=0), CPU)
    exact, _ = task.losses(task.batch(Draws.of(0, 0), 0), Draws.of(0, 0), 0, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = task.losses(task.batch(Draws.of(0, 0), 0), Draws.of(0, 0), 0, 1.0)
    for name in ("network", "discriminator"):
        assert float(rough[name].detach()) == pytest.approx(float(exact[name].detach()), rel=0.05)


def test_the_forward_pass_is_encoding_and_decoding(cached):
    pairs = Pairs(cached, "training", 2)
    task = training.LatentTask(pairs, pairs, _tiny(1), CPU)
    network = task.model.network
    torch.nn.init.normal_(network.decoder.added.weight, std=0.1)
    batch, step = task.batch(Draws.of(0, 0), 0), torch.tensor([0.01, 0.02])
    batch.step = step
    layers = batch.known, batch.noise
    integers = quantised(network.encode(batch.source, *layers) / step[:, None, None])
    torch.testing.assert_close(task.model(batch)[0], network.decode(integers, step, *layers))


def test_there_are_no_latents_where_other_layers_are_silent(cached):
    pairs = Pairs(cached, "training", 2)
    batch = training.LatentTask(pairs, pairs, _tiny(1), CPU).batch(Draws.of(0, 0), 0)
    batch.known[..., 4 * 2048 :] = 0
    levels = levels_of(LatentNetwork(_tiny(1).network), batch).detach()
    assert float(levels[:, 5:].abs().max()) == 0 < float(levels[:, :5].abs().max())


def test_latents_that_are_counted_are_integers_at_steps_that_were_trained(cached):
    pairs = Pairs(cached, "training", 2)
    task = training.LatentTask(pairs, pairs, replace(_tiny(1), counted_excerpts=5), CPU)
    items = list(task.counted(task.model.network))
    assert len(items) == 5
    for latents, index in items:
        assert latents.dtype == np.int64 and latents.shape == (PAIRS.frames // 2048, DIMENSIONS)
        assert 2 <= 2 ** (index / 16) <= 32


def test_training_writes_the_weights_and_resumes(music, run):
    whole, parts = run("whole"), run("parts")
    training.train(music, whole, _tiny(3), device="cpu")
    with pytest.raises(InputError, match="exists already"):
        training.train(music, whole, _tiny(3), device="cpu")
    original = training.Loop.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Loop, "run", lambda loop, progress, pause: original(loop, progress, until=1))
        training.train(music, parts, _tiny(3), device="cpu")
    training.train(music, parts, _tiny(3), resume=True, device="cpu")
    assert (whole / training.WEIGHTS_FILE).read_bytes() == (parts / training.WEIGHTS_FILE).read_bytes()
    assert LatentNetwork.load(whole / training.WEIGHTS_FILE).config == _tiny(3).network
    assert LatentModel.load(whole / training.WEIGHTS_FILE).dimensions == DIMENSIONS
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert {"mel", "tonal", "complex", "rate", "kbps", "adversarial", "discriminator.loss"} <= set(lines[2])
    assert {"mel@none", "mel@4", "tonal@8", "kbps@16"} <= set(lines[-1]) and lines[-1]["validation"]
    assert list(whole.glob("*-latents.flac")) and list(whole.glob("*-latents.png"))
    assert not list(whole.glob("*.partial"))


def test_training_pauses_and_ends_elsewhere(music, cached, tmp_path):
    """From what was described: on the machine that trains, and for the tables perhaps on another one."""
    there, here = tmp_path / "there", tmp_path / "here"
    for out in (there, here):
        shutil.copytree(cached / "descriptions", out / "descriptions")
    config = replace(_tiny(1), loop=replace(_tiny(1).loop, minutes=1000.0))
    figures = training.train(music, there, config, device="cpu", pause=1e-9, scale=2)
    assert "mel@none" in figures and json.loads((there / "trial.json").read_text())["scale"] == 2
    weights = there / training.WEIGHTS_FILE
    plain = LatentModel.load(weights)
    training.train(music, there, config, resume=True, device="cpu", pause=1e-9)
    assert torch.load(there / "checkpoint.pt", weights_only=True)["step"] == 2
    training.train(music, here, _tiny(0), device="cpu", start=weights)
    trained = LatentNetwork.load(here / training.WEIGHTS_FILE).state_dict()
    for name, tensor in LatentNetwork.load(weights).state_dict().items():
        assert torch.equal(tensor, trained[name])
    assert not np.array_equal(LatentModel.load(here / training.WEIGHTS_FILE).magnitudes.bits, plain.magnitudes.bits)


def test_training_goes_on_from_weights(music, run, tmp_path):
    network = LatentNetwork(_tiny(1).network)
    with torch.no_grad():
        network.leave.bias.fill_(1.5)
    network.save(tmp_path / "start.safetensors", {})
    out = run()
    training.train(music, out, _tiny(1), device="cpu", start=tmp_path / "start.safetensors")
    found = LatentNetwork.load(out / training.WEIGHTS_FILE).leave.bias
    assert float(found.detach().sub(1.5).abs().max()) < 0.1


def test_one_work_alone_cannot_be_validated(music, tmp_path):
    with pytest.raises(InputError, match="two works"):
        training.train(music, tmp_path, _tiny(1), skip=("first", "second"), device="cpu")


def test_nothing_to_resume(music, tmp_path):
    with pytest.raises(InputError, match="no checkpoint"):
        training.train(music, tmp_path, _tiny(1), resume=True, device="cpu")


def test_the_command_trains_and_reports(music, run, monkeypatch):
    monkeypatch.setitem(training.CONFIGS, "small", _tiny(50))
    arguments = ["latents", str(music), "--out", str(run()), "--steps", "1", "--device", "cpu", "--json"]
    result = CliRunner().invoke(cli.train, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert {"mel@none", "mel@4", "kbps@4"} <= set(json.loads(result.stdout))
    again = CliRunner().invoke(cli.train, arguments)
    assert isinstance(again.exception, InputError)


def test_the_command_describes_only(music, tmp_path, monkeypatch):
    monkeypatch.setitem(training.CONFIGS, "small", _tiny(50))
    arguments = ["latents", str(music), "--out", str(tmp_path), "--excerpts", "1", "--describe"]
    assert CliRunner().invoke(cli.train, arguments, catch_exceptions=False).exit_code == 0
    assert len(list(tmp_path.glob("descriptions/*/*.json"))) == 2
    assert not list(tmp_path.rglob("*.npy")) and not (tmp_path / training.WEIGHTS_FILE).exists()


def test_the_command_names_the_configurations_there_are():
    assert set(cli.CONFIG_NAMES) == set(training.CONFIGS)
