"""Progress of work that passes over a file more than once."""

from __future__ import annotations

from collections.abc import Callable

from evc.header import Header

Progress = Callable[[int, int], None]  # frames done, frames in all


def stage(progress: Progress | None, number: int, of: int) -> Progress | None:
    """The `number`-th of several passes, as a share of the whole work."""
    if progress is None:
        return None
    return lambda done, total: progress((number * total + done) // of, total)


def forward(progress: Progress | None, header: Header, index: int) -> None:
    """Report that segment `index` is done."""
    if progress is not None:
        progress(sum(header.segment_span(index)), header.known_frames)
