"""What a caller may ask of the encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass

from evc.errors import InputError

LOWEST_BITRATE = 6.0  # kbit/s
DEFAULT_QUALITY = 6.0
HIGHEST_QUALITY = 10.0
DEVICES = ("auto", "cpu", "cuda")
PATTERNS = ("auto", "off")
DEFAULT_EFFORT = 5
HIGHEST_EFFORT = 9


@dataclass(frozen=True)
class EncodeSettings:
    """A target `bitrate` in kbit/s, or a constant `quality` from 0 to 10 (the default where neither is
    given); the `device` that networks run on: "auto", "cpu" or "cuda"; `patterns`, "auto" where they save bits or
    "off"; and the `effort`, 0 (fast) to 9 (thorough), spent on finding them. Raises InputError for anything else."""

    bitrate: float | None = None
    quality: float | None = None
    device: str = "auto"
    patterns: str = "auto"
    effort: int = DEFAULT_EFFORT

    def __post_init__(self) -> None:
        if self.bitrate is not None and self.quality is not None:
            raise InputError("a bitrate and a quality exclude each other: give one of them")
        if self.bitrate is not None and not (math.isfinite(self.bitrate) and self.bitrate >= LOWEST_BITRATE):
            raise InputError(
                f"bitrate {self.bitrate:g} kbit/s: at least {LOWEST_BITRATE:g} kbit/s are needed"
            )
        if self.quality is not None and not 0 <= self.quality <= HIGHEST_QUALITY:
            raise InputError(f"quality {self.quality:g} is not within 0 to {HIGHEST_QUALITY:g}")
        if self.device not in DEVICES:
            raise InputError(f"device {self.device!r} is not one of {', '.join(DEVICES)}")
        if self.patterns not in PATTERNS:
            raise InputError(f"patterns {self.patterns!r} is not one of {', '.join(PATTERNS)}")
        if not 0 <= self.effort <= HIGHEST_EFFORT:
            raise InputError(f"effort {self.effort} is not within 0 to {HIGHEST_EFFORT}")
        if self.bitrate is None and self.quality is None:
            object.__setattr__(self, "quality", DEFAULT_QUALITY)

    def __str__(self) -> str:
        return f"quality {self.quality:g}" if self.bitrate is None else f"{self.bitrate:g} kbit/s"
