"""Sizes and constants of the latent networks, which training (`network`) and inference (`inference`) share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WINDOW = 2048  # frames of audio under the window of a spectrum
HOP = 512
BINS = WINDOW // 2 + 1
BANDS = 64
FINE_BINS = 256  # the lowest, of which the networks see the phase too
CHANNELS = 2  # mid and side
FEATURES = CHANNELS * (BINS + 2 * FINE_BINS + 2 * BANDS)
EDGE = (WINDOW - HOP) // 2  # of a window, on each side of its hop
OVERLAP = 1.5  # sum of the squared Hann windows of HOP = WINDOW / 4
SIDE_SHARE = 1e-3  # of the power of mid, least envelope of side
SILENCE = 1e-14  # power of a bin
FAINTEST = 1e-9  # power over that of the loudest band of the frame: what is less is rounding, which machines differ in
GOLDEN = 0.6180339887498949  # of a turn, between the phases of bins that are next to each other
LEAST_RATIO = 1e-3  # power of a bin over the envelope's, below which all is the same
LEAST_HEARD = 1e-6  # likewise, where the decoder bends it

COLUMN = 2048  # frames of audio
COEFFICIENTS = 256  # of mid: those below 2.8 kHz at 44.1 kHz
SIDE_COEFFICIENTS = 128

LEARNED = 64  # latents of a column
CODED = COEFFICIENTS + SIDE_COEFFICIENTS
DIMENSIONS = CODED + LEARNED  # mid, side, learned
SAMPLES_PER_COLUMN = COLUMN
FRAMES_PER_COLUMN = SAMPLES_PER_COLUMN // HOP
LATENT_SCALE = 8.0  # so that a step of 1 is about the finest useful
NOISE_POWER = 0.375 * WINDOW  # of white noise of power 1, in a bin: the sum of the squared Hann window
LEAST_GAIN, MOST_GAIN = -6.0, 3.0  # natural logarithms
MOST_DETAIL = 6.0  # natural logarithm

LATENTS_NETWORK = "evc-latents-1"  # that new files name
ENTROPY = "entropy."  # in front of the names of the tables of the entropy coder
CONFIG = "config"  # among the texts in a file of weights

Ends = tuple[int, int]  # columns: the first of a file, and the one behind its last


@dataclass(frozen=True)
class LatentConfig:
    """Sizes of the networks. Those of the default make 6.5 million weights, 13.1 MB in half precision."""

    channels: int = 224
    expansion: int = 3
    kernel: int = 5
    encoder_blocks: int = 3
    coarse_blocks: int = 2  # of the decoder, at the rate of the columns
    fine_blocks: int = 4  # at the rate of the spectra

    @property
    def margin(self) -> int:
        """Columns on each side of a stretch beyond which nothing changes what is decoded there."""
        reach = self.kernel // 2
        frames = reach * (1 + self.fine_blocks) + 2 * (WINDOW // (2 * HOP)) + 2  # blocks, windows, envelope
        return reach * (self.encoder_blocks + self.coarse_blocks) + -(-frames // FRAMES_PER_COLUMN)


def end_windows(windows: Any, ends: Ends) -> None:
    """Let windows [columns, 2 * COLUMN], an array or a tensor, end where a file does: none beyond its `ends`, and a
    sharp edge there."""
    (first, end), columns, edge = ends, len(windows), COLUMN // 2
    windows[: max(first, 0)] = 0
    windows[max(end, 0) :] = 0
    if 0 <= first < columns:
        windows[first, :edge], windows[first, edge:COLUMN] = 0, 1
    if 0 < end <= columns:
        windows[end - 1, COLUMN:-edge], windows[end - 1, -edge:] = 1, 0
