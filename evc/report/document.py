"""A page in the making: what sections put into it, and how it becomes one file of HTML."""

from __future__ import annotations

import base64
import json
import threading
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evc.format.cores import available_cores
from evc.models.report import pictures, sounds
from evc.models.report.spectrogram import LOWEST_HZ
from evc.report.subject import clock
from evc.version import __version__

if TYPE_CHECKING:
    from jinja2 import Environment

_ASSETS = Path(__file__).with_name("assets")
_TICKS, _SHORT = 5, 2.0  # marks of an axis; seconds up to which it needs thousandths
_HIGHEST_MARK = 97  # percent of a picture's height
_PITCHES = (("65 Hz", 65.4), ("260 Hz", 261.6), ("1 kHz", 1046.5), ("4 kHz", 4186.0))
# Of layers: Okabe and Ito's palette, whose colours nearly everybody can tell apart.
COLOURS = {
    "patterns": "#e69f00", "events": "#cc79a7", "spectrum": "#0072b2", "noise": "#56b4e9", "latent": "#009e73",
    "timbre": "#f0e442", "overhead": "#8a8a8a",
}  # fmt: skip
OTHER_COLOUR = "#d55e00"

Sound = tuple[str, bytes]


class Document:
    """Gathers sounds, numbers and pictures. A context manager: sounds are coded in threads meanwhile."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {"decks": {}, "sums": {}}
        self._sounds: dict[str, Future[Sound]] = {}
        self._blobs: dict[str, bytes] = {}
        self._pool = ThreadPoolExecutor(available_cores())
        self._lock = threading.Lock()

    def __enter__(self) -> Document:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def sound(self, name: str, audio: NDArray[np.floating], samplerate: int, kbps: float | None = 48.0) -> str:
        """Put a sound [frames, channels] into the page, as Opus of so many kbit/s or (None) without loss; its name.
        What has a name already stays."""
        coded = partial(sounds.lossless if kbps is None else sounds.small, audio, samplerate)
        with self._lock:
            if name not in self._sounds:
                self._sounds[name] = self._pool.submit(coded if kbps is None else partial(coded, kbps))
        return name

    def finished(self, name: str, sound: Sound) -> str:
        """Put a sound into the page that is coded already; its name."""
        self._sounds[name] = Future()
        self._sounds[name].set_result(sound)
        return name

    def numbers(self, name: str, array: NDArray[Any]) -> None:
        """Put an array into the page, compressed, in the order of bytes that all browsers have."""
        data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes()
        self._blobs[name] = zlib.compress(data, 9)

    def deck(self, name: str, tracks: list[dict[str, Any]], start: float, duration: float) -> None:
        """Tracks (id, gain) that play in step; they begin at `start` s of the file."""
        self.data["decks"][name] = {"tracks": tracks, "start": start, "duration": duration}

    def page(self, template: str, **values: Any) -> str:
        """The whole page."""
        from markupsafe import Markup

        found = {name: future.result() for name, future in self._sounds.items()}
        spoken = [{"name": name, "mime": mime, "text": _base64(data)} for name, (mime, data) in found.items()]
        blobs = [{"name": name, "text": _base64(data)} for name, data in self._blobs.items()]
        return environment().get_template(template).render(
            values, version=__version__, css=Markup(_style()), script=Markup(_asset("report.js")), sounds=spoken,
            blobs=blobs, data=Markup(script_json(self.data)),
        )  # fmt: skip


def spectrogram(levels: NDArray[np.floating], scale: tuple[float, float], per_octave: int) -> dict[str, Any]:
    """A constant-Q picture as templates take it, with marks of pitch."""
    share = 100 * per_octave / len(levels)
    places = [(text, round(share * float(np.log2(hertz / LOWEST_HZ)), 1)) for text, hertz in _PITCHES]
    marks = [{"text": text, "at": at} for text, at in places if at < _HIGHEST_MARK]
    return {"uri": uri(pictures.picture(levels, scale)), "marks": marks, "exact": False}


def uri(image: bytes) -> str:
    """A picture as an address that holds it."""
    return f"data:{pictures.MIME};base64,{_base64(image)}"


def script_json(value: Any) -> str:
    """JSON that can stand in a <script>: nothing in it ends the element or begins a comment."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


@cache
def environment() -> Environment:
    """The templates. What is put into them is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    found = Environment(
        loader=FileSystemLoader(_ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    found.globals["times"] = _times
    return found


def fragment(template: str, values: dict[str, Any]) -> str:
    """The body of a section, as markup."""
    from markupsafe import Markup

    shared = environment().get_template("macros.html").module
    macros = {name: getattr(shared, name) for name in ("axis", "scale", "spectrogram")}
    return Markup(environment().get_template(template).render(macros | values))


def _times(start: float, end: float) -> list[dict[str, Any]]:
    """The marks of an axis: where, in percent, and what stands there."""
    shares = np.linspace(0, 1, _TICKS).tolist()
    digits = 1 if end - start > _SHORT else 3
    return [{"at": 100 * share, "text": clock(start + share * (end - start), digits)} for share in shares]


def _style() -> str:
    stops = ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in pictures.RAMP)
    return f":root {{ --ramp: {stops}; }}\n{_asset('report.css')}"


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
