"""The dictionary of a file: the patterns that its DICT chunks define, by number."""

from __future__ import annotations

from evc.format import constants as c
from evc.format.errors import EvcError, FormatError
from evc.format.reader import ContainerReader
from evc.format.sources import Entry, decode_entry
from evc.format.streams import StreamContext, decoded_stream
from evc.format.streams.dictionary import Pattern


def decode_patterns(container: ContainerReader) -> list[Pattern | None]:
    """All entries as they are coded; in salvage mode None where one is lost. Raises what is wrong with a dictionary."""
    patterns: list[Pattern | None] = []
    explicit_samples = 0
    for dictionary in container.dictionaries:
        patterns += [None] * (dictionary.first + dictionary.entries - len(patterns))
        if (data := dictionary.stream()) is None:
            continue
        try:
            stream, _ = decoded_stream(data, StreamContext.of_dictionary(container.header, dictionary.entries))
            explicit_samples += stream.explicit_samples
            if explicit_samples > c.MAX_EXPLICIT_SAMPLES:
                raise FormatError("the explicit patterns of the dictionary are too long together")
        except EvcError:
            if not container.salvage:
                raise
            continue
        patterns[dictionary.first :] = stream.patterns
    return patterns


def decode_entries(patterns: list[Pattern | None], container: ContainerReader) -> list[Entry | None]:
    """The entries that sound: their lengths, and the spectra of explicit ones. In salvage mode None where one is
    lost. Raises what is wrong with a spectrum."""
    context = StreamContext.of_dictionary(container.header, len(patterns))
    entries: list[Entry | None] = []
    for pattern in patterns:
        try:
            entries.append(None if pattern is None else decode_entry(pattern, context))
        except EvcError:
            if not container.salvage:
                raise
            entries.append(None)
    return entries
