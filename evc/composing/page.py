"""The page of an album's candidates: to listen, to keep and to drop, to name. It is built as reports are."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from evc.composing.album import PASSAGES, Candidate
from evc.models.report import pictures
from evc.report.document import Document, uri
from evc.report.subject import clock

TEMPLATE = "candidates.html"
_SCALE = 0.3, 0.9  # of what is a spectrum's value


def candidates_page(
    found: Sequence[Candidate], titles: Sequence[str], kept: Collection[int], name: str, command: str
) -> bytes:
    """The page (HTML) of candidates under their `titles`, of whom those with the numbers `kept` are marked; `command`
    makes an album of a list of them."""
    songs, rejected = [], []
    with Document() as page:
        for one, title in zip(found, titles, strict=True):
            if one.sound is None or one.picture is None:
                rejected.append({"number": one.number, "title": title, "against": one.against})
                continue
            track = page.finished(f"song-{one.number}", one.sound)
            page.deck(track, [{"id": track, "gain": 1}], 0, one.skim_seconds)
            songs.append({
                "number": one.number, "title": title, "kept": one.number in kept, "seconds": one.skim_seconds,
                "about": _about(one), "picture": uri(pictures.picture(one.picture, _SCALE)),
            })  # fmt: skip
        text = page.page(
            TEMPLATE, title=name, songs=songs, rejected=rejected, command=command, summary=_summary(found, songs),
            passages=f"Of each song {PASSAGES} passages are here, evenly spread over it.",
        )  # fmt: skip
    return text.encode("utf-8")


def _about(one: Candidate) -> str:
    recipe = one.song.recipe
    return f"{one.song.structure} · {clock(recipe.seconds)} · {one.measured.lufs:.1f} LUFS · seed {recipe.seed}"


def _summary(found: Sequence[Candidate], songs: Sequence[dict[str, Any]]) -> str:
    return f"{len(found)} candidates, {len(found) - len(songs)} rejected by measurement, {len(songs)} to choose from"
