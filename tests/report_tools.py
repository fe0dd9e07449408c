"""A file that has everything a report shows, and a browser to look at the page."""

from __future__ import annotations

import io
import shutil
from contextlib import contextmanager

import numpy as np
import pytest

import evc
from evc.format.networks import installed_network
from evc.models import sequencer
from evc.models.events.codebooks import Codebooks
from evc.models.events.vectors import EVENTS_NETWORK

RATE = 16_000
SECONDS = 6.0
HOSTILE = "</script><script>document.title='taken'</script><b>\u2028&amp;"


def music():
    """Six seconds in which a bar of two seconds sounds three times, float32 [frames, 2]."""
    return np.tile(sequencer.track(2.0, RATE), (3, 1))


def events(count=24, seed=0):
    """Events of random codes, loud enough to be heard."""
    random, network = np.random.default_rng(seed), installed_network(EVENTS_NETWORK)
    sizes = Codebooks.of(network).sizes
    codes = np.stack([random.integers(0, size, count) for size in sizes], axis=1)
    codes[:, 0] = random.integers(2700, 5200, count)  # pitches from C3 to C6 or so
    times = np.sort(random.uniform(0, SECONDS - 0.5, count))
    columns = times, 10 ** random.uniform(-1.5, -0.5, count), random.uniform(-1, 1, count)
    return evc.EventList(*columns, None, RATE, codes=codes, network=network)


def whole_file(path):
    """Write a file of patterns, spectrum and events, with tags that would like to be more than text."""
    data = evc.encode(music(), RATE, quality=4, tags={"title": HOSTILE, "comment": HOSTILE}, pictures=covers())
    with evc.open(io.BytesIO(data)) as like:
        evc.write_events(path, events(), like)


def covers():
    """One that cannot be read, and one that can."""
    from PIL import Image

    target = io.BytesIO()
    Image.new("RGB", (600, 500), (200, 30, 30)).save(target, "PNG")
    good = target.getvalue()
    return [evc.Picture(good[:60], 3, "image/png", HOSTILE), evc.Picture(good, 0, "image/png", "")]


@contextmanager
def browser():
    """A headless Chromium with the distribution's driver; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not (program and driver):
        pytest.skip("no Chromium with its driver is installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    with webdriver.Chrome(options=options, service=webdriver.ChromeService(driver)) as found:
        yield found
