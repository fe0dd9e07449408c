"""Vectors of events in few dimensions: places on a line, and colours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.models.arrays import Floats

MOST_EMBEDDED = 700  # vectors that t-SNE arranges; the others stand where those most like them do
_STEPS = 500
_PERPLEXITY = 30.0
_AT_ONCE = 512
# Ranges of the three coordinates in OKLab: lightness, green to red, blue to yellow. Of middle lightness, so that they
# can be told from a light and from a dark page.
_LIGHTNESS, _GREEN_RED, _BLUE_YELLOW = (0.5, 0.78), (-0.12, 0.14), (-0.15, 0.13)
# OKLab to linear sRGB: Björn Ottosson, "A perceptual color space for image processing", 2020.
_TO_CONES = np.array(
    [[1, 0.3963377774, 0.2158037573], [1, -0.1055613458, -0.0638541728], [1, -0.0894841775, -1.2914855480]]
)
_TO_LINEAR = np.array(
    [[4.0767416621, -3.3077115913, 0.2309699292], [-1.2684380046, 2.6097574011, -0.3413193965],
     [-0.0041960863, -0.7034186147, 1.7076147010]]
)  # fmt: skip


def on_a_line(vectors: NDArray[np.floating]) -> Floats:
    """Places [n] from 0 to 1 of vectors [n, dimensions], those alike close together: t-SNE in one dimension, its
    places evened out so that no crowd hides in a point. The same vectors have the same place."""
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    rows, back = np.unique(np.asarray(vectors, np.float64), axis=0, return_inverse=True)
    if len(rows) < 3:
        return np.linspace(0.25, 0.75, max(len(rows), 1))[back.ravel()]
    kept = np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST_EMBEDDED])
    few = rows[kept]
    perplexity = min(_PERPLEXITY, (len(few) - 1) / 3)
    with threadpool_limits(1):  # its threads spin when there are fewer cores than it thinks
        model = TSNE(1, perplexity=perplexity, init="pca", learning_rate="auto", max_iter=_STEPS, random_state=0)
        places = model.fit_transform(few.astype(np.float32))[:, 0].astype(float)
    ranks = np.argsort(np.argsort(places, kind="stable")) / (len(few) - 1)
    spread = (places - places.min()) / max(float(np.ptp(places)), 1e-9)
    line = (ranks + spread) / 2
    return np.asarray(line[_nearest(rows, few)][back.ravel()])


def colours(vectors: NDArray[np.floating]) -> list[str]:
    """A colour of each of the vectors [n, dimensions], as "#rrggbb": their three principal components as lightness and
    the two axes of hue, so that what is alike looks alike, and those who see fewer hues are left the lightness."""
    points = np.asarray(vectors, np.float64)
    if not len(points):
        return []
    centred = points - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:3] * np.where(axes[:3, np.abs(axes[:3]).argmax(axis=1)].diagonal() < 0, -1, 1)[:, None]
    parts = np.zeros((len(points), 3))
    parts[:, : len(axes)] = centred @ axes.T
    ranks = np.argsort(np.argsort(parts, axis=0, kind="stable"), axis=0, kind="stable") / max(len(points) - 1, 1)
    lab = np.stack([low + (high - low) * ranks[:, i] for i, (low, high) in
                    enumerate((_LIGHTNESS, _GREEN_RED, _BLUE_YELLOW))], axis=1)  # fmt: skip
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in _srgb(lab)]


def _nearest(points: Floats, others: Floats) -> NDArray[np.intp]:
    """The number of the nearest of `others` for each point."""
    squares = np.square(others).sum(axis=1)
    parts = [points[at : at + _AT_ONCE] for at in range(0, len(points), _AT_ONCE)]
    return np.concatenate([(squares - 2 * part @ others.T).argmin(axis=1) for part in parts])


def _srgb(lab: Floats) -> NDArray[np.uint8]:
    linear = np.clip(((lab @ _TO_CONES.T) ** 3) @ _TO_LINEAR.T, 0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray((255 * values).round().astype(np.uint8))
