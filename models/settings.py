"""What a caller may ask of the encoder."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Self, TypedDict, TypeVar

from evc.format.errors import InputError
from evc.models.layers import HINTS, LEAST_BITRATE

DEFAULT_QUALITY = 6.0
_WITHOUT_RANGE = ("spectrum", "noise", "timbre")  # the first that has the bitrate, where no hints measure best


Value = TypeVar("Value")


def _option(
    default: Value, help: str, choices: tuple[str, ...] | None = None, most: float | None = None, name: str = ""
) -> Value:
    """A field that tells what it is for, and the values it may have: `choices`, or 0 to `most`. `name` stands for the
    value in a command's help."""
    declared: Value = field(default=default, metadata={"help": help, "choices": choices, "most": most, "name": name})
    return declared


def _told_hints() -> str:
    """What each of the hints is, and at which bitrates."""
    text = ""
    for name, hints in HINTS.items():
        upward = f"from {hints.least:g} kbit/s, or at a quality"
        within = f"{hints.least:g} to {hints.most:g} kbit/s, default {hints.usual or 0:g}"
        text += f"{name}: {hints.tells}, {upward if hints.usual is None else within}. "
    return text.strip()


@dataclass(frozen=True, kw_only=True)
class EncodeSettings:
    """What to encode a file with. Raises InputError for anything else."""

    bitrate: float | None = _option(None, f"Target in kbit/s, from {LEAST_BITRATE:g}.", name="KBPS")
    quality: float | None = _option(
        None, f"Constant quality, 0 to 10, at a bitrate that varies; default {DEFAULT_QUALITY:g}.", most=10, name="Q"
    )
    hints: str = _option(
        "auto",
        f"What tells of the sound. {_told_hints()} auto: what measures best at the bitrate.",
        choices=("auto", *HINTS),
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
    adapt: float | None = _option(
        None,
        "Fit the network that decodes latents to the sound, in about so many minutes of one core (without a number: in "
        "what the sound deserves), and put what is changed into the file, if that sounds better in no more bytes.",
        most=24 * 60, name="[MINUTES]",
    )  # fmt: skip
    adapt_state: str | None = _option(None, "Keep the fit in FILE, and go on from there.", name="FILE")
    device: str = _option("auto", "Where networks run.", choices=("auto", "cpu", "cuda"))

    def __post_init__(self) -> None:
        for option in fields(self):
            value, choices, most = getattr(self, option.name), option.metadata["choices"], option.metadata["most"]
            if choices is not None:
                if value not in choices:
                    raise InputError(f"{option.name} {value!r} is not one of {', '.join(choices)}")
            elif option.name == "adapt_state":
                if not isinstance(value, str | None):
                    raise InputError(f"adapt_state {value!r} is no path")
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
        if self.adapt_state is not None and self.adapt is None:
            raise InputError("the state of a fit needs a fit: ask for it by adapt")
        if self.hints == "auto" and (self.bitrate is None or self.loop):
            object.__setattr__(self, "hints", "spectrum")
        if self.hints != "auto":
            self._check_bitrate()
            self._check_adapted()
        if self.bitrate is None and self.quality is None:
            usual = HINTS[self.hints].usual
            name, value = ("quality", DEFAULT_QUALITY) if usual is None else ("bitrate", usual)
            object.__setattr__(self, name, value)

    def _check_bitrate(self) -> None:
        """Whether the hints that were asked for are to be had at the bitrate."""
        hints = HINTS[self.hints]
        asked = f"the hints {self.hints}"
        if self.quality is not None and hints.usual is not None:
            raise InputError(f"{asked} have no quality: give a bitrate, or neither")
        if self.bitrate is not None and self.bitrate < hints.least:
            raise InputError(f"bitrate {self.bitrate:g} kbit/s: at least {hints.least:g} kbit/s for {asked}")
        if self.bitrate is not None and self.bitrate > hints.most:
            more = f"at most {hints.most:g} kbit/s for {asked}; leave it out for more"
            raise InputError(f"bitrate {self.bitrate:g} kbit/s: {more}")

    def _check_adapted(self) -> None:
        if self.adapt is not None and self.hints != "latent":
            raise InputError(f"only latents have a network to adapt, not the hints {self.hints}: ask for hints latent")

    def settled(self, samplerate: int, channels: int) -> Self:
        """The same for a source of so many Hz and channels, its hints chosen. Raises InputError if it cannot have
        those that were asked for."""
        if self.hints != "auto":
            chosen = self
        else:
            best = (name for name in HINTS if self._is_best(name, samplerate, channels))
            possible = (name for name in _WITHOUT_RANGE if self.known_bitrate >= HINTS[name].least)
            chosen = replace(self, hints=next(best, next(possible)))
        chosen._check_adapted()
        asked = HINTS[chosen.hints]
        lowest, highest = asked.samplerates
        if channels > asked.channels or not lowest <= samplerate <= highest:
            rates = "" if highest == math.inf else f" at {lowest // 1000} to {highest // 1000} kHz"
            found = f"{channels}{rates and f' at {samplerate / 1000:g} kHz'}"
            only = f"the hints {chosen.hints} hold 1 or {asked.channels} channels{rates}, not {found}"
            raise InputError(f"{only}: ask for other hints, or for a higher bitrate")
        return chosen

    def _is_best(self, name: str, samplerate: int, channels: int) -> bool:
        """Whether these hints measure best for such a source, at the bitrate."""
        hints = HINTS[name]
        begin, end = hints.best.get(channels, (math.inf, math.inf))
        return hints.samplerates[0] <= samplerate <= hints.samplerates[1] and begin <= self.known_bitrate < end

    @property
    def known_bitrate(self) -> float:
        """`bitrate`, or InputError where a quality was asked for."""
        if self.bitrate is None:
            raise InputError("a bitrate is needed, not a quality")
        return self.bitrate

    def __str__(self) -> str:
        if self.hints == "noise":
            return f"events {self.bitrate:g}"  # short, since it is part of a small file
        if self.hints in ("latent", "timbre"):
            return f"{self.hints} {self.bitrate:g}"
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
    adapt: float | None
    adapt_state: str | None
    device: str
