"""What the encoder assumes behind the last frame, so that a file's end is coded as well as its middle.

The last block reaches over the end of the file, and what it holds there is nobody's business. Silence would be a jump,
which spreads an error over the last frames; a continuation by linear prediction (Burg 1967) that fades away does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REACH = 512  # frames until it has faded
HISTORY = 2048  # frames that it is predicted from
_ORDER = 32


def continued(history: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """The next frames [channels, count] of a sound whose last ones are `history` [channels, at most HISTORY], fading to
    silence."""
    out = np.zeros((len(history), count))
    for channel, known in enumerate(history.astype(np.float64)):
        weights = prediction(known, min(_ORDER, len(known) // 3))
        sound = np.concatenate([known[len(known) - len(weights) :], np.zeros(count)])
        for place in range(len(weights), len(sound)):
            sound[place] = weights @ sound[place - len(weights) : place]
        out[channel] = sound[len(weights) :]
    fade = np.cos(np.pi / 2 * (np.arange(count) + 0.5) / max(count, 1)) ** 2
    return (out * fade).astype(np.float32)


def prediction(known: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """Weights [at most order] of the frames before, oldest first, that predict the next; their filter is stable."""
    weights = np.zeros(0)  # of the error filter, newest first, without its leading 1
    forward, backward = known[1:], known[:-1]
    floor = 1e-12 * float(known @ known)
    for _ in range(order):
        energy = float(forward @ forward + backward @ backward)
        if energy <= floor:
            break
        reflection = -2 * float(forward @ backward) / energy
        weights = np.append(weights + reflection * weights[::-1], reflection)
        forward, backward = (forward + reflection * backward)[1:], (backward + reflection * forward)[:-1]
    return -weights[::-1]
