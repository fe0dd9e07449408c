"""What a caller may ask of the encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

from evc.format.errors import InputError

DEFAULT_QUALITY = 6.0
HIGHEST_QUALITY = 10.0
DEVICES = ("auto", "cpu", "cuda")
PATTERNS = ("auto", "off")
PRESETS = ("auto", "events")
HINTS = ("auto", "noise", "latent", "spectrum")
DEFAULT_EFFORT = 5
HIGHEST_EFFORT = 9


class Bitrates(NamedTuple):
    """In kbit/s; `usual` where none is given, None: a quality is chosen then."""

    least: float
    most: float
    usual: float | None


BITRATES = {
    "noise": Bitrates(0.4, 6.0, 1.0),
    "latent": Bitrates(1.2, 16.0, 6.0),
    "spectrum": Bitrates(6.0, math.inf, None),
}
LATENT_CHANNELS = (1, 2)
LATENT_RATES = (32_000, 48_000)  # Hz
# Bitrates from which, and below which, latents measure best, by channels (docs/benchmarks.md).
LATENT_BEST = {1: (1.5, 12.0), 2: (1.5, 14.0)}


@dataclass(frozen=True)
class EncodeSettings:
    """What to encode a file with.

    bitrate   target in kbit/s
    quality   constant, from 0 to 10, at a bitrate that varies: the default where no bitrate is given
    device    that networks run on: "auto", "cpu" or "cuda"
    patterns  "auto" where they save bits, or "off"
    effort    0 (fast) to 9 (thorough), spent on finding patterns and events
    preset    "auto", or "events" for events and noise alone: hints "noise"
    hints     what tells of the sound: "noise", events and noise, at 0.4 to 6 kbit/s (default 1); "latent", a network's
              hints beside these, at 1.2 to 16 kbit/s (default 6); "spectrum", a waveform, from 6 kbit/s on; "auto",
              what measures best at the bitrate
    loop      the source is a loop; only a spectrum holds one

    Raises InputError for anything else.
    """

    bitrate: float | None = None
    quality: float | None = None
    device: str = "auto"
    patterns: str = "auto"
    effort: int = DEFAULT_EFFORT
    preset: str = "auto"
    hints: str = "auto"
    loop: bool = False

    def __post_init__(self) -> None:
        for name, number in (("bitrate", self.bitrate), ("quality", self.quality), ("effort", self.effort)):
            if number is not None and not hasattr(number, "__float__"):
                raise InputError(f"{name} {number!r} is no number")
        if self.bitrate is not None and self.quality is not None:
            raise InputError("a bitrate and a quality exclude each other: give one of them")
        if self.quality is not None and not 0 <= self.quality <= HIGHEST_QUALITY:
            raise InputError(f"quality {self.quality:g} is not within 0 to {HIGHEST_QUALITY:g}")
        for name, value, choices in (
            ("device", self.device, DEVICES), ("patterns", self.patterns, PATTERNS), ("preset", self.preset, PRESETS),
            ("hints", self.hints, HINTS),
        ):  # fmt: skip
            if value not in choices:
                raise InputError(f"{name} {value!r} is not one of {', '.join(choices)}")
        if not 0 <= self.effort <= HIGHEST_EFFORT:
            raise InputError(f"effort {self.effort} is not within 0 to {HIGHEST_EFFORT}")
        self._settle()

    def _settle(self) -> None:
        """Check the bitrate, and choose what was left open and needs no look at the source."""
        least = min(rates.least for rates in BITRATES.values())
        if self.bitrate is not None and not least <= self.bitrate < math.inf:
            raise InputError(f"bitrate {self.bitrate:g} kbit/s: at least {least:g} kbit/s are needed")
        if self.preset == "events":
            if self.hints not in ("auto", "noise"):
                raise InputError(f"the preset events excludes the hints {self.hints}: leave one of them out")
            object.__setattr__(self, "hints", "noise")
        if self.loop and self.hints not in ("auto", "spectrum"):
            raise InputError(f"the hints {self.hints} hold no loop: leave one of them out")
        if self.hints == "auto" and (self.bitrate is None or self.loop):
            object.__setattr__(self, "hints", "spectrum")
        if self.hints != "auto":
            self._check_bitrate()
        if self.bitrate is None and self.quality is None:
            usual = BITRATES[self.hints].usual
            name, value = ("quality", DEFAULT_QUALITY) if usual is None else ("bitrate", usual)
            object.__setattr__(self, name, value)

    def _check_bitrate(self) -> None:
        """Whether the hints that were asked for are to be had at the bitrate."""
        least, most, usual = BITRATES[self.hints]
        asked = "the preset events" if self.preset == "events" else f"the hints {self.hints}"
        if self.quality is not None and usual is not None:
            has = "has" if self.preset == "events" else "have"
            raise InputError(f"{asked} {has} no quality: give a bitrate, or neither")
        if self.bitrate is not None and self.bitrate < least:
            raise InputError(f"bitrate {self.bitrate:g} kbit/s: at least {least:g} kbit/s for {asked}")
        if self.bitrate is not None and self.bitrate > most:
            more = f"at most {most:g} kbit/s for {asked}; leave it out for more"
            raise InputError(f"bitrate {self.bitrate:g} kbit/s: {more}")

    def settled(self, samplerate: int, channels: int) -> Self:
        """The same for a source of so many Hz and channels, its hints chosen. Raises InputError if it cannot have
        those that were asked for."""
        lowest, highest = LATENT_RATES
        possible = channels in LATENT_CHANNELS and lowest <= samplerate <= highest
        if self.hints == "latent" and not possible:
            only = f"latents hold 1 or 2 channels at {lowest // 1000} to {highest // 1000} kHz"
            raise InputError(f"{only}, not {channels} at {samplerate / 1000:g} kHz: ask for other hints")
        if self.hints != "auto":
            return self
        least, end = LATENT_BEST[channels] if possible else (math.inf, math.inf)
        if least <= self.known_bitrate < end:
            return replace(self, hints="latent")
        return replace(self, hints="noise" if self.known_bitrate < BITRATES["spectrum"].least else "spectrum")

    @property
    def known_bitrate(self) -> float:
        """`bitrate`, or InputError where a quality was asked for."""
        if self.bitrate is None:
            raise InputError("a bitrate is needed, not a quality")
        return self.bitrate

    def __str__(self) -> str:
        if self.hints == "noise":
            return f"events {self.bitrate:g}"  # short, since it is part of a small file
        if self.hints == "latent":
            return f"latent {self.bitrate:g}"
        return f"quality {self.quality:g}" if self.bitrate is None else f"{self.bitrate:g} kbit/s"
