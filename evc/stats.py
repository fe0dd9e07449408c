"""The bitrate report: where the bits of a file went, by layer, by stream and by second."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evc.format import constants
from evc.format.coder import Account
from evc.format.decoding import SegmentDecoder
from evc.format.errors import EvcError
from evc.format.reader import ContainerReader
from evc.pattern_stats import PatternStats, SavedBits, pattern_stats
from evc.patterns import PatternMap


@dataclass(frozen=True)
class StreamStats:
    """What one sort of symbols within a layer costs: `bits` is their information under the model."""

    name: str
    symbols: int
    bits: float


@dataclass(frozen=True)
class LayerStats:
    """One layer. `bits` are those of its coded words in the file, exactly; `symbols`, `model_bits` (the
    information of the symbols under the model) and `streams` are zero and empty if nothing was decoded."""

    name: str
    bits: int
    symbols: int
    model_bits: float
    streams: tuple[StreamStats, ...]

    def plus(self, other: LayerStats | None) -> LayerStats:
        """The same layer of two links together."""
        if other is None:
            return self
        streams = {stream.name: stream for stream in other.streams}
        for stream in self.streams:
            before = streams.get(stream.name, StreamStats(stream.name, 0, 0.0))
            streams[stream.name] = StreamStats(stream.name, before.symbols + stream.symbols, before.bits + stream.bits)
        symbols, model_bits = self.symbols + other.symbols, self.model_bits + other.model_bits
        return LayerStats(self.name, self.bits + other.bits, symbols, model_bits, tuple(streams.values()))


@dataclass(frozen=True)
class Stats:
    """The bits of a file. `layers` make up the payload; `overhead` maps the parts of all the rest to their
    bits. `frames` and times are those of the coded timeline (spec 3.7). `seconds` [seconds, rounded up]: bits of the
    segments, spread over their superframes or columns by what the symbols of each cost (evenly where symbols were not
    decoded). `patterns`: all of them, by their index into
    `EvcFile.patterns`; none where symbols were not decoded. `networks`: ids of those that synthesis needs."""

    file_bytes: int
    samplerate: int
    channels: int
    frames: int
    layers: tuple[LayerStats, ...]
    overhead: dict[str, int]
    seconds: NDArray[np.float64]
    patterns: tuple[PatternStats, ...] = ()
    networks: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.frames / self.samplerate

    @property
    def bits(self) -> int:
        """Of the whole file: payload and overhead."""
        return 8 * self.file_bytes

    @property
    def payload_bits(self) -> int:
        """In entropy-coded streams."""
        return sum(layer.bits for layer in self.layers)

    @property
    def overhead_bits(self) -> int:
        """Outside entropy-coded streams."""
        return self.bits - self.payload_bits

    def kbps(self, bits: float) -> float:
        """`bits` of this file as kbit/s; 0 for a file of no duration."""
        return bits / self.duration / 1000 if self.frames else 0.0

    def share(self, bits: float) -> float:
        """`bits` as a fraction of the file."""
        return bits / self.bits

    def rows(self) -> list[dict[str, Any]]:
        """The report as a table: total, payload, every layer with its streams, overhead with its parts.
        Each row has level ("file", "layer" or "stream"), layer, stream, bits, kbps, share, symbols and
        bits_per_symbol."""
        rows = [
            self._row("file", "total", "", self.bits),
            self._row("file", "payload", "", self.payload_bits),
        ]
        for layer in self.layers:
            rows.append(self._row("layer", layer.name, "", layer.bits, layer.symbols, layer.model_bits))
            rows += [
                self._row("stream", layer.name, s.name, s.bits, s.symbols, s.bits) for s in layer.streams
            ]
            if layer.streams:
                rows.append(self._row("stream", layer.name, "coder loss", layer.bits - layer.model_bits))
        rows.append(self._row("file", "overhead", "", self.overhead_bits))
        rows += [self._row("stream", "overhead", name, bits) for name, bits in self.overhead.items()]
        return rows

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return {
            "bytes": self.file_bytes,
            "duration": self.duration,
            "samplerate": self.samplerate,
            "channels": self.channels,
            "frames": self.frames,
            "kbps": self.kbps(self.bits),
            "rows": self.rows(),
            "seconds": [round(float(bits), 1) for bits in self.seconds],
            "networks": list(self.networks),
            "patterns": [pattern.as_dict() for pattern in self.patterns],
        }

    def _row(
        self, level: str, layer: str, stream: str, bits: float, symbols: int = 0, model_bits: float = 0.0
    ) -> dict[str, Any]:
        return {
            "level": level,
            "layer": layer,
            "stream": stream,
            "bits": round(bits, 1),
            "kbps": round(self.kbps(bits), 3),
            "share": round(self.share(bits), 5),
            "symbols": symbols,
            "bits_per_symbol": round(bits / symbols, 4) if symbols else None,
            "model_bits_per_symbol": round(model_bits / symbols, 4) if symbols else None,
        }


class _Tally:
    """Adds up coded words and symbol accounts by stream kind."""

    def __init__(self) -> None:
        self.bits: dict[int, int] = defaultdict(int)
        self.accounts: dict[int, Account] = defaultdict(Account)

    def add_account(self, kind: int, account: Account) -> None:
        total = self.accounts[kind]
        for name, (symbols, bits) in account.items():
            before = total.get(name, (0, 0.0))
            total[name] = (before[0] + symbols, before[1] + bits)

    def layers(self) -> tuple[LayerStats, ...]:
        return tuple(self._layer(kind) for kind in sorted(self.bits))

    def _layer(self, kind: int) -> LayerStats:
        streams = tuple(StreamStats(name, *cost) for name, cost in self.accounts[kind].items())
        symbols, model_bits = sum(s.symbols for s in streams), sum(s.bits for s in streams)
        return LayerStats(_layer_name(kind), self.bits[kind], symbols, model_bits, streams)


def _layer_name(kind: int) -> str:
    """The layer of a kind of stream; of one that has none, or is not its first, what it is called itself."""
    if kind not in constants.STREAM_NAMES:
        return f"stream {kind}"
    layer = constants.STREAMS[kind].layer
    first = layer not in [stream.layer for stream in constants.STREAMS[:kind]]
    return layer if layer is not None and first else constants.STREAM_NAMES[kind]


def measure(
    decoder: SegmentDecoder, patterns: PatternMap | None, progress: Callable[[float, float], None] | None = None
) -> Stats:
    """The stats of a file with these `patterns`, or without decoding anything; see `EvcFile.stats`. In salvage mode
    damaged segments count as overhead."""
    container, header, tally = decoder.container, decoder.container.header, _Tally()
    spread: dict[int, Account] = {}
    placed: dict[int, int] = {}
    saved: dict[int, NDArray[np.float64]] = {}
    estimate = SavedBits(decoder)
    for index in range(container.segments):
        try:
            segment = decoder.segment(index)
            accounts: dict[int, Account] = {}
            if patterns is not None:
                decoded = decoder.accounted(index)
                accounts = decoded.accounts
                saved[index] = estimate.segment(index, decoded)
                if detailed := [account for account in accounts.values() if account.places is not None]:
                    spread[index] = detailed[0]
        except EvcError:
            if not container.salvage:
                raise
            continue
        for stream in segment.streams:
            tally.bits[stream.kind] += 8 * len(stream.words)
            tally.add_account(stream.kind, accounts.get(stream.kind, Account()))
            if stream.kind == constants.STREAM_OCCURRENCES:
                placed[index] = 8 * len(stream.words)
        if progress:
            start, frames = header.segment_span(index)
            progress((start + frames) / header.samplerate, header.sound_frames / header.samplerate)
    for dictionary in container.dictionaries:
        for stream in dictionary.streams:
            tally.bits[stream.kind] += 8 * len(stream.words)
    if container.adaptation is not None:
        tally.bits[constants.STREAM_ADAPTATION] += 8 * len(container.adaptation.words)
        if patterns is not None:
            tally.add_account(constants.STREAM_ADAPTATION, decoder.adaptation_account())
    layers = tally.layers()
    return Stats(
        file_bytes=container.file_bytes,
        samplerate=header.samplerate,
        channels=header.channels,
        frames=header.sound_frames,
        layers=layers,
        overhead=_overhead(container, sum(layer.bits for layer in layers)),
        seconds=_per_second(container, spread),
        patterns=() if patterns is None else pattern_stats(decoder, patterns, placed, saved),
        networks=tuple(network.id for network in header.networks),
    )


def joined_stats(parts: Sequence[Stats]) -> Stats:
    """Those of a file whose links have these."""
    starts = np.cumsum([0, *(part.frames for part in parts)]).tolist()
    rate = parts[0].samplerate
    layers: dict[str, LayerStats] = {}
    overhead: dict[str, int] = defaultdict(int)
    points, spent = [0.0], [0.0]
    patterns: list[PatternStats] = []
    for part, start in zip(parts, starts, strict=False):
        for layer in part.layers:
            layers[layer.name] = layer.plus(layers.get(layer.name))
        for name, bits in part.overhead.items():
            overhead[name] += bits
        points += [start + min(rate * (second + 1), part.frames) for second in range(len(part.seconds))]
        spent += list(spent[-1] + np.cumsum(part.seconds))
        moved = ((one.start if one.start is None else one.start + start / rate) for one in part.patterns)
        count = len(patterns)
        patterns += [
            replace(one, number=count + one.number, start=at) for one, at in zip(part.patterns, moved, strict=True)
        ]
    edges = np.arange(-(-starts[-1] // rate) + 1) * float(rate)
    return Stats(
        file_bytes=sum(part.file_bytes for part in parts),
        samplerate=rate,
        channels=parts[0].channels,
        frames=starts[-1],
        layers=tuple(layers.values()),
        overhead=dict(overhead),
        seconds=np.diff(np.interp(edges, points, spent)),
        patterns=tuple(patterns),
        networks=tuple(dict.fromkeys(name for part in parts for name in part.networks)),
    )


def _overhead(container: ContainerReader, payload_bits: int) -> dict[str, int]:
    """Bits outside coded streams, by the sort of chunk that holds them; "framing" is what holds the coded
    streams."""
    parts: dict[str, int] = defaultdict(int)
    names = {constants.CHUNK_HEAD: "header", constants.CHUNK_TAGS: "tags", constants.CHUNK_INDX: "index"}
    names |= {constants.CHUNK_SPKR: "speakers", constants.CHUNK_EDIT: "edit list"}
    names |= {constants.CHUNK_PICT: "pictures", constants.CHUNK_FRGN: "foreign chunks"}
    carriers = (constants.CHUNK_SEGM, constants.CHUNK_DICT, constants.CHUNK_NETW)
    for place in container.chunks:
        name = "framing" if place.type in carriers else names.get(place.type, "other chunks")
        parts[name] += 8 * place.size
    parts["framing"] -= payload_bits
    parts["other chunks"] += 8 * container.file_bytes - payload_bits - sum(parts.values())
    return dict(parts)


def _per_second(container: ContainerReader, spread: dict[int, Account]) -> NDArray[np.float64]:
    """Bits of all segments' chunks [seconds], each spread over the places of its account, or else evenly."""
    header = container.header
    ends, spent = [0], [0.0]
    for index in range(container.segments):
        (start, frames), place = header.segment_span(index), container.place(index)
        weights, length = np.ones(1), frames
        if index in spread and (places := spread[index].places) is not None:
            weights, length = places, spread[index].length
        weights = weights / weights.sum() if weights.sum() > 0 else np.full(len(weights), 1 / len(weights))
        ends += [min(start + length * (i + 1), start + frames) for i in range(len(weights))]
        spent += list(spent[-1] + 8 * (0 if place is None else place.size) * np.cumsum(weights))
    edges = np.arange(-(-header.sound_frames // header.samplerate) + 1) * float(header.samplerate)
    return np.diff(np.interp(edges, ends, spent))
