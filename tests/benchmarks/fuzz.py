"""Damages small files at random and counts what becomes of them: audio, or an EvcError. All else is a fault.

    python tests/benchmarks/fuzz.py --cases 1000000
    python tests/benchmarks/fuzz.py --seconds 60 --jobs 2
    python tests/benchmarks/fuzz.py --kernels --cases 1000000

The last one throws single spectrum streams at the compiled kernels instead (fuzz_kernels.py).

Every case follows from its number alone, so `--first N --cases 1` repeats case N. Prints how many cases ended how,
the slowest one, the peak memory of a process, and the numbers of faults with the place they come from.
"""

from __future__ import annotations

import argparse
import io
import itertools
import multiprocessing
import os
import random
import resource
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace

import numpy as np
from fuzz_kernels import outcome_of

import evc
from evc.format import constants as c
from evc.format.coder import SymbolDecoder, SymbolEncoder
from evc.format.container import ChunkReader, chunk_bytes
from evc.format.decoding import stream_context
from evc.format.header import Header
from evc.format.networks import installed_too
from evc.format.reader import ContainerReader
from evc.format.segment import Segment, StreamData
from evc.format.streams import StreamContext, stream_class
from evc.format.writer import ContainerWriter
from evc.spec.signals import FOLDER as VECTORS

BATCH = 200  # cases of a task
MOST_FRAMES = 100_000  # read from a case: a header may promise more
SHOWN_FAULTS = 20
MOST_SYMBOLS = 20_000  # claimed for words that are random
WORD_BYTES = (0, 4, 8, 16, 40, 200)
LAYERS = c.LAYERS[: c.STREAM_LATENT]  # in files of all kinds; latents are in the file of a conformance vector


# Files to start from


def seeds() -> list[bytes]:
    """Small files of different shapes: silence, tones and noise, one to three channels, several sample rates, one to
    three segments, files with streams of every kind, and vectors with latents, tags, copies, an edit list, a loop,
    a chain, an adapted network, envelopes, and copies beside latents."""
    noise = np.random.default_rng(1)
    files = [b"", evc.encode(np.zeros(0), 8_000), evc.encode(np.zeros((5_000, 2)), 44_100)]
    for channels, rate, frames in ((1, 8_000, 2_000), (2, 16_000, 3_000), (3, 44_100, 2_000)):
        tone = 0.3 * np.sin(np.arange(frames) / 5)[:, None] * np.ones(channels)
        files.append(evc.encode(tone, rate, quality=3, tags={"title": "tone"}))
        files.append(evc.encode(0.1 * noise.normal(size=(frames, channels)), rate, quality=0))
    files.append(evc.encode(0.01 * np.sin(np.arange(3 * 49_152) / 9), 8_000, quality=0))
    files += [_all_kinds(channels) for channels in (1, 2)]
    names = "latents tagged copies edited loop rejoined adapted envelopes repeats"
    return files + [_vector(name) for name in names.split()]


def _vector(name: str) -> bytes:
    return (VECTORS / f"{name}.evc").read_bytes()


def _all_kinds(channels: int) -> bytes:
    """A file with a stream of every layer but the latents in each of its two segments."""
    networks = ContainerReader(io.BytesIO(_vector("events"))).header.networks
    header = Header(8_000, channels, 2 * 1024, layers=LAYERS, segment_frames=1024, networks=networks)
    context = StreamContext(8_000, channels, 1024, header.phase_bits)
    target = io.BytesIO()
    with ContainerWriter(target, header, {"title": "all"}) as writer:
        for index in range(2):
            streams = [_stream_of_words(kind, bytes(40), 2_000, context) for kind in range(len(LAYERS))]
            writer.add_segment(Segment(index, (), tuple(stream for stream in streams if stream is not None)))
    return target.getvalue()


def _stream_of_words(kind: int, words: bytes, symbols: int, context: StreamContext) -> StreamData | None:
    """What `words` mean as a stream of this kind, coded again with the right checksum; None if they mean nothing."""
    try:
        value = stream_class(kind).read(SymbolDecoder(words, symbols, 0), context)
    except evc.EvcError:
        return None
    encoder = SymbolEncoder()
    value.write(encoder, context)
    coded = encoder.finish()
    return StreamData(kind, coded.words, coded.symbols, coded.checksum)


# Ways to damage them


class Damage:
    """One case: a file, changed by choices that follow from the number of the case."""

    def __init__(self, number: int, files: list[bytes]) -> None:
        self.chance, self.files = random.Random(number), files

    def case(self) -> bytes:
        ways: list[Callable[[bytes], bytes]] = [
            self.flip, self.flip, self.cut, self.splice, self.shift, self.payloads, self.payloads, self.payloads,
            self.chunks, self.words, self.words, self.random,
        ]  # fmt: skip
        data = self.chance.choice(self.files)
        for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
            data = self.chance.choice(ways)(data)
        return data

    def flip(self, data: bytes) -> bytes:
        """Single bits."""
        changed = bytearray(data)
        for _ in range(self.chance.choice((1, 1, 2, 8)) if changed else 0):
            changed[self.chance.randrange(len(changed))] ^= 1 << self.chance.randrange(8)
        return bytes(changed)

    def cut(self, data: bytes) -> bytes:
        return data[: self.chance.randrange(len(data) + 1)]

    def splice(self, data: bytes) -> bytes:
        """A piece of another file instead of a piece of this one."""
        other = self.chance.choice(self.files)
        start, end = sorted(self.chance.randrange(len(data) + 1) for _ in range(2))
        first, last = sorted(self.chance.randrange(len(other) + 1) for _ in range(2))
        return data[:start] + other[first:last] + data[end:]

    def shift(self, data: bytes) -> bytes:
        """A few bytes left out, or said twice."""
        at = self.chance.randrange(len(data) + 1)
        return data[:at] + data[max(0, at + self.chance.randint(-20, 20)) :]

    def payloads(self, data: bytes) -> bytes:
        """Bytes inside chunks, whose CRCs are then made right again."""
        places = _places(data)
        changed = bytearray(data)
        for place in self.chance.sample(places, min(len(places), self.chance.randint(1, 3))):
            payload = bytearray(_payload(data, place))
            for _ in range(self.chance.randint(1, 4) if payload else 0):
                at = self.chance.randrange(len(payload))
                payload[at] = self.chance.choice((0, 1, 127, 128, 255, payload[at] ^ 1, self.chance.randrange(256)))
            changed[place.offset : place.end] = chunk_bytes(place.type, bytes(payload), place.critical)
        return bytes(changed)

    def chunks(self, data: bytes) -> bytes:
        """Whole chunks left out, repeated, exchanged, cut, or of another type."""
        parts = [(place.type, _payload(data, place), place.critical) for place in _places(data)]
        for _ in range(self.chance.randint(1, 3) if parts else 0):
            at, other = self.chance.randrange(len(parts)), self.chance.randrange(len(parts))
            type, payload, critical = parts[at]
            change = self.chance.randrange(5)
            if change == 0:
                del parts[at]
            elif change == 1:
                parts.insert(other, parts[at])
            elif change == 2:
                parts[at], parts[other] = parts[other], parts[at]
            elif change == 3:
                parts[at] = type, payload[: self.chance.randrange(len(payload) + 1)], critical
            else:
                parts[at] = self.chance.choice((c.CHUNK_DICT, c.CHUNK_INDX, b"what")), payload, bool(other % 2)
            if not parts:
                break
        return c.SIGNATURE + b"".join(chunk_bytes(*part) for part in parts)

    def words(self, data: bytes) -> bytes:
        """Random or changed words in every segment; where they mean anything their checksum is made right."""
        try:
            container = ContainerReader(io.BytesIO(data))
            segments = [container.segment(index) for index in range(container.segments)]
            target = io.BytesIO()
            with ContainerWriter(target, container.header, container.tags) as writer:
                for segment in segments:
                    context = stream_context(container, segment.index)
                    streams = tuple(self._rewritten(stream, context) for stream in segment.streams)
                    writer.add_segment(replace(segment, streams=streams))
        except evc.EvcError:
            return data
        return target.getvalue()

    def _rewritten(self, stream: StreamData, context: StreamContext) -> StreamData:
        if self.chance.random() < 0.5:
            words, symbols = self.chance.randbytes(self.chance.choice(WORD_BYTES)), MOST_SYMBOLS
        else:
            words = self.flip(stream.words)
            symbols = stream.symbols + self.chance.choice((0, 0, 1000))
        meant = _stream_of_words(stream.kind, words, symbols, context) if self.chance.random() < 0.8 else None
        return meant or StreamData(stream.kind, words, symbols, stream.checksum)

    def random(self, data: bytes) -> bytes:
        """Nothing but noise, with or without the signature, or after a right header."""
        noise = self.chance.randbytes(self.chance.choice((0, 1, 10, 100, 1000)))
        header = [place for place in _places(data) if place.type == c.CHUNK_HEAD]
        start = self.chance.choice((0, len(c.SIGNATURE), header[0].end if header else 0))
        return data[:start] + noise


def _places(data: bytes) -> list:
    """The intact chunks of a file that may be damaged."""
    try:
        return ChunkReader(io.BytesIO(data), salvage=True).chunks
    except evc.EvcError:
        return []


def _payload(data: bytes, place) -> bytes:
    return data[place.offset + c.CHUNK_HEADER_BYTES : place.end - c.CHUNK_CRC_BYTES]


# What becomes of them


def exercise(data: bytes, salvage: bool) -> None:
    """All that a user can do with a file."""
    with evc.open(io.BytesIO(data), salvage=salvage) as file:
        assert len(file.loops) + len(file.cues) + len(file.pictures) + len(file.foreign) >= 0
        assert len(file.events) + len(file.occurrences) + len(file.patterns) >= 0
        file.verify()
        audio = file.read(MOST_FRAMES, always_2d=True)
        assert audio.shape == (min(MOST_FRAMES, file.frames), file.channels) and np.isfinite(audio).all()
        file.stats()
        assert file.damage == [] or salvage
    evc.edit_tags(io.BytesIO(data), io.BytesIO(), {"title": "changed"})


def outcome(data: bytes, salvage: bool) -> str:
    """ "decoded", the name of the EvcError, or where another exception came from."""
    try:
        exercise(data, salvage)
        return "decoded"
    except evc.EvcError as error:
        return type(error).__name__
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"FAULT {type(error).__name__} at {os.path.basename(place.filename)}:{place.lineno}: {error}"


@dataclass
class Tally:
    """What came of some cases. `memory` in bytes; `slowest` is (seconds, number of the case)."""

    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[tuple[int, str]] = field(default_factory=list)
    slowest: tuple[float, int] = (0.0, 0)
    memory: int = 0

    def add(self, other: Tally) -> None:
        self.outcomes += other.outcomes
        self.faults += other.faults
        self.slowest = max(self.slowest, other.slowest)
        self.memory = max(self.memory, other.memory)


def run(numbers: range, files: list[bytes] | None) -> Tally:
    """Cases `numbers`, one after the other, in this process: of files, or without any of kernels."""
    warnings.simplefilter("error")  # what a user would see as noise on stderr counts as a fault
    warnings.simplefilter("ignore", evc.EvcWarning)
    tally = Tally()
    for number in numbers:
        begun = time.perf_counter()
        try:
            if files is None:
                found = outcome_of(number)
            else:
                with installed_too(VECTORS):
                    found = outcome(Damage(number, files).case(), salvage=number % 2 == 1)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            when = "in kernels" if files is None else "while damaging"
            found = f"FAULT {when}: {type(error).__name__} at {place.filename}:{place.lineno}: {error}"
        if found.startswith("FAULT"):
            tally.faults.append((number, found))
            found = found.split(":")[0]
        tally.outcomes[found] += 1
        tally.slowest = max(tally.slowest, (time.perf_counter() - begun, number))
    tally.memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return tally


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=None, help="how many (default: no end)")
    parser.add_argument("--seconds", type=float, default=None, help="how long (default: no end)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--kernels", action="store_true", help="spectrum streams for kernels instead of files")
    arguments = parser.parse_args()
    if arguments.cases is None and arguments.seconds is None:
        arguments.seconds = 60.0
    tally, begun = Tally(), time.monotonic()
    end = float("inf") if arguments.cases is None else arguments.first + arguments.cases
    files = None if arguments.kernels else seeds()
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        waiting = set()
        for first in itertools.count(arguments.first, BATCH):
            late = arguments.seconds is not None and time.monotonic() - begun > arguments.seconds
            if first < end and not late:
                waiting.add(pool.submit(run, range(first, int(min(first + BATCH, end))), files))
            elif not waiting:
                break
            if len(waiting) >= 2 * arguments.jobs or first >= end or late:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for task in done:
                    try:
                        tally.add(task.result())
                    except BrokenProcessPool:
                        sys.exit("FAULT: a process died; repeat with --jobs 1 and smaller ranges to find the case")
    _report(tally, time.monotonic() - begun)
    return 1 if tally.faults else 0


def _report(tally: Tally, seconds: float) -> None:
    cases = tally.outcomes.total()
    print(f"{cases} cases in {seconds:.0f} s, {len(tally.faults)} faults")
    print(f"slowest: {tally.slowest[0]:.2f} s (case {tally.slowest[1]}); peak memory {tally.memory / 2**20:.0f} MiB")
    for name, count in tally.outcomes.most_common():
        print(f"{count:10d}  {count / max(cases, 1):6.1%}  {name}")
    for number, text in tally.faults[:SHOWN_FAULTS]:
        print(f"case {number}: {text}")


if __name__ == "__main__":
    sys.exit(main())
