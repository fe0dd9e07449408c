"""Composing: what a song is made of, songs, albums, and `evc compose` as users see it."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

import evc
from evc.cli.main import evc_command
from evc.format.errors import InputError

pytest.importorskip("pyloudnorm")
pytest.importorskip("soxr")

from evc.composing import album, effects, recordings, song, sounds  # noqa: E402
from evc.composing.grammar import Grammar  # noqa: E402
from evc.composing.loudness import lufs, lufs_of_powers, weights  # noqa: E402
from evc.composing.names import names  # noqa: E402
from evc.composing.path import Wiggler, walked  # noqa: E402
from evc.composing.ranking import differing, ranked  # noqa: E402
from evc.composing.recipe import Recipe  # noqa: E402
from evc.composing.textures import SAMPLERATE, TEXTURES  # noqa: E402
from evc.format.header import Header  # noqa: E402
from evc.models.noise.synthesis import NoiseRenderer  # noqa: E402

SHORT = Recipe(seed=3, minutes=0.25)


@pytest.fixture(scope="module", autouse=True)
def quickly():
    """Less of what takes time without telling anything."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sounds, "DRAWN", 8)
        patch.setattr(album, "PASSAGES", 2)
        patch.setattr(album, "PASSAGE_SECONDS", 1.5)
        patch.setattr(album, "cores", lambda: 1)
        yield


@pytest.fixture(scope="module")
def made():
    """A short song, finished."""
    return song.finished(SHORT)


# --- What a song is made of ------------------------------------------------------------------------


def test_a_letter_is_the_same_wherever_it_stands():
    grammar = Grammar.of("S => XYX  # a song\n\nX => AB\nX => BA\nY => C\n")
    assert grammar.sounds == "ABC"
    found = {grammar.expanded(np.random.default_rng(seed)) for seed in range(20)}
    assert found == {"ABCAB", "BACBA"}
    usual = Grammar.of().expanded(np.random.default_rng(0))
    assert set(usual) == set("ABCDE") and 8 <= len(usual) <= 24


@pytest.mark.parametrize(
    "text, said",
    [
        ("S => XA\nX -> A", "line 2: 'X -> A' is no rule"),
        ("S => XA\nX =>", "line 2"),
        ("S => A1", "line 1"),
        ("X => A", "no line has a rule for S"),
        ("S => XA\n\nX => BY\nY => AX", "leads back to itself"),
        ("\n".join(f"{a} => {b * 4}" for a, b in zip("STUVWX", "TUVWXA", strict=True)), "steps; 256 are enough"),
    ],
)
def test_what_is_no_grammar_is_refused_with_its_line(text, said):
    with pytest.raises(InputError, match="line") as error:
        Grammar.of(text)
    assert said in str(error.value)


def test_a_path_is_straight_and_eased_at_its_corners():
    random = np.random.default_rng(0)
    corners = random.normal(size=(5, 32))
    at = np.linspace(0, 4, 4001)
    points = walked(corners, at)
    np.testing.assert_allclose(points[::1000], corners, atol=1e-12)
    for leg in range(4):
        off = points[1000 * leg : 1000 * leg + 1001] - corners[leg]
        line = corners[leg + 1] - corners[leg]
        along = off @ line / (line @ line)
        np.testing.assert_allclose(off, along[:, None] * line, atol=1e-12)
        assert np.diff(along).min() >= 0
    speed = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert speed[[999, 1000, 1999, 2000]].max() < 0.01 * speed.max()


def test_the_wiggler_is_a_circle_about_the_path():
    wiggler = Wiggler.drawn(np.random.default_rng(1), 32, 2.0, 16.0)
    assert abs(wiggler.u @ wiggler.v) < 1e-12
    offsets = wiggler.at(np.linspace(0, 16, 33))
    np.testing.assert_allclose(np.linalg.norm(offsets, axis=1), 2.0)
    np.testing.assert_allclose(offsets[0], offsets[-1], atol=1e-12)
    np.testing.assert_allclose(offsets[0], -offsets[16], atol=1e-12)


def test_sounds_are_ranked_by_what_is_heard():
    hertz = 20 * 2 ** (np.arange(1200) / 120)
    powers = np.full((4, 1200), 1e-9)
    for row, partials in enumerate(([400, 800], [200, 4000], [100, 107], [300, 600, 900])):
        powers[row, [int(np.abs(hertz - partial).argmin()) for partial in partials]] = 1
    vectors = np.outer([3.0, 1, 4, 2], np.ones(32))
    orders = {name: ranked(name, vectors, powers, hertz).tolist() for name in ("pitch", "brightness", "weirdness")}
    assert orders == {"pitch": [2, 1, 3, 0], "brightness": [2, 3, 0, 1], "weirdness": [1, 3, 0, 2]}
    assert ranked("roughness", vectors, powers, hertz)[-1] == 2 and ranked("volume", vectors, powers, hertz)[-1] == 1


def test_five_that_differ_are_one_of_each_part():
    random = np.random.default_rng(2)
    order, places = random.permutation(50), random.normal(size=(50, 8))
    places[order[15]] += 100
    chosen = differing(order, places, 5)
    assert [int(np.flatnonzero(order == row)[0]) // 10 for row in chosen] == [0, 1, 2, 3, 4]
    assert order[15] in chosen
    with pytest.raises(InputError, match="4 sounds are not enough"):
        differing(order[:4], places, 5)


def test_loudness_is_known_before_it_is_heard():
    random, rate = np.random.default_rng(3), 44_100
    noise = random.normal(0, 0.05, (4 * rate, 2))
    spectrum = np.square(np.abs(np.fft.rfft(noise[:, 0]))) * 2 / len(noise) ** 2
    powers = 2 * (spectrum * weights(np.fft.rfftfreq(len(noise), 1 / rate))).sum()
    assert lufs_of_powers(np.array([powers]), np.ones(1)) == pytest.approx(lufs(noise, rate), abs=0.3)
    assert lufs(np.zeros((rate, 2)), rate) == lufs(noise[:100], rate) == -np.inf


def test_names_are_drawn():
    drawn = names(np.random.default_rng(0), 200)
    assert len(set(drawn)) == 200 and all(len(name.split()) == 2 for name in drawn)


@pytest.mark.parametrize("name", TEXTURES)
def test_a_texture_is_slow_noise_as_loud_as_it_should_be(name):
    bed, other = (effects.texture_bed([name], np.random.default_rng(seed), 60) for seed in (4, 5))
    assert bed.lufs() == pytest.approx(effects.LOUDNESS, abs=1.5)
    assert np.diff(bed.times).min() > 0.3
    assert np.ptp(bed.levels, axis=0).max() > 4 and np.abs(other.at(bed.times) - bed.levels).max() > 3


def test_a_texture_is_the_noise_of_a_file():
    seconds = 12
    header = Header(SAMPLERATE, 2, seconds * SAMPLERATE, "PCM_16", ("noise",), segment_frames=128 * 4096)
    bed = effects.texture_bed(["waves"], np.random.default_rng(4), seconds)
    streams = effects.noise_streams(bed, header)
    sound = NoiseRenderer(SAMPLERATE, 2, header.segment_frames).render(streams, 0, header.known_frames)
    assert lufs(sound.T, SAMPLERATE) == pytest.approx(bed.lufs(), abs=1.5)


def test_effects_give_way_to_what_is_like_them():
    places = np.array([[0.0], [10.0], [1.0], [4.0]])
    order = effects.turns(np.random.default_rng(6), places, 600)
    for before, turn in zip(order, order[1:], strict=False):
        assert turn.effect != before.effect
        assert (turn.start, turn.full) == (before.fade, before.end)
    times = np.linspace(0, 600, 1000)
    np.testing.assert_allclose(sum(turn.share(times) for turn in order), 1)
    assert [turn.effect for turn in order[:4]] in ([0, 2, 3, 1], [1, 3, 2, 0], [2, 0, 3, 1], [3, 2, 0, 1])


def test_a_recording_loses_its_fades_and_its_seam(tmp_path):
    rate, random = 22_050, np.random.default_rng(7)
    at = np.arange(8 * rate)
    noise = random.normal(0, 0.1, len(at)) * np.minimum(np.minimum(at, at[::-1]) / rate, 1)
    soundfile.write(tmp_path / "rain.wav", noise, rate)
    loop = recordings.loop_of(tmp_path / "rain.wav")
    rounds = loop.read(0, 3 * loop.audio.shape[1] // 4410 * 4410)
    levels = 10 * np.log10(np.square(rounds.reshape(2, -1, 4410)).mean(axis=(0, 2)))
    assert np.ptp(levels) < 5  # round and round, without a gap
    assert lufs(loop.audio.T, SAMPLERATE) == pytest.approx(effects.LOUDNESS, abs=0.1)
    soundfile.write(tmp_path / "nothing.wav", 0 * noise, rate)
    with pytest.raises(InputError, match="nothing.wav: is silent"):
        recordings.loop_of(tmp_path / "nothing.wav")


# --- Songs -----------------------------------------------------------------------------------------


def test_a_recipe_tells_what_is_not_as_usual():
    assert Recipe(7).arguments() == "--seed 7"
    told = Recipe(1, minutes=10, lufs=-23, source="my pads", effects="none", turn=12.5).arguments()
    assert Recipe(7, grammar="S => AB").arguments("my form.txt") == "--seed 7 --grammar 'my form.txt'"
    assert told == "--seed 1 --minutes 10 --effects none --from 'my pads' --lufs -23 --turn 12.5"


@pytest.mark.parametrize(
    "wrong", [{"seed": "a"}, {"seed": 1.5}, {"minutes": "4"}, {"grammar": None}, {"effects": None}]
)
def test_a_recipe_is_of_numbers_and_texts(wrong):
    with pytest.raises(InputError):
        Recipe(**wrong)


def test_a_song_of_four_minutes_has_three_kilobytes():
    found = song.composed(Recipe(seed=1))
    data = found.as_file()
    assert data.getbuffer().nbytes <= 3000
    with evc.open(data) as file:
        assert file.duration == 240 and file.layers == ("noise", "timbre")
        assert file.tags["composed"] == "--seed 1" and set(file.tags["structure"]) == set("ABCDE")


def test_a_song_is_as_loud_as_asked_and_begins_and_ends_in_silence(made):
    assert made.lufs == pytest.approx(SHORT.lufs, abs=0.7)
    assert np.abs(made.audio).max() < 1
    edges = np.abs(made.audio[:300]).max(), np.abs(made.audio[-300:]).max()
    assert max(edges) < 0.01 * np.abs(made.audio).max()


def test_the_seed_makes_the_song_again(made):
    again = song.composed(replace(SHORT))
    assert again.structure == made.song.structure
    np.testing.assert_array_equal(again.points.vectors, made.song.points.vectors)
    assert again.louder(int(made.song.points.levels.max() - again.points.levels.max())).as_file().getvalue() == (
        made.song.as_file().getvalue()
    )
    other = song.composed(replace(SHORT, seed=4))
    assert np.abs(other.points.vectors - again.points.vectors).max() > 2
    quieter = song.composed(replace(SHORT, effects="none"))
    np.testing.assert_array_equal(quieter.points.vectors, again.points.vectors)  # one choice leaves the others alone


def test_what_is_measured_speaks_against_a_song(made):
    def judged(audio):
        return album.judged(1, song.Finished(made.song, audio, lufs(audio, SAMPLERATE))).against

    assert judged(made.audio) == ""
    assert judged(0 * made.audio) == "is silent"
    assert judged(made.audio / np.abs(made.audio).max() * 1.5).startswith("is clipped")
    assert judged(made.audio / 4).startswith("is too faint")
    burst = made.audio / 8
    burst[6 * SAMPLERATE : 9 * SAMPLERATE] *= 8
    assert judged(burst * 10 ** ((SHORT.lufs - lufs(burst, SAMPLERATE)) / 20)).startswith("bursts out")
    half = made.audio.copy()
    half[: len(half) // 2] = 0
    assert "silent" in judged(half)
    assert "not finite" in judged(made.audio * np.float32(np.nan))


def test_of_two_songs_that_are_alike_one_is_rejected(made):
    first = album.judged(1, made)
    assert "too like 1" in album.without_doubles(replace(first, number=2), [first]).against
    other = album.judged(2, song.finished(replace(SHORT, seed=9)))
    assert album.without_doubles(other, [first]).against == ""
    assert [one.number for one in album.chosen([first, other, replace(first, number=3, against="x")], 3)] == [1, 2]


# --- The command -----------------------------------------------------------------------------------


def test_a_song_is_made_at_the_command_line(run_evc, tmp_path):
    found = run_evc("compose", "a.evc", "--seed", "3", "--minutes", "0.25", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["bytes"] == (tmp_path / "a.evc").stat().st_size < 1000 and told["composed"] == "--seed 3 --minutes 0.25"
    again = run_evc("compose", "-", *told["composed"].split(), cwd=tmp_path)
    assert again.stdout == (tmp_path / "a.evc").read_bytes()
    assert run_evc("compose", "a.evc", cwd=tmp_path).returncode == 1  # exists


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--grammar", "bad.txt"), "evc: bad.txt: line 2: 'X' is no rule: S => XYXZ is, in letters from A to Z"),
        (("--from", "empty"), "evc: empty: holds no sound files"),
        (("--from", "silent"), "evc: silent: all of it is silent"),
        (("--from", "broken"), "evc: broken/nan.wav: frame 0 of channel 0 is NaN: only finite samples can be encoded"),
        (("--from", "short"), "evc: short: 1 clip of sound, but a song takes 5: longer files, or more of them"),
        (("--effects", "silent"), "evc: silent/nothing.wav: is silent"),
        (("--effects", "hail"), "evc: hail: is no effect (wind, rain, waves, thunder), and no folder"),
        (("--minutes", "nan"), "evc: minutes, loudness and the wiggler have to be finite numbers"),
    ],
)
def test_what_cannot_be_composed_is_said_in_a_line(arguments, said, run_evc, tmp_path):
    (tmp_path / "bad.txt").write_text("S => AX\nX\n")
    for name in ("empty", "silent", "short", "broken"):
        (tmp_path / name).mkdir()
    soundfile.write(tmp_path / "silent/nothing.wav", np.zeros(200_000), 44_100)
    soundfile.write(tmp_path / "short/noise.wav", np.random.default_rng(0).normal(0, 0.1, 60_000), 44_100)
    soundfile.write(tmp_path / "broken/nan.wav", np.full(44_100, np.nan), 44_100, "FLOAT")
    found = run_evc("compose", "a.evc", "--minutes", "0.25", *arguments, cwd=tmp_path)
    assert (found.returncode, found.stderr.decode().splitlines()) == (1, [said])
    assert not (tmp_path / "a.evc").exists()


@pytest.mark.parametrize("arguments", [("compose", "--album", "2", "--out-dir"), ("patterns", "a.evc", "--export")])
def test_files_do_not_go_to_a_folder_without_a_name(arguments):
    for name, said in (("", "the name of a file is empty"), ("-", "name a folder")):
        found = CliRunner().invoke(evc_command, [*arguments, name])
        assert found.exit_code in (1, 2) and said in f"{found.exception} {found.stderr}"


def test_an_album_is_chosen_among_as_many_as_it_has(tmp_path):
    arguments = "compose", "--album", "3", "--candidates", "1", "--out-dir", str(tmp_path)
    found = CliRunner().invoke(evc_command, arguments)
    assert found.exit_code == 2 and "--candidates 3 or more" in found.stderr


def test_sounds_and_effects_come_from_folders(run_evc, tmp_path):
    random = np.random.default_rng(8)
    for folder in ("pads", "nature"):
        (tmp_path / folder).mkdir()
        for number in range(2):
            tone = np.sin(2 * np.pi * 110 * (number + 1) * np.arange(220_500) / 44_100)
            sound = 0.1 * tone if folder == "pads" else random.normal(0, 0.1, 220_500)
            soundfile.write(tmp_path / folder / f"{number}.wav", sound, 44_100)
        soundfile.write(tmp_path / folder / "nothing.wav", np.full(44_100, np.nan), 44_100, "FLOAT")
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / folder / "pipe.wav")
    grammar = tmp_path / "form.txt"
    grammar.write_text("S => ABAB\n")
    options = "--from", "pads", "--effects", "nature", "--grammar", "form.txt", "--minutes", "0.25"
    found = run_evc("compose", "a.evc", *options, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stderr.count(b"only finite samples can be encoded: left out") == 2
    with evc.open(tmp_path / "a.evc") as file:
        assert file.layers == ("noise", "timbre") and file.tags["structure"] == "ABAB"
        assert file.tags["composed"].endswith("--from pads --grammar FILE")


def test_an_album_is_made_and_made_again_of_what_is_kept(run_evc, tmp_path):
    options = "--album", "2", "--candidates", "2", "--minutes", "0.25", "--seed", "5", "--out-dir", "out"
    found = run_evc("compose", *options, "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    first, second = (tmp_path / track["target"] for track in told["tracks"])
    with evc.open(second) as file:
        assert file.tags["album"] == "out" and file.tags["tracknumber"] == "2" and file.tags["tracktotal"] == "2"
        assert file.tags["title"] == told["tracks"][1]["title"] == second.stem[3:]
        number = album.candidate_seeds(5, 2).index(told["tracks"][1]["seed"]) + 1
    page = (tmp_path / "out/candidates.html").read_text(encoding="utf-8")
    assert page.count('class="candidate"') == 2 - len(told["rejected"]) and page.count(" checked>") == 2
    (tmp_path / "keep.txt").write_text(f"{number} My own name\n")
    again = run_evc("compose", *options[:-1], "other", "--keep", "keep.txt", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    with evc.open(tmp_path / "other/01 My own name.evc") as file, evc.open(second) as before:
        assert file.tags["title"] == "My own name" and file.tags["composed"] == before.tags["composed"]
        np.testing.assert_array_equal(file.read(), before.read())


def test_a_list_of_what_is_kept():
    assert album.kept_list("3, 7,12") == {3: "", 7: "", 12: ""}
    assert album.kept_list("7 A Name\n\n3\n") == {7: "A Name", 3: ""}
    for wrong in ("", "3,3", "x", "1 a\nb\n", "²", "9" * 5000):
        with pytest.raises(InputError):
            album.kept_list(wrong)
