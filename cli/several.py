"""Commands over several files: those that cannot be read are reported, the others are done all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import click

from evc.cli.common import naming
from evc.format.errors import EvcError

Result = TypeVar("Result")


def attempts(paths: Iterable[str], read: Callable[[str], Result]) -> Iterator[tuple[str, Result | None]]:
    """Each path with what `read` makes of it, or None where it raised an error, which is printed."""
    for path in paths:
        result: Result | None = None
        try:
            with naming(path):
                result = read(path)
        except EvcError as error:
            click.echo(f"evc: {error}", err=True)
        yield path, result
