"""Tables and sentences as wide as the terminal: columns are left out before anything in them is cut."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass

_UNLIMITED = 200  # columns, where the output is no terminal and COLUMNS does not say
_WIDE = 80
_EDGES = 2


@dataclass(frozen=True)
class Column:
    """A column with its heading. Those of the highest `rank` are left out first; those of rank 0 always stay."""

    heading: str
    rank: int = 0
    left: bool = False


def terminal_width() -> int:
    """In columns: what COLUMNS says, else that of the terminal."""
    return shutil.get_terminal_size((_UNLIMITED, 24)).columns


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], bold: Collection[int] = (), gap: int = 3
) -> str:
    """The text of a table, `gap` columns apart, with the rows of the numbers `bold` in bold."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    shown, width = _fitting(columns, rows, gap)
    found = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1) if gap == 3 else (0, 1, 0, 0))
    for number in shown:
        column = columns[number]
        found.add_column(column.heading, justify="left" if column.left else "right", no_wrap=True)
    for number, row in enumerate(rows):
        found.add_row(*(row[at] for at in shown), style="bold" if number in bold else "")
    console = Console(highlight=False, width=max(width, terminal_width()))
    with console.capture() as text:  # printed by the caller: rich would end the process if the reader went away
        console.print(found)
    return "".join(f"{line.rstrip()}\n" for line in text.get().splitlines())


def _fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], gap: int) -> tuple[list[int], int]:
    """Numbers of the columns to show, and how wide a table of them is."""
    widths = [max(len(row[number]) for row in (*rows, [column.heading for column in columns]))
              for number, column in enumerate(columns)]  # fmt: skip
    shown = list(range(len(columns)))
    while True:
        width = sum(widths[number] for number in shown) + gap * (len(shown) - 1) + _EDGES
        spare = [number for number in shown if columns[number].rank]
        if width <= terminal_width() or not spare:
            return shown, width
        shown.remove(max(spare, key=lambda number: columns[number].rank))


def sentence(text: str) -> str:
    """`text`, in a narrow terminal on as many lines as it needs: broken between words, but not between a figure and its
    unit. In a wide one only the name of a file can make it too long, and it stays one line."""
    width = terminal_width()
    if len(text) <= width or width >= _WIDE:
        return text
    bound = re.sub(r"(?<=[\d.]) (?=[A-Za-z%])", "\N{NO-BREAK SPACE}", text)
    lines = textwrap.wrap(bound, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}", " ")
