"""What a caller may ask of the encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import NamedTuple, Self, TypedDict, TypeVar

from evc.format.errors import InputError

DEFAULT_QUALITY = 6.0


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
LEAST_BITRATE = min(rates.least for rates in BITRATES.values())
LATENT_CHANNELS = (1, 2)
LATENT_RATES = (32_000, 48_000)  # Hz
# Bitrates from which, and below which, latents measure best, by channels (docs/benchmarks.md).
LATENT_BEST = {1: (1.5, 12.0), 2: (1.5, 14.0)}

Value = TypeVar("Value")


def _option(
    default: Value, help: str, choices: tuple[str, ...] | None = None, most: float | None = None, name: str = ""
) -> Value:
    """A field that tells what it is for, and the values it may have: `choices`, or 0 to `most`. `name` stands for the
    value in a command's help."""
    declared: Value = field(default=default, metadata={"help": help, "choices": choices, "most": most, "name": name})
    return declared


@dataclass(frozen=True, kw_only=True)
class EncodeSettings:
    """What to encode a file with. Raises InputError for anything else."""

    bitrate: float | None = _option(None, f"Target in kbit/s, from {LEAST_BITRATE:g}.", name="KBPS")
    quality: float | None = _option(
        None, f"Constant quality, 0 to 10, at a bitrate that varies; default {DEFAULT_QUALITY:g}.", most=10, name="Q"
    )
    hints: str = _option(
        "auto",
        "What tells of the sound. noise: a list of events, and noise, 0.4 to 6 kbit/s, default 1. latent: what a "
        "network needs to restore it from these, 1.2 to 16 kbit/s, default 6. spectrum: a waveform, from 6 kbit/s, or "
        "at a quality. auto: what measures best at the bitrate.",
        choices=("auto", *BITRATES),
    )
    patterns: str = _option(
        "auto", "auto: code what repeats once, where that saves bits; off: never.", choices=("auto", "off")
    )
    effort: int = _option(
        5, "How thoroughly to look for patterns and events, 0 (fast) to 9; default 5.", most=9, name="E"
    )
    loop: bool = _option(
        False, "The sound is a loop: code it without a seam from its end to its start. Only a spectrum holds one."
    )
    device: str = _option("auto", "Where networks run.", choices=("auto", "cpu", "cuda"))

    def __post_init__(self) -> None:
        for option in fields(self):
            value, choices, most = getattr(self, option.name), option.metadata["choices"], option.metadata["most"]
            if choices is not None:
                if value not in choices:
                    raise InputError(f"{option.name} {value!r} is not one of {', '.join(choices)}")
            elif value is not None and not hasattr(value, "__float__"):
                raise InputError(f"{option.name} {value!r} is no number")
            elif value is not None and most is not None and not 0 <= value <= most:
                raise InputError(f"{option.name} {value:g} is not within 0 to {most:g}")
        if self.bitrate is not None and self.quality is not None:
            raise InputError("a bitrate and a quality exclude each other: give one of them")
        self._settle()

    def _settle(self) -> None:
        """Check the bitrate, and choose what was left open and needs no look at the source."""
        if self.bitrate is not None and not LEAST_BITRATE <= self.bitrate < math.inf:
            raise InputError(f"bitrate {self.bitrate:g} kbit/s: at least {LEAST_BITRATE:g} kbit/s are needed")
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
        asked = f"the hints {self.hints}"
        if self.quality is not None and usual is not None:
            raise InputError(f"{asked} have no quality: give a bitrate, or neither")
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


EncodeSettings.__doc__ = f"{EncodeSettings.__doc__}\n\n" + "\n".join(
    f"    {option.name}: {option.metadata['help']}" for option in fields(EncodeSettings)
)


class EncodeOptions(TypedDict, total=False):
    """The fields of `EncodeSettings`, as keywords."""

    bitrate: float | None
    quality: float | None
    hints: str
    patterns: str
    effort: int
    loop: bool
    device: str
