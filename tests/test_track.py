"""A network for one song: its fit, its bytes, its film, the command."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from command_tools import run

from evc.format.errors import DamagedError, InputError
from evc.models.track import autoencoder, coding, film
from evc.models.track.autoencoder import (
    FEATURES,
    SEGMENT,
    STRIDE,
    Autoencoder,
    features_of,
    fit,
    fit_priced,
    scaled,
    sound_of,
    watched_segment,
)
from evc.models.track.points import snr

RATE = 8000


def sound(seconds: float = 1.0, channels: int = 2) -> np.ndarray:
    """Tones in the middle and, softer, another at the side: float32 [channels, frames]."""
    time = np.arange(round(seconds * RATE)) / RATE
    middle, side = np.sin(2 * np.pi * 220 * time) + 0.3 * np.sin(2 * np.pi * 900 * time), np.sin(2 * np.pi * 330 * time)
    return np.array([0.2 * middle + 0.08 * sign * side for sign in (1, -1)][:channels], np.float32)


@pytest.fixture(scope="module", autouse=True)
def small_batches():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autoencoder, "BATCH", 8)
        yield


@pytest.fixture(scope="module")
def fitted():
    """A track, the network fitted to it, and what the network made of a segment meanwhile."""
    track, states = scaled(sound()), []
    return track, fit(track, 30, seed=1, watch=states.append), states


def test_the_network_learns_the_track_and_always_the_same(fitted):
    track, network, states = fitted
    target = watched_segment(track, 1)
    assert len(states) == 31
    assert snr(target, states[0]) < 3 and snr(target, states[-1]) > 10
    again = fit(track, 30, seed=1)
    assert all((one == other).all() for one, other in zip(network.parameters(), again.parameters()))


def test_a_long_track_goes_through_in_parts_as_if_whole(fitted, monkeypatch):
    track, network, _ = fitted
    whole = features_of(network, track.audio)
    monkeypatch.setattr(autoencoder, "_PART", 37)
    assert whole.shape == (FEATURES, 2000) and np.abs(features_of(network, track.audio) - whole).max() < 1e-5
    parts = sound_of(network, whole, track.audio.shape[1])
    monkeypatch.undo()
    assert np.abs(sound_of(network, whole, track.audio.shape[1]) - parts).max() < 1e-5


@pytest.mark.parametrize("most", [0, 1, 60])
def test_a_song_is_read_as_it_was_written(most):
    """Of any features, however sparse, and of a length that is no whole number of moments."""
    random = np.random.default_rng(most)
    features = random.integers(0, most + 1, (FEATURES, 700)) * random.integers(0, 2, (FEATURES, 1))
    song = coding.song_of(Autoencoder(2), features.astype(np.float32) / 4, 0.25, 700 * STRIDE - 3, 0.1)
    coded = coding.written(song)
    found = coding.read(coded)
    assert (found.channels, found.frames, found.gain, found.step) == (2, 2797, np.float32(0.1), np.float32(0.25))
    assert (found.features == features).all() and (found.steps == song.steps).all()
    assert all((one == other).all() for one, other in zip(found.weights, song.weights, strict=True))
    assert found.sound().shape == (2, 2797) and (found.sound() == song.sound()).all()
    assert coding.network_bits(song) < 8 * len(coded.words)
    with pytest.raises(DamagedError):
        coding.read(replace(coded, words=coded.words[:-8] + bytes(8), checksum=coded.checksum ^ 1))


def test_bits_in_the_loss_save_bits(fitted):
    """At about the same likeness."""
    track, network, _ = fitted
    costs = []
    priced = Autoencoder(2)
    priced.load_state_dict(network.state_dict())
    fit_priced(priced, track, 0.5, 30)
    for one in (network, priced):
        song = coding.read(coding.written(coding.song_of(one, features_of(one, track.audio), 0.5, 8000, track.gain)))
        costs.append(len(coding.written(song).words))
        assert snr(track.audio * np.float32(track.gain), song.sound()) > 8
    assert costs[1] < 0.7 * costs[0]


def test_the_film_goes_forward_and_back(fitted):
    from PIL import Image

    track, _, states = fitted
    with Image.open(io.BytesIO(film.film(watched_segment(track, 1), states))) as found:
        assert found.n_frames == 2 * len(film.chosen(31)) - 2
        assert found.info["loop"] == 0
    assert film.chosen(31)[0] == 0 and film.chosen(31)[-1] == 30


def test_the_command(tmp_path):
    soundfile.write(tmp_path / "mono.wav", sound(1.0, 1).T, RATE)
    arguments = ["train", "track", "mono.wav", "--steps", "4", "--start", "0.2", "--picture", "film.gif"]
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.decode().splitlines()
    assert len(lines) == 8 and lines[-1].startswith("film.gif: ")
    assert (tmp_path / "film.gif").read_bytes().startswith(b"GIF89a")
    again = run(*arguments, cwd=tmp_path)
    assert again.returncode == 1 and b"film.gif: exists already" in again.stderr
    figures = json.loads(run("train", "track", "mono.wav", "--steps", "4", "--json", cwd=tmp_path).stdout)
    assert figures["channels"] == 1 and figures["seconds"] == 1.0
    kinds = [point["kind"] for point in figures["points"]]
    assert kinds == ["exact", "rounded", "fitted", "fitted", "fitted", "fitted"]
    assert figures["points"][0]["kbps"] == 32 * 64 / 4 * RATE / 1000


@pytest.mark.parametrize(
    "audio, message",
    [
        (np.zeros((2, 8000), np.float32), "nothing to learn from silence"),
        (sound()[:, : SEGMENT - 1], "1023 frames are too few"),
        (np.ones((3, 8000), np.float32), "3 channels"),
    ],
)
def test_what_cannot_be_learned(audio, message):
    with pytest.raises(InputError, match=message):
        scaled(audio)


def test_the_command_says_what_is_wrong(tmp_path):
    soundfile.write(tmp_path / "a.wav", sound(0.2).T, RATE)
    for options, code, message in (
        (["--picture", "film.png"], 2, b"--picture FILM.gif"),
        (["--picture", "no/film.gif"], 1, b"evc: no/film.gif: cannot be written (no such file or directory)\n"),
        (["--start", "3"], 1, b"evc: a.wav: nothing to learn: the file is 0.20 s long\n"),
        (["--seconds", "0.05"], 1, b"evc: a.wav: 400 frames are too few"),
    ):
        result = run("train", "track", "a.wav", *options, cwd=tmp_path)
        assert result.returncode == code and message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]
