"""Pages of files: one for each, and a catalogue of many."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any

from evc.file import EvcFile
from evc.format.cores import available_cores
from evc.format.errors import EvcError, InputError
from evc.format.tags import values_of
from evc.models.report import pictures
from evc.models.report.spectrogram import constant_q, shared_scale
from evc.models.source import AudioSource
from evc.report.document import Document, fragment, uri
from evc.report.head import cover
from evc.report.section import Section
from evc.report.sections import SECTIONS
from evc.report.subject import MOST_PLAYED, SECONDS, Subject, clock
from evc.streaming import PathOrFile, seekable_output

NEEDED = {"jinja2": "jinja2", "soxr": "soxr", "sklearn": "scikit-learn", "PIL": "Pillow"}
CATALOGUE = "index.html"
_NAMES = tuple(section.name for section in SECTIONS)
_THUMB_COLUMNS, _THUMB_PER_OCTAVE = 160, 6

Progress = Callable[[float, float], None]  # sections done, and all


@dataclass(frozen=True)
class Entry:
    """What a catalogue tells of one file."""

    name: str
    href: str
    title: str
    artist: str
    layers: tuple[str, ...]
    seconds: float
    bytes: int
    kbps: float
    picture: str  # as an address that holds it


def check_parts() -> None:
    """Raises EvcError where something that reports need is not installed."""
    missing = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if missing:
        raise EvcError(f"reports need {', '.join(missing)}, not installed here: pip install 'evc[report]'")


def write_report(
    target: PathOrFile,
    file: EvcFile,
    *,
    source: AudioSource | None = None,
    seconds: float = SECONDS,
    sections: Collection[str] | None = None,
    name: str = "",
    catalogue: str = "",
    overwrite: bool = True,
    progress: Progress | None = None,
) -> Entry:
    """Write a page (HTML) about an open file, in which everything is contained. `source` is what the file was made
    from, if it is to be compared; `seconds` the length of the stretch that is. Of the `sections` named (None: all),
    those appear for which the file has the layer. `catalogue` is the address of a page of several.

        with evc.open("song.evc") as f:
            evc.write_report("song.html", f)

    Raises EvcError where the extra `evc[report]` is not installed, InputError for a section that is not known, a source
    of another form, or a file without sound; and what decoding raises.
    """
    check_parts()
    chosen = check_sections(sections)
    subject = Subject(file, name, source, seconds)
    fitting = [section for section in SECTIONS if section.name in chosen and section.applies(subject)]
    with Document() as page:
        bodies = list(_filled(fitting, subject, page, progress))
        title, artist = _tag(subject, "title") or PurePath(name).stem or "EVC file", _tag(subject, "artist")
        text = page.page(
            "report.html", title=title, artist=artist, name=PurePath(name).name, cover=cover(subject), sections=bodies,
            catalogue=catalogue, left_out=_left_out(subject), summary=_summary(subject),
        )  # fmt: skip
    with seekable_output(target, overwrite) as output:
        output.write(text.encode("utf-8"))
    if progress:
        progress(1, 1)
    return _entry(subject, name, title, artist)


def _filled(
    sections: Sequence[Section], subject: Subject, page: Document, progress: Progress | None
) -> Iterator[dict[str, Any]]:
    """The sections, as the page has them; several at a time."""
    with ThreadPoolExecutor(available_cores()) as pool:
        futures = [pool.submit(section.fill, subject, page) for section in sections]
        try:
            for number, (section, future) in enumerate(zip(sections, futures, strict=True), 1):
                body = fragment(f"{section.name}.html", future.result())
                yield {"name": section.name, "title": section.title, "body": body}
                if progress:
                    progress(number, len(sections) + 1)
        finally:
            pool.shutdown(cancel_futures=True)


def write_catalogue(target: PathOrFile, entries: Sequence[Entry], overwrite: bool = True) -> None:
    """Write the page that links those of several files, as a table to sort."""
    seconds = sum(entry.seconds for entry in entries)
    rows = [
        {"name": PurePath(entry.name).name, "href": entry.href, "picture": entry.picture, "seconds": entry.seconds,
         "title": " – ".join(part for part in (entry.artist, entry.title) if part), "layers": ", ".join(entry.layers),
         "length": clock(entry.seconds), "bytes": entry.bytes, "size": f"{entry.bytes / 1000:.1f} kB",
         "kbps": entry.kbps}
        for entry in entries
    ]  # fmt: skip
    with Document() as page:
        text = page.page(
            "catalogue.html", title=f"{len(entries)} files", summary=f"{clock(seconds)} in all", rows=rows,
            heads=("File", "", "Title", "Layers", "Length", "Size", "kbit/s"),
        )  # fmt: skip
    with seekable_output(target, overwrite) as output:
        output.write(text.encode("utf-8"))


def check_sections(sections: Collection[str] | None) -> Collection[str]:
    """The names of the sections that are asked for. Raises InputError for one that is not known."""
    if sections is None:
        return _NAMES
    if unknown := [name for name in sections if name not in _NAMES]:
        raise InputError(f"there is no section {', '.join(unknown)}; there are: {', '.join(_NAMES)}")
    return sections


def _entry(subject: Subject, name: str, title: str, artist: str) -> Entry:
    levels = constant_q(subject.heard, subject.samplerate, _THUMB_COLUMNS, _THUMB_PER_OCTAVE)
    picture = uri(pictures.picture(levels, shared_scale(levels)))
    size, kbps = subject.file.file_bytes, 8 * subject.file.file_bytes / subject.duration / 1000
    return Entry(name, "", title, artist, subject.file.layers, subject.duration, size, kbps, picture)


def _summary(subject: Subject) -> str:
    kbps = 8 * subject.file.file_bytes / subject.duration / 1000
    return f"{clock(subject.duration)}, {kbps:.1f} kbit/s, {' + '.join(subject.file.layers) or 'no layers'}"


def _left_out(subject: Subject) -> list[str]:
    """What is not shown though the file has it, and why."""
    found = []
    if not subject.timeline_is_played and {"patterns", "timbre", "events"} & set(subject.file.layers):
        found.append(
            "The file has an edit list: patterns, timbres and events, whose times are not those of what is played, are "
            "left out."
        )
    if not subject.whole_is_played:
        found.append(f"The file is longer than {clock(MOST_PLAYED)}: only {subject.stretch.text} is in this page.")
    return found


def _tag(subject: Subject, name: str) -> str:
    return ", ".join(values_of(subject.file.tags.get(name, [])))
