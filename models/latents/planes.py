"""Channels as the latent networks see them: mid and side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]


def to_planes(audio: Audio) -> Audio:
    """Mid and side [2, frames] of one or two channels [channels, frames]; the side of one channel is silent."""
    if len(audio) == 1:
        return np.stack([audio[0], np.zeros_like(audio[0])])
    return np.stack([audio[0] + audio[1], audio[0] - audio[1]]) * np.float32(0.5)


def from_planes(planes: Audio, channels: int) -> Audio:
    """The inverse: one or two channels [channels, frames]."""
    return planes[:1] if channels == 1 else np.stack([planes[0] + planes[1], planes[0] - planes[1]])
