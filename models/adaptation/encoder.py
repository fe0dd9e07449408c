"""A file of latents with a network of its own (`evc encode --adapt`): fitted, and kept only where it pays.

What latents have to do without pays for the difference, so that both files have as many bytes. The adapted one is kept
if no measure of the track itself says that it is worse.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from evc.format.decoding import SegmentDecoder
from evc.format.errors import InputError, OutputError
from evc.format.networks import find
from evc.format.reader import ContainerReader
from evc.format.streams.difference import coded_difference
from evc.models.adaptation.fitting import Fit, FitSettings, Stretch
from evc.models.device import one_thread
from evc.models.encoded import Encoded
from evc.models.hearing import mel_distance, tonal_similarity
from evc.models.latents.network import LatentNetwork
from evc.models.latents.planes import to_planes
from evc.models.latents.quantise import LatentQuantiser
from evc.models.latents.rendering import UnitSpan, columns_of, latents_of
from evc.models.progress import Progress, part
from evc.models.settings import EncodeSettings
from evc.models.source import AudioSource
from evc.models.superframes import Choice
from evc.models.synthesis import LATENT, FileSegments, Synthesiser, of_file
from evc.models.training.measures import level_error, short_time_similarity

EXPECTED, LEAST_EXPECTED, MOST_EXPECTED = 0.06, 400.0, 6000.0  # of the bytes: what a difference takes, as a first guess
PRICE = 0.8  # what e times the bytes are worth to the loss, about, as the codec's own files tell
LEAST_SECONDS = 2.0
STEP_SECONDS = 0.3  # of one core, about
LEAST_STEPS, MOST_STEPS = 60, 450  # where nobody says how many minutes
MOST_STRETCHES = 40  # that are looked at: about four minutes
PIECE, MOST_PIECES = 6.0, 20  # seconds, of what is judged
LEVEL_SPARE = 0.15  # dB
SAVED_EVERY = 20  # steps
RETRIES, SPARE = 4, 0.001  # since bytes are met within half a percent: if there are more, and what is left of them then
_PLAIN, _FITTED = 0.15, 0.85  # of the work, for showing progress


class Quality(NamedTuple):
    """How a file sounds beside its source: `mel` and `short` are distances, `tonal` is a similarity, `level` the error
    of levels in dB."""

    mel: float
    tonal: float
    short: float
    level: float

    def no_worse(self, other: Quality) -> bool:
        """By any of them; levels may be a little farther off, which nobody hears."""
        nearer = self.mel <= other.mel and self.tonal >= other.tonal and self.short <= other.short
        return nearer and self.level <= other.level + LEVEL_SPARE


def with_own_network(
    source: AudioSource, described: Encoded, latents: NDArray[np.floating], target: float, settings: EncodeSettings,
    progress: Progress | None = None,
) -> Encoded:  # fmt: skip
    """The file of a source that `described` and `latents` make in `target` bytes without tags, adapted if that pays.
    Raises InputError for a state of another fit."""

    def quantised(beside: Encoded, target: float, progress: Progress | None = None) -> Encoded:
        return LatentQuantiser(beside, latents, target, progress).run()

    plain = quantised(described, target, part(progress, 0, _PLAIN / 2))
    if source.frames < LEAST_SECONDS * source.samplerate:
        return replace(plain, told="not adapted: so short a sound has nothing to pay with")
    expected = min(max(EXPECTED * target, LEAST_EXPECTED), MOST_EXPECTED)
    if plain.bytes() < target - expected:  # the finest steps take no more: there is nothing to pay with
        return replace(plain, told="not adapted: this sound needs no more bytes")
    coarser = quantised(described, target - expected, part(progress, _PLAIN / 2, _PLAIN))
    network = LatentNetwork.load(find(described.header.networks[-1]))
    with one_thread():
        stretches = list(_stretches(source, coarser, network))
        fit = Fit(network, stretches, source.samplerate, FitSettings(price=PRICE / (8 * target)))
        state = None if settings.adapt_state is None else _State(settings.adapt_state, coarser, settings)
        _run(fit, steps_of(settings, source), state, part(progress, _PLAIN, _FITTED), source.frames)
    adaptation = coded_difference(fit.stream())
    most, wanted = max(target, plain.bytes()), target
    beside = replace(described, adaptation=adaptation)
    adapted = quantised(beside, wanted, part(progress, _FITTED, 0.95))
    for _ in range(RETRIES):
        if (excess := adapted.bytes() - most) <= 0:
            break
        wanted -= excess + SPARE * target
        adapted = quantised(beside, wanted)
    if adapted.bytes() > most:
        return replace(plain, told="not adapted, which would take more bytes")
    before, after = (judged(coded, source) for coded in (plain, adapted))
    if progress is not None:
        progress(source.frames, source.frames)
    if after.no_worse(before):
        return replace(adapted, told=_told(len(adaptation.words), before, after))
    return replace(plain, told=f"not adapted, which would not sound better: {_changes(before, after)}")


def steps_of(settings: EncodeSettings, source: AudioSource) -> int:
    """How many a fit has: of the minutes that are asked for, else of the duration. They do not hang on the machine, so
    that the same file comes out."""
    if settings.adapt:
        return max(1, round(60 * settings.adapt / STEP_SECONDS))
    return int(min(max(source.frames / source.samplerate / STEP_SECONDS, LEAST_STEPS), MOST_STEPS))


def judged(coded: Encoded, source: AudioSource) -> Quality:
    """How a file sounds, in pieces from all over it."""
    frames = min(source.frames, round(PIECE * source.samplerate))
    count = min(MOST_PIECES, source.frames // max(frames, 1))
    found = []
    with of_file(coded.as_file()) as heard, one_thread(), torch.inference_mode():
        for number in range(count):
            start = (source.frames - frames) * (2 * number + 1) // (2 * count)
            ours, theirs = heard.render(start, frames), source.read(start, frames)
            rate, tensors = source.samplerate, (torch.from_numpy(ours), torch.from_numpy(theirs))
            short, level = 1 - short_time_similarity(*tensors, rate), level_error(*tensors, rate)
            near = mel_distance(ours, theirs, rate), tonal_similarity(ours, theirs, rate)
            found.append((*near, float(short), float(level)))
    return Quality(*np.mean(found, axis=0).tolist())


class _State:
    """A file from which a fit goes on. Raises InputError where it cannot be one, OutputError where it cannot be
    written: both are told before any fitting."""

    def __init__(self, path: str, coded: Encoded, settings: EncodeSettings) -> None:
        digest = hashlib.sha256(coded.as_file().getvalue())
        digest.update(repr(settings.adapt).encode())
        self._name, self._path, self._digest = path, Path(path).resolve(), digest.hexdigest()
        if self._path.exists() and not self._path.is_file():
            raise InputError(f"{path} is no file, which the state of a fit has to be")
        with self._written():  # nothing is fitted for hours that cannot be kept
            pass

    def restore(self, fit: Fit) -> None:
        """Go on where an earlier one was, if there is one. Raises InputError for that of another file."""
        if not self._path.exists():
            return
        try:
            with warnings.catch_warnings(action="ignore"):  # of what foreign files look like
                kept = dict(torch.load(self._path, weights_only=True))
            same = bool(kept["file"] == self._digest)
            if same:
                fit.restore(kept["fit"])
        except Exception as error:  # unpickling raises any
            raise InputError(f"{self._name} is no state of a fit") from error
        if not same:
            raise InputError(f"{self._name} belongs to another sound, or to other settings")

    def save(self, fit: Fit) -> None:
        kept = io.BytesIO()  # since torch has no proper errors for files
        torch.save({"file": self._digest, "fit": fit.state()}, kept)
        with self._written() as partial:
            partial.write_bytes(kept.getbuffer())
            os.replace(partial, self._path)

    @contextmanager
    def _written(self) -> Iterator[Path]:
        """A new file beside it, empty, which is not there any more afterwards."""
        partial = self._path.with_name(f"{self._path.name}.partial")
        try:
            partial.touch()
            yield partial
        except OSError as error:
            raise OutputError(f"{self._name}: cannot be written ({(error.strerror or str(error)).lower()})") from error
        finally:
            with suppress(OSError):
                partial.unlink()


def _run(fit: Fit, steps: int, state: _State | None, progress: Progress | None, frames: int) -> None:
    if state is not None:
        state.restore(fit)

    def watch(done: int, figures: dict[str, float]) -> None:
        if progress is not None:
            progress(frames * done // steps, frames)
        if state is not None and (done % SAVED_EVERY == 0 or done == steps):
            state.save(fit)

    fit.run(steps, watch)


def _stretches(source: AudioSource, coded: Encoded, network: LatentNetwork) -> Iterator[Stretch]:
    """Those of a source that are looked at, as a file decodes them without a difference."""
    header, margin = coded.header, network.config.margin
    columns, channels, frames = columns_of(header), header.channels, header.known_frames
    spans = list(UnitSpan.all(columns, margin))
    count = min(len(spans), MOST_STRETCHES)
    layers = tuple(name for name in header.layers if name != LATENT)
    with closing(SegmentDecoder(ContainerReader(coded.as_file()))) as decoder:
        others = Synthesiser(FileSegments(decoder), Choice(layers))
        for span in (spans[number * len(spans) // count] for number in range(count)):
            x = span.read(source.read, channels, frames)
            y, noise = np.split(span.read(others.known, 2 * channels, frames), 2)
            latents = latents_of(header, decoder.decode, [span])[0]
            yield Stretch.of(network, map(to_planes, (x, y, noise)), latents, span.ends(columns))


def _told(size: int, before: Quality, after: Quality) -> str:
    return f"adapted by {size / 1000:.1f} kB, which counts: {_changes(before, after)}"


def _changes(before: Quality, after: Quality) -> str:
    mel, short = (100 * (getattr(after, name) / max(getattr(before, name), 1e-9) - 1) for name in ("mel", "short"))
    tonal = after.tonal - before.tonal
    return f"mel distance {mel:+.1f} %, tonal similarity {tonal:+.4f}, short-time distance {short:+.1f} %"
