"""Data for training: folders, excerpts, splits, what is made ahead."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from evc.format.errors import InputError
from evc.models.training.ahead import Store, each, workers
from evc.models.training.augmentation import Augmentation
from evc.models.training.dataset import AudioFolder, Recording, resampled, scan, work_of

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


# What is made ahead


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
