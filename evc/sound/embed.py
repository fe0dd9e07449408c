"""Metadata into a finished sound file: which module does it for a format, and what the format cannot hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import BinaryIO

from evc.format.constants import MAX_FRAMES
from evc.format.metadata import Foreign, Metadata
from evc.format.tags import Tags, folded, values_of
from evc.loops import LOOP_LENGTH, LOOP_START, Loop, loop_tags, loops_of, only_loops, smpl_chunk
from evc.sound import tagged
from evc.sound.comments import has_field_name, one_text
from evc.sound.flac import embed_flac, is_cuesheet
from evc.sound.ogg import embed_ogg
from evc.sound.riff import aiff_name, embed_aiff, embed_wave, info_name

OWN_ENCODER = "evc "  # what this program's value of the tag `encoder` starts with
# Tags that libsndfile writes by itself, one value of each.
_CAF_TAGS = ("title", "copyright", "software", "artist", "comment", "date", "album", "license", "tracknumber", "genre")
_MP3_TAGS = ("title", "artist", "comment", "date", "album", "tracknumber", "genre")
_LIBRARY_TAGS = {"CAF": _CAF_TAGS, "MP3": _MP3_TAGS}


@dataclass
class _Left:
    """What a format cannot hold."""

    tags: list[str] = field(default_factory=list)
    joined: list[str] = field(default_factory=list)
    pictures: int = 0
    chunks: list[str] = field(default_factory=list)

    def fitting(self, tags: Tags, fits: Callable[[str], object]) -> Tags:
        """Those whose names fit; the others are noted."""
        self.tags = [name for name in tags if not fits(name)]
        return {name: value for name, value in tags.items() if fits(name)}

    def single(self, tags: Tags) -> dict[str, str]:
        """Tags of one value each; where several were joined that is noted."""
        self.joined = [name for name, value in tags.items() if len(values_of(value)) > 1]
        return {name: one_text(value) for name, value in tags.items()}

    def kept(self, foreign: Iterable[Foreign], fits: Callable[[Foreign], bool]) -> list[Foreign]:
        """The chunks that fit; the others are noted."""
        chunks = list(foreign)
        self.chunks = list(dict.fromkeys(chunk.name for chunk in chunks if not fits(chunk)))
        return [chunk for chunk in chunks if fits(chunk)]

    def sampled(self, loops: list[Loop], foreign: Iterable[Foreign]) -> None:
        """The first of these loops is in tags: note what that leaves of a `smpl` chunk."""
        if "smpl" in self.chunks and loops:
            place = self.chunks.index("smpl")
            whole = len(loops) == 1 and loops[0] == Loop(loops[0].start, loops[0].frames)
            whole = whole and all(only_loops(chunk) for chunk in foreign if chunk.id == "smpl")
            self.chunks[place : place + 1] = [] if whole else ["smpl but for its first loop"]

    def __str__(self) -> str:
        """In words; "" where there is nothing."""
        named = (("tag", self.tags), ("chunk", self.chunks))
        what = [f"the {name}{'s' * (len(each) > 1)} {', '.join(each)}" for name, each in named if each]
        if self.pictures:
            what.insert(1 if self.tags else 0, f"{self.pictures} picture{'s' if self.pictures > 1 else ''}")
        texts = [f"cannot hold {', '.join(what[:-1])}{' and ' * (len(what) > 1)}{what[-1]}: left out"] if what else []
        if self.joined:
            texts.append(f"has one value of a tag: those of {', '.join(self.joined)} are joined")
        return "; it ".join(texts)


def library_tags(format: str, tags: Tags) -> dict[str, str]:
    """What libsndfile has to write itself into a file of its `format`, because `embed` cannot."""
    tags = folded(tags)
    names = () if format == "MP3" and tagged.available() else _LIBRARY_TAGS.get(format, ())
    return {name: one_text(tags[name]) for name in names if tags.get(name)}


def embed(file: BinaryIO, format: str, metadata: Metadata, length: int, samplerate: int) -> str:
    """Put metadata into the finished sound file of a libsndfile `format`, with `length` frames.

    What the format cannot hold is left out, and told in words that the name of the format can stand before; "" if there
    is nothing. Raises ValueError where the file is not as it should be.
    """
    tags = without_own_encoder(folded(metadata.tags))
    loops = loops_of(tags, metadata.foreign, length)
    metadata = Metadata(tags, metadata.pictures, metadata.foreign)
    left = _Left()
    if format in ("WAV", "WAVEX", "RF64"):
        _into_wave(file, metadata, loops, samplerate, left)
    elif format in ("FLAC", "OGG"):
        _into_comments(file, format, metadata, loops, left)
    elif format == "AIFF":
        left.pictures = len(metadata.pictures)
        fitting = left.fitting(tags, aiff_name)
        left.single({name: value for name, value in fitting.items() if name != "comment"})
        embed_aiff(file, fitting, left.kept(metadata.foreign, lambda chunk: chunk.origin == "AIFF"))
    elif format == "MP3" and tagged.available():
        from evc.sound.id3 import embed_id3

        left.joined = embed_id3(file, _with_loop(tags, loops), metadata.pictures)
        left.kept([chunk for chunk in metadata.foreign if not chunk.holds_id3], lambda chunk: False)
        left.sampled(loops, metadata.foreign)
    else:
        left.pictures = len(metadata.pictures)
        left.single(left.fitting(tags, lambda name: name in _LIBRARY_TAGS.get(format, ())))
        left.kept(metadata.foreign, lambda chunk: False)
    return str(left)


def without_own_encoder(tags: Tags) -> Tags:
    """Tags without what this program says of the .evc file, which is not about the sound."""
    values = [value for value in values_of(tags.get("encoder", [])) if not value.startswith(OWN_ENCODER)]
    kept = {name: value for name, value in tags.items() if name != "encoder"}
    return kept | ({"encoder": values if len(values) > 1 else values[0]} if values else {})


def _into_wave(file: BinaryIO, metadata: Metadata, loops: list[Loop], samplerate: int, left: _Left) -> None:
    left.pictures = len(metadata.pictures)
    looped = (LOOP_START, LOOP_LENGTH) if loops else ()
    tags = left.fitting({n: v for n, v in metadata.tags.items() if n not in looped}, info_name)
    chunks = left.kept(metadata.foreign, lambda chunk: chunk.origin == "RIFF")
    end = max((loop.start + loop.frames for loop in loops), default=0)
    if loops and loops_of({}, chunks, end) != loops:
        like = next((chunk for chunk in chunks if chunk.id == "smpl"), None)
        chunks = [chunk for chunk in chunks if chunk.id != "smpl"] + [smpl_chunk(loops, samplerate, like)]
        left.chunks = [name for name in left.chunks if name != "smpl"]
    embed_wave(file, left.single(tags), chunks)
    if any(chunk.holds_id3 for chunk in chunks):  # which came with the tags and pictures, and holds them all
        left.tags, left.joined, left.pictures = [], [], 0


def _into_comments(file: BinaryIO, format: str, metadata: Metadata, loops: list[Loop], left: _Left) -> None:
    tags = left.fitting(_with_loop(metadata.tags, loops), has_field_name)
    chunks = left.kept(metadata.foreign, lambda chunk: format == "FLAC" and _is_block(chunk))
    left.sampled(loops, metadata.foreign)
    if format == "FLAC":
        embed_flac(file, tags, metadata.pictures, chunks)
    else:
        embed_ogg(file, tags, metadata.pictures)


def _is_block(chunk: Foreign) -> bool:
    return chunk.origin == "FLAC" and (chunk.id == "CUES" and is_cuesheet(chunk.data) or chunk.id == "APPL")


def _with_loop(tags: Tags, loops: list[Loop]) -> Tags:
    """Tags with those of the first loop, unless they tell it already."""
    return tags if not loops or loops_of(tags, (), MAX_FRAMES) else tags | loop_tags(loops[0])
