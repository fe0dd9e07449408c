"""`FileFacts`: what an open .evc file tells of itself, without decoding anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evc.format.chain import Chain
from evc.format.header import Header
from evc.format.metadata import Foreign, Picture
from evc.format.reader import ContainerReader
from evc.format.speakers import names_of
from evc.loops import cues_of, loops_of

if TYPE_CHECKING:
    from evc.format.header import NetworkReference
    from evc.format.tags import Tags


class FileFacts:
    """Of the file that `chain` reads."""

    chain: Chain

    @property
    def container(self) -> ContainerReader:
        """The reader of the file, of its first link if there are more (spec 4.6)."""
        return self.chain.links[0]

    @property
    def header(self) -> Header:
        """That of the first link."""
        return self.container.header

    @property
    def samplerate(self) -> int:
        """Frames per second."""
        return self.header.samplerate

    @property
    def channels(self) -> int:
        return self.header.channels

    @property
    def speakers(self) -> tuple[str, ...]:
        """The speaker of each channel, "FL", "FR", "FC", "LFE", … (spec 3.4), "" for a channel that has none; empty
        where the file does not know them. Channels stand in the order of that list."""
        return names_of(self.container.speakers, self.channels)

    @property
    def frames(self) -> int:
        """Exact length of what is played: frames per channel."""
        return self.chain.edits.frames

    @property
    def coded_frames(self) -> int:
        """Length of the coded timeline: other than `frames` where the file has `edits`."""
        return self.chain.frames

    @property
    def edits(self) -> NDArray[Any]:
        """The edit list: the stretches of the coded timeline that are played, in their order (spec 3.7), structured
        [stretches]; empty where the file has none and plays all that is coded.

        Fields: start and frames: frames [start, start + frames) of the coded timeline."""
        stretches = self.chain.edits.stretches if self.chain.edited else ()
        return np.array([tuple(stretch) for stretch in stretches], [("start", "i8"), ("frames", "i8")])

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.samplerate

    @property
    def loop(self) -> bool:
        """Whether the file is a loop: its first frame follows upon its last."""
        return self.chain.loop

    @property
    def subtype(self) -> str:
        """Sample format of the source, for example "PCM_16"."""
        return self.header.subtype

    @property
    def tags(self) -> Tags:
        """Texts, or lists of texts where a tag has several values, by names in lower case as Vorbis comments have them:
        f.tags["artist"]."""
        return {name: value if isinstance(value, str) else list(value) for name, value in self.container.tags.items()}

    @property
    def pictures(self) -> list[Picture]:
        """Covers and other pictures, in the file's order: `data` is the image file, `type` says what it shows.

        Raises FormatError or DamagedError where one is not intact; in salvage mode such are left out."""
        return self.container.pictures

    @property
    def foreign(self) -> list[Foreign]:
        """Chunks of the format that the file was made from, byte for byte: `bext`, `iXML`, `smpl`, FLAC's cue sheet.

        Raises as `pictures` does."""
        return self.container.foreign

    @property
    def loops(self) -> NDArray[Any]:
        """Loops that the source tells, in `smpl` or in the tags LOOPSTART and LOOPLENGTH: structured [loops].

        Fields: start and frames, exact: frames [start, start + frames) repeat; kind ("forward", "alternating",
        "backward"); plays (how often, 0: for ever).

            for loop in f.loops:
                f.seek(loop["start"])
                once = f.read(loop["frames"])
        """
        found = loops_of(self.container.tags, self.container.foreign, self.frames)
        return np.array(found, [("start", "i8"), ("frames", "i8"), ("kind", "U11"), ("plays", "i8")])

    @property
    def cues(self) -> NDArray[Any]:
        """Cue points of a WAVE file, in order of time: structured [cues].

        Fields: start (frame), frames (0: a moment, else a region), label."""
        found = cues_of(self.container.foreign, self.frames)
        width = max((len(cue.label) for cue in found), default=0) or 1
        return np.array(found, [("start", "i8"), ("frames", "i8"), ("label", f"U{width}")])

    @property
    def format_version(self) -> str:
        """Version of the format the file was written in, "major.minor"."""
        return self.header.version

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers present, out of patterns, events, spectrum, noise, latent, timbre."""
        return self.chain.layers

    @property
    def networks(self) -> tuple[NetworkReference, ...]:
        """Networks that synthesis needs; empty where NumPy is enough."""
        return self.chain.networks

    @property
    def file_bytes(self) -> int:
        """Size of the whole file."""
        return self.chain.file_bytes
