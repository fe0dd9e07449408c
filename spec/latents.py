"""A conformance vector of latents, and the small model of their probabilities that it carries with it.

Networks are replaced by better ones; a vector is not. So it names a network of its own, `evc-latents-test`, whose
weights hold nothing but integers drawn at random, and lie beside it.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.networks import installed_too, reference_of
from evc.format.segment import Segment
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.latent import LatentStream, columns
from evc.format.streams.latent_model import (
    BLOCKS,
    DIFFERENCE_ROWS,
    DIFFERENCES,
    MAGNITUDE_ROWS,
    MAGNITUDES,
    SHARED,
)
from evc.format.writer import ContainerWriter
from evc.models.latents.entropy import stored
from evc.models.training.integer_layers import Arrays

NETWORK = "evc-latents-test"
OTHERS, PREDICTED = (2, 2), (1, 2)  # dimensions of the passes
RATE, SEGMENT, FRAMES = 32_000, 32_768, 80_000
FEATURES, HIDDEN = 12, (8, 5)


def drawn_entropy(others: Sequence[int], predicted: Sequence[int], seed: int) -> Arrays:
    """Tables `entropy.*` of a model that uses all there is, with passes of so many dimensions of the two sorts."""
    random = np.random.default_rng(seed)
    count, first = sum(predicted), sum(others)
    dimensions, places = first + count, BLOCKS * (first + count) + count + SHARED
    order = np.repeat(np.arange(len(others) + len(predicted)), [*others, *predicted])
    sizes = (FEATURES, *HIDDEN, 2)
    arrays: Arrays = {
        "order": np.concatenate([random.permutation(order[:first]), random.permutation(order[first:])]),
        "look": random.integers(0, places, (dimensions, FEATURES)),
        "shifts": np.array([4, 6, 8]),
        "centre.w": random.integers(-60, 61, (count, 3 * count)),
        "centre.b": random.integers(-300, 301, count),
        "centre.shift": np.array([6]),
    }
    arrays["look"][:, -SHARED:] = places - SHARED + np.arange(SHARED)
    for number, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        arrays[f"w{number}"] = random.integers(-30, 41, (outputs, inputs))
        arrays[f"b{number}"] = random.integers(-300, 301, (dimensions, outputs) if number == 0 else outputs)
    shape, scale = np.divmod(np.arange(MAGNITUDE_ROWS)[:, None], c.LATENT_SCALES)
    arrays["magnitudes"] = _falling(scale, np.arange(MAGNITUDES) * (3 - shape))
    scale, quarter = np.divmod(np.arange(DIFFERENCE_ROWS)[:, None], c.LATENT_QUARTERS)
    distance = np.abs(c.LATENT_QUARTERS * (np.arange(DIFFERENCES) - c.LATENT_ESCAPE) - quarter)
    arrays["differences"] = _falling(scale, distance)
    return stored(arrays)


def _falling(scale: NDArray[np.int64], distance: NDArray[np.int64]) -> NDArray[np.int64]:
    """Weights [scales, symbols] that fall with a distance, the less the larger the scale."""
    falling: NDArray[np.int64] = 1 + 60_000 * (scale + 1) // (scale + 1 + distance * (40 - scale))
    return falling


def write_weights(folder: Path, entropy: Arrays, id: str = NETWORK) -> Path:
    """A file of weights that holds these tables alone."""
    from safetensors.numpy import save_file

    path = folder / f"{id}.safetensors"
    save_file(entropy, path)
    return path


def latents(folder: Path) -> bytes:
    """Latents small and huge, a segment without, and one that ends within a column. Its weights are put into
    `folder`."""
    return _file(folder, FRAMES, [(-1.0, 1.0, 50), None, (-1.0, 4.0, 127)], seed=7)


def large_latents(folder: Path) -> bytes:
    """Latents about the limits of what others are predicted from: levels of 127, values of 1023."""
    return _file(folder, 2 * SEGMENT, [(2.7, 3.5, 3), (1.5, 4.2, 90)], seed=8)


def _file(folder: Path, frames: int, segments: Sequence[tuple[float, float, int] | None], seed: int) -> bytes:
    """Segments of latents of sizes drawn between two powers of ten, and of a step; None is a segment without."""
    weights = write_weights(folder, drawn_entropy(OTHERS, PREDICTED, seed=4))
    header = Header(RATE, 2, frames, layers=("latent",), segment_frames=SEGMENT, networks=(reference_of(weights),))
    random = np.random.default_rng(seed)
    target = io.BytesIO()
    with installed_too(folder), ContainerWriter(target, header) as writer:
        for index, drawn in enumerate(segments):
            frames = header.segment_span(index)[1]
            context = StreamContext(RATE, 2, frames, header.phase_bits, networks=header.networks)
            least, most, step = drawn or (-1.0, 0.0, 0)
            spread = 10 ** random.uniform(least, most, (columns(frames), 1))
            values = np.rint(random.laplace(0, spread, (columns(frames), sum(OTHERS + PREDICTED)))).astype(np.int64)
            stream = LatentStream(np.clip(values, -c.MAX_LATENT, c.MAX_LATENT), step)
            streams = (coded_stream(c.STREAM_LATENT, stream, context),) if drawn else ()
            writer.add_segment(Segment(index, (), streams))
    return target.getvalue()
