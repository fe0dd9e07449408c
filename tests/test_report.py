"""What reports compute, and `evc report` as users see it; tests/test_report_page.py looks at a page in a browser."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from report_tools import HOSTILE, RATE, events, music, whole_file

import evc
from evc.cli.main import evc_command
from evc.events import EventList
from evc.format.errors import EvcError, InputError
from evc.format.header import Header
from evc.models.events.layer import event_renderer

pytest.importorskip("sklearn")

from evc.models.report import embedding, film, pictures, sounds, stages  # noqa: E402
from evc.models.report.spectrogram import constant_q  # noqa: E402
from evc.report import timbre, write  # noqa: E402
from evc.report.document import script_json  # noqa: E402
from evc.report.subject import Subject  # noqa: E402


@pytest.mark.parametrize("hertz", [65.41, 440.0, 3520.0])
@pytest.mark.parametrize("samplerate", [16_000, 44_100])
def test_a_sinusoid_has_its_level_at_its_pitch(hertz, samplerate):
    sine = 0.5 * np.sin(2 * np.pi * hertz * np.arange(2 * samplerate) / samplerate)
    levels = constant_q(np.stack([sine, sine], axis=1), samplerate)
    middle = levels[:, levels.shape[1] // 2]
    assert middle.max() == pytest.approx(20 * np.log10(0.5), abs=0.2)
    assert middle.argmax() == round(24 * np.log2(hertz / 32.703))


def test_two_parts_without_loss_make_the_source_again():
    random = np.random.default_rng(0)
    source = random.uniform(-1.1, 1.1, (4000, 2))
    near = source + random.normal(0, 0.01, source.shape)
    (_, plain), difference = sounds.lossless(near, 8000), sounds.lossless_difference(source, near, 8000)
    assert difference is not None
    file, rest = (soundfile.read(io.BytesIO(data), dtype="int16")[0].astype(int) for data in (plain, difference[1]))
    np.testing.assert_array_equal(file + rest, sounds.steps_of_16_bits(source))
    assert sounds.lossless_difference(np.ones((10, 1)), -np.ones((10, 1)), 8000) is None  # needs 17 bits


def test_the_loudest_stretch_is_found():
    audio = np.full((20_000, 2), 0.01, np.float32)
    audio[12_000:14_000] = 0.5
    profile = sounds.Profile.of(lambda first, count: audio[first : first + count], len(audio), 1000)
    start, frames = profile.loudest(2000)
    assert frames == 2000 and abs(start - 12_000) <= 100
    assert profile.loudest(60_000) == (0, 20_000)


def test_of_a_long_file_a_part_is_in_memory_at_a_time(folder, monkeypatch):
    def subject():
        with evc.open(folder / "a.evc") as file:
            found = Subject(file, "a", seconds=0.5)
            return found.profile, found.heard, "whole" in found.known

    short, heard, kept = subject()
    monkeypatch.setattr("evc.report.subject.MOST_PLAYED", 1.0)
    long, again, kept_too = subject()
    assert kept and not kept_too
    np.testing.assert_allclose(long.energy, short.energy, rtol=1e-4)
    np.testing.assert_allclose(again, heard, atol=1e-6)


def test_alike_vectors_are_near_each_other():
    random = np.random.default_rng(1)
    group = np.repeat([0, 1, 2], 20)
    vectors = 5 * np.eye(3, 32)[group] + 0.1 * random.normal(size=(60, 32))
    places = embedding.on_a_line(vectors)
    assert places.min() >= 0 and places.max() <= 1
    within = max(np.ptp(places[group == number]) for number in range(3))
    centres = np.sort([places[group == number].mean() for number in range(3)])
    assert np.diff(centres).min() > within / 2
    assert len(set(embedding.colours(np.zeros((2, 32))))) <= 2 and embedding.colours(np.zeros((0, 32))) == []
    for few in (1, 2, 3):
        assert embedding.on_a_line(vectors[:few]).shape == (few,)


def test_the_stages_of_an_event_end_in_its_sound():
    some = events(6)
    header = Header(RATE, 1, 8 * RATE, "PCM_16")
    columns = some.columns(some.network)
    renderer = event_renderer(some.network, header)
    for number in range(len(some)):
        found = stages.stages(some.network, some.vectors[number], int(columns.keys[number]), RATE)
        at_start = EventList([0.0], [1.0], [0.0], some.vectors[number : number + 1], RATE)
        one = at_start.columns(some.network)._replace(keys=columns.keys[number : number + 1])
        np.testing.assert_allclose(found.room, renderer.render(*one, 0, len(found.room))[0], atol=1e-6)


def test_a_film_takes_all_events_away():
    tones = np.stack([np.sin(np.arange(8000) * step) for step in (0.1, 0.2, 0.3)])[:, :, None].astype(np.float32)
    found = film.frames(tones.sum(axis=0), 8000, np.array([2, 0, 1]), lambda rows: tones[rows].sum(axis=0))
    assert [frame.gone for frame in found] == [0, 1, 2, 3]
    assert found[-1].level < -100 < -10 < found[2].level < found[0].level
    assert film.steps(1000)[-1] == 1000 and len(film.steps(1000)) == film.FRAMES


def test_a_picture_that_is_none_is_refused():
    for data in (b"", b"<svg onload='alert(1)'/>", b"\x89PNG\r\n\x1a\n" + bytes(40)):
        with pytest.raises(InputError):
            pictures.thumbnail(data, 100)


def test_the_script_is_small_and_asks_for_nothing():
    script = Path(write.__file__).with_name("assets").joinpath("report.js").read_text(encoding="utf-8")
    assert len(script) <= 30_000 and not re.search(r"https?:|fetch\(|XMLHttp|import ", script)


def test_json_cannot_end_its_script():
    text = script_json({"title": HOSTILE, "comment": "<!--"})
    assert not re.search(r"[<>&\u2028]", text) and json.loads(text)["title"] == HOSTILE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("reports")
    (path / "a.evc").write_bytes(evc.encode(music()[: 2 * RATE], RATE, quality=2, patterns="off"))
    (path / "b.evc").write_bytes(evc.encode(music()[: RATE, 0], RATE, quality=1, patterns="off"))
    soundfile.write(path / "a.wav", music()[: 2 * RATE], RATE)
    soundfile.write(path / "other.wav", music()[:RATE], RATE)
    return path


def run(*arguments):
    """The result of the command, whose errors are raised as `main` finds them."""
    return CliRunner().invoke(evc_command, ["report", *map(str, arguments)], standalone_mode=False)


def test_one_page(folder, monkeypatch):
    page, opened = folder / "a.html", []
    monkeypatch.setattr("webbrowser.open", lambda address: not opened.append(address))
    result = run(folder / "a.evc", "--sections", "head,heatmaps", "--source", folder / "a.wav", "--open")
    assert result.exception is None and result.output.startswith(f"{page}: ")
    assert opened == [page.as_uri()]
    text = page.read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)"', text) == ["head", "heatmaps"]
    assert not re.search(r"(src|href)=\"(?!data:|#)", text) and "Difference, signal over difference" in text
    again = run(folder / "a.evc", "--sections", "head")
    assert isinstance(again.exception, EvcError) and "--force" in str(again.exception)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["a.evc", "--sections", "heat"], "there is no section heat; there are: head, listen"),
        (["a.evc", "--source", "other.wav", "-o", "x.html"], "the source has 16000 frames, but the .evc file"),
        (["a.wav", "-o", "x.html"], "a.wav: "),
        (["a.evc", "--source", "none.wav", "-o", "x.html"], "none.wav: no such file or directory"),
        (["a.evc", "--sections", ","], "names none, out of head, listen"),
        (["a.evc", "--force", "-o", "a.evc"], "a.evc is both input and output"),
        (["a.evc", "--force", "-o", "a.wav", "--source", "a.wav"], "a.wav is both input and output"),
        (["a.evc", "b.evc"], "-o DIR"),
        (["a.evc", "b.evc", "-o", "pages", "--source", "a.wav"], "belongs to one FILE"),
    ],
)
def test_what_cannot_be_reported(folder, monkeypatch, arguments, message):
    monkeypatch.chdir(folder)
    result = run(*arguments)
    told = getattr(result.exception, "message", str(result.exception))
    assert message in told and not (folder / "x.html").exists()


def test_a_catalogue_links_the_pages_that_could_be_made(folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = run("a.evc", "b.evc", "a.wav", "-o", "pages", "--sections", "head", "--seconds", "1")
    assert result.return_value == 1 and "a.wav" in result.output  # the last is no EVC file
    index = (folder / "pages" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r'<td><a href="([^"]+)"', index) == ["a.html", "b.html"]
    assert 'href="index.html"' in (folder / "pages" / "b.html").read_text(encoding="utf-8")


def test_what_is_missing_is_named(folder, monkeypatch):
    monkeypatch.setattr(write, "find_spec", lambda name: None if name == "sklearn" else name)
    result = run(folder / "a.evc")
    assert str(result.exception) == "reports need scikit-learn, not installed here: pip install 'evc[report]'"


def test_a_report_shows_the_path_and_its_points(tmp_path):
    pytest.importorskip("pyloudnorm")
    from evc.composing.song import composed

    song = composed(evc.Recipe(seed=3, minutes=0.25, effects="none"))
    with evc.open(song.as_file()) as file:
        evc.write_report(tmp_path / "a.html", file, sections=["timbre"])
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert page.count("<circle") == len(song.points) and page.count('class="clip"') == 6
    random = np.random.default_rng(0)
    flat = random.normal(size=(40, 2)) * [3, 1]
    turned = flat @ np.linalg.qr(random.normal(size=(32, 2)))[0].T + random.normal(size=32)
    places, shares = timbre.principal(turned)
    apart, found = (np.linalg.norm(rows[:, None] - rows[None], axis=2) for rows in (flat, places))
    np.testing.assert_allclose(found, apart)
    assert shares.sum() == pytest.approx(1) and shares[0] > shares[1]
    assert timbre.farthest(places, np.full(len(places), -np.inf)) == []


def test_a_notebook_shows_a_player(tmp_path):
    whole_file(tmp_path / "song.evc")
    with evc.open(tmp_path / "song.evc") as file:
        file.seek(100)
        html = file._repr_html_()
        assert file.tell() == 100 and html.count("<audio controls") == 1
        data = re.search(r"base64,([^\"]+)", html)[1]
        import base64

        found, rate = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32")
        np.testing.assert_allclose(found, np.clip(file.render(), -1, 1), atol=1.1 / 32768)
    assert "<script" not in html and rate == RATE
    assert [layer in html for layer in ("patterns", "events", "spectrum", "overhead")] == [True] * 4


def test_a_part_can_be_rendered_alone(folder):
    with evc.open(folder / "a.evc") as file:
        whole = file.render(["spectrum"])
        np.testing.assert_allclose(file.render(["spectrum"], start=5000, frames=7000), whole[5000:12_000], atol=1e-6)
        assert len(file.render(start=file.frames - 10, frames=100)) == 10
        with pytest.raises(InputError):
            file.render(start=-1)
