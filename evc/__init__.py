"""EVC, an audio format: what happens in a track is stored once, and its moments precisely.

    with evc.open("track.evc") as f:
        audio = f.read()                    # float32 [frames, channels]
    data = evc.encode(audio, 44100)         # bytes of an .evc file
    audio, samplerate = evc.decode(data)

Names are imported when first used, so that `import evc` costs next to nothing. torch is never imported here.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from evc.version import __version__

# In a checkout, models, cli and spec lie beside this folder, where an installation has them below it.
if not os.path.isdir(os.path.join(__path__[0], "models")):
    __path__.append(os.path.dirname(__path__[0]))

_HOMES = {
    "evc.api": ("FileInfo", "decode", "decode_file", "edit_tags", "encode", "encode_file", "info", "open"),
    "evc.format.errors": (
        "DamagedError", "EvcError", "EvcWarning", "FormatError", "InputError", "OutputError", "UnsupportedError",
    ),
    "evc.composing.recipe": ("Recipe",),
    "evc.composing.song": ("write_song",),
    "evc.contents": ("DamagedSpan", "SegmentInfo"),
    "evc.editing.cutting": ("CutReport", "cut_file"),
    "evc.editing.joining": ("join_files",),
    "evc.exports.stems": ("Stem", "write_stems"),
    "evc.events": ("EventList", "write_events"),
    "evc.file": ("EvcFile",),
    "evc.format.metadata": ("Foreign", "Picture"),
    "evc.models.settings": ("EncodeSettings",),
    "evc.report.write": ("write_report",),
    "evc.stats": ("Stats",),
    "evc.timbres": ("TimbrePath", "write_timbres"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CutReport", "DamagedError", "DamagedSpan", "EncodeSettings", "EvcError", "EvcFile", "EvcWarning", "EventList",
    "FileInfo", "Foreign", "FormatError", "InputError", "OutputError", "Picture", "Recipe", "SegmentInfo", "Stats",
    "Stem", "TimbrePath", "UnsupportedError", "__version__", "cut_file", "decode", "decode_file", "edit_tags", "encode",
    "encode_file", "info", "join_files", "open", "write_events", "write_report", "write_song", "write_stems",
    "write_timbres",
]  # fmt: skip

if TYPE_CHECKING:
    from evc.api import FileInfo, decode, decode_file, edit_tags, encode, encode_file, info, open
    from evc.composing.recipe import Recipe
    from evc.composing.song import write_song
    from evc.contents import DamagedSpan, SegmentInfo
    from evc.editing.cutting import CutReport, cut_file
    from evc.editing.joining import join_files
    from evc.events import EventList, write_events
    from evc.exports.stems import Stem, write_stems
    from evc.file import EvcFile
    from evc.format.errors import (
        DamagedError,
        EvcError,
        EvcWarning,
        FormatError,
        InputError,
        OutputError,
        UnsupportedError,
    )
    from evc.format.metadata import Foreign, Picture
    from evc.models.settings import EncodeSettings
    from evc.report.write import write_report
    from evc.stats import Stats
    from evc.timbres import TimbrePath, write_timbres


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'evc' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
