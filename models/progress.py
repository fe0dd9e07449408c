"""Progress of work that passes over a file more than once."""

from __future__ import annotations

from collections.abc import Callable

from evc.format.header import Header

Progress = Callable[[float, float], None]  # what is done and what there is in all, in one unit: for encoders, frames


def stage(progress: Progress | None, number: int, of: int) -> Progress | None:
    """The `number`-th of several passes, as a share of the whole work."""
    if progress is None:
        return None
    return lambda done, total: progress((number * total + done) // of, total)


def part(progress: Progress | None, begin: float, end: float) -> Progress | None:
    """The part of the whole work from `begin` to `end`, of 1."""
    if progress is None:
        return None
    return lambda done, total: progress(round((begin + (end - begin) * done / total) * total), total)


def counted(progress: Progress | None, frames: int) -> Progress | None:
    """For work on something of another length, which counts as `frames`."""
    if progress is None:
        return None
    return lambda done, total: progress(done * frames // max(total, 1), frames)


def forward(progress: Progress | None, header: Header, index: int) -> None:
    """Report that segment `index` is done."""
    if progress is not None:
        progress(sum(header.segment_span(index)), header.known_frames)
