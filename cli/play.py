"""`evc play`: an .evc file through the sound card."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

import evc
from evc.cli.common import PATH, TIME, examples, input_file, naming, time_text
from evc.format.errors import EvcError
from evc.streaming import seekable_input

if TYPE_CHECKING:
    from evc.exports.live import Deck
    from evc.file import EvcFile

_STEP_SECONDS, _LEAP_SECONDS = 5, 30
_PAUSED_SECONDS = 0.05  # between looks at the keys
_KEYS = {
    " ": "pause", "\x1b[d": "back", "\x1b[c": "ahead", "\x1b[b": "far back", "\x1b[a": "far ahead", "a": "other",
    "l": "loop", "q": "quit", "\x03": "quit", "\x1b": "quit",
}  # fmt: skip
_HELP = "space pause, arrows seek, a whole or layer, l loop, q quit"


@click.command(
    epilog=examples(
        "evc play song.evc --start 1:30",
        "evc play drums.evc --loop --layer patterns  # key a: the whole, and back",
    )
)
@click.argument("source", type=PATH, metavar="FILE")
@click.option("--start", type=TIME, default=0.0, metavar="TIME", help="Begin here: seconds, or as 1:30.5.")
@click.option("--duration", type=TIME, metavar="TIME", help="Play this much; default: to the end.")
@click.option("--loop", is_flag=True, help="Play it round and round: the file's own loop, if it tells one.")
@click.option("--layer", "layers", multiple=True, metavar="NAME", help="Play only this layer; may come several times.")
@click.option("--device", metavar="NAME", help="The sound card, by name or number; default: that of the system.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def play(
    source: str, start: float, duration: float | None, loop: bool, layers: tuple[str, ...], device: str | None,
    quiet: bool,
) -> None:  # fmt: skip
    """Play the .evc file FILE.

    Decoding keeps ahead of the sound. On a terminal keys are: space for pause, left and right to go 5 seconds, down and
    up to go 30, a for the whole file or only the layers named by --layer (or each layer in turn), l for a loop, q to
    quit.

    Needs a part that is not installed by default: pip install 'evc[play]'. Then, python -m sounddevice lists the sound
    cards.
    """
    from evc.api import part_span
    from evc.exports.live import Deck

    with ExitStack() as stack:
        with naming(source):
            file = stack.enter_context(evc.open(stack.enter_context(seekable_input(input_file(source)))))
            first, frames = part_span(file, start, duration)
            if unknown := [name for name in layers if name not in file.layers]:
                has = ", ".join(file.layers) or "none"
                raise EvcError(f"has no layer {', '.join(unknown)}; it has: {has}")
            if not frames:
                raise EvcError("there is nothing to play")
        begin, end = first, first + frames
        if loop and duration is None and len(file.loops):
            told = file.loops[0]
            end = int(told["start"] + told["frames"])
            begin = int(told["start"])
        stream = stack.enter_context(_stream(file, device))
        deck = stack.enter_context(Deck(file, begin, end, loop, layers))
        deck.seek(first)
        keys = stack.enter_context(_keys())
        show = sys.stderr is not None and sys.stderr.isatty() and not quiet
        if show:
            click.echo(f"{source}: {time_text(file.duration)}; {_HELP}", err=True)
        with naming(source):
            _run(deck, file, stream, keys, layers, show)
    if show:
        click.echo(err=True)


def _run(
    deck: Deck, file: EvcFile, stream: Any, keys: Callable[[float], str], layers: tuple[str, ...], show: bool
) -> None:
    paused, going = False, True
    choices = [(), layers] if layers else [(), *((name,) for name in file.layers)]
    while going:
        match _KEYS.get(keys(_PAUSED_SECONDS if paused else 0)):
            case "quit":
                stream.abort()
                return
            case "pause":
                paused = not paused
            case "back" | "ahead" | "far back" | "far ahead" as where:
                seconds = _LEAP_SECONDS if where.startswith("far") else _STEP_SECONDS
                deck.seek(deck.position + (seconds if where.endswith("ahead") else -seconds) * file.samplerate)
            case "other":
                deck.listen(choices[(choices.index(deck.layers) + 1) % len(choices)])
            case "loop":
                deck.repeat(not deck.loop)
        if show:
            _tell(deck, file, paused)
        going = paused or deck.play(stream)
    stream.stop()  # once all has been heard


def _tell(deck: Deck, file: EvcFile, paused: bool) -> None:
    heard = ", ".join(deck.layers) or "all layers"
    state = "paused" if paused else "loop" if deck.loop else ""
    line = f"{time_text(deck.position / file.samplerate)} of {time_text(file.duration)}  {heard}  {state}"
    sys.stderr.write(f"\r{line[:78]:<78}")
    sys.stderr.flush()


@contextmanager
def _stream(file: EvcFile, device: str | None) -> Iterator[Any]:
    """The sound card, ready to be written to."""
    try:
        import sounddevice
    except ModuleNotFoundError as error:
        if error.name != "sounddevice":
            raise
        raise EvcError("playing needs sounddevice, which is not installed: pip install 'evc[play]'") from error
    except OSError as error:
        raise EvcError("playing needs PortAudio, which is not installed (on Debian libportaudio2)") from error
    named: str | int | None = int(device) if device is not None and device.isdecimal() else device
    elsewhere = "evc decode makes a file that plays elsewhere"
    try:
        if not sounddevice.query_devices():
            raise EvcError(f"there is no sound card: {elsewhere}")
        stream = sounddevice.OutputStream(
            samplerate=file.samplerate, channels=file.channels, dtype="float32", device=named, latency="high"
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        reason = " ".join(str(error).split()).lower()
        raise EvcError(f"the sound card does not play {file.samplerate} Hz, {file.channels} channels ({reason}): "
                       f"{elsewhere}") from error  # fmt: skip
    with stream:
        yield stream


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """What waits so many seconds for a key, and returns it, or "" for none."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield lambda seconds: ""
    elif sys.platform == "win32":
        yield _key
    else:
        import termios
        import tty

        number = sys.stdin.fileno()
        before = termios.tcgetattr(number)
        try:
            tty.setcbreak(number)
            yield _key
        finally:
            with suppress(termios.error):
                termios.tcsetattr(number, termios.TCSADRAIN, before)


if sys.platform == "win32":

    def _key(seconds: float) -> str:
        import msvcrt
        import time

        if not msvcrt.kbhit():
            time.sleep(seconds)
            return ""
        key = msvcrt.getwch().lower()
        if key in ("\0", "\xe0"):
            return {"K": "\x1b[d", "M": "\x1b[c", "P": "\x1b[b", "H": "\x1b[a"}.get(msvcrt.getwch(), "")
        return key

else:

    def _key(seconds: float) -> str:
        import os
        import select

        number = sys.stdin.fileno()
        if not select.select([number], [], [], seconds)[0]:
            return ""
        return os.read(number, 8).decode("ascii", "replace").lower().replace("\x1bo", "\x1b[")
