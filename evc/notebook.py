"""How a notebook shows an open file: a player, and what it cost."""

from __future__ import annotations

import base64
from html import escape

from evc.format.tags import Tags, values_of
from evc.models.arrays import Signal
from evc.stats import Stats

MOST_SECONDS = 30.0  # that are put into a notebook


def as_html(stats: Stats, tags: Tags, audio: Signal, duration: float) -> str:
    """A player of the `audio` [frames, channels] with which a file of `duration` s begins, its bitrate, and the share
    of each layer."""
    names = (", ".join(values_of(tags.get(name, []))) for name in ("artist", "title"))
    heading = " – ".join(text for text in names if text) or "EVC file"
    about = f"{duration:.2f} s, {stats.samplerate} Hz, {stats.kbps(stats.bits):.2f} kbit/s"
    rows = [(layer.name, layer.bits) for layer in stats.layers] + [("overhead", stats.overhead_bits)]
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td>{stats.kbps(bits):.2f} kbit/s</td><td>{stats.share(bits):.1%}</td></tr>"
        for name, bits in rows
    )
    return (
        f"<div><b>{escape(heading)}</b><br>{escape(about)}<br>{_player(audio, stats.samplerate, duration)}"
        f"<table><tr><th>layer</th><th>cost</th><th>share</th></tr>{cells}</table></div>"
    )


def _player(audio: Signal, samplerate: int, duration: float) -> str:
    if not len(audio):
        return "no sound"
    from evc.models.report.sounds import lossless

    mime, data = lossless(audio, samplerate)
    note = f" the first {MOST_SECONDS:.0f} s" if duration > MOST_SECONDS else ""
    return f'<audio controls src="data:{mime};base64,{base64.b64encode(data).decode("ascii")}"></audio>{note}'
