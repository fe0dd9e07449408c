"""What the layers below save in the latent stream, and whether its integers are the same everywhere: the modes
`--savings` and `--integers` of `latents.py`."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import evc
from evc.format import constants
from evc.format.decoding import SegmentDecoder
from evc.format.header import NetworkReference
from evc.format.networks import find, installed_network, installed_too
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.latent import LatentStream
from evc.models.latents.descriptions import described, rendered
from evc.models.latents.layout import LATENTS_NETWORK, SAMPLES_PER_COLUMN
from evc.models.latents.network import LatentNetwork
from evc.models.latents.planes import from_planes, to_planes
from evc.models.latents.quantise import ROUNDING

DESCRIPTION, NOISE_ALONE = 1.0, 0.5  # kbit/s of events and noise, and of noise alone
STEPS = 1 << constants.LATENT_STEP_BITS
BLOCK = 4 * SAMPLES_PER_COLUMN  # what a file's segments are multiples of
THREADS = range(1, 9)

Audio = NDArray[np.float32]  # [channels, frames]
Latents = NDArray[np.int64]  # [columns, dimensions]
Row = dict[str, Any]
Score = Callable[[Audio, Audio], Row]  # figures of an excerpt and what it decodes to


# What the layers below save


@dataclass(frozen=True)
class Below:
    """What the layers below render [channels, frames] each, at `kbps` in a file: all of it, and the noise in it."""

    kbps: float
    all: Audio
    noise: Audio

    def repeated(self, frames: int) -> Below:
        """The first `frames`, twice."""
        return replace(self, all=np.tile(self.all[:, :frames], 2), noise=np.tile(self.noise[:, :frames], 2))


class Bench:
    """The installed network, and what its latents cost."""

    def __init__(self, samplerate: int, channels: int) -> None:
        self._reference: NetworkReference = installed_network(LATENTS_NETWORK)
        self._network = LatentNetwork.load(find(self._reference))
        self._samplerate, self._channels = samplerate, channels

    def latents(self, x: Audio, y: Below) -> NDArray[np.float32]:
        """What the encoder hears in x beside y: [columns, dimensions]."""
        with torch.inference_mode():
            return self._network.encode(_batch(x), _batch(y.all), _batch(y.noise))[0].numpy()

    def decoded(self, integers: Latents, step: int, y: Below) -> Audio:
        """What is heard of latents at a step size (its index) beside y."""
        values, size = torch.from_numpy(integers.astype(np.float32))[None], torch.tensor([_size(step)])
        with torch.inference_mode():
            planes = self._network.decode(values, size, _batch(y.all), _batch(y.noise))
        return np.ascontiguousarray(from_planes(planes[0].numpy(), self._channels))

    def kbps(self, integers: Latents, step: int) -> float:
        """Of the coded words; none where all is zero."""
        if not integers.any():
            return 0.0
        frames = len(integers) * SAMPLES_PER_COLUMN
        context = StreamContext(self._samplerate, self._channels, frames, networks=(self._reference,))
        words = coded_stream(constants.STREAM_LATENT, LatentStream(integers, step), context).words
        return self._per_second(8 * len(words), integers)

    def own_kbps(self, integers: Latents) -> float:
        """With a table made for each dimension from these very latents, which knows no context."""
        bits = 0.0
        for values in integers.T:
            counts = np.unique(values, return_counts=True)[1]
            bits -= float((counts * np.log2(counts / counts.sum())).sum())
        return self._per_second(bits, integers)

    def step_for(self, kbps: float, latents: NDArray[np.float32]) -> int:
        """Index of the smallest step size at which the latents take at most `kbps`, or of the largest."""
        low, high = 0, STEPS - 1
        while low < high:
            middle = (low + high) // 2
            fits = self.kbps(quantised(latents, middle), middle) <= kbps
            low, high = (low, middle) if fits else (middle + 1, high)
        return low

    def _per_second(self, bits: float, integers: Latents) -> float:
        return bits / 1000 / (len(integers) * SAMPLES_PER_COLUMN / self._samplerate)


def quantised(latents: NDArray[np.float32], step: int) -> Latents:
    """Rounded, small ones to zero."""
    levels = latents / _size(step)
    return np.copysign(np.floor(np.abs(levels) + ROUNDING), levels).astype(np.int64)


def _size(step: int) -> float:
    return float(2.0 ** (step / constants.LATENT_STEPS_PER_OCTAVE))


def _batch(audio: Audio) -> torch.Tensor:
    return torch.from_numpy(to_planes(audio))[None]


def savings(audio: Audio, samplerate: int, bitrates: Iterable[float], score: Score) -> list[Row]:
    """Rows of what latents cost beside each y at equal step sizes: those at which they fill the bitrates, kbit/s,
    beside events and noise."""
    audio = audio[:, : audio.shape[1] // (2 * BLOCK) * 2 * BLOCK]
    bench = Bench(samplerate, len(audio))
    events, noise, alone = rendered(*described(audio, samplerate, DESCRIPTION, NOISE_ALONE))
    found = {"noise": Below(NOISE_ALONE, alone, alone), "events and noise": Below(DESCRIPTION, events + noise, noise)}
    rows = []
    for bitrate in bitrates:
        step = bench.step_for(bitrate - DESCRIPTION, bench.latents(audio, found["events and noise"]))
        common = {"bitrate": bitrate, "step": step}
        for name, y in found.items():
            integers = quantised(bench.latents(audio, y), step)
            figures = score(audio, bench.decoded(integers, step, y))
            rows.append(common | _row(bench, name, y, integers, step) | figures)
        rows += [common | row for row in _loop(bench, audio, found["events and noise"], step, score)]
    return rows


def _loop(bench: Bench, audio: Audio, described: Below, step: int, score: Score) -> list[Row]:
    """The first half twice, exactly: what the second costs and sounds like."""
    half = audio.shape[1] // 2
    again, plain = np.tile(audio[:, :half], 2), described.repeated(half)
    first = bench.decoded(quantised(bench.latents(again, plain), step), step, plain)[:, :half]
    copied = Below(
        0.0,
        np.concatenate([plain.all[:, :half], first], axis=1),
        np.concatenate([plain.noise[:, :half], np.zeros_like(first)], axis=1),
    )
    rows = []
    for name, y in (("loop again", plain), ("loop copied", copied)):
        integers = quantised(bench.latents(again, y), step)
        figures = score(again[:, half:], bench.decoded(integers, step, y)[:, half:])
        rows.append(_row(bench, name, y, integers[half // SAMPLES_PER_COLUMN :], step) | figures)
    return rows


def _row(bench: Bench, below: str, y: Below, integers: Latents, step: int) -> Row:
    latent, own = bench.kbps(integers, step), bench.own_kbps(integers)
    return {"below": below, "below_kbps": y.kbps, "latent": latent, "own": own}


# Integers everywhere


def integers(path: Path, weights: Path | None) -> list[Row]:
    """What a file decodes to in processes of 1 to 8 threads: digests of its integers, and how far the audio is from
    that of one thread, in full scales."""
    rows: list[Row] = []
    first: Audio | None = None
    with tempfile.TemporaryDirectory() as folder:
        for threads in THREADS:
            target = Path(folder) / "audio.npy"
            variables = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
            command = [sys.executable, __file__, str(path), str(target), *([str(weights)] if weights else [])]
            done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=True)
            audio = np.load(target)
            first = audio if first is None else first
            rows.append({"threads": threads, "digest": done.stdout.strip(), "off": float(np.abs(audio - first).max())})
    return rows


def devices() -> tuple[str, ...]:
    """Those that networks can run on here."""
    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def digest(data: bytes) -> str:
    """Of all integers of the latents of a file; raises ValueError if it has none."""
    found, streams = hashlib.sha256(), 0
    with evc.open(io.BytesIO(data)) as file:
        decoder = SegmentDecoder(file.container)
        for index in range(file.container.segments):
            stream = decoder.decode([index])[index].get(constants.STREAM_LATENT)
            if stream is not None:
                streams += 1
                found.update(np.int64(stream.step).tobytes() + np.ascontiguousarray(stream.latents, "<i8").tobytes())
    if not streams:
        raise ValueError("a file without latents tells nothing")
    return found.hexdigest()[:16]


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    coded, target, *weights = map(Path, sys.argv[1:])
    with installed_too(weights[0]) if weights else nullcontext():
        print(digest(coded.read_bytes()))
        np.save(target, evc.decode(coded.read_bytes())[0])
