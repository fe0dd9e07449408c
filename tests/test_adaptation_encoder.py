"""`encode` with a network of its own for a file: what is fitted, kept, resumed, and told."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from latent_tools import RATE, SMALL, music, network_installed, random_network

import evc
from evc.format.errors import InputError, OutputError
from evc.format.header import Header
from evc.format.streams.difference import coded_difference
from evc.models.adaptation import encoder
from evc.models.adaptation.encoder import Quality, steps_of
from evc.models.adaptation.fitting import Fit, FitSettings, Stretch
from evc.models.adaptation.parts import numbers_of
from evc.models.encoded import Encoded
from evc.models.latents.copies import Copies
from evc.models.latents.layout import COLUMN, DIMENSIONS
from evc.models.latents.network import LatentNetwork
from evc.models.latents.quantise import LatentQuantiser
from evc.models.settings import EncodeSettings
from evc.models.source import ArraySource
from evc.models.training.measures import level_error, short_time_similarity

Run = Callable[..., subprocess.CompletedProcess[bytes]]
KBPS, SECONDS = 12.0, 2.1


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LatentNetwork]:
    """A small one, in place of the package's, also in processes that are started."""
    made = random_network()
    with network_installed(tmp_path_factory.mktemp("weights"), made):
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("sounds")
    soundfile.write(found / "a.wav", music(SECONDS), RATE)
    return found


@pytest.fixture(autouse=True)
def noise_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No time is spent on events here."""
    monkeypatch.setattr("evc.models.latents.encoder.TONAL_ENOUGH", 0.0)


def stretch(network: LatentNetwork, columns: int, seed: int = 0) -> Stretch:
    """Music as a file decodes it whose other layers have noise of half its loudness."""
    random, margin = np.random.default_rng(seed), SMALL.margin
    frames = (columns + 2 * margin) * COLUMN
    source = music(frames / RATE)[:frames].T
    noise = 0.05 * random.standard_normal(source.shape).astype(np.float32)
    integers = np.rint(random.laplace(0, 0.5, (columns + 2 * margin, DIMENSIONS))).astype(np.float32)
    steps = np.full(len(integers), 8.0, np.float32)
    return Stretch.of(network, (source, noise, noise), (integers, steps), (0, len(integers)))


def fit(network: LatentNetwork, columns: int, seed: int = 0, price: float = 1e-7) -> Fit:
    """With steps so fine that a few steps of learning are not rounded to nothing."""
    settings = FitSettings(price=price, steps=(0, 0, 8, 0, 12), crops=1, columns=12, seed=seed)
    return Fit(network, [stretch(network, columns)], RATE, settings)


def test_a_fit_comes_nearer_and_dear_bits_are_few(network: LatentNetwork) -> None:
    told: dict[float, list[dict[str, float]]] = {1e-7: [], 1e-3: []}
    spent = []
    for price, figures in told.items():
        tried = fit(network, 12, price=price)  # the same crop every time
        tried.run(16, lambda _, found: figures.append(found))  # noqa: B023  (called before the next)
        stream = tried.stream()
        assert {part.shape for part in numbers_of(stream, SMALL)} == {part.shape for part in tried._numbers}
        spent.append(len(coded_difference(stream).words))
    weights = {name: getattr(tried.settings, name) for name in Quality._fields}
    cheap = [sum(weight * one[name] for name, weight in weights.items()) for one in told[1e-7]]
    assert np.mean(cheap[-4:]) < np.mean(cheap[:4])
    assert spent[1] < 0.8 * spent[0] and told[1e-3][-1]["kbit"] < told[1e-7][-1]["kbit"]


def test_a_fit_goes_on_where_it_stopped(network: LatentNetwork) -> None:
    whole, first, second = (fit(network, 40) for _ in range(3))
    whole.run(6)
    with pytest.raises(KeyboardInterrupt):
        first.run(6, lambda done, _: exec("raise KeyboardInterrupt") if done == 3 else None)
    second.restore(first.state())
    second.run(6)
    assert second.done == 6
    for one, other in zip(whole.state()["numbers"], second.state()["numbers"], strict=True):
        np.testing.assert_array_equal(one, other)
    other_seed = fit(network, 40, seed=1)
    other_seed.run(6)
    pairs = zip(whole.state()["numbers"], other_seed.state()["numbers"], strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)


def test_what_is_no_state_of_this_fit(network: LatentNetwork) -> None:
    done = fit(network, 40)
    done.run(2)
    good = done.state()
    first, second = good["moments"]
    wrong: list[Any] = [
        None, [], {},
        good | {"done": "2"}, good | {"done": -1}, good | {"done": 2.5},
        good | {"numbers": good["numbers"][1:]}, good | {"numbers": [value[..., :1] for value in good["numbers"]]},
        good | {"numbers": [np.nan * value for value in good["numbers"]]},
        good | {"numbers": [value.double() for value in good["numbers"]]},
        good | {"moments": [first]}, good | {"moments": [first, [-1 - value for value in second]]},
    ]  # fmt: skip
    for state in wrong:
        fresh = fit(network, 40)
        with pytest.raises((KeyError, TypeError, ValueError)):
            fresh.restore(state)
        assert fresh.done == 0 and not any(value.any() for value in fresh._numbers.values())


def test_a_state_stays_if_it_cannot_be_replaced(network: LatentNetwork, tmp_path: Path) -> None:
    """The disk is full. What was kept before is kept, and nothing else lies there."""
    (tmp_path / "real").write_bytes(b"before")
    (tmp_path / "fit").symlink_to("real")
    state = encoder._State(str(tmp_path / "fit"), empty_file(), EncodeSettings(hints="latent", adapt=1.0))
    done = fit(network, 40)
    done.run(1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(OutputError, match="fit: cannot be written"):
            state.save(done)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["fit", "real"]
    assert (tmp_path / "real").read_bytes() == b"before"
    state.save(done)
    fresh = fit(network, 40)
    state.restore(fresh)
    assert fresh.done == 1 and (tmp_path / "fit").is_symlink()


def empty_file() -> Encoded:
    return Encoded(Header(RATE, 2, 0), [])


def test_similarity_of_levels_within_moments() -> None:
    random = torch.Generator().manual_seed(3)
    noise, other = 0.1 * torch.randn(2, 1, RATE, generator=random)
    pulses = noise * (torch.arange(RATE) % 2000 < 1000)
    assert float(short_time_similarity(noise, noise, RATE)) == pytest.approx(1, abs=1e-3)
    assert short_time_similarity(pulses, noise, RATE) < short_time_similarity(other, noise, RATE) < 0.99
    estimate = pulses.clone().requires_grad_()
    short_time_similarity(estimate, noise, RATE).backward()
    assert estimate.grad is not None and torch.isfinite(estimate.grad).all() and estimate.grad.any()
    assert float(level_error(noise, noise, RATE)) == 0
    assert float(level_error(other, noise, RATE)) < 1 < float(level_error(2 * other, noise, RATE)) - 4
    silence = torch.zeros(1, 4096)
    assert float(short_time_similarity(silence, silence, RATE)) == pytest.approx(1, abs=1e-3)


def encoded(folder: Path, name: str, **options: object) -> tuple[bytes, list[str]]:
    told: list[str] = []
    settings = EncodeSettings(**{"bitrate": KBPS, "hints": "latent", "patterns": "off"} | options)  # type: ignore[arg-type]
    evc.encode_file(folder / "a.wav", folder / name, settings=settings, report=told.append)
    return (folder / name).read_bytes(), told


def judged_as(monkeypatch: pytest.MonkeyPatch, before: Quality, after: Quality) -> None:
    found = iter((before, after))
    monkeypatch.setattr(encoder, "judged", lambda *_: next(found))


@pytest.mark.parametrize("worse", ["mel", "tonal", "short", "level", ""])
def test_only_what_is_no_worse_is_kept(
    worse: str, network: LatentNetwork, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By any of the measures. The bytes are those that were asked for either way."""
    after = dict.fromkeys(Quality._fields, 0.9)
    if worse:
        after[worse] = 0.7 if worse == "tonal" else 1.1
    judged_as(monkeypatch, Quality(1.0, 0.8, 1.0, 0.8), Quality(**after))
    plain, nothing = encoded(folder, "plain.evc")
    data, told = encoded(folder, "adapted.evc", adapt=0.01)
    assert not nothing and len(told) == 1 and told[0].startswith("not adapted" if worse else "adapted by")
    assert abs(len(data) - 125 * KBPS * SECONDS) < 0.02 * 125 * KBPS * SECONDS
    found = evc.info(folder / "adapted.evc").adapted
    assert (data == plain and found == 0) if worse else 30 < found < len(data) / 2


@pytest.mark.parametrize("heeded", [True, False])
def test_bytes_that_are_missed_are_tried_again(
    heeded: bool, network: LatentNetwork, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target is met from either side; what comes out a few bytes too large is no reason to throw a fit away."""
    first: list[float] = []

    class Larger(LatentQuantiser):
        def __init__(self, beside: Encoded, latents: Any, target: float, progress: Any = None) -> None:
            if beside.adaptation is not None:
                first.append(target)
                target = 1.02 * (target if heeded else first[0])
            super().__init__(beside, latents, target, progress)

    monkeypatch.setattr(encoder, "LatentQuantiser", Larger)
    judged_as(monkeypatch, Quality(1.0, 0.8, 1.0, 0.8), Quality(0.9, 0.9, 0.9, 0.8))
    plain, _ = encoded(folder, "plain.evc")
    data, told = encoded(folder, "adapted.evc", adapt=0.01)
    assert len(first) > 1 and told[0].startswith("adapted by" if heeded else "not adapted, which would take more")
    assert len(data) <= max(len(plain), 125 * KBPS * SECONDS) and (data == plain) == (not heeded)


@pytest.mark.filterwarnings("ignore:the file has:evc.format.errors.EvcWarning")
def test_what_is_short_stays_as_it_is(network: LatentNetwork, folder: Path) -> None:
    soundfile.write(folder / "short.wav", music(0.2), RATE)
    told: list[str] = []
    for options in ({}, {"adapt": 1.0}):
        settings = EncodeSettings(bitrate=KBPS, hints="latent", **options)
        target = folder / f"short{len(options)}.evc"
        evc.encode_file(folder / "short.wav", target, settings=settings, report=told.append)
    assert (folder / "short0.evc").read_bytes() == (folder / "short1.evc").read_bytes()
    assert len(told) == 1 and "short" in told[0]


def test_copies_in_place_of_a_network_of_its_own(
    network: LatentNetwork, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a fit was for is told, too, where copies win."""
    copies = Copies([None, None, 4096 << 6], 4096)
    monkeypatch.setattr("evc.models.latents.encoder.chosen_copies", lambda *_: copies)
    monkeypatch.setattr("evc.models.latents.encoder.sounds_better", lambda *_: True)
    _, told = encoded(folder, "copied.evc", adapt=0.01, patterns="auto")
    assert told == ["not adapted: copies of what repeats sound better"]


def test_the_length_of_a_fit_hangs_on_what_is_asked_for() -> None:
    def steps(seconds: float, minutes: float) -> int:
        source = ArraySource(np.zeros(round(seconds * 8000), np.float32), 8000)
        return steps_of(EncodeSettings(hints="latent", adapt=minutes), source)

    assert steps(10, 1.0) == steps(500, 1.0) == 200 and steps(10, 1e-6) == 1
    assert 1 < steps(1, 0) < steps(60, 0) < steps(3600, 0) == steps(9000, 0)


def test_on_the_command_line(network: LatentNetwork, folder: Path, start_evc: Run, run_evc: Run) -> None:
    options = "--hints", "latent", "--bitrate", f"{KBPS:g}", "--force", "--adapt", "0.01", "--adapt-state", "fit"
    done = start_evc("encode", "a.wav", "b.evc", *options[:-2], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert b"adapted" in done.stdout and b"mel distance" in done.stdout
    found = []
    for _ in range(2):  # the second finds a fit that is done
        assert run_evc("encode", "a.wav", "b.evc", *options, cwd=folder).returncode == 0
        found.append((folder / "b.evc").read_bytes())
    assert found[0] == found[1] and (folder / "fit").exists()
    soundfile.write(folder / "other.wav", music(SECONDS)[::-1], RATE)
    torch.save(torch.zeros(3), folder / "tensor")
    os.mkfifo(folder / "pipe")
    cases = (
        ("other.wav", "fit", b"belongs to another sound"),
        ("a.wav", "a.wav", b"is no state of a fit"),
        ("a.wav", "tensor", b"is no state of a fit"),
        ("a.wav", "pipe", b"is no file"),
        ("a.wav", "absent/fit", b"absent/fit: cannot be written (no such file or directory)"),
    )
    for name, state, wrong in cases:
        options = *options[:-1], state
        refused = run_evc("encode", name, "c.evc", *options, cwd=folder)
        assert refused.returncode != 0 and wrong in refused.stderr and not (folder / "c.evc").exists()
        assert refused.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    "options, said",
    [
        (["--adapt"], b"hints latent"),
        (["--adapt", "--hints", "noise"], b"hints latent"),
        (["--adapt", "--bitrate", "64"], b"hints latent"),
        (["--adapt-state", "x", "--hints", "latent"], b"needs a fit"),
        (["--adapt=9999", "--hints", "latent"], b"adapt 9999 is not within"),
        (["--adapt", "much", "--hints", "latent"], b"put --adapt behind the files"),
    ],
)
def test_what_cannot_be_meant(options: list[str], said: bytes, folder: Path, run_evc: Run) -> None:
    done = run_evc("encode", "a.wav", "x.evc", *options, cwd=folder)
    assert done.returncode != 0 and said in done.stderr and not (folder / "x.evc").exists()


def test_one_state_for_one_file(folder: Path, run_evc: Run) -> None:
    soundfile.write(folder / "also.wav", music(0.1), RATE)
    options = "--hints", "latent", "--adapt", "0.1", "--adapt-state", "s", "--out-dir", "out"
    done = run_evc("encode", "a.wav", "also.wav", *options, cwd=folder)
    assert done.returncode != 0 and b"one file" in done.stderr


    done = run_evc("catalogue", "encode", ".", "--out", "out", *options[:-2], cwd=folder)
    assert done.returncode != 0 and b"one file" in done.stderr


def test_a_state_is_a_path() -> None:
    with pytest.raises(InputError, match="no path"):
        EncodeSettings(hints="latent", adapt=1.0, adapt_state=3)  # type: ignore[arg-type]
