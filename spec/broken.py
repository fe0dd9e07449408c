"""The vectors that are no valid files: those to refuse, in `vectors/refused`, and those to salvage, in
`vectors/damaged`, with a JSON file beside each folder."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import evc
from evc.format.errors import DamagedError, EvcError, FormatError, UnsupportedError
from evc.spec import damaged, refused
from evc.spec.containers import DAMAGED, MALFORMED, UNSUPPORTED

# A stream whose values break a limit is malformed, but who falls out of step first may find it damaged.
_ERRORS = {
    MALFORMED: (FormatError, DamagedError),
    DAMAGED: (FormatError, DamagedError),
    UNSUPPORTED: (UnsupportedError,),
}


def write(folder: Path) -> None:
    """Make both folders and their JSON files anew."""
    refusals = {name: {"error": error, "about": about} for name, (error, about, _) in refused.cases().items()}
    salvages = {name: {"about": about} | salvaged(data) for name, (about, data) in damaged.cases().items()}
    files = {name: data for name, (_, _, data) in refused.cases().items()}
    _write(folder, "refused", refusals, files)
    _write(folder, "damaged", salvages, {name: data for name, (_, data) in damaged.cases().items()})


def _write(folder: Path, name: str, expected: dict[str, Any], files: dict[str, bytes]) -> None:
    (folder / name).mkdir(exist_ok=True)
    for old in (folder / name).glob("*.evc"):
        if old.stem not in files:
            old.unlink()
    for stem, data in files.items():
        (folder / name / f"{stem}.evc").write_bytes(data)
    rows = ",\n".join(f" {json.dumps(stem)}: {json.dumps(values)}" for stem, values in sorted(expected.items()))
    (folder / f"{name}.json").write_text(f"{{\n{rows}\n}}\n")


def problems(folder: Path) -> list[str]:
    """What the reference software makes of these vectors otherwise than it should."""
    refusals, salvages = (json.loads((folder / f"{name}.json").read_text()) for name in ("refused", "damaged"))
    wrong = []
    for name, expected in refusals.items():
        error = refusal((folder / "refused" / f"{name}.evc").read_bytes())
        if not isinstance(error, _ERRORS[expected["error"]]):
            wrong.append(f"refused/{name}: {'accepted' if error is None else error}")
    for name, expected in salvages.items():
        found = salvaged((folder / "damaged" / f"{name}.evc").read_bytes())
        wrong += [f"damaged/{name}: {key} differs" for key, value in found.items() if expected[key] != value]
    return wrong


def refusal(data: bytes) -> EvcError | None:
    """The error that a verifying reader meets in a file, which it also plays; None if there is none."""
    try:
        with evc.open(io.BytesIO(data)) as file:
            file.verify()
            len(file.patterns)
            file.read()
    except EvcError as error:
        return error
    return None


def salvaged(data: bytes) -> dict[str, Any]:
    """What is left of a damaged file: the frames, those that are lost or impaired, the tags, and by segment the streams
    of it: kind, symbols and checksum of each."""
    with evc.open(io.BytesIO(data), salvage=True) as file:
        file.verify()
        whole = [segment.index for segment in file.segments if not segment.damaged]
        streams = {index: file.container.segment(index).streams for index in whole}
        return {
            "frames": file.header.known_frames,
            "lost": [[span.start, span.frames] for span in file.damage if not span.impaired],
            "impaired": [[span.start, span.frames] for span in file.damage if span.impaired],
            "tags": dict(file.tags),
            "segments": {
                str(index): [[one.kind, one.symbols, one.checksum] for one in found] for index, found in streams.items()
            },
        }
