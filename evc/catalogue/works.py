"""The sorts of work: encode, decode, verify, measure, show, and tell events."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from dataclasses import dataclass, field, fields
from typing import Any

import evc
from evc.catalogue.manifest import KBPS, OVERHEAD, Record
from evc.catalogue.places import split
from evc.catalogue.sources import SETTING_COLUMNS
from evc.catalogue.tasks import Item, Work, digest_of
from evc.format.errors import InputError
from evc.format.tags import Tags, values_of
from evc.models.progress import Progress
from evc.models.settings import EncodeSettings

_TAGS = ("title", "artist", "genre")


@dataclass(frozen=True)
class Encode(Work):
    verify: bool = False

    def make(self, source: str, target: str, item: Item, progress: Progress) -> Record:
        settings = EncodeSettings(**json.loads(item.settings))
        found = evc.encode_file(source, target, settings=settings, verify=self.verify, progress=progress)
        return _told(found) | layers_of(target)

    def tell(self, path: str) -> Record:
        return facts(path)


@dataclass(frozen=True)
class Decode(Work):
    def make(self, source: str, target: str, item: Item, progress: Progress) -> Record:
        evc.decode_file(source, target, progress=progress)
        return _told(evc.info(source))

    def tell(self, path: str) -> Record:
        return {"bytes": os.path.getsize(path)}


@dataclass(frozen=True)
class Show(Work):
    """A page about each file."""

    sections: tuple[str, ...] | None = None

    def make(self, source: str, target: str, item: Item, progress: Progress) -> Record:
        up = "../" * item.output.count("/")
        with evc.open(source) as file:
            evc.write_report(
                target, file, name=item.input, sections=self.sections, catalogue=f"{up}index.html", progress=progress
            )
        return facts(source)


@dataclass(frozen=True)
class Check(Work):
    """Whether each file is whole, and still the one that a manifest tells of (`Item.digest`)."""

    synthesis: bool = False

    def do(self, item: Item) -> Record:
        folder, name = split(item.input)
        with folder.fetched(name) as path:
            digest = digest_of(path)
            with evc.open(path) as file:
                file.verify(self.synthesis)
            if item.digest and digest != item.digest:
                raise InputError("is whole, but not the file that the manifest tells of")
            return {"output_digest": digest} | _told(evc.info(path))

    def make(self, source: str, target: str, item: Item, progress: Progress) -> Record:
        raise NotImplementedError


@dataclass(frozen=True)
class Measure(Check):
    """What each file costs, layer by layer."""

    def do(self, item: Item) -> Record:
        folder, name = split(item.input)
        with folder.fetched(name) as path:
            return facts(path)


@dataclass(frozen=True)
class Tell(Check):
    """The events of each file, as a part of a table in `destination`."""

    def do(self, item: Item) -> Record:
        return self.write(item.input)

    def write(self, source: str, even_empty: bool = False) -> Record:
        """The part with the events of a file, if it has some, or `even_empty`, for its columns."""
        from pyarrow import parquet

        from evc.catalogue.points import events_table

        folder, name = split(source)
        with folder.fetched(name) as path, evc.open(path) as file:
            table, duration = events_table(file, source), file.duration
        if len(table) or even_empty:
            data, part = io.BytesIO(), hashlib.sha256(source.encode()).hexdigest()[:24]
            parquet.write_table(table, data, compression="zstd")
            self.destination.write(f"part-{part}.parquet", data.getvalue())
        return {"duration": duration, "bytes": len(table)}


@dataclass(frozen=True)
class Nothing(Check):
    """A task that takes so many seconds, for measurements of all that is around it."""

    takes: dict[str, float] = field(default_factory=dict)

    def do(self, item: Item) -> Record:
        time.sleep(self.takes.get(item.input, 0.0))
        return {"duration": 0.0}


def settings_text(asked: dict[str, Any], columns: dict[str, Any] | None = None) -> str:
    """The encoder's settings as text, as a manifest has them; what a list says of a file comes first. Raises
    InputError for settings that cannot be."""
    if columns and (own := {name: columns[name] for name in SETTING_COLUMNS if name in columns}):
        asked = {name: value for name, value in asked.items() if name not in SETTING_COLUMNS} | own
    chosen = EncodeSettings(**asked)
    changed = {one.name: value for one in fields(chosen) if (value := getattr(chosen, one.name)) != one.default}
    return json.dumps(changed, sort_keys=True)


def facts(path: str) -> Record:
    """What a manifest tells of an .evc file."""
    return _told(evc.info(path)) | layers_of(path) | {"bytes": os.path.getsize(path)}


def layers_of(path: str) -> Record:
    """kbit/s of each layer and of the overhead, by column."""
    with evc.open(path) as file:
        report = file.stats(symbols=False)
    found = {KBPS[layer.name]: report.kbps(layer.bits) for layer in report.layers if layer.name in KBPS}
    return found | {KBPS[OVERHEAD]: report.kbps(report.overhead_bits)}


def _told(found: evc.FileInfo) -> Record:
    row = {name: getattr(found, name) for name in ("duration", "samplerate", "channels", "subtype", "kbps")}
    return row | {name: _tag(found.tags, name) for name in _TAGS}


def _tag(tags: Tags, name: str) -> str | None:
    return ", ".join(values_of(tags.get(name, []))) or None
