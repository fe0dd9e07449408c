"""What a section of a report is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from evc.report.document import Document
from evc.report.subject import Subject


class Section(NamedTuple):
    """One section. Its template is `assets/NAME.html`.

    applies   whether a file has what it shows
    fill      puts sounds and numbers into the page; what the template is to be filled with
    """

    name: str
    title: str
    applies: Callable[[Subject], bool]
    fill: Callable[[Subject, Document], dict[str, Any]]
