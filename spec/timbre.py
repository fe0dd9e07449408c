"""Section 10.11 of the specification in double precision, equation by equation, as `synthesis.py` is for the rest; and
the conformance vector of timbres, whose weights are the package's own."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.networks import installed_network, tensors
from evc.format.segment import Segment
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.timbre import TimbreStream
from evc.format.writer import ContainerWriter

Floats = NDArray[np.float64]

NETWORK = "evc-timbre-1"
CELLS = 1233


def timbres() -> bytes:
    """Points of both ends of all ranges, segments without a point and with one, a path that leads across segments."""
    header = Header(8000, 2, 60_000, layers=("timbre",), segment_frames=16_384, networks=(installed_network(NETWORK),))
    random = np.random.default_rng(23)
    streams = {
        0: _drawn(random, [0, 5, 6, 15], [96, 0, 101, 99], [0, 7, 3, 0], step=8),
        1: _drawn(random, [9], [90], [7], step=0),
        3: _drawn(random, [2, 10], [1, 104], [5, 6], step=15),
    }
    streams[1].vectors[0, :2] = c.MAX_TIMBRE, -c.MAX_TIMBRE
    target = io.BytesIO()
    with ContainerWriter(target, header) as writer:
        for index in range(header.segments):
            context = StreamContext.of_segment(header, index)
            some = index in streams
            writer.add_segment(Segment(index, (), (coded_stream(6, streams[index], context),) if some else ()))
    return target.getvalue()


def _drawn(
    random: np.random.Generator, times: list[int], levels: list[int], widths: list[int], step: int
) -> TimbreStream:
    vectors = np.rint(random.normal(0, 3, (len(times), 32))).astype(np.int64)
    return TimbreStream(np.array(times), vectors, np.array(levels), np.array(widths), step)


def timbre_signal(header: Header, streams: Mapping[int, TimbreStream], weights: Path) -> Floats:
    """The timbres of a whole file, float64 [channels, frames] of full scale 1, from the streams of its segments."""
    network = {name: array.astype(np.float64) for name, array in tensors(weights, "").items()}
    step = 8 * c.superframe_length(header.samplerate)
    out = np.zeros((header.channels, header.known_frames + 2 * step))  # begins `step` frames before the file
    for clip in range(-(-header.known_frames // step) + 1):
        point = _path(header, streams, clip * step)
        if point is not None:
            at = slice(clip * step, (clip + 2) * step)
            width = min(2 * step, out.shape[1] - clip * step)
            out[:, at] += _clip(header, network, step, clip, *point)[:, :width]
    return out[:, step : step + header.known_frames]


def _path(header: Header, streams: Mapping[int, TimbreStream], frame: int) -> tuple[Floats, float, float] | None:
    """Vector, amplitude and width at a frame; None where there is no timbre."""
    home = min(frame // header.segment_frames, header.segments - 1)
    if home not in streams or not len(streams[home].times):
        return None
    superframe = c.superframe_length(header.samplerate)
    found = []
    for segment in (home - 1, home, home + 1):
        if segment not in streams:
            continue
        stream = streams[segment]
        rows = list(range(len(stream.times)))
        for row in {-1: rows[-1:], 0: rows, 1: rows[:1]}[segment - home]:
            level = stream.levels[row]
            numbers = stream.vectors[row] * 2 ** ((stream.step - 16) / 4)
            amplitude = 10 ** ((level - 121) / 20) if level else 0.0
            time = segment * header.segment_frames + int(stream.times[row]) * superframe
            found.append((time, [*numbers, amplitude, stream.widths[row] / 7]))
    times = [time for time, _ in found]
    values = np.array([np.interp(frame, times, column) for column in zip(*(row for _, row in found), strict=True)])
    return values[:32], float(values[32]), float(values[33])


def _clip(
    header: Header, network: Mapping[str, Floats], step: int, clip: int, vector: Floats, amplitude: float, width: float
) -> Floats:
    """[channels, 2 * step], windowed."""
    powers = _bin_powers(_values(network, vector), step, header.samplerate)
    parts = []
    for part in range(2):
        key = _hash(2 * clip + part)
        phases = np.array([_hash((k + key) % 2**32) >> 16 for k in range(1, step)]) * (2 * np.pi / 65536)
        spectrum = np.zeros(step + 1, complex)
        spectrum[1:step] = amplitude * np.sqrt(2 * powers) * np.exp(1j * phases)
        parts.append(np.fft.irfft(spectrum) * step)
    out = np.zeros((header.channels, 2 * step))
    angle = width * np.pi / 4
    out[0] = parts[0]
    if header.channels > 1:
        out[0] = np.cos(angle) * parts[0] + np.sin(angle) * parts[1]
        out[1] = np.cos(angle) * parts[0] - np.sin(angle) * parts[1]
    return out * np.sin(np.pi * (np.arange(2 * step) + 0.5) / (2 * step))


def _bin_powers(values: Floats, step: int, samplerate: int) -> Floats:
    """q of the bins 1 … step - 1."""
    cells = np.where(values > 0, 10 ** (9.6 * (values - 1)), 0)
    cells /= cells.sum() or 1
    place = 570 + 120 * np.log2(np.arange(1, step) * samplerate / (2 * step) / 440)
    owner = np.rint(place)
    shape = 10 ** (9.6 * np.interp(place, np.arange(CELLS), np.maximum(values, 0)))
    found = np.zeros(step - 1)
    for cell in range(CELLS):
        own = np.flatnonzero(owner == cell)
        if len(own):
            found[own] += cells[cell] * shape[own] / shape[own].sum()
        else:
            nearest = round(440 * 2 ** ((cell - 570) / 120) * 2 * step / samplerate)
            if 1 <= nearest < step:
                found[nearest - 1] += cells[cell]
    return found


def _values(network: Mapping[str, Floats], vector: Floats) -> Floats:
    x = np.maximum(_linear(network, "decoder.enter", vector), 0).reshape(48, 38)
    x = np.maximum(_convolution(network, "decoder.join", x), 0)
    for number, length in enumerate((77, 154, 308, 616, CELLS)):
        x = np.repeat(x, 2, axis=1)
        x = np.pad(x, ((0, 0), (0, length - x.shape[1])))
        name = f"decoder.{number}"
        inner = np.maximum(_convolution(network, f"{name}.first", x), 0)
        x = np.maximum(_convolution(network, f"{name}.second", inner) + _convolution(network, f"{name}.beside", x), 0)
    values: Floats = network["synthesis"] @ vector + network["mean"] + _convolution(network, "decoder.leave", x)[0]
    return np.minimum(values, 2)


def _linear(network: Mapping[str, Floats], name: str, x: Floats) -> Floats:
    found: Floats = network[f"{name}.weight"] @ x + network[f"{name}.bias"]
    return found


def _convolution(network: Mapping[str, Floats], name: str, x: Floats) -> Floats:
    weight, bias = network[f"{name}.weight"], network[f"{name}.bias"]
    half, length = weight.shape[2] // 2, x.shape[1]
    padded = np.pad(x, ((0, 0), (half, half)))
    taps = [weight[:, :, tap] @ padded[:, tap : tap + length] for tap in range(2 * half + 1)]
    found: Floats = np.sum(taps, axis=0) + bias[:, None]
    return found


def _hash(x: int) -> int:
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16
