"""How a notebook shows an open file: a player, and what it cost."""

from __future__ import annotations

import base64
from html import escape
from typing import TYPE_CHECKING

from evc.format.tags import values_of

if TYPE_CHECKING:
    from evc.file import EvcFile

MOST_SECONDS = 30.0  # that are put into a notebook


def as_html(file: EvcFile) -> str:
    """A player of the first half minute, the bitrate and the share of each layer. Leaves the position where it is."""
    stats = file.stats(symbols=False)
    tags = (", ".join(values_of(file.tags.get(name, []))) for name in ("artist", "title"))
    heading = " – ".join(text for text in tags if text) or "EVC file"
    seconds = f"{file.duration:.2f} s, {file.samplerate} Hz, {stats.kbps(stats.bits):.2f} kbit/s"
    rows = [(layer.name, layer.bits) for layer in stats.layers] + [("overhead", stats.overhead_bits)]
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td>{stats.kbps(bits):.2f} kbit/s</td><td>{100 * stats.share(bits):.1f} %</td></tr>"
        for name, bits in rows
    )
    return (
        f"<div><b>{escape(heading)}</b><br>{escape(seconds)}<br>{_player(file)}"
        f"<table><tr><th>layer</th><th>cost</th><th>share</th></tr>{cells}</table></div>"
    )


def _player(file: EvcFile) -> str:
    if not file.frames:
        return "no sound"
    from evc.models.report.sounds import lossless

    mime, data = lossless(file.render(frames=round(MOST_SECONDS * file.samplerate)), file.samplerate)
    note = f" the first {MOST_SECONDS:.0f} s" if file.duration > MOST_SECONDS else ""
    return f'<audio controls src="data:{mime};base64,{base64.b64encode(data).decode("ascii")}"></audio>{note}'
