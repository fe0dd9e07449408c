"""Bytes of other formats as text."""

from __future__ import annotations


def decoded(data: bytes, legacy: str = "cp1252") -> str:
    """UTF-8 where the bytes are valid in it, as hardly any other text is; else what programs wrote before it: `legacy`,
    by default Windows-1252, and Latin-1 where that leaves a byte without a meaning."""
    for encoding in ("utf-8", legacy):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1")
