"""A whole file as events, noise and latents: what the first two leave for a network to restore (`--hints latent`).

The description comes first, in a part of the bytes that the bitrate tells. What it renders, as a decoder will, is what
latents are measured against; they are quantised as finely as the rest of the bytes allows (`quantise`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from evc.format.cores import WORKERS
from evc.format.header import Header
from evc.format.networks import installed_network
from evc.models.description import DECOMPOSING, Describer, description_header
from evc.models.device import encoding_device, one_thread
from evc.models.encoded import Encoded, empty_bytes, target_bytes
from evc.models.latents.copies import Copies, LeftOver, chosen_copies
from evc.models.latents.inference import LatentInference
from evc.models.latents.layout import DIMENSIONS, LATENTS_NETWORK, SAMPLES_PER_COLUMN
from evc.models.latents.planes import to_planes
from evc.models.latents.quantise import LatentQuantiser
from evc.models.latents.rendering import UnitSpan, columns_of, latent_network
from evc.models.latents.ways import (
    EVENTS_WORTH,
    TONAL_ENOUGH,
    Score,
    Way,
    heard_as,
    possible_ways,
    sampled,
    sounds_better,
)
from evc.models.progress import Progress, counted, part, stage
from evc.models.settings import EncodeSettings
from evc.models.source import AudioSource
from evc.models.synthesis import of_file
from evc.models.units import Audio

SILENT = 1e-6  # amplitude of what the description renders, below which latents restore nothing
DESCRIBED, ANALYSED = 0.75, 0.9  # of the work on one file, for showing progress,
CHOSEN, PLAIN, SEARCHED, COPIED = 0.1, 0.5, 0.7, 0.95  # and of the whole
DENSER = 0.5  # power of what copies leave of a source, in what is spent to describe it
MOST = 1000.0  # of a latent, in the finest steps,
HOPELESS = 0.02  # and of those of a column, the share that would exceed it

COPIES_INSTEAD = "not adapted: copies of what repeats sound better"

FineLatents = NDArray[np.float16]  # [columns, DIMENSIONS], in units of the finest step


def with_latents(
    source: AudioSource, header: Header, settings: EncodeSettings, tag_bytes: int, progress: Progress | None = None
) -> Encoded:
    """The segments of a whole source of one or two channels, and the header for them; the arguments are those of
    `pipeline.encode`. Raises UnsupportedError if a network is missing."""
    if not header.known_frames:
        return Encoded(replace(header, layers=(), networks=()), [])
    if settings.adapt is not None:
        import torch  # noqa: F401  (what is missing is said at once)
    encoder = LatentEncoder(source, header, settings)
    way = chosen_way(source, settings, part(progress, 0, CHOSEN))
    target = target_bytes(encoder.header, settings.known_bitrate, tag_bytes)
    if settings.patterns == "off":
        return encoder.encode(way, target, part(progress, CHOSEN, 1.0))
    plain = encoder.encode(way, target, part(progress, CHOSEN, PLAIN))
    with of_file(plain.as_file()) as heard:
        copies = chosen_copies(source, plain.header, heard.render, settings.effort, part(progress, PLAIN, SEARCHED))
    if copies is None or not plain.header.layers:
        return plain
    copied = encoder.encode(way, target, part(progress, SEARCHED, COPIED), copies)
    if not sounds_better(copied, plain, source, part(progress, COPIED, 1.0)):
        return plain
    return copied if settings.adapt is None else replace(copied, told=COPIES_INSTEAD)


class LatentEncoder:
    """Encodes one source at one bitrate, with any description beside the latents.

    header: that of a file with all layers.
    """

    def __init__(self, source: AudioSource, header: Header, settings: EncodeSettings) -> None:
        self._source, self._settings = source, settings
        self._describers: dict[Way, Describer] = {}
        self._plain = description_header(header)
        self._network = installed_network(LATENTS_NETWORK)
        self.header = self._with_latents(self._plain)

    def encode(
        self, way: Way, target: float, progress: Progress | None = None, copies: Copies | None = None
    ) -> Encoded:
        """The file in `target` bytes without tags, where there are `copies` without what these spare."""
        described = self._described(way, target, part(progress, 0, DESCRIBED), copies)
        if not described.header.layers:
            return described  # silence
        header = self._with_latents(described.header)
        network = latent_network(header, encoding_device(self._settings.device))
        found = analysed(self._source, described, network, part(progress, DESCRIBED, ANALYSED))
        coded = Encoded(header, described.segments)
        if copies is not None:
            found[copies.columns(len(found))] = 0
            coded = copies.added_to(coded)
        if copies is not None or self._settings.adapt is None:
            return LatentQuantiser(coded, found, target, part(progress, ANALYSED, 1.0)).run()
        from evc.models.adaptation.encoder import with_own_network

        return with_own_network(self._source, coded, found, target, self._settings, part(progress, ANALYSED, 1.0))

    def _with_latents(self, header: Header) -> Header:
        return replace(header, layers=(*header.layers, "latent"), networks=(*header.networks, self._network))

    def _described(self, way: Way, target: float, progress: Progress | None, copies: Copies | None) -> Encoded:
        """Events and noise, or noise alone."""
        share = way.bitrate / self._settings.known_bitrate
        describer = self._describer(way, part(progress, 0, DECOMPOSING))
        if copies is not None:
            share *= (1 - copies.share) ** DENSER
            describer = describer.within(LeftOver(self._source, copies), copies.told)
        room = empty_bytes(self._plain) + share * (target - empty_bytes(self.header))
        return describer.to_target(room, part(progress, DECOMPOSING, 1.0))

    def _describer(self, way: Way, progress: Progress | None) -> Describer:
        """Events of the source are found once."""
        if way not in self._describers:
            if way.events:
                found = Describer.of(self._source, self._plain, self._settings, way.bitrate, progress)
            else:
                found = Describer.without_events(self._source, self._plain)
            self._describers[way] = found
        return self._describers[way]


def chosen_way(source: AudioSource, settings: EncodeSettings, progress: Progress | None = None) -> Way:
    """What a few seconds of a source sound best with beside their latents."""
    ways = possible_ways(settings.known_bitrate)
    sample = sampled(source)
    header = Header(sample.samplerate, sample.channels, sample.frames)
    encoder = LatentEncoder(sample, header, replace(settings, adapt=None, adapt_state=None))
    target = empty_bytes(encoder.header) + settings.known_bitrate * 125 * sample.frames / sample.samplerate
    whole = counted(progress, source.frames)
    noise = _tried(encoder, sample, ways[0], target, stage(whole, 0, 2), TONAL_ENOUGH)
    if noise.tonal >= TONAL_ENOUGH:
        return ways[0]
    events = _tried(encoder, sample, ways[1], target, stage(whole, 1, 2))
    return ways[events.badness < noise.badness - EVENTS_WORTH]


def _tried(
    encoder: LatentEncoder, source: AudioSource, way: Way, target: float, progress: Progress | None,
    enough: float = math.inf,
) -> Score:
    """How a source comes out; `enough` as in `heard_as`."""
    coded = encoder.encode(way, target, progress)
    with of_file(coded.as_file()) as heard:
        audio = heard.render(0, source.frames)
        return heard_as(audio, source.read(0, source.frames), source.samplerate, enough)


def analysed(
    source: AudioSource, described: Encoded, network: LatentInference, progress: Progress | None = None
) -> FineLatents:
    """What the network hears in a source beside its description."""
    header = described.header
    columns = columns_of(header)
    found = np.zeros((columns, DIMENSIONS), np.float16)

    def latents(work: tuple[UnitSpan, Audio, Audio, Audio]) -> tuple[UnitSpan, NDArray[np.float32]]:
        span, *audio = work
        x, y, noise = map(to_planes, audio)
        heard = network.encode(x, y, noise, span.ends(columns))
        return span, heard * span.inner(_audible(audio[1]))[:, None]

    work = _spans(source, described, network.config.margin)
    with one_thread(), ThreadPoolExecutor(WORKERS) as threads:
        while batch := list(islice(work, WORKERS)):
            for span, values in threads.map(latents, batch):
                found[span.start : span.end] = _limited(values)
                if progress is not None:
                    progress(min(span.end * SAMPLES_PER_COLUMN, header.known_frames), header.known_frames)
    return found


def _spans(source: AudioSource, described: Encoded, margin: int) -> Iterator[tuple[UnitSpan, Audio, Audio, Audio]]:
    """All units with their margins: the source, what the description renders, and the noise of that."""
    channels, frames = source.channels, described.header.known_frames
    with of_file(described.as_file()) as beside:
        for span in UnitSpan.all(columns_of(described.header), margin):
            x = span.read(source.read, channels, frames)
            y, noise = np.split(span.read(beside.known, 2 * channels, frames), 2)
            yield span, x, y, noise


def _limited(latents: NDArray[np.float32]) -> NDArray[np.float32]:
    """Latents [columns, DIMENSIONS] that cost no more than they bring: of columns in which next to nothing was expected
    nothing can be restored."""
    hopeless = (np.abs(latents) > MOST).mean(axis=1) > HOPELESS
    return np.where(hopeless[:, None], 0, latents.clip(-MOST, MOST))


def _audible(audio: Audio) -> NDArray[np.bool_]:
    """In which columns something sounds, or next to them: [columns] of audio [channels, frames]."""
    sounds = np.abs(audio).max(axis=0).reshape(-1, SAMPLES_PER_COLUMN).max(axis=1) > SILENT
    near = np.pad(sounds, 1)
    audible: NDArray[np.bool_] = near[:-2] | near[1:-1] | near[2:]
    return audible
