"""The files among the conformance vectors: what they hold, and how each is made."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.edits import Stretch
from evc.format.header import Header
from evc.format.metadata import Foreign, Picture
from evc.format.rewriting import join, rewrite
from evc.format.segment import Segment
from evc.format.writer import ContainerWriter
from evc.loops import Loop, smpl_chunk
from evc.models import pipeline, sequencer
from evc.models.settings import EncodeSettings
from evc.models.source import ArraySource, AudioSource, LoopSource
from evc.spec import enveloped, stress, stress_spectrum
from evc.spec.containers import later
from evc.spec.latents import large_latents, latents
from evc.spec.learned import adapted, described, events, repeats, roar
from evc.spec.patterned import copies, graded, lattices, one_shots, placements
from evc.spec.syntax import hiss, layers, syntax
from evc.spec.timbre import timbres

Audio = NDArray[np.float64]

FOLDER = Path(__file__).parent / "vectors"

_DOT = bytes.fromhex(  # a PNG of one pixel
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8dfc000"
    "0004010180c52a185d0000000049454e44ae426082"
)


def _encoded(
    audio: Audio,
    samplerate: int,
    quality: float,
    superframes: int = c.DEFAULT_SUPERFRAMES_PER_SEGMENT,
    tags: Mapping[str, str | list[str]] | None = None,
    note: bytes = b"",
    speakers: Sequence[str] | None = None,
    loop: bool = False,
) -> bytes:
    """A file of the encoder, with segments of `superframes` and, with `note`, an optional chunk of that content."""
    source = ArraySource(audio.astype(np.float32), samplerate, speakers=speakers)
    played: AudioSource = LoopSource(source) if loop else source
    length = superframes * c.superframe_length(samplerate)
    header = Header(
        samplerate, source.channels, played.frames, layers=("spectrum",), segment_frames=length, loop=loop
    )
    target = io.BytesIO()
    coded = pipeline.encode(played, header, EncodeSettings(quality=quality, patterns="off"), 0)
    with ContainerWriter(target, coded.header, tags, source.speakers) as writer:
        if note:
            writer.add_optional(b"note", note)
        for segment in coded.segments:
            writer.add_segment(segment)
    return target.getvalue()


def _sine(frames: int, samplerate: int, hertz: float, level: float) -> Audio:
    return level * np.sin(2 * np.pi * hertz * np.arange(frames) / samplerate)


def _music(frames: int, samplerate: int) -> Audio:
    """A bar's beginning from the demonstration track, [frames, 2]."""
    return sequencer.track(4.6, samplerate)[4 * samplerate - 1000 :][:frames].astype(np.float64)


def _mono() -> bytes:
    audio = _sine(1000, 8000, 440, 0.3) + _sine(1000, 8000, 1330, 0.05)
    audio *= np.sin(np.pi * np.arange(1000) / 1000) ** 2
    return _encoded(audio, 8000, quality=4.0, superframes=1)


def _stereo() -> bytes:
    tags: dict[str, str | list[str]] = {"title": "Grid", "artist": ["A", "B"]}
    return _encoded(_music(20_000, 44_100), 44_100, quality=5.0, superframes=2, tags=tags, note=b"kept by editors")


def _three() -> bytes:
    """A pair that falls silent, and a single channel."""
    audio = np.zeros((9000, 3))
    audio[:4000, :2] = _music(4000, 22_050)
    audio[:, 2] = _sine(9000, 22_050, 1234.5, 0.3)
    return _encoded(audio, 22_050, quality=6.0, superframes=2)


def _surround() -> bytes:
    tones = [_sine(6000, 48_000, 220 * 1.5**channel, 0.2) for channel in range(8)]
    speakers = ("FL", "FR", "FC", "LFE", "BL", "BR", "TFL", "")
    return _encoded(np.stack(tones, axis=1), 48_000, quality=4.0, speakers=speakers)


def _loop() -> bytes:
    phase = 2 * np.pi * np.arange(2300) / 2300
    tones = np.stack([np.sin(37 * phase + 1), np.sin(91 * phase) + np.sin(5 * phase)], axis=1)
    return _encoded(0.3 * tones, 8000, quality=6.0, superframes=1, loop=True)


def _edited() -> bytes:
    """The loop, turned: its start follows upon its end in the middle, and it still is one."""
    stretches = [Stretch(1500, 800), Stretch(0, 777), Stretch(777, 1), Stretch(100, 678), Stretch(778, 722)]
    target = io.BytesIO()
    rewrite(io.BytesIO(_loop()), target, edits=stretches)
    return target.getvalue()


def _joined(*files: Callable[[], bytes], edits: Sequence[Stretch] | None = None) -> bytes:
    chain, target = io.BytesIO(), io.BytesIO()
    join([io.BytesIO(make()) for make in files], chain)
    rewrite(chain, target, edits=edits)
    return target.getvalue()


def _wide() -> bytes:
    time = np.arange(30_000) / 192_000
    return _encoded(0.5 * np.sin(2 * np.pi * (1000 * time + 250_000 * time**2)), 192_000, quality=9.0)


def _silence() -> bytes:
    return _encoded(np.zeros((300_000, 2)), 44_100, quality=6.0)


def _sample() -> bytes:
    return _encoded(np.array([0.5]), 48_000, quality=6.0)


def _empty() -> bytes:
    return _encoded(np.zeros((0, 2)), 48_000, quality=6.0)


def _tagged() -> bytes:
    """A second of silence with everything that can be beside the sound."""
    frames = 8000
    tags: dict[str, str | list[str]] = {"title": "Größe", "artist": ["A", "B"], "lyrics": "one\ntwo"}
    pictures = [Picture.of(_DOT, description="Punkt"), Picture(b"https://example.org/back.png", 4, "-->")]
    cue = struct.pack("<I", 1) + struct.pack("<II4sIII", 7, 2000, b"data", 0, 0, 2000)
    label = b"adtl" + struct.pack("<4sII", b"labl", 9, 7) + b"here\0\0"
    foreign = [
        smpl_chunk([Loop(1000, 4000)], 8000), Foreign("RIFF", "cue ", cue), Foreign("RIFF", "LIST", label),
        Foreign("FLAC", "APPL", b"testdata"),
    ]  # fmt: skip
    target = io.BytesIO()
    header = Header(8000, 1, frames, layers=("spectrum",), segment_frames=8192)
    with ContainerWriter(target, header, tags, 0, pictures, foreign) as writer:
        writer.add_segment(Segment(0, ()))
    return target.getvalue()


def _transient() -> bytes:
    audio = _sine(12_000, 32_000, 330, 0.1)
    audio[[3000, 7500]] += 0.8
    audio[9000:] += np.random.default_rng(1).normal(0, 0.2, 3000) * np.exp(-np.arange(3000) / 400)
    return _encoded(audio, 32_000, quality=6.0, superframes=3)


def _quiet() -> bytes:
    return _encoded(np.random.default_rng(2).normal(0, 2.0**-16, (12_000, 2)), 48_000, quality=8.0)


def _loud() -> bytes:
    """Coefficients large enough for escapes and low bits."""
    audio = 0.6 * np.sign(_sine(6000, 16_000, 97, 1.0))
    return _encoded(audio, 16_000, quality=10.0)


def _chain() -> bytes:
    return _joined(lattices, graded, lattices)


def _rejoined() -> bytes:
    """Frames 15 000 to 17 300 are the loop."""
    edits = [Stretch(14_000, 2000), Stretch(17_000, 9000), Stretch(16_990, 300), Stretch(15_000, 2300)]
    return _joined(hiss, _loop, copies, edits=edits)


# By name: what the file is for, and the function that makes it.
FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "mono": ("one channel, one superframe; explained byte by byte in section 13 of the specification", _mono),
    "stereo": ("music, stereo modes, several segments, tags, an unknown optional chunk", _stereo),
    "three": ("a pair that falls silent, and a single channel", _three),
    "surround": ("eight channels, seven of them with speakers", _surround),
    "loop": ("a loop, whose start is coded again behind its end", _loop),
    "edited": ("the same loop with an edit list: turned, some of it twice; still a loop", _edited),
    "wide": ("192 kHz, a sweep up to half the sample rate", _wide),
    "transient": ("clicks and a burst: blocks of many sizes", _transient),
    "quiet": ("noise of half a step of 16 bits", _quiet),
    "loud": ("a square wave at the finest quality: escapes and low bits", _loud),
    "silence": ("no sound, two segments", _silence),
    "sample": ("a single frame", _sample),
    "empty": ("no frames at all", _empty),
    "tagged": ("silence with tags, pictures and foreign chunks", _tagged),
    "syntax": ("integers that no encoder would choose, all block sizes and modes; no sound to compare", syntax),
    "graded": ("superframes with finer steps than others", graded),
    "copies": (
        "copies of the past by whole and fractional lags, gains by band, mid and side, polarity; "
        "blocks that are alone, held, both",
        copies,
    ),
    "placements": ("explicit waveforms and an excerpt, placed; a plane of gains per channel", placements),
    "one-shots": ("waveforms at many pitches, panned, with and without loops, beside a copy", one_shots),
    "lattices": ("lattices, shifted and turned, beside copies and without", lattices),
    "hiss": ("noise of levels, balances, angles and colours that change; a segment without", hiss),
    "roar": ("noise of three channels, at the start and behind 65 536 frames; colours up to the last bands", roar),
    "events": (
        "events of all parts, one as long as events can be, one cut by the end; with `evc-events-test.safetensors`",
        lambda: events(FOLDER),
    ),
    "described": (
        "events and noise, and latents that restore something from them; with `evc-events-test.safetensors`, and the "
        "weights of latents that the package has",
        lambda: described(FOLDER),
    ),
    "adapted": (
        "noise and latents in mono, whose network the file changes; the weights are those that the package has",
        adapted,
    ),
    "repeats": (
        "copies of what noise and latents sound like together, at whole and fractional lags, with gains, in a row and "
        "of each other; the weights of latents are those of the package",
        repeats,
    ),
    "timbres": (
        "timbres at the ends of their ranges, across segments and into silence; the weights are those of the package",
        timbres,
    ),
    "layers": ("dictionary, occurrences, events, noise, dependent segments; no sound to compare", layers),
    "chain": ("three files joined: a dictionary, dependencies and noise that begin again", _chain),
    "rejoined": ("noise, a loop and copies joined, with an edit list of stretches that lie across them", _rejoined),
    "latents": (
        "latents small and huge, a segment without; their probabilities are in `evc-latents-test.safetensors`; "
        "no sound to compare",
        lambda: latents(FOLDER),
    ),
    "large-latents": ("latents about the limits of what they are predicted from", lambda: large_latents(FOLDER)),
    "later": (
        "a later minor version: what a reader skips; dictionaries and a second HEAD between the segments", later,
    ),
} | stress.FILES | stress_spectrum.FILES | enveloped.FILES
# Too loud, or without frames, networks or usual parts: there is no sound to compare.
UNHEARD = {"empty", "layers", "latents", "large-latents", "later", "many-events", "many-levels", "many-occurrences"}
