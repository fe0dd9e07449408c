"""Excerpts and the files that describe them: small enough to be carried to another machine, quickly rendered there.

To describe an excerpt, that is to find its events and fit its noise, takes seconds; to render what was found takes a
fraction of one.
"""

from __future__ import annotations

import io
import json
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from evc.format.errors import InputError
from evc.format.header import Header
from evc.models.description import Describer, description_header
from evc.models.encoded import target_bytes
from evc.models.settings import EncodeSettings
from evc.models.source import ArraySource
from evc.models.synthesis import Choice, of_file
from evc.models.training.dataset import Audio, AudioFolder, Place
from evc.models.training.whole import whole

Samples = NDArray[np.int16]

SIGNALS = ("source", "events", "noise", "noise alone")  # rows of a pair
FULL_SCALE = 32768
MOST_PEAK = 0.99
LEAST_PEAK = 0.03  # below which another excerpt is drawn,
ATTEMPTS = 5  # so often


@dataclass(frozen=True)
class PairSettings:
    """How many pairs there are and what they are like. Bitrates in kbit/s are drawn at random."""

    training: int = 300
    validation: int = 16
    samplerate: int = 44_100
    seconds: float = 10.0
    rates: tuple[float, ...] = (0.6, 1.0, 1.0, 1.0, 1.6)  # of events and noise together,
    noise_rates: tuple[float, ...] = (0.4, 0.5, 0.7)  # and of noise alone
    speed: float = 0.08  # standard deviation of the logarithm of the speed; validation changes none

    @property
    def frames(self) -> int:
        return round(self.seconds * self.samplerate)

    @property
    def sides(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """The names of both sides, and how many pairs they have."""
        return ("training", self.training), ("validation", self.validation)


@dataclass(frozen=True)
class Description:
    """An excerpt, turned down to `gain`, and two files of it: `both`, events and noise; `alone`, noise alone."""

    place: Place
    gain: float
    both: bytes
    alone: bytes

    @classmethod
    def draw(cls, audio: AudioFolder, settings: PairSettings, random: np.random.Generator, vary: bool) -> Self:
        """Of a random excerpt; its speed is changed if it may `vary`."""
        for _ in range(ATTEMPTS):
            speed = float(np.exp(settings.speed * random.standard_normal())) if vary else 1.0
            place, source = audio.placed(random, settings.samplerate, settings.frames, 2, speed)
            if np.abs(source).max() > LEAST_PEAK:
                break
        gain = min(1.0, MOST_PEAK / max(float(np.abs(source).max()), 1e-9))
        rates = float(random.choice(settings.rates)), float(random.choice(settings.noise_rates))
        return cls(place, gain, *described(source * np.float32(gain), settings.samplerate, *rates))

    def render(self, folder: Path, settings: PairSettings) -> Samples:
        """The pair int16 [SIGNALS, 2, frames]; the excerpt is from a file below `folder`. Raises InputError if that is
        not there."""
        path = folder / self.place.path
        if not path.is_file():
            raise InputError(f"{path}: is not there, but an excerpt of it was described")
        source = replace(self.place, path=path).read(settings.frames, 2) * np.float32(self.gain)
        rows = np.stack([source, *rendered(self.both, self.alone)])
        return np.clip(np.rint(FULL_SCALE * rows), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)

    def save(self, path: Path, folder: Path) -> None:
        """Write it as JSON, whole or not at all; the excerpt is named by its path below `folder`."""
        values = {
            "file": self.place.path.relative_to(folder).as_posix(),
            "start": self.place.start,
            "frames": self.place.frames,
            "ratio": self.place.ratio,
            "gain": self.gain,
            "both": b64encode(self.both).decode(),
            "alone": b64encode(self.alone).decode(),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial:
            partial.write_text(json.dumps(values) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote, the excerpt by its path as it was named. Raises InputError if it is something else."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            place = Place(Path(values["file"]), int(values["start"]), int(values["frames"]), float(values["ratio"]))
            return cls(place, float(values["gain"]), b64decode(values["both"]), b64decode(values["alone"]))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: does not hold the description of an excerpt") from error


def described(audio: Audio, samplerate: int, rate: float, noise_rate: float) -> tuple[bytes, bytes]:
    """Files of audio [channels, frames]: events and noise in `rate` kbit/s, and noise alone in `noise_rate`."""
    source = ArraySource(audio.T, samplerate)
    header = description_header(Header(samplerate, *audio.shape))
    settings = EncodeSettings(bitrate=rate, hints="noise", device="cpu")
    targets = [target_bytes(header, kbps) for kbps in (rate, noise_rate)]
    both = Describer.of(source, header, settings, rate).to_target(targets[0], None)
    alone = Describer.without_events(source, header).to_target(targets[1], None)
    return both.as_file().getvalue(), alone.as_file().getvalue()


def rendered(both: bytes, alone: bytes) -> list[Audio]:
    """What the two files make of their excerpt: events, the noise beside them, noise alone, each float32 [channels,
    frames]; zeros where a file lacks the layer."""
    return [_layer(both, "events"), _layer(both, "noise"), _layer(alone, "noise")]


def _layer(file: bytes, layer: str) -> Audio:
    """One of its layers alone, float32 [channels, frames]."""
    with of_file(io.BytesIO(file), Choice((layer,))) as heard:
        return heard.render(0, heard.header.known_frames)
