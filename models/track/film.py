"""The film of a network that is fitted to a track: a segment's waveform, and what the network makes of it by then.

As in the founding experiment, the film runs to its end and backwards to its beginning, for ever.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from evc.format.errors import EvcError
from evc.models.arrays import Signal
from evc.models.track.points import snr

FRAMES = 48  # one way
_WIDTH, _LANE, _HEAD, _EDGE = 800, 150, 24, 8  # pixels: of the film, of a channel, above them, and at the sides
_SHOWN_MS, _HELD_MS = 90, 1500  # a frame, and the last one
_BACKGROUND, _GRID, _ORIGINAL, _OURS, _TEXT = range(5)
_COLOURS = (255, 255, 255), (228, 228, 232), (176, 180, 190), (196, 60, 40), (40, 44, 60)


def check_parts() -> None:
    """Raises EvcError where Pillow is not installed."""
    if find_spec("PIL") is None:
        raise EvcError("the film needs Pillow, which is not installed: pip install 'evc[report]'")


def film(target: Signal, states: Sequence[Signal]) -> bytes:
    """An animated GIF. `target` is a segment [channels, frames], `states` what the network made of it, of the same
    shape: before the first step of the fit, and after each."""
    shown = chosen(len(states))
    pictures = [_picture(target, states[number], number, len(states) - 1) for number in shown]
    durations = [_SHOWN_MS] * (len(shown) - 1) + [_HELD_MS]
    back = range(len(shown) - 2, 0, -1)
    output = io.BytesIO()
    pictures[0].save(
        output, "GIF", save_all=True, append_images=[*pictures[1:], *(pictures[number] for number in back)],
        duration=durations + [_SHOWN_MS] * len(back), loop=0,
    )  # fmt: skip
    return output.getvalue()


def chosen(states: int) -> list[int]:
    """Which of so many states are shown: the first and the last, and between them the more the earlier, since it is
    then that things change."""
    spaced = np.geomspace(1, states, min(FRAMES, states))
    return [int(number) - 1 for number in np.unique(np.round(spaced))]


def _picture(target: Signal, state: Signal, step: int, steps: int):  # type: ignore[no-untyped-def]
    from PIL import Image, ImageDraw

    channels = len(target)
    image = Image.new("P", (_WIDTH, _HEAD + channels * _LANE), _BACKGROUND)
    image.putpalette([value for colour in _COLOURS for value in colour])
    draw = ImageDraw.Draw(image)
    draw.text((_EDGE, 6), f"step {step} of {steps}     {_heard(target, state)}", fill=_TEXT)
    loudest = float(np.abs(target).max()) or 1.0
    for channel in range(channels):
        centre = _HEAD + channel * _LANE + _LANE // 2
        draw.line([(0, centre), (_WIDTH, centre)], fill=_GRID)
        for wave, colour, width in ((target[channel], _ORIGINAL, 3), (state[channel], _OURS, 1)):
            draw.line(_points(wave / loudest, centre), fill=colour, width=width)
        if channels > 1:
            draw.text((_EDGE, centre - _LANE // 2 + 2), ("left", "right")[channel], fill=_TEXT)
    return image


def _points(wave: NDArray[np.floating], centre: int) -> list[tuple[float, float]]:
    """A wave of full scale at 1 as points of a line, kept within its lane."""
    across = np.linspace(_EDGE, _WIDTH - _EDGE, len(wave))
    heights = centre - np.clip(wave, -1.1, 1.1) * (_LANE / 2 - 10)
    return list(zip(across.tolist(), heights.tolist()))


def _heard(target: Signal, state: Signal) -> str:
    if len(target) == 1:
        return f"{snr(target, state):.1f} dB"
    middle, side = (snr(*(part[0] + sign * part[1] for part in (target, state))) for sign in (1, -1))
    return f"what both share {middle:.1f} dB, what sets them apart {side:.1f} dB"
