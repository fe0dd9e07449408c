"""Loops and cue points, as the tags and foreign chunks of a file tell them; and what becomes of them in a part of it.

WAVE files have loops in `smpl` and cue points in `cue ` and `LIST adtl` (Multimedia Programming Interface and Data
Specifications 1.0, and the Sampler chunk of its update); other formats have the tags LOOPSTART and LOOPLENGTH, in
frames. The end of a loop in `smpl` is its last frame: start + frames − 1.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

from evc.format.metadata import Foreign, Metadata
from evc.format.tags import Tags, folded

KINDS = ("forward", "alternating", "backward")
LOOP_START, LOOP_LENGTH = "loopstart", "looplength"
_NUMBER = re.compile(r"[0-9]{1,15}")
_SMPL_BYTES, _LOOP_BYTES, _CUE_BYTES = 36, 24, 24
_MOST_FRAMES = 1 << 32  # that its fields can count
MIDDLE_C = 60
_BEXT_TIME = 338  # offset of the frames since midnight in `bext` (EBU Tech 3285)
_RIFF = {"RIFF": "<", "RIFX": ">"}


class Loop(NamedTuple):
    """Frames [start, start + frames) repeat, `plays` times or, if that is 0, for ever; `kind` is one of `KINDS`."""

    start: int
    frames: int
    kind: str = "forward"
    plays: int = 0


class Cue(NamedTuple):
    """A moment with a name, or a region if `frames` is not 0."""

    start: int
    frames: int
    label: str


def loops_of(tags: Tags, foreign: Iterable[Foreign], length: int) -> list[Loop]:
    """The loops of a file of `length` frames, as far as they lie in it. The tags count where a `smpl` says otherwise:
    they are what people change."""
    sampled = [loop for chunk in _named(foreign, "smpl") for loop in _smpl_loops(chunk)]
    tagged = _tagged_loop(tags, length)
    found = sampled if tagged is None or sampled[:1] == [tagged] else [tagged]
    inside = (loop._replace(frames=min(loop.frames, length - loop.start)) for loop in found)
    return [loop for loop in inside if loop.frames > 0]


def cues_of(foreign: Iterable[Foreign], length: int) -> list[Cue]:
    """The cue points within `length` frames, in order of time, with their labels and lengths."""
    foreign = list(foreign)
    labels: dict[int, str] = {}
    spans: dict[int, int] = {}
    for chunk in _named(foreign, "LIST"):
        for name, number, content in _listed(chunk):
            if name == b"labl":
                labels[number] = _text(content)
            elif name == b"ltxt" and len(content) >= 4:
                spans[number] = struct.unpack(_RIFF[chunk.origin] + "I", content[:4])[0]
    cues = []
    for chunk in _named(foreign, "cue "):
        for number, start in _cue_points(chunk):
            if start <= length:
                cues.append(Cue(start, min(spans.get(number, 0), length - start), labels.get(number, "")))
    return sorted(cues)


def loop_tags(loop: Loop) -> Tags:
    """A loop as tags; its kind and how often it plays have no place there."""
    return {LOOP_START: str(loop.start), LOOP_LENGTH: str(loop.frames)}


def smpl_chunk(
    loops: Iterable[Loop], samplerate: int, like: Foreign | None = None, key: float = MIDDLE_C
) -> Foreign:
    """A little-endian `smpl` chunk with these loops, all else as in `like`; otherwise `key` is the pitch as a MIDI key,
    with fractions."""
    rows = [loop for loop in loops if loop.start + loop.frames <= _MOST_FRAMES]
    period = round(1e9 / samplerate)  # nanoseconds
    whole = int(key)
    head = struct.pack("<7I", 0, 0, period, whole, round((key - whole) * 2**32) & 0xFFFFFFFF, 0, 0)
    if like is not None and like.origin == "RIFF" and len(like.data) >= _SMPL_BYTES:
        head = like.data[:28]
    data = head + struct.pack("<2I", len(rows), 0)
    for number, loop in enumerate(rows):
        end = loop.start + loop.frames - 1
        data += struct.pack("<6I", number, KINDS.index(loop.kind), loop.start, end, 0, loop.plays)
    return Foreign("RIFF", "smpl", data)


def cue_chunks(cues: Iterable[Cue]) -> list[Foreign]:
    """Cue points as little-endian chunks `cue ` and `LIST adtl`; none for none."""
    rows = [cue for cue in cues if cue.start < _MOST_FRAMES]
    points = (struct.pack("<II4sIII", n, cue.start, b"data", 0, 0, cue.start) for n, cue in enumerate(rows, 1))
    listed = b"adtl"
    for number, cue in enumerate(rows, 1):
        if cue.frames:
            content = struct.pack("<I4s4H", min(cue.frames, _MOST_FRAMES - 1), b"rgn ", 0, 0, 0, 0)
            listed += _list_item("<", b"ltxt", number, content)
        if cue.label:
            listed += _list_item("<", b"labl", number, cue.label.encode() + b"\0")
    chunks = [Foreign("RIFF", "cue ", struct.pack("<I", len(rows)) + b"".join(points))] if rows else []
    return chunks + ([Foreign("RIFF", "LIST", listed)] if len(listed) > 4 else [])


def joined_metadata(parts: Sequence[tuple[Metadata, int]], samplerate: int) -> Metadata:
    """What a file tells that consists of `parts`, each with its length in frames, one behind the other: all that the
    first one tells, and the loops and cue points of all, counted from its start."""
    first, length = parts[0]
    starts = accumulate((frames for _, frames in parts), initial=0)
    loops: list[Loop] = []
    cues: list[Cue] = []
    for (metadata, frames), start in zip(parts, starts, strict=False):
        found = loops_of(metadata.tags, metadata.foreign, frames)
        loops += [loop._replace(start=start + loop.start) for loop in found]
        cues += [cue._replace(start=start + cue.start) for cue in cues_of(metadata.foreign, frames)]
    tags, foreign = dict(first.tags), list(first.foreign)
    if _tagged_loop(tags, length) is not None and loops:  # one without a length goes to the end
        tags = {name: value for name, value in tags.items() if name.lower() not in (LOOP_START, LOOP_LENGTH)}
        tags |= loop_tags(loops[0])
    if loops != loops_of(first.tags, foreign, length):
        like = next(iter(_named(foreign, "smpl")), None)
        foreign = [chunk for chunk in foreign if chunk.id != "smpl"] + [smpl_chunk(loops, samplerate, like)]
    if cues != cues_of(first.foreign, length):
        foreign = [chunk for chunk in foreign if chunk.name not in ("cue", "LIST adtl")] + cue_chunks(cues)
    return Metadata(tags, first.pictures, foreign)


def only_loops(chunk: Foreign) -> bool:
    """Whether a `smpl` chunk says nothing else: no note of its own, no time code, nothing for a certain sampler."""
    if len(chunk.data) < _SMPL_BYTES or chunk.origin not in _RIFF:
        return False
    note, *others = struct.unpack(_RIFF[chunk.origin] + "4I", chunk.data[12:28])
    whole = len(chunk.data) == _SMPL_BYTES + _LOOP_BYTES * len(_smpl_rows(chunk))
    return whole and note in (0, MIDDLE_C) and not any(others)


def part_of(metadata: Metadata, start: int, frames: int, length: int) -> tuple[Metadata, list[str]]:
    """What belongs to frames [start, start + frames) of a file of `length`: loops and cue points within it, counted
    from its start; and what had to be left out, in words."""
    if start == 0 and frames == length:
        return metadata, []
    tags = {name: value for name, value in metadata.tags.items() if name.lower() not in (LOOP_START, LOOP_LENGTH)}
    foreign: list[Foreign] = []
    before = loops_of(metadata.tags, metadata.foreign, length)
    after = [loop._replace(start=loop.start - start) for loop in before if _within(loop, start, frames)]
    if after and _tagged_loop(metadata.tags, length) is not None:
        tags |= loop_tags(after[0])
    lost = [f"{len(before) - len(after)} of {len(before)} loops"] if len(after) < len(before) else []
    kept = {n for c in _named(metadata.foreign, "cue ") for n, at in _cue_points(c) if start <= at < start + frames}
    for chunk in metadata.foreign:
        moved = _moved(chunk, start, frames, kept)
        if moved is None:
            lost.append(chunk.name)
        else:
            foreign.append(moved)
    return Metadata(tags, metadata.pictures, foreign), lost


def _moved(chunk: Foreign, start: int, frames: int, cues: set[int]) -> Foreign | None:
    """A chunk for a part of its file; None for one that cannot be had for it."""
    if chunk.origin not in _RIFF:
        # These name moments of the whole file; what applications keep may do so too, and is theirs to know.
        return None if chunk.id in ("CUES", "MARK", "INST") else chunk
    order, data = _RIFF[chunk.origin], chunk.data
    if chunk.id == "smpl" and len(data) >= _SMPL_BYTES:
        rows = [row for row, loop in _smpl_rows(chunk) if _within(loop, start, frames)]
        moved = (struct.pack(order + "6I", *row[:2], row[2] - start, row[3] - start, *row[4:]) for row in rows)
        behind = _SMPL_BYTES + _LOOP_BYTES * len(_smpl_rows(chunk))
        data = data[:28] + struct.pack(order + "I", len(rows)) + data[32:36] + b"".join(moved) + data[behind:]
    elif chunk.id == "cue " and len(data) >= 4:
        points = [row for row in _cue_rows(chunk) if start <= row[5] < start + frames]
        rows_moved = (
            struct.pack(order + "II4sIII", row[0], max(0, row[1] - start), *row[2:5], row[5] - start) for row in points
        )
        data = struct.pack(order + "I", len(points)) + b"".join(rows_moved)
    elif chunk.name == "LIST adtl":
        data = b"adtl" + b"".join(_list_item(order, *item) for item in _listed(chunk) if item[1] in cues)
    elif chunk.id == "bext" and len(data) >= _BEXT_TIME + 8:
        since = struct.unpack(order + "Q", data[_BEXT_TIME : _BEXT_TIME + 8])[0]
        time = struct.pack(order + "Q", min(since + start, (1 << 64) - 1))
        data = data[:_BEXT_TIME] + time + data[_BEXT_TIME + 8 :]
    return Foreign(chunk.origin, chunk.id, data)


def _within(loop: Loop, start: int, frames: int) -> bool:
    return start <= loop.start and loop.start + loop.frames <= start + frames


def _named(foreign: Iterable[Foreign], name: str) -> list[Foreign]:
    return [chunk for chunk in foreign if chunk.id == name and chunk.origin in _RIFF]


def _tagged_loop(tags: Tags, length: int) -> Loop | None:
    """The loop that tags tell; one without a length goes to the end."""
    tags = folded(tags)
    texts = [tags.get(name, "") for name in (LOOP_START, LOOP_LENGTH)]
    start, frames = ((text[0] if text else "") if isinstance(text, list) else text for text in texts)
    if not _NUMBER.fullmatch(start.strip()) or not (_NUMBER.fullmatch(frames.strip()) or not frames):
        return None
    return Loop(int(start), int(frames) if frames else max(0, length - int(start)))


def _smpl_loops(chunk: Foreign) -> list[Loop]:
    return [loop for _, loop in _smpl_rows(chunk)]


def _smpl_rows(chunk: Foreign) -> list[tuple[tuple[int, ...], Loop]]:
    """The loops of a `smpl` chunk as they stand there, and as loops; of those that are declared, what is there."""
    order, data = _RIFF[chunk.origin], chunk.data
    if len(data) < _SMPL_BYTES:
        return []
    count = min(struct.unpack(order + "I", data[28:32])[0], (len(data) - _SMPL_BYTES) // _LOOP_BYTES)
    rows = list(struct.iter_unpack(order + "6I", data[_SMPL_BYTES : _SMPL_BYTES + count * _LOOP_BYTES]))
    kinds = (KINDS[row[1]] if row[1] < len(KINDS) else KINDS[0] for row in rows)
    return [(row, Loop(row[2], row[3] - row[2] + 1, kind, row[5])) for row, kind in zip(rows, kinds, strict=True)]


def _cue_rows(chunk: Foreign) -> list[tuple[int, int, bytes, int, int, int]]:
    """The rows of a `cue ` chunk: name, position in the play order, chunk, chunk start, block start, frame."""
    order, data = _RIFF[chunk.origin], chunk.data
    if len(data) < 4:
        return []
    count = min(struct.unpack(order + "I", data[:4])[0], (len(data) - 4) // _CUE_BYTES)
    return list(struct.iter_unpack(order + "II4sIII", data[4 : 4 + count * _CUE_BYTES]))


def _cue_points(chunk: Foreign) -> list[tuple[int, int]]:
    """Name and frame of each cue point."""
    return [(row[0], row[5]) for row in _cue_rows(chunk)]


def _listed(chunk: Foreign) -> list[tuple[bytes, int, bytes]]:
    """Type, name of the cue point, and the rest of what is in a `LIST adtl` chunk."""
    order, data, position = _RIFF[chunk.origin], chunk.data, 4
    found: list[tuple[bytes, int, bytes]] = []
    while data.startswith(b"adtl") and position + 12 <= len(data):
        name, size, number = struct.unpack(order + "4sII", data[position : position + 12])
        found.append((name, number, data[position + 12 : position + 8 + size]))
        position += 8 + size + size % 2
    return found


def _list_item(order: str, name: bytes, number: int, content: bytes) -> bytes:
    padding = b"\0" * (len(content) % 2)
    return struct.pack(order + "4sII", name, len(content) + 4, number) + content + padding


def _text(content: bytes) -> str:
    from evc.sound.text import decoded

    return decoded(content.split(b"\0", 1)[0])
