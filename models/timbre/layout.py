"""Sizes of the network of timbres, and the shapes of its tensors by name (spec 10.11)."""

from __future__ import annotations

from evc.format import constants as c

TIMBRE_NETWORK = "evc-timbre-1"
ENCODER, DECODER = "encoder", "decoder"
CHANNELS = (8, 12, 16, 24, 32)  # of the blocks, from the whole grid to the shortest
TAPS, JOIN_TAPS = 19, 9
HIDDEN = 48
BLOCKS = len(CHANNELS)


def _lengths() -> tuple[int, ...]:
    found = [c.TIMBRE_CELLS]
    for _ in CHANNELS:
        found.append(found[-1] // 2)
    return tuple(found)


LENGTHS = _lengths()  # 1233, 616, 308, 154, 77, 38
POOLED = LENGTHS[-1]


def shapes() -> dict[str, tuple[int, ...]]:
    """Those of all tensors of a file of weights."""
    cells, dimensions, flat = c.TIMBRE_CELLS, c.TIMBRE_DIMENSIONS, HIDDEN * POOLED
    found: dict[str, tuple[int, ...]] = {
        "mean": (cells,),
        "scale": (1,),
        "analysis": (dimensions, cells),
        "synthesis": (cells, dimensions),
        f"{ENCODER}.leave.weight": (dimensions, flat),
        f"{ENCODER}.leave.bias": (dimensions,),
        f"{DECODER}.enter.weight": (flat, dimensions),
        f"{DECODER}.enter.bias": (flat,),
    }
    found |= _convolution(f"{ENCODER}.join", CHANNELS[-1], HIDDEN, JOIN_TAPS)
    found |= _convolution(f"{DECODER}.join", HIDDEN, CHANNELS[-1], JOIN_TAPS)
    found |= _convolution(f"{DECODER}.leave", CHANNELS[0], 1, TAPS)
    for side, channels in ((ENCODER, (1, *CHANNELS)), (DECODER, (*CHANNELS[::-1][:1], *CHANNELS[::-1]))):
        for number, (inputs, outputs) in enumerate(zip(channels, channels[1:], strict=False)):
            name = f"{side}.{number}"
            found |= _convolution(f"{name}.first", inputs, outputs, TAPS)
            found |= _convolution(f"{name}.second", outputs, outputs, TAPS)
            found |= _convolution(f"{name}.beside", inputs, outputs, 1)
    return found


def _convolution(name: str, inputs: int, outputs: int, taps: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs, taps), f"{name}.bias": (outputs,)}
