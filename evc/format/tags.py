"""The TAGS chunk (spec 3.3): texts by name, as zstandard-compressed JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import zstandard

from evc.format import constants as c
from evc.format.errors import FormatError, InputError

Tags = dict[str, str | list[str]]

_WINDOW_BYTES = 1 << 23
_LEVEL = 19

def write_tags(tags: Mapping[str, str | list[str]]) -> bytes:
    """Payload of TAGS. Raises InputError for tags that are not text, or too many of them."""
    if not _valid(dict(tags)):
        raise InputError("tags must be text, or lists of text, under names that are not empty")
    text = json.dumps(dict(tags), ensure_ascii=False, separators=(",", ":")).encode()
    if len(text) > c.MAX_TAGS_BYTES:
        raise InputError(f"tags take {len(text)} bytes; {c.MAX_TAGS_BYTES} are allowed")
    return zstandard.ZstdCompressor(level=_LEVEL, write_content_size=True).compress(text)


def read_tags(payload: bytes) -> Tags:
    """Raises FormatError unless the payload is one zstandard frame of a valid JSON object."""
    try:
        size = zstandard.get_frame_parameters(payload).content_size
        # Without a content size zstandard reports a huge number, which the limit refuses as well.
        if size > c.MAX_TAGS_BYTES:
            raise FormatError("tags are larger than allowed, or do not give their size")
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES)
        text = unpacker.decompress(payload, allow_extra_data=False)
        tags = json.loads(text.decode("utf-8"))
    except (zstandard.ZstdError, ValueError, RecursionError) as error:
        raise FormatError("tags are not zstandard-compressed JSON") from error
    if not isinstance(tags, dict) or not _valid(tags):
        raise FormatError("tags are not an object of texts and lists of texts")
    return tags


def values_of(value: str | list[str]) -> list[str]:
    """The values of a tag, one or many."""
    return [value] if isinstance(value, str) else value


def folded(tags: Tags) -> Tags:
    """Tags under small letters, since capitals make no difference; values of names that become one go together."""
    if all(name == name.lower() for name in tags):
        return tags
    together: dict[str, list[str]] = {}
    for name, value in tags.items():
        together.setdefault(name.lower(), []).extend(values_of(value))
    return {name: values[0] if len(values) == 1 else values for name, values in together.items()}


def _valid(tags: Mapping[Any, Any]) -> bool:
    for name, value in tags.items():
        texts = value if isinstance(value, list) else [value]
        if not name or not all(_is_text(text) for text in [name, *texts]):
            return False
    return True


def _is_text(value: object) -> bool:
    """Whether `value` is a str that UTF-8 can hold: JSON escapes can smuggle in lone surrogates."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False
