"""A report in a real browser: what is drawn, what sounds, and that nothing leaves the page."""

from __future__ import annotations

import base64
import json
import re
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from report_tools import HOSTILE, RATE, SECONDS, browser, music, whole_file

import evc
from evc.models.report import sounds
from evc.models.report.sounds import Profile

pytest.importorskip("sklearn")

from evc.report import write  # noqa: E402

WIDTHS = 360, 1400
# Samples of an event as the page makes them, as base64 of float32 [channels, frames].
RENDERED = """
const done = arguments[arguments.length - 1];
evcReport.events.render([arguments[0]]).then(sound => {
  const all = new Float32Array(2 * sound.length);
  [0, 1].forEach(channel => all.set(sound.getChannelData(channel), channel * sound.length));
  const bytes = new Uint8Array(all.buffer);
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  done([sound.sampleRate, btoa(text)]);
});"""
# The level of what a deck sends out now.
LISTENED = """
const [name, done] = arguments, analyser = evcReport.context.createAnalyser(), samples = new Float32Array(2048);
evcReport.decks[name].gate.connect(analyser);
setTimeout(() => {
  analyser.getFloatTimeDomainData(samples);
  done(Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length));
}, 150);"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    whole_file(folder / "song.evc")
    soundfile.write(folder / "song.wav", music(), RATE, "PCM_16")
    from evc.sound.source import FileSource

    with evc.open(folder / "song.evc") as file, FileSource(folder / "song.wav") as source:
        evc.write_report(folder / "song.html", file, source=source, seconds=4.0, name="song.evc")
    return folder / "song.html"


@pytest.fixture(scope="module")
def shown(page):
    with browser() as driver:
        driver.set_script_timeout(20)
        driver.get(page.as_uri())
        yield driver


@pytest.fixture
def quiet(shown):
    """The page with nothing sounding."""
    shown.execute_script("for (const deck of Object.values(evcReport.decks)) { deck.stop(); deck.at = 0; }")
    return shown


def js(driver, code, *arguments):
    return driver.execute_script(code, *arguments)


def until(driver, condition, seconds=30.0):
    """Wait until a condition in JavaScript holds; its value."""
    end = time.monotonic() + seconds
    while not (found := js(driver, f"return {condition}")):
        assert time.monotonic() < end, condition
        time.sleep(0.03)
    return found


def press(driver, *keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(driver).send_keys(*keys).perform()


def click(driver, selector):
    element = driver.find_element("css selector", selector)
    js(driver, "arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", element)
    element.click()
    return element


def test_every_event_is_a_circle_and_no_text_becomes_code(shown, page):
    with evc.open(page.with_suffix(".evc")) as file:
        assert js(shown, "return document.querySelectorAll('#scatter circle').length") == len(file.events) > 0
        assert js(shown, "return document.querySelectorAll('[data-block]').length") == len(file.uses) > 0
        assert js(shown, "return document.querySelector('h1').textContent").strip() == file.tags["title"]
    assert shown.title != "taken" and len(js(shown, "return document.scripts")) > 5
    names = js(shown, "return [...document.querySelectorAll('section')].map(section => section.id)")
    assert names == ["head", "listen", "patterns", "events", "decomposition", "whatif", "heatmaps"]
    assert js(shown, "return document.querySelector('header img').naturalWidth") == 320  # the cover that can be read
    assert js(shown, "return [...document.images].every(image => image.naturalWidth > 0 && image.alt)")


def test_nothing_is_wider_than_the_window(shown):
    for width in WIDTHS:
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        assert width - 20 < js(shown, "return document.documentElement.scrollWidth") <= width
        beyond = """return [...document.querySelectorAll('body *')].filter(element => {
            const box = element.getBoundingClientRect();
            return box.width && (box.right > innerWidth + 1 || box.left < -1)
              && !element.closest('.scroll, .blocks, .window, svg') && element.className !== 'playhead';
        }).map(element => element.outerHTML.slice(0, 80))"""
        assert js(shown, beyond) == []


def test_a_click_plays_and_the_playhead_moves_with_it(quiet):
    click(quiet, "button[data-toggle=listen]")
    until(quiet, "evcReport.decks.listen.playing && evcReport.decks.listen.position > 0.3")
    head = "parseFloat(document.querySelector('#listen .playhead').style.left) / 100"
    place = "evcReport.decks.listen.position / evcReport.decks.listen.duration"
    # A busy machine draws few frames: that the two agree is seen at some of them.
    until(quiet, f"!document.querySelector('#listen .playhead').hidden && Math.abs({head} - {place}) < 0.01")
    before = js(quiet, f"return {head}")
    until(quiet, f"{head} > {before} + 0.02")


def test_file_and_source_are_switched_in_step(quiet):
    click(quiet, "button[data-toggle=listen]")
    until(quiet, "evcReport.decks.listen.playing && evcReport.decks.listen.position > 0.1")
    js(quiet, """document.addEventListener('keydown', () => {
        const deck = evcReport.decks.listen;
        window.before = [deck.position, deck.voices.get('file').source, evcReport.context.currentTime];
    }, {capture: true, once: true})""")  # fmt: skip
    press(quiet, "b")
    moved, passed, same = js(quiet, """const deck = evcReport.decks.listen;
        return [deck.position - before[0], evcReport.context.currentTime - before[2],
            deck.voices.get('file').source === before[1]]""")  # fmt: skip
    assert same and abs(moved - passed) < 0.02
    until(quiet, "evcReport.decks.listen.voices.get('file').gain.gain.value < 1e-3")
    assert js(quiet, "return evcReport.decks.listen.voices.get('source').gain.gain.value") > 0.5
    assert js(quiet, "return document.querySelector('input[name=track]:checked').value") == "source"
    press(quiet, "a")
    assert js(quiet, "return evcReport.decks.listen.heard") == "file"


def test_a_click_on_an_event_plays_that_event(quiet, page):
    import soxr

    click(quiet, "#scatter circle:nth-of-type(3)")
    until(quiet, "document.querySelector('#scatter circle:nth-of-type(3)').classList.contains('sounding')")
    assert "Event 3 of" in js(quiet, "return document.querySelector('#readout').textContent")
    with evc.open(page.with_suffix(".evc")) as file:
        for number in (2, 7, 20):
            rate, text = quiet.execute_async_script(RENDERED, number)
            found = np.frombuffer(base64.b64decode(text), np.float32).reshape(2, -1)
            begin = int(file.events.times[number] * RATE)
            late = round((file.events.times[number] * RATE - begin) / RATE * rate)
            wanted = soxr.resample(file.render(events=[number])[begin:], RATE, rate)[late:].T
            size = min(found.shape[1], wanted.shape[1])
            found, wanted = found[:, :size].ravel(), wanted[:, :size].ravel()
            # The page computes at a higher rate: what rises at once has more above half the sample rate there.
            assert found @ wanted > 0.99 * np.sqrt((found @ found) * (wanted @ wanted)) > 0
            assert abs(10 * np.log10((found @ found) / (wanted @ wanted))) < 0.3


def test_mute_and_solo_change_what_sounds(quiet):
    spans = js(quiet, "return evcReport.data.patterns.blocks")
    first = spans[0][0]
    own = [(time, time + length) for number, time, length in spans if number == first]
    free = next(t for t in np.arange(0.1, SECONDS, 0.05) if not any(a <= t + 0.4 and t < b for a, b in own))
    js(quiet, "evcReport.decks.whole.play(arguments[0])", free)
    until(quiet, "evcReport.decks.whole.playing")
    assert quiet.execute_async_script(LISTENED, "whole") > 1e-3
    solo = click(quiet, f"[data-solo='{first}']")
    js(quiet, "evcReport.decks.whole.play(arguments[0])", free)
    until(quiet, "evcReport.decks.whole.playing")
    assert solo.get_attribute("aria-pressed") == "true"
    assert quiet.execute_async_script(LISTENED, "whole") < 1e-4  # the soloed pattern is not here
    js(quiet, "evcReport.decks.whole.play(arguments[0])", max(own, key=lambda span: span[1] - span[0])[0] + 0.05)
    until(quiet, "evcReport.decks.whole.playing")
    assert quiet.execute_async_script(LISTENED, "whole") > 1e-3
    click(quiet, f"[data-solo='{first}']")
    click(quiet, f"[data-mute='{first}']")
    others = [(a, a + d) for number, a, d in spans if number != first]
    gates = js(quiet, "return evcReport.gates()")
    for t in np.arange(0.05, SECONDS, 0.1):
        covered = any(number == first and a <= t < a + d for number, a, d in spans)
        silent = covered and not any(a <= t < b for a, b in others)
        assert any(a <= t < b for a, b in gates) != silent
    click(quiet, f"[data-mute='{first}']")
    assert js(quiet, "return evcReport.gates()") is None


def test_a_block_plays_its_stretch_of_the_file(quiet):
    block = quiet.find_element("css selector", "[data-block='0']")
    _, begin, length = js(quiet, "return evcReport.data.patterns.blocks[0]")
    js(quiet, "arguments[0].focus()", block)
    press(quiet, "\ue007")  # Enter
    until(quiet, "evcReport.decks.whole.playing")
    position, end = js(quiet, "return [evcReport.decks.whole.position, evcReport.decks.whole.until]")
    # The browser's clock goes by the blocks that it plays.
    assert begin - 0.05 <= position <= begin + length + 0.1 and end == pytest.approx(begin + length, abs=1e-5)


def test_the_keyboard_is_enough(quiet):
    js(quiet, "document.querySelector('#head [role=slider]').focus()")
    press(quiet, "\ue014", "\ue014")  # twice to the right: two seconds
    assert js(quiet, "return evcReport.decks.whole.position") == pytest.approx(2)
    press(quiet, " ")
    until(quiet, "evcReport.decks.whole.playing")
    press(quiet, " ")
    until(quiet, "!evcReport.decks.whole.playing")
    js(quiet, "document.querySelector('#scatter circle').focus({focusVisible: true})")
    press(quiet, "\ue014", "\ue007")
    until(quiet, "document.querySelector('#scatter circle:nth-of-type(2)').classList.contains('sounding')")
    slider = quiet.find_element("css selector", ".film input")
    js(quiet, "arguments[0].focus()", slider)
    press(quiet, "\ue010")  # End
    last = js(quiet, "return evcReport.data.film.at(-1)")
    assert js(quiet, "return document.querySelector('.film .caption').textContent") == last
    gone, of = re.match(r"(\d+) of (\d+) events", last).groups()
    assert gone == of and int(of) > 10


def test_the_stretch_is_where_the_page_says(shown, page):
    with evc.open(page.with_suffix(".evc")) as file:
        profile = Profile.of(lambda first, count: file.render(start=first, frames=count), file.frames, RATE)
        start, frames = profile.loudest(4 * RATE)
    deck = js(shown, "const deck = evcReport.decks.listen; return [deck.start, deck.duration]")
    assert deck == pytest.approx([start / RATE, frames / RATE])


def test_a_catalogue_is_sorted_by_a_click(shown, page):
    entries = [
        write.Entry(name, f"{name}.html", HOSTILE, "", ("noise",), seconds, 1000, 1.0, "data:,")
        for name, seconds in (("b", 9.0), ("c", 100.0), ("a", 20.0))
    ]
    write.write_catalogue(page.with_name("index.html"), entries)
    shown.get(page.with_name("index.html").as_uri())
    rows = "return [...document.querySelectorAll('tbody tr')].map(row => row.cells[0].textContent)"
    heads = shown.find_elements("css selector", "th button")
    for head, order in ((0, "abc"), (0, "cba"), (3, "bac")):  # by name, backwards, by length as a number
        heads[head].click()
        assert js(shown, rows) == list(order)
    assert js(shown, "return document.querySelector('[aria-sort]').textContent") == "Length"


def test_candidates_are_kept_and_dropped_by_two_keys(shown, page):
    pytest.importorskip("soxr")
    from evc.composing.page import candidates_page

    tone = sounds.lossless(0.1 * np.sin(np.arange(8000) / 5)[:, None], RATE)
    song = SimpleNamespace(structure="AB", recipe=SimpleNamespace(seconds=60.0, seed=7))
    found = [
        SimpleNamespace(
            number=number, song=song, measured=SimpleNamespace(lufs=-20.0), against="", sound=tone,
            picture=np.zeros((4, 4)), skim_seconds=8000 / RATE,
        )
        for number in (1, 2, 3)
    ]  # fmt: skip
    found.append(SimpleNamespace(number=4, against="is silent", sound=None, picture=None))
    page.with_name("c.html").write_bytes(candidates_page(found, [HOSTILE, "B", "C", "D"], {2}, HOSTILE, "evc"))
    shown.get(page.with_name("c.html").as_uri())
    playing = "Object.keys(evcReport.decks).filter(name => evcReport.decks[name].playing)[0] == 'song-{}'"
    click(shown, ".candidate[data-number='1'] button.main")
    until(shown, playing.format(1))
    press(shown, "k")
    until(shown, playing.format(2))
    press(shown, "d")
    until(shown, playing.format(3))
    title = shown.find_element("css selector", ".candidate[data-number='3'] input.title")
    title.send_keys("k d")  # in a name these are letters
    click(shown, ".candidate[data-number='3'] .keep")
    kept = js(shown, "return document.querySelector('#kept-list').value")
    assert kept == f"1 {HOSTILE}\n3 Ck d\n" and "is silent" in js(shown, "return document.body.textContent")


def test_no_console_message_and_no_request_leaves_the_page(shown):
    """The last: of all that the tests before have done."""
    assert shown.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in shown.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked and all(url.startswith(("file:", "data:")) for url in asked), asked
