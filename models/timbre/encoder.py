"""A whole file as a path of timbres (`--hints timbre`): few points where nothing moves, more where much does.

The sound is measured where clips will stand. Straight lines are laid through what is found so that error and points
together cost least, and moved to where they fit best; what a point costs follows from the bitrate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.header import Header
from evc.format.networks import find, installed_network
from evc.format.segment import Segment
from evc.format.streams import StreamContext, coded_stream
from evc.format.streams.timbre import TimbreStream, step_size
from evc.format.timbres import TIMBRE, by_segment
from evc.models.arrays import Floats
from evc.models.device import one_thread
from evc.models.encoded import Encoded, target_bytes
from evc.models.progress import Progress
from evc.models.settings import EncodeSettings
from evc.models.source import AudioSource
from evc.models.timbre.clips import MOST_TRANSIENT, transience
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.layout import TIMBRE_NETWORK
from evc.models.timbre.points import levels_of
from evc.models.timbre.spectra import CLIP_SECONDS, SILENCE, measured, values_of

LONGEST_LINE = c.MAX_SUPERFRAMES_PER_SEGMENT // c.TIMBRE_HOP  # clips: no segment is without a point
STEPS = (8, 6, 4, 2)  # sizes of steps, finer ones where there is room
COSTS = (1e-2, 1e5)  # squared dB that a point must save: least, most
PROBES = 12
LEVEL_WEIGHT, WIDTH_WEIGHT = 1.0, 4.0  # squared dB that a dB of level, and a width of 1, count as
ROUNDS = 256  # clips measured between two reports of progress


@dataclass(frozen=True)
class Heard:
    """What clips sound like, one after the other.

    vectors     float64 [clips, 32], in standard deviations of the prior
    amplitudes  float64 [clips]: roots of mean squares, full scale 1
    widths      float64 [clips], from 0 to 1
    """

    vectors: Floats
    amplitudes: Floats
    widths: Floats


def with_timbre(
    source: AudioSource,
    header: Header,
    settings: EncodeSettings,
    tag_bytes: int,
    progress: Progress | None = None,
) -> Encoded:
    """The segments of a whole source as a path of timbres, and the header for them; the arguments are those of
    `pipeline.encode`. Raises UnsupportedError if the network is missing."""
    network = installed_network(TIMBRE_NETWORK)
    header = path_header(header)
    if not header.known_frames:
        return Encoded(replace(header, layers=(), networks=()), [])
    with one_thread():
        model = TimbreNetwork.load(find(network))
        heard = listened(source, model, progress)
        if not heard.amplitudes.any():
            empty = replace(header, layers=(), networks=())
            return Encoded(empty, [Segment(index) for index in range(header.segments)])
        header = replace(header, layers=(TIMBRE,), networks=(network,))
        target = target_bytes(header, settings.known_bitrate, tag_bytes)
        return _to_target(heard, header, model.sensitivity, target)


def path_header(header: Header) -> Header:
    """The header of a file of timbres from one of the same source, with the longest segments."""
    superframe = c.superframe_length(header.samplerate)
    count = min(max(-(-header.known_frames // superframe), 1), c.MAX_SUPERFRAMES_PER_SEGMENT)
    return replace(header, segment_frames=count * superframe)


def listened(source: AudioSource, model: TimbreNetwork, progress: Progress | None = None) -> Heard:
    """What a source sounds like where clips stand."""
    hop = c.TIMBRE_HOP * c.superframe_length(source.samplerate)
    clips = -(-source.frames // hop) + 1
    size = round(CLIP_SECONDS * source.samplerate)
    found: list[Heard] = []
    for begin in range(0, clips, ROUNDS):
        numbers = range(begin, min(begin + ROUNDS, clips))
        spectra, widths = zip(*(_measured(source, number * hop - size // 2, size) for number in numbers), strict=True)
        powers = np.stack(spectra)
        amplitudes = np.sqrt(powers.sum(axis=1))
        amplitudes[amplitudes**2 < SILENCE] = 0
        vectors = model.refined(values_of(powers)).astype(np.float64)
        found.append(Heard(vectors, amplitudes, np.array(widths)))
        if progress is not None:
            progress(min(numbers.stop * hop, source.frames), source.frames)
    return Heard(*(np.concatenate(column) for column in zip(*(vars(part).values() for part in found), strict=True)))


def _measured(source: AudioSource, start: int, size: int) -> tuple[Floats, float]:
    """The spectrum of a clip, and how wide it is; beyond the ends of the source it is heard backwards."""
    first, end = max(start, 0), min(start + size, source.frames)
    first = max(0, min(first, source.frames - size // 2))
    inside = source.read(first, end - first).astype(np.float64)
    clip = np.pad(inside, ((0, 0), (max(0, first - start), max(0, start + size - end))), mode="symmetric")[:, -size:]
    width = 0.0
    if source.channels == 2:
        middle, side = clip[0] + clip[1], clip[0] - clip[1]
        angle = math.atan2(np.sqrt(np.square(side).sum()), np.sqrt(np.square(middle).sum()))
        width = min(angle / (math.pi / 4), 1.0)
    return measured(clip, source.samplerate), width


# --- Lines ------------------------------------------------------------------------------------


def _to_target(heard: Heard, header: Header, sensitivity: Floats, target: float) -> Encoded:
    """The path in `target` bytes without tags, or in fewer if there is no more to tell."""
    rows = rows_of(heard, sensitivity)
    errors = line_errors(rows)
    everywhere: Encoded | None = None
    for step in STEPS:
        found = _encoded(_path(heard, np.arange(len(rows)), header, step), header)
        if found.bytes() > target:
            break
        everywhere = found
    return everywhere or _fewer(errors, heard, header, target)


def rows_of(heard: Heard, sensitivity: Floats) -> Floats:
    """What lines are laid through, [clips, 34], such that squared differences are squared dB."""
    decibels = 20 * np.log10(np.maximum(heard.amplitudes, 1e-5))
    beside = [decibels * math.sqrt(LEVEL_WEIGHT), heard.widths * math.sqrt(WIDTH_WEIGHT)]
    return np.concatenate([heard.vectors * np.sqrt(sensitivity), np.stack(beside, axis=1)], axis=1)


def line_errors(rows: Floats) -> Floats:
    """Squared errors [clips, LONGEST_LINE] of the straight lines from each of the rows to each of those behind it;
    where there is none, infinity. By sums of rows, of rows times their places, and of their squares."""
    count, places = len(rows), np.arange(len(rows), dtype=np.float64)[:, None]
    sums, moments = (np.concatenate([0 * x[:1], np.cumsum(x, axis=0)]) for x in (rows, places * rows))
    squares = np.concatenate([[0.0], np.cumsum(np.square(rows).sum(axis=1))])
    found = np.full((count, LONGEST_LINE), np.inf)
    for length in range(1, min(LONGEST_LINE, count - 1) + 1):
        first, last = rows[:-length], rows[length:]
        begin = np.arange(count - length)
        end = begin + length
        inner = sums[end] - sums[begin + 1]
        share = (moments[end] - moments[begin + 1] - begin[:, None] * inner) / length  # sum of k / length * row
        steps = np.arange(1, length) / length
        up, both = float(np.square(steps).sum()), float((steps * (1 - steps)).sum())
        energy = squares[end] - squares[begin + 1]
        cross = ((inner - share) * first + share * last).sum(axis=1)
        line = up * (np.square(first) + np.square(last)).sum(axis=1) + 2 * both * (first * last).sum(axis=1)
        found[: count - length, length - 1] = np.maximum(energy - 2 * cross + line, 0)
    return found


def cheapest(errors: Floats, cost: float) -> NDArray[np.int64]:
    """The rows at which lines meet, the first and the last among them, so that errors and `cost` for each are least."""
    count = len(errors)
    best, before = np.full(count, np.inf), np.zeros(count, np.int64)
    best[0] = 0.0
    for row in range(count - 1):
        reach = min(LONGEST_LINE, count - 1 - row)
        offered = best[row] + cost + errors[row, :reach]
        ahead = slice(row + 1, row + 1 + reach)
        better = offered < best[ahead]
        best[ahead][better] = offered[better]
        before[ahead][better] = row
    found = [count - 1]
    while found[-1]:
        found.append(int(before[found[-1]]))
    return np.array(found[::-1], np.int64)


def _fewer(errors: Floats, heard: Heard, header: Header, target: float) -> Encoded:
    """The best path of at most `target` bytes, by the cost of a point; the shortest, if even that takes more."""

    def coded(cost: float) -> Encoded:
        return _encoded(_path(heard, cheapest(errors, cost), header, STEPS[0]), header)

    low, high = COSTS
    best = coded(high)
    for _ in range(PROBES):
        cost = math.sqrt(low * high)
        found = coded(cost)
        if found.bytes() <= target:
            best, high = found, cost
        else:
            low = cost
    return best


def _path(heard: Heard, at: NDArray[np.int64], header: Header, step: int) -> TimbreStream:
    """Points at the clips `at`, moved to where straight lines fit all clips best."""
    columns = [heard.vectors, heard.amplitudes[:, None], heard.widths[:, None]]
    fitted = fit_lines(np.concatenate(columns, axis=1), at)
    vectors = np.clip(np.rint(fitted[:, :-2] / step_size(step)), -c.MAX_TIMBRE, c.MAX_TIMBRE).astype(np.int64)
    levels = levels_of(np.maximum(fitted[:, -2], 0))
    widths = np.rint(np.clip(fitted[:, -1], 0, 1) * c.MAX_TIMBRE_WIDTH).astype(np.int64)
    end = -(-header.known_frames // c.superframe_length(header.samplerate))
    times = np.minimum(at * c.TIMBRE_HOP, end - 1)  # the last clip may stand behind the end
    kept = np.append(np.diff(times) > 0, True)
    return TimbreStream(times[kept], vectors[kept], levels[kept], widths[kept], step)


def fit_lines(rows: Floats, at: NDArray[np.int64]) -> Floats:
    """The values [points, columns] at the places `at`, the first and the last row among them, between which straight
    lines fit rows [n, columns] best."""
    if len(at) < 2:
        return rows[at]
    home = np.minimum(np.searchsorted(at, np.arange(len(rows)), side="right") - 1, len(at) - 2)
    share = (np.arange(len(rows)) - at[home]) / (at[home + 1] - at[home])
    diagonal = np.bincount(home, (1 - share) ** 2, len(at)) + np.bincount(home + 1, share**2, len(at))
    beside = np.bincount(home, share * (1 - share), len(at))[:-1]
    right = np.zeros((len(at), rows.shape[1]))
    np.add.at(right, home, (1 - share)[:, None] * rows)
    np.add.at(right, home + 1, share[:, None] * rows)
    for i in range(1, len(at)):  # Thomas's algorithm
        factor = beside[i - 1] / diagonal[i - 1]
        diagonal[i] -= factor * beside[i - 1]
        right[i] -= factor * right[i - 1]
    right[-1] /= diagonal[-1]
    for i in range(len(at) - 2, -1, -1):
        right[i] = (right[i] - beside[i] * right[i + 1]) / diagonal[i]
    return right


def _encoded(points: TimbreStream, header: Header) -> Encoded:
    """The points as a file; a segment without any has one from the path."""
    streams = by_segment(points, header)
    segments = []
    for index in range(header.segments):
        data = coded_stream(c.STREAM_TIMBRE, streams[index], StreamContext.of_segment(header, index))
        segments.append(Segment(index, streams=(data,)))
    return Encoded(header, segments)


# --- What the source is like -------------------------------------------------------------------


def sustained(source: AudioSource) -> float:
    """The share of a source's clips, from 0 to 1, in which nothing is struck; 1 for silence."""
    size = round(CLIP_SECONDS * source.samplerate)
    scores = []
    for start in range(0, max(source.frames - size // 2, 1), size):
        clip = source.read(start, min(size, source.frames - start))
        if np.square(clip, dtype=np.float64).mean() > SILENCE and clip.shape[1] > size // 4:
            scores.append(transience(clip.astype(np.float64), source.samplerate))
    return float(np.mean(np.array(scores) <= MOST_TRANSIENT)) if scores else 1.0
