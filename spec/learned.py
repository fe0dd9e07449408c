"""The conformance vectors of events, of latents with sound, and of noise in its corners.

The events have a small network of their own, whose weights are drawn at random and lie beside the vectors: more of its
tables matter than of a trained one's. The weights of latents are large, so these are the package's own.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from evc.format import constants as c
from evc.format.header import Header
from evc.format.networks import installed_network, installed_too, reference_of, weights
from evc.format.segment import Segment, StreamData
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.difference import DifferenceStream, coded_difference
from evc.format.streams.events import USUAL_SIZES, EventStream
from evc.format.streams.gains import OFF, Gains
from evc.format.streams.latent import LatentStream, columns
from evc.format.streams.noise import NoisePlane, NoiseStream, hops
from evc.format.streams.noise_changes import COLOUR, LEVEL, plane_kinds
from evc.format.streams.occurrences import COPY, OccurrenceStream
from evc.format.writer import ContainerWriter
from evc.models.adaptation.parts import parts
from evc.models.events.generator import Generator
from evc.models.latents.layout import CODED, LATENTS_NETWORK, LEARNED
from evc.models.latents.weights import read_weights

NETWORK = "evc-events-test"
EVENT_RATE, EVENT_FRAMES, EVENT_SEGMENT = 8000, 52_000, 16_384
RATE, FRAMES, SEGMENT = 44_100, 10_500, 4096


def events(folder: Path) -> bytes:
    """All parts of events, one that sounds as long as events can, and one cut by the end of the file. Its weights are
    put into `folder`."""
    weights = _events_network(folder)
    header = Header(
        EVENT_RATE, 1, EVENT_FRAMES, layers=("events",), segment_frames=EVENT_SEGMENT, networks=(reference_of(weights),)
    )
    random = np.random.default_rng(11)
    streams: list[dict[int, Any]] = []
    for index, count in enumerate((5, 1, 0, 2)):
        stream = _drawn_events(random, header, index, count)
        if index == 0:
            stream.times[0], stream.amplitudes[0] = 3, -42
            stream.codes[0] = [4700, 5, 1, 15, 7, 3, *[1] * 7, 2, 0, 7]  # slow to fade, in the largest room
            stream.codes[1:, 4] //= 2  # shorter ones
        if index == 3:
            stream.times[-1] = (header.segment_span(index)[1] - 300) << header.phase_bits
        streams.append({c.STREAM_EVENTS: stream} if count else {})
    return _file(header, streams)


def described(folder: Path) -> bytes:
    """Events, noise, and latents that restore something from both; a segment without latents, an end within a column.
    The weights of the events are put into `folder`."""
    networks = reference_of(_events_network(folder)), installed_network(LATENTS_NETWORK)
    layers = ("events", "noise", "latent")
    header = Header(RATE, 2, FRAMES, layers=layers, segment_frames=SEGMENT, networks=networks)
    random = np.random.default_rng(13)
    streams: list[dict[int, Any]] = []
    for index in range(header.segments):
        frames = header.segment_span(index)[1]
        noise = _drawn_noise(random, StreamContext(RATE, 2, frames), loudest=60)
        found: dict[int, Any] = {c.STREAM_EVENTS: _drawn_events(random, header, index, 3), c.STREAM_NOISE: noise}
        if index != 1:
            spread = np.concatenate([np.full(CODED, 0.4), np.full(LEARNED, 4.0)])
            values = np.rint(random.laplace(0, spread, (columns(frames), CODED + LEARNED))).astype(np.int64)
            found[c.STREAM_LATENT] = LatentStream(values, (20, 0, 44)[index])
        streams.append(found)
    with installed_too(folder):
        return _file(header, streams)


def adapted() -> bytes:
    """Noise and latents of one channel, and numbers of all groups that change the network of the latents."""
    network = installed_network(LATENTS_NETWORK)
    header = Header(
        RATE, 1, 2 * SEGMENT, layers=("noise", "latent"), segment_frames=SEGMENT, networks=(network,)
    )
    random = np.random.default_rng(23)
    streams: list[dict[int, Any]] = []
    for _ in range(header.segments):
        noise = _drawn_noise(random, StreamContext(RATE, 1, SEGMENT), loudest=60)
        spread = np.concatenate([np.full(CODED, 0.4), np.full(LEARNED, 4.0)])
        values = np.rint(random.laplace(0, spread, (columns(SEGMENT), CODED + LEARNED))).astype(np.int64)
        streams.append({c.STREAM_NOISE: noise, c.STREAM_LATENT: LatentStream(values, 40)})
    return _file(header, streams, difference=drawn_difference(random, 2))


def drawn_difference(random: np.random.Generator, rank: int) -> DifferenceStream:
    """Small numbers, most of them 0, for the network of the package."""
    config, _ = read_weights(weights(LATENTS_NETWORK))
    counts = np.zeros(c.DIFFERENCE_GROUPS, np.int64)
    for part in parts(config, rank):
        counts[part.group] += part.numbers
    values = tuple(np.rint(random.laplace(0, 0.15, count)).astype(np.int64) for count in counts)
    return DifferenceStream(rank, (18, 15, 23, 19, 30), values)


def repeats() -> bytes:
    """Noise and latents, and copies of what they sound like together: whole and fractional lags, a gain, inverted, off,
    one behind the other and across the end of a segment, copies of copies."""
    layers = ("patterns", "noise", "latent")
    network = installed_network(LATENTS_NETWORK)
    header = Header(
        RATE, 2, 9 * SEGMENT + 1000, layers=layers, segment_frames=3 * SEGMENT, networks=(network,),
        reference_depth=3, reference_span=3,
    )  # fmt: skip
    random = np.random.default_rng(23)
    noise = _drawn_noise(random, StreamContext(RATE, 2, 3 * SEGMENT), loudest=60)
    spread = np.concatenate([np.full(CODED, 0.4), np.full(LEARNED, 4.0)])
    values = np.rint(random.laplace(0, spread, (columns(3 * SEGMENT), CODED + LEARNED))).astype(np.int64)
    streams: list[dict[int, Any]] = [
        {c.STREAM_NOISE: noise, c.STREAM_LATENT: LatentStream(values, 30)},
        {c.STREAM_OCCURRENCES: _copies([(0, 12_000, 12_000.0, 0, 0), (6000, 6300, 9000.25, -8, 1)])},
        {c.STREAM_OCCURRENCES: _copies([(500, 4000, 20_000.5, 3, 0), (4500, 3000, 8300.0, OFF, 0)])},
        {c.STREAM_OCCURRENCES: _copies([(100, 4096, 25_000.75, 0, 0)])},
    ]
    return _file(header, streams, [(), (1,), (1, 2), (1, 2, 3)])


def _copies(rows: list[tuple[int, int, float, int, int]]) -> OccurrenceStream:
    """From the frame of the segment, the length, the lag in frames, the gain and the polarity of each."""
    times, lengths, lags, levels, inverted = (np.array(column) for column in zip(*rows, strict=True))
    zeros, unit = np.zeros(len(rows), np.int64), 1 << c.DEFAULT_PHASE_BITS
    return OccurrenceStream(
        times * unit, zeros + COPY, (lags * unit).astype(np.int64), zeros, lengths, inverted, zeros, zeros,
        copied=Gains(levels[:, None, None]), polarity=True,
    )  # fmt: skip


def roar() -> bytes:
    """Noise of three channels in the first segment and, behind the first turn of the noise, in the last one, with
    colours up to the last bands."""
    header = Header(8000, 3, c.NOISE_TABLE + 1750, layers=("noise",), segment_frames=2048)
    random = np.random.default_rng(17)
    found: list[dict[int, Any]] = [{} for _ in range(header.segments)]
    for index in (0, header.segments - 1):
        context = StreamContext(8000, 3, header.segment_span(index)[1])
        found[index][c.STREAM_NOISE] = _drawn_noise(random, context, loudest=55, colour=15)
    return _file(header, found)


def _file(
    header: Header,
    streams: list[dict[int, Any]],
    distances: Sequence[tuple[int, ...]] = (),
    difference: DifferenceStream | None = None,
) -> bytes:
    """distances: how far back the segments are on which each depends."""
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        if difference is not None:
            writer.add_adaptation(coded_difference(difference))
        for index, kinds in enumerate(streams):
            frames = header.segment_span(index)[1]
            context = StreamContext(
                header.samplerate, header.channels, frames, header.phase_bits, networks=header.networks
            )
            found: list[StreamData] = [coded_stream(kind, stream, context) for kind, stream in sorted(kinds.items())]
            back = distances[index] if distances else ()
            writer.add_segment(Segment(index, tuple(index - distance for distance in reversed(back)), tuple(found)))
    return target.getvalue()


def _drawn_events(random: np.random.Generator, header: Header, index: int, count: int) -> EventStream:
    codes = np.stack([random.integers(0, size, count) for size in USUAL_SIZES], axis=1)
    codes[:, 0] = random.integers(48 * 64, 90 * 64, count)
    times = np.sort(random.integers(0, header.segment_span(index)[1] << header.phase_bits, count))
    amplitudes, pans = random.integers(-34, -18, count), random.integers(-5, 6, count)
    return EventStream(times, amplitudes, pans, codes, amplitude_step=12, pan_steps=5)


def _drawn_noise(random: np.random.Generator, context: StreamContext, loudest: int, colour: int = 2) -> NoiseStream:
    planes = []
    for kind in plane_kinds(context.channels):
        stride = colour if kind is COLOUR else 9
        lengths = np.array([3, hops(context) - 3])
        most = min(kind.most, loudest)
        least = 2 * most // 3 if kind is LEVEL else max(kind.least, -most)
        starts, ends = random.integers(least, most + 1, (2, 2, kind.bands(context.samplerate, stride)))
        planes.append(NoisePlane(lengths, starts, ends, stride))
    return NoiseStream(planes, 5)


def _events_network(folder: Path) -> Path:
    """The tables that learning starts from, moved at random."""
    generator, random = Generator(), np.random.default_rng(19)
    for name, tensor in sorted(generator.named_parameters()):
        spread = np.pi if name == "resonator_phases" else 0.03
        _set(tensor, tensor.detach().numpy() + spread * random.standard_normal(tuple(tensor.shape)))
    generator.save(path := folder / f"{NETWORK}.safetensors")
    return path


def _set(tensor: nn.Parameter, values: NDArray[np.floating]) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(values.astype(np.float32)))
