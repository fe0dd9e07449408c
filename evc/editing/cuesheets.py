"""Where the tracks of an album begin: cue sheets, as files and as the tag CUESHEET, FLAC's own cue sheets (RFC 9639,
8.7), chapters as Vorbis comments tell them (CHAPTER001=00:00:00.000, CHAPTER001NAME=…), and cue points."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from evc.facts import FileFacts
from evc.format.errors import InputError
from evc.format.tags import Tags, folded, values_of
from evc.loops import cues_of

_PER_SECOND = 75  # frames of a compact disc, in which a cue sheet counts
_WORD = re.compile(r'"([^"]*)"|(\S+)')
_NUMBER = re.compile(r"\d{1,9}")
_TIME = re.compile(r"(\d{1,4}):(\d{2}):(\d{2})")
_CHAPTER = re.compile(r"chapter(\d{1,9})")
_CHAPTER_TIME = re.compile(r"(?:(\d{1,4}):)?(\d{1,2}):(\d{2}(?:\.\d*)?)")
_LEAST_TRACK_BYTES = 36  # of a track in FLAC's cue sheet
_LEAD_OUT = (170, 255)
_OF_ALBUM = {"TITLE": "album", "PERFORMER": "albumartist", "CATALOG": "barcode"}
_OF_TRACK = {"TITLE": "title", "PERFORMER": "artist", "SONGWRITER": "composer", "ISRC": "isrc"}
_REMARKS = {"GENRE": "genre", "DATE": "date", "DISCNUMBER": "discnumber", "TOTALDISCS": "disctotal"}
# In names of files: what some system does not allow, and what makes a terminal or a list show another name.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\u200e\u200f\u2028-\u202e\u2066-\u2069]')
_MOST_NAME = 200  # bytes
_MOST_TRACKS = 9999


@dataclass(frozen=True)
class Track:
    """Where a track begins, in frames, its number, and its tags."""

    start: int
    number: int
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """That a file of it can have, without ending."""
        title = _FORBIDDEN.sub("_", self.tags.get("title", "")).strip(" .")
        title = title.encode()[:_MOST_NAME].decode(errors="ignore")  # not in the middle of a character
        return f"{self.number:02d} {title}".strip(" .")


def read_cue(text: str, samplerate: int) -> list[Track]:
    """The tracks of a cue sheet, which begin where their INDEX 01 is. Raises InputError, with the line, for what is no
    cue sheet, and for one that is about several files."""
    album: dict[str, str] = {}
    tracks: list[tuple[int, dict[str, str], list[int]]] = []
    files = 0
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        words = [quoted or plain for quoted, plain in _WORD.findall(line)]
        if not words:
            continue
        command, *rest = words
        match command.upper(), rest:
            case "FILE", _:
                files += 1
            case "TRACK", [found, *_] if _NUMBER.fullmatch(found) and len(tracks) < _MOST_TRACKS:
                tracks.append((int(found), {}, []))
            case "INDEX", [index, time] if tracks and _NUMBER.fullmatch(index):
                if int(index) == 1:
                    tracks[-1][2].append(_frames(time, samplerate, number))
            case "TRACK" | "INDEX", _:
                raise InputError(f"line {number} is none of a cue sheet: {line.strip()[:60]}")
            case "REM", [name, *values] if name.upper() in _REMARKS and values:
                album[_REMARKS[name.upper()]] = " ".join(values)
            case name, values if values and name in (_OF_TRACK if tracks else _OF_ALBUM):
                told = tracks[-1][1] if tracks else album
                told[(_OF_TRACK if tracks else _OF_ALBUM)[name]] = " ".join(values)
    if files > 1:
        raise InputError("the cue sheet is about several files: there is nothing to cut")
    if not tracks:
        raise InputError("no cue sheet: it has no TRACK")
    missing = [number for number, _, starts in tracks if not starts]
    if missing:
        raise InputError(f"track {missing[0]} of the cue sheet has no INDEX 01")
    artist = {"artist": album["albumartist"]} if "albumartist" in album else {}
    return [Track(starts[0], number, artist | album | told) for number, told, starts in tracks]


def told_tracks(file: FileFacts) -> list[Track]:
    """The tracks or chapters that a file itself tells of: in its tag CUESHEET, in FLAC's cue sheet, in tags CHAPTER001
    and so on, or else its cue points. Empty where it tells none."""
    tags = folded(file.tags)
    if sheets := values_of(tags.get("cuesheet", [])):
        return read_cue(sheets[0], file.samplerate)
    blocks = [chunk.data for chunk in file.foreign if chunk.origin == "FLAC" and chunk.id == "CUES"]
    found = list(_flac_tracks(blocks[0])) if blocks else list(_chapters(tags, file.samplerate))
    if not found:
        starts: dict[int, str] = {}
        for cue in cues_of(file.foreign, file.frames):  # an array of all labels may be large
            starts.setdefault(cue.start, cue.label)
        told = enumerate(starts.items(), 1)
        found = [Track(start, number, {"title": label} if label else {}) for number, (start, label) in told]
    return found


def parts(tracks: Sequence[Track], file: FileFacts) -> list[tuple[Track, int, Tags]]:
    """What becomes of a file that is cut where its tracks begin: each track, with its length in frames and the tags of
    its part, in order. What lies before the first belongs to it. Raises InputError where they are not in order, or
    begin behind the end."""
    starts = [0, *(track.start for track in tracks[1:])]
    ends = [*starts[1:], file.frames]
    for track, start, end in zip(tracks, starts, ends, strict=True):
        if start >= end:
            why = "the file has ended" if start >= file.frames else "the next one has begun"
            where = f"{start / file.samplerate:.2f} s"
            raise InputError(f"track {track.number} begins at {where}, where {why}: is this its cue sheet?")
    own = {name: value for name, value in folded(file.tags).items() if not _about_one(name)}
    found = []
    for number, (track, start, end) in enumerate(zip(tracks, starts, ends, strict=True), 1):
        count = {"tracknumber": str(track.number or number), "tracktotal": str(len(tracks))}
        tags: Tags = {**own, **track.tags, **count}
        found.append((Track(start, track.number, track.tags), end - start, tags))
    return found


def _about_one(name: str) -> bool:
    """Whether a tag of an album would be wrong for its tracks."""
    only = ("title", "isrc", "tracknumber", "tracktotal", "totaltracks", "cuesheet", "loopstart", "looplength")
    return name in only or name.startswith("replaygain_track_") or _CHAPTER.match(name) is not None


def _frames(time: str, samplerate: int, line: int) -> int:
    match = _TIME.fullmatch(time)
    if match is None or int(match[2]) >= 60 or int(match[3]) >= _PER_SECOND:
        raise InputError(f"line {line} of the cue sheet: {time[:20]} is no time, as 03:25:74 is")
    minutes, seconds, rest = map(int, match.groups())
    return round(((60 * minutes + seconds) * _PER_SECOND + rest) * samplerate / _PER_SECOND)


def _chapters(tags: Tags, samplerate: int) -> Iterator[Track]:
    numbered = [(int(match[1]), name) for name in tags if (match := _CHAPTER.fullmatch(name))]
    for number, (_, name) in enumerate(sorted(numbered), 1):
        match = _CHAPTER_TIME.fullmatch((values_of(tags[name]) or [""])[0].strip())
        if match is None:
            raise InputError(f"the tag {name.upper()} is no time, as 00:03:25.000 is")
        seconds = 3600 * int(match[1] or 0) + 60 * int(match[2]) + float(match[3])
        title = (values_of(tags.get(f"{name}name", [])) or [""])[0]
        yield Track(round(seconds * samplerate), number, {"title": title} if title else {})


def _flac_tracks(block: bytes) -> Iterator[Track]:
    """Those of a block CUESHEET of FLAC, without the lead-out; of one that is cut short, what is there."""
    at, count = 396, block[395] if len(block) > 395 else 0
    for _ in range(count):
        if at + _LEAST_TRACK_BYTES > len(block):
            return
        offset, number, isrc, _, indices = struct.unpack(">QB12s14sB", block[at : at + _LEAST_TRACK_BYTES])
        first = at + _LEAST_TRACK_BYTES
        rows = [struct.unpack(">QB3x", block[i : i + 12]) for i in range(first, first + 12 * indices, 12)
                if i + 12 <= len(block)]  # fmt: skip
        begin = next((place for place, index in rows if index == 1), 0)
        code = isrc.rstrip(b"\0").decode("ascii", "replace")
        if number not in _LEAD_OUT:
            yield Track(offset + begin, number, {"isrc": code} if code else {})
        at = first + 12 * indices
