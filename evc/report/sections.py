"""The sections of a report, in their order. A layer that is to be shown registers its own here."""

from __future__ import annotations

from evc.report import decomposition, events, head, heatmaps, listen, patterns, timbre, whatif

SECTIONS = (
    head.SECTION, listen.SECTION, patterns.SECTION, timbre.SECTION, events.SECTION, decomposition.SECTION,
    whatif.SECTION, heatmaps.SECTION,
)  # fmt: skip
