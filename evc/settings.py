"""What a caller may ask of the encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evc.errors import InputError

LOWEST_BITRATE = 6.0  # kbit/s, of the spectrum; what is lower is left to events and noise
LOWEST_EVENTS_BITRATE = 0.4
DEFAULT_EVENTS_BITRATE = 1.0
DEFAULT_QUALITY = 6.0
HIGHEST_QUALITY = 10.0
DEVICES = ("auto", "cpu", "cuda")
PATTERNS = ("auto", "off")
PRESETS = ("auto", "events")
DEFAULT_EFFORT = 5
HIGHEST_EFFORT = 9


@dataclass(frozen=True)
class EncodeSettings:
    """What to encode a file with.

    bitrate   target in kbit/s
    quality   constant, from 0 to 10, at a bitrate that varies: the default where no bitrate is given
    device    that networks run on: "auto", "cpu" or "cuda"
    patterns  "auto" where they save bits, or "off"
    effort    0 (fast) to 9 (thorough), spent on finding patterns and events
    preset    "auto", or "events" for events and noise alone, at 0.4 to 6 kbit/s (default 1). A bitrate below 6 kbit/s
              selects it

    Raises InputError for anything else.
    """

    bitrate: float | None = None
    quality: float | None = None
    device: str = "auto"
    patterns: str = "auto"
    effort: int = DEFAULT_EFFORT
    preset: str = "auto"

    def __post_init__(self) -> None:
        if self.bitrate is not None and self.quality is not None:
            raise InputError("a bitrate and a quality exclude each other: give one of them")
        if self.quality is not None and not 0 <= self.quality <= HIGHEST_QUALITY:
            raise InputError(f"quality {self.quality:g} is not within 0 to {HIGHEST_QUALITY:g}")
        for name, value, choices in (
            ("device", self.device, DEVICES), ("patterns", self.patterns, PATTERNS), ("preset", self.preset, PRESETS)
        ):  # fmt: skip
            if value not in choices:
                raise InputError(f"{name} {value!r} is not one of {', '.join(choices)}")
        if not 0 <= self.effort <= HIGHEST_EFFORT:
            raise InputError(f"effort {self.effort} is not within 0 to {HIGHEST_EFFORT}")
        self._settle()

    def _settle(self) -> None:
        """Check the bitrate, and choose what was left open."""
        if self.bitrate is not None and not LOWEST_EVENTS_BITRATE <= self.bitrate < math.inf:
            least = f"at least {LOWEST_EVENTS_BITRATE:g} kbit/s are needed"
            raise InputError(f"bitrate {self.bitrate:g} kbit/s: {least}")
        if self.preset == "events":
            if self.quality is not None:
                raise InputError("the preset events has no quality: give a bitrate, or neither")
            if self.bitrate is not None and self.bitrate > LOWEST_BITRATE:
                most = f"at most {LOWEST_BITRATE:g} kbit/s for the preset events; leave it out for more"
                raise InputError(f"bitrate {self.bitrate:g} kbit/s: {most}")
            if self.bitrate is None:
                object.__setattr__(self, "bitrate", DEFAULT_EVENTS_BITRATE)
        elif self.bitrate is not None and self.bitrate < LOWEST_BITRATE:
            object.__setattr__(self, "preset", "events")
        elif self.bitrate is None and self.quality is None:
            object.__setattr__(self, "quality", DEFAULT_QUALITY)

    def __str__(self) -> str:
        if self.preset == "events":
            return f"events {self.bitrate:g}"  # short, since it is part of a small file
        return f"quality {self.quality:g}" if self.bitrate is None else f"{self.bitrate:g} kbit/s"
