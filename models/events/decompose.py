"""Decomposition: audio to a list of events, one after the other, until the next no longer pays its bits.

Long signals pass through a window of eight seconds. Events are taken where they begin in its first half; what they
leave and their tails are written back, and the window moves on by that half. The last one is searched to its end.

Long files are searched in pieces, each in a process of its own where there are several cores: a piece begins with the
window before it, whose events are those of the piece before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from evc.format.header import Header
from evc.format.networks import weights
from evc.format.streams.events import EventStream
from evc.models.arrays import Floats
from evc.models.device import encoding_device, one_thread
from evc.models.events.atoms import Atoms
from evc.models.events.fitted import BASE_BITS, PAN_STEPS, FittedEvent
from evc.models.events.fitting import EventFitter
from evc.models.events.moments import FIRST, QUICK, Moments
from evc.models.events.onsets import onset_times
from evc.models.events.picking import Picker
from evc.models.events.reading import AnalysisReader, AudioPart
from evc.models.events.refine import refined
from evc.models.events.shapes import ShapeFitter
from evc.models.events.sounding import SoundTables
from evc.models.events.vectors import EVENTS_NETWORK, PART_INDEX, PARTS
from evc.models.events.weighting import Weighting
from evc.models.processes import Processes, cores
from evc.models.progress import Progress
from evc.models.source import AudioSource

Found = tuple[EventStream, Floats]  # events, and the gain of each

PIECE_WINDOWS = 8  # that a process searches at a time
HALF = 4.0  # s: events are taken from the first half of a window of twice this length
BEFORE = 2.0  # s before a window that the proposer hears
ROUND = 48  # peaks fitted against the same residual
ROUNDS = 200  # at most; a window of silence takes one
STALLED = 0.15  # of a round's peaks: when no more become events, the others are noise
PEAK_SHARE = 0.5  # of an event's least weighted energy that a windowed tone must take away to be tried
GRID_SECONDS = 0.0015  # starts are on a grid of a power of two of frames, no coarser than this
COARSEST_GRID = 256  # frames of the file, at any sample rate
REFINED_SHARE = 0.5  # of its least weighted energy that an event may keep when it moves
FULL_SEARCH = 6  # the highest effort without refinement; each above it is one more pass
DENSITY = 50.0  # events per second to look for, as many as some 2 kbit/s hold
# Weighted energy per bit that an event takes away at least, for a source of loudness 1 and 20 events per second, and
# how it falls with the density. Measured; how many there are then is up to the music.
LEAST = 8.5e-4
LEAST_SLOPE = -1.2


def time_grid(samplerate: int) -> int:
    """Distance of possible starts, in frames of the file: the largest power of two below 1.5 ms."""
    return 1 << max(0, int(np.log2(GRID_SECONDS * samplerate)))


def _hop(rate: float) -> int:
    """Frames by which the window moves on: a multiple of the grid of starts, whatever the decimation."""
    return int(HALF * rate) // COARSEST_GRID * COARSEST_GRID


class WindowDecomposer:
    """Takes events from residuals [channels, frames] at `rate` Hz, in place.

    grid: distance of possible starts in s. refinements: passes of second thoughts over each window.
    least: weighted energy per bit that an event has to take away.
    """

    def __init__(self, atoms: Atoms, rate: float, grid: float, refinements: int = 0, device: str = "cpu") -> None:
        self._atoms, self._rate, self._grid, self._device = atoms, rate, grid, device
        self._refinements = refinements
        self._shapes = ShapeFitter(atoms, rate)

    def stream(self, blocks: Iterable[Floats], least: float) -> Iterator[tuple[int, list[FittedEvent]]]:
        """Events of a signal that comes in blocks [channels, frames]: for each window its first frame and the events,
        whose starts are relative to it. Whatever follows a window's end changes nothing in it."""
        before = np.zeros((0, 0))
        hop = _hop(self._rate)
        for first, last, residual, original in windows(blocks, hop):
            end = residual.shape[1] / self._rate if last else hop / self._rate
            heard = np.concatenate([before, original], axis=1) if first else original
            begin = (heard.shape[1] - original.shape[1]) / self._rate
            before = original[:, max(0, hop - int(BEFORE * self._rate)) : hop]
            if least > 0:
                times = onset_times(heard, self._rate, begin, begin + end, self._device) - begin
                yield first, self.take(residual, Weighting(original, self._rate), Moments(times), end, least)

    def take(
        self, residual: Floats, weighting: Weighting, moments: Moments, end: float, least: float
    ) -> list[FittedEvent]:
        """Events that begin before `end` s, in the order in which they were found; they are subtracted."""
        left = np.ascontiguousarray(residual)
        picker = Picker(self._rate, weighting, left, end, PEAK_SHARE * BASE_BITS * least)
        fitter = EventFitter(self._atoms, self._rate, self._grid, weighting, moments, left.shape[1])
        taken: list[FittedEvent] = []
        new: list[FittedEvent] = []
        for _ in range(ROUNDS):
            samples = left.astype(np.float32)
            changed = np.array([(event.first, event.first + event.waveform.shape[1]) for event in new], np.int64)
            peaks = picker.peaks(left, changed.reshape(-1, 2), ROUND)
            new = []
            for shape in self._shapes.fit(samples, peaks, 0.0, end):
                event = fitter.fit(left, shape, least)
                if event is not None and event.start < end:
                    left[:, event.first : event.first + event.waveform.shape[1]] -= event.waveform
                    new.append(event)
                    if event.codes[PART_INDEX["attack"]] < QUICK and moments.take(event.start):
                        event.gain *= FIRST
            taken += new
            if len(new) <= STALLED * len(peaks):
                break
        for _ in range(self._refinements):
            if not refined(left, taken, fitter, self._grid, end, REFINED_SHARE * least):
                break
        residual[:] = left
        return taken


def decompose(
    source: AudioSource,
    header: Header,
    effort: int,
    device: str,
    progress: Progress | None = None,
    density: float = DENSITY,
) -> tuple[EventStream, Floats]:
    """The events of a source of one or two channels that are worth trying, with times from its start, and the gain of
    each: float64 [events], weighted energy taken away per bit. Deterministic on one device; holds some minutes of
    samples.

    density: about how many events per second are wanted, in music of the usual kind.
    """
    reader = AnalysisReader(source)
    least = LEAST * (density / 20) ** LEAST_SLOPE * reader.loudness()
    refinements = max(0, effort - FULL_SEARCH)
    search = _Search(header.samplerate, header.phase_bits, least, refinements, encoding_device(device))
    pieces = list(_pieces(reader.frames, _hop(reader.rate)))
    jobs = ((search, piece, reader.part(piece.begin, piece.end)) for piece in pieces)
    found: list[Found] = []
    with one_thread(), Processes(min(cores(), len(pieces)) if search.device == "cpu" else 1) as processes:
        for piece, events in zip(pieces, processes.map(_search_piece, jobs), strict=True):
            found.append(events)
            if progress is not None:
                done = round(min(piece.end, reader.frames) / reader.frames * header.known_frames)
                progress(done, header.known_frames)
    events, gains = _joined(found)
    order = np.argsort(events.times, kind="stable")
    return events.chosen(order), gains[order]


class _Piece(NamedTuple):
    """A stretch of a file in frames of the analysis: events count from `start` on; `windows`: how many are searched,
    None for all up to the file's end."""

    begin: int
    start: int
    end: int
    windows: int | None


def _pieces(frames: int, hop: int) -> Iterator[_Piece]:
    length = PIECE_WINDOWS * hop
    for start in range(0, frames, length):
        begin = max(0, start - hop)
        if start + length + hop >= frames:  # what is left is part of the last window
            yield _Piece(begin, start, frames, None)
            return
        yield _Piece(begin, start, start + length + hop + 1, (start + length - begin) // hop)


class _Search(NamedTuple):
    """What is looked for in all pieces: samplerate of the source in Hz, bits of fractions of its frames, weighted
    energy per bit that events take away at least, passes of second thoughts, and where."""

    samplerate: int
    phase_bits: int
    least: float
    refinements: int
    device: str


def _search_piece(search: _Search, piece: _Piece, part: AudioPart) -> Found:
    """The events of a piece; `part` is what it needs of the source."""
    atoms = Atoms.of(SoundTables.load(weights(EVENTS_NETWORK)))
    reader = AnalysisReader(part)
    grid = time_grid(search.samplerate) / search.samplerate
    decomposer = WindowDecomposer(atoms, reader.rate, grid, search.refinements, search.device)
    found: list[Found] = []
    with one_thread():
        windows = decomposer.stream(reader.blocks(piece.begin, piece.end), search.least)
        for first, events in islice(windows, piece.windows):
            if piece.begin + first >= piece.start:
                begin = round((piece.begin + first) * search.samplerate / reader.rate)
                found.append(_coded(events, begin, search))
    return _joined(found)


def _coded(events: list[FittedEvent], begin: int, search: _Search) -> Found:
    """The events of a window whose first frame is `begin` of the source, as they were found; their waveforms go."""
    frames = [begin + round(event.start * search.samplerate) for event in events]
    levels = np.array([(event.amplitude, event.pan) for event in events], np.int64).reshape(-1, 2)
    codes = np.array([event.codes for event in events], np.int64).reshape(len(events), len(PARTS))
    times = np.array(frames, np.int64) << search.phase_bits
    gains = np.array([event.gain for event in events], np.float64)
    return EventStream(times, levels[:, 0], levels[:, 1], codes, pan_steps=PAN_STEPS), gains


def _joined(found: Sequence[Found]) -> Found:
    """One after the other."""
    streams, gains = zip((EventStream(), np.zeros(0)), *found, strict=True)
    events = EventStream(
        np.concatenate([one.times for one in streams]),
        np.concatenate([one.amplitudes for one in streams]),
        np.concatenate([one.pans for one in streams]),
        np.concatenate([one.codes for one in streams]),
        pan_steps=PAN_STEPS,
    )
    return events, np.concatenate(gains)


def windows(samples: Iterable[Floats], half: int) -> Iterator[tuple[int, bool, Floats, Floats]]:
    """Cut blocks of samples [channels, frames] into windows: (first frame, whether it is the last, samples of two
    times `half` frames, fewer at the end, and the same once more). Whoever takes a window changes the first of the two
    in place; the next one begins with its second half as it was left.
    """
    residual: Floats | None = None
    original: Floats | None = None
    first = 0
    for block in samples:
        residual = block.copy() if residual is None else np.concatenate([residual, block], axis=1)
        original = block if original is None else np.concatenate([original, block], axis=1)
        while residual.shape[1] > 2 * half:
            yield first, False, residual[:, : 2 * half], original[:, : 2 * half]
            residual, original = residual[:, half:].copy(), original[:, half:]
            first += half
    if residual is not None and original is not None and residual.shape[1]:
        yield first, True, residual, original
