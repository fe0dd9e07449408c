"""Draws docs/report.png: lanes and events of the demonstration track, as `evc report` shows them.

Needs evc[report], Selenium and Chromium with its driver. Run it from the root of the repository:
python docs/report_picture.py
"""

import io
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from selenium import webdriver

import evc
from evc.models import sequencer

RATE = 44_100
WIDTH, HEIGHT, GAP = 760, 560, 16
PAPER = (251, 250, 247)
SHOWN = (
    ({"bitrate": 48}, "patterns", "document.querySelector('[data-solo=\"0\"]').click()"),
    ({"hints": "noise", "bitrate": 2}, "events", "document.querySelectorAll('#scatter circle')[40].focus()"),
)


def main() -> None:
    track = sequencer.track(samplerate=RATE)
    with tempfile.TemporaryDirectory() as folder, webdriver.Chrome(options=options(), service=service()) as browser:
        pictures = [shot(browser, Path(folder), track, *how) for how in SHOWN]
    joined = Image.new("RGB", (2 * WIDTH + GAP, HEIGHT), PAPER)
    for number, picture in enumerate(pictures):
        joined.paste(picture, (number * (WIDTH + GAP), 0))
    joined.quantize(128).save("docs/report.png", optimize=True)


def shot(
    browser: webdriver.Chrome, folder: Path, track: np.ndarray, settings: dict, section: str, action: str
) -> Image.Image:
    """One section of the report of the track under some settings."""
    page = folder / f"{section}.html"
    with evc.open(io.BytesIO(evc.encode(track, RATE, **settings))) as file:
        evc.write_report(page, file, sections=["head", section], name="demo.evc")
    browser.get(page.as_uri())
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": True},
    )
    browser.execute_script(action)
    browser.execute_script(f"document.getElementById('{section}').scrollIntoView({{behavior: 'instant'}})")
    return Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")


def options() -> webdriver.ChromeOptions:
    found = webdriver.ChromeOptions()
    found.binary_location = shutil.which("chromium") or "chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        found.add_argument(argument)
    return found


def service() -> webdriver.ChromeService:
    return webdriver.ChromeService(shutil.which("chromedriver"))


if __name__ == "__main__":
    main()
