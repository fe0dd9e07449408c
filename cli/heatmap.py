"""`evc heatmap`: target, reconstruction and difference as pictures in the terminal."""

from __future__ import annotations

import math
import shutil
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

import evc
from evc.cli.common import PATH, TIME, examples, input_file, naming, print_json
from evc.format.constants import LAYERS
from evc.format.errors import InputError
from evc.streaming import check_readable, seekable_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from evc.file import EvcFile
    from evc.models.heatmap import HeatMaps
    from evc.models.source import Read
    from evc.sound.source import FileSource

_RAMP = " .:-=+*#%@"
# Colours of the scale, from nothing to the loudest cell.
_COLOURS = ((0, 0, 0), (45, 15, 85), (135, 35, 105), (220, 75, 65), (250, 160, 40), (255, 250, 190))
_SHADES = 32
_GUTTER = 9
_OTHER_LINES = 7  # than those of the maps
_LEAST_HEIGHT, _MOST_HEIGHT, _PLAIN_HEIGHT = 4, 24, 16


@click.command(
    epilog=examples(
        "evc heatmap song.evc --against song.wav",
        "evc heatmap song.evc --layer patterns --start 1:30 --seconds 10",
    )
)
@click.argument("source", type=PATH, metavar="FILE")
@click.option(
    "--against", type=PATH, metavar="WAV", help="The original to compare with, by default the whole decoded file."
)
@click.option(
    "--layer", type=click.Choice([*LAYERS, "all"]), default="all", show_default=True,
    help="What the reconstruction holds.",
)  # fmt: skip
@click.option("--start", type=TIME, default=0.0, metavar="TIME", help="Show from here: seconds, or as 1:30.5.")
@click.option("--seconds", type=TIME, metavar="TIME", help="Show this much.")
@click.option("--width", type=click.IntRange(8, 1000), metavar="COLUMNS", help="Width of a map.")
@click.option("--height", type=click.IntRange(2, 200), metavar="LINES", help="Height of a map.")
@click.option("--json", "as_json", is_flag=True, help="Print the levels as JSON, the lowest frequency first.")
def heatmap(
    source: str, against: str | None, layer: str, start: float, seconds: float | None,
    width: int | None, height: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Show what FILE makes of its original: target, reconstruction and difference over time and frequency, on one
    scale of levels.

    With neither an original nor a layer there is nothing to compare, and only the decoded file is shown. A file of
    lattice patterns is shown cell by cell.
    """
    if source == against == "-":
        raise click.UsageError("standard input cannot be both FILE and the original")
    colour = not as_json and _colourful()
    terminal = shutil.get_terminal_size()
    shown = height or (
        max(_LEAST_HEIGHT, min(_MOST_HEIGHT, (terminal.lines - _OTHER_LINES) // 3))
        if sys.stdout.isatty()
        else _PLAIN_HEIGHT
    )
    shape = shown * (2 if colour else 1), width or max(8, terminal.columns - _GUTTER)
    maps = _measured(source, against, layer, start, seconds, shape)
    if as_json:
        print_json({"file": source, "against": against, "layer": layer} | _as_dict(maps))
        return
    names = {"target": against or source, "reconstruction": source if layer == "all" else f"{source}, {layer} alone"}
    for name, levels in maps.named:
        figure = f"signal over difference {_db(maps.snr)}" if name == "difference" else names[name]
        click.echo(f"{name}: {figure}")
        click.echo(_picture(levels, maps, colour))
    click.echo(_axis(maps))
    click.echo(_legend(maps, colour))


def _measured(
    source: str, against: str | None, layer: str, start: float, seconds: float | None, shape: tuple[int, int]
) -> HeatMaps:
    """Maps of the two signals, or of a lattice's grids."""
    from evc.models.heatmap import audio_maps, grid_maps
    from evc.models.patterns.lattice import read_lattice, to_cells

    with ExitStack() as stack:
        stack.enter_context(naming(source, against))
        file = stack.enter_context(evc.open(stack.enter_context(seekable_input(input_file(source)))))
        span = _span(file, start, seconds)
        original = _original(against, file, stack) if against else None
        lattice = read_lattice(file.container) if layer in ("patterns", "all") else None
        if lattice is None:
            whole = _read_file(file)
            reconstruction = whole if layer == "all" else _read_array(file.render([layer]))
            target = original.read if original else None if layer == "all" else whole
            return audio_maps(target, reconstruction, span, file.samplerate, shape)
        fft, hop = lattice.patterns[0].fft_log2, lattice.patterns[0].hop_log2
        columns = slice(span[0] >> hop, -(-span[1] >> hop))
        cells = to_cells(original.read(0, file.frames)[0], fft, hop)[columns] if original else None
        times = (columns.start << hop) / file.samplerate, (columns.stop << hop) / file.samplerate
        return grid_maps(cells, lattice.grid[columns], times, shape)


def _span(file: EvcFile, start: float, seconds: float | None) -> tuple[int, int]:
    """First frame to show, and the one behind the last."""
    first = round(start * file.samplerate)
    end = file.frames if seconds is None else min(file.frames, first + round(seconds * file.samplerate))
    if not 0 <= first < end:
        raise InputError(f"nothing to show: the file is {file.duration:.3f} s long")
    return first, end


def _original(path: str, file: EvcFile, stack: ExitStack) -> FileSource:
    from evc.api import check_source
    from evc.sound.source import FileSource

    check_readable(file_or_path := input_file(path))
    found = stack.enter_context(FileSource(file_or_path))
    check_source(file, found, f"{path}:")
    return found


def _read_file(file: EvcFile) -> Read:
    def read(start: int, count: int) -> NDArray[np.float32]:
        file.seek(start)
        found: NDArray[np.float32] = file.read(count, always_2d=True).T
        return found

    return read


def _read_array(audio: NDArray[np.float32]) -> Read:
    return lambda start, count: audio[start : start + count].T


def _as_dict(maps: HeatMaps) -> dict[str, Any]:
    def listed(levels: NDArray[np.float64] | None) -> list[list[float]] | None:
        return None if levels is None else levels.round(1).tolist()

    return {
        "scale_db": maps.scale,
        "snr_db": round(maps.snr, 2) if math.isfinite(maps.snr) else None,
        "times": maps.times.round(6).tolist(),
        "unit": maps.unit,
        "rows": maps.rows.round(2).tolist(),
        "target": listed(maps.target),
        "reconstruction": listed(maps.reconstruction),
        "difference": listed(maps.difference),
    }


def _colourful() -> bool:
    """Whether standard output is a terminal with colours, which its user wants, and half blocks."""
    from rich.console import Console

    console = Console()
    return console.is_terminal and not console.no_color and console.color_system is not None and _prints("▀")


def _prints(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeError:
        return False
    return True


def _picture(levels: NDArray[np.float64], maps: HeatMaps, colour: bool) -> str:
    """Lines of cells, the highest frequency above; in colour with two rows in a line."""
    low, high = maps.scale
    steps = _SHADES if colour else len(_RAMP)
    shades = ((levels - low) / (high - low) * steps).astype(int).clip(0, steps - 1)[::-1]
    labels = [_frequency(maps, edge) for edge in maps.rows[:-1][::-1]]
    if not colour:
        texts = ["".join(_RAMP[shade] for shade in row) for row in shades]
        return "\n".join(f"{label:>{_GUTTER - 1}} {text}" for label, text in zip(labels, texts, strict=True))
    lower = list(shades[1::2]) + [None] * (len(shades) % 2)
    pairs = zip(shades[::2], lower, labels[1::2] + labels[-1:], strict=False)
    return "\n".join(f"{label:>{_GUTTER - 1}} {_half_blocks(upper, below)}" for upper, below, label in pairs)


def _half_blocks(upper: NDArray[np.int64], lower: NDArray[np.int64] | None) -> str:
    """One line of two rows of shades, as text for this terminal."""
    from rich.console import Console
    from rich.style import Style
    from rich.text import Text

    line = Text(end="")
    for column, shade in enumerate(upper):
        below = None if lower is None else _rgb(int(lower[column]))
        line.append("▀", Style(color=_rgb(int(shade)), bgcolor=below))
    console = Console(width=len(upper), highlight=False)
    with console.capture() as captured:
        console.print(line, end="")
    return captured.get()


def _rgb(shade: int) -> str:
    """The colour of a shade, between its neighbours in the list."""
    place = shade / (_SHADES - 1) * (len(_COLOURS) - 1)
    at = min(int(place), len(_COLOURS) - 2)
    pairs = zip(_COLOURS[at], _COLOURS[at + 1], strict=True)
    return "rgb({},{},{})".format(*(round(a + (b - a) * (place - at)) for a, b in pairs))


def _frequency(maps: HeatMaps, edge: float) -> str:
    return f"{edge:.0f} Hz" if maps.unit == "Hz" else f"bin {edge:.0f}"


def _axis(maps: HeatMaps) -> str:
    begin, end = (f"{seconds:.2f} s" for seconds in (maps.times[0], maps.times[-1]))
    return " " * _GUTTER + begin + end.rjust(max(len(maps.times) - 1 - len(begin), len(end) + 1))


def _legend(maps: HeatMaps, colour: bool) -> str:
    import numpy as np

    low, high = maps.scale
    ramp = _half_blocks(np.arange(_SHADES), np.arange(_SHADES)) if colour else f"[{_RAMP}]"
    return f"scale {low:.0f} dB {ramp} {high:.0f} dB"


def _db(value: float) -> str:
    return "infinite: no difference" if math.isinf(value) and value > 0 else f"{value:.2f} dB"
