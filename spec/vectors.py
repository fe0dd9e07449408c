"""The conformance vectors in `spec/vectors`: small files with what a decoder must make of them.

`python -m evc.spec.vectors --check` compares the reference software with them; `--write` makes them anew, and what
`evc-1.md` and the README quote of them. Once version 1 is released they are only added to.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import evc
from evc.format import constants as c
from evc.format.chain import Chain
from evc.format.decoding import SegmentDecoder
from evc.format.errors import EvcError
from evc.format.metadata import Foreign, Picture
from evc.format.networks import find, installed_too
from evc.format.reader import ContainerReader
from evc.format.segment import StreamData
from evc.format.speakers import names_of
from evc.format.streams import StreamContext, decoded_stream
from evc.format.streams.event_tables import tables as event_tables
from evc.format.streams.noise_changes import tables as noise_tables
from evc.format.streams.spectrum import SpectrumStream
from evc.format.streams.spectrum_tables import tables
from evc.spec import broken
from evc.spec.events import event_signal
from evc.spec.latent_synthesis import latent_signal
from evc.spec.listing import listing
from evc.spec.noise import noise_signal
from evc.spec.signals import FILES, FOLDER, UNHEARD
from evc.spec.synthesis import synthesise, without_overlap

SPEC = Path(__file__).parent
PEAK_TOLERANCE, RMS_TOLERANCE = 2.0**-17, 2.0**-20  # of section 11.2; no vector is louder than full scale
LATENT_TOLERANCE = 16  # times as much beside latents
PCM_STEP = 2.0**-23  # of the samples in the FLAC files
SHOWN_INTEGERS = 1500  # spectra of so many integers are written out, longer ones only as a digest


def tables_digest(arrays: Mapping[str, NDArray[np.integer]]) -> str:
    """SHA-256 of frozen tables as section 9.12 defines it, in hexadecimal."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(name.encode() + array.astype("<i4").tobytes())
    return digest.hexdigest()


def spectrum_integers(stream: SpectrumStream) -> NDArray[np.int32]:
    """The integers of a spectrum stream in the order that the README of the vectors gives."""
    values: list[Any] = []
    for group in stream.groups:
        values += [[group.gain, group.coarse_bands]]
        for number, blocks in enumerate(group.superframes):
            values += [[group.offsets[number] if group.offsets else 0, len(blocks)]]
            for block in blocks:
                values += [[block.depth, int(block.held) + 2 * int(block.alone)]]
                values += [block.modes] if len(block.energies) == 2 else []
                values += [*block.energies, *block.coefficients]
    return np.concatenate([np.asarray(part, "<i4") for part in values])


def describe(data: bytes) -> dict[str, Any]:
    """What a decoder must find in a file, apart from its sound."""
    container, *links = Chain(io.BytesIO(data)).links
    header = container.header
    found: dict[str, Any] = {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "version": header.version,
        "samplerate": header.samplerate,
        "channels": header.channels,
        "speakers": list(names_of(container.speakers, header.channels)),
        "tags": container.tags,
    }
    found |= _link(container)
    if links:
        found["links"] = [_link(link) for link in links]
    beside: dict[str, Sequence[Picture | Foreign]] = {"pictures": container.pictures, "foreign": container.foreign}
    for name, parts in beside.items():
        if parts:
            digests = [{"sha256": hashlib.sha256(part.data).hexdigest()} for part in parts]
            found[name] = [part.as_dict() | digest for part, digest in zip(parts, digests, strict=True)]
    if container.edits is not None:
        found["edits"] = [list(stretch) for stretch in container.edits.stretches]
    return found


def _link(container: ContainerReader) -> dict[str, Any]:
    """What a decoder must find in one link."""
    header = container.header
    found: dict[str, Any] = {
        "frames": header.known_frames,
        "loop": header.loop,
        "layers": list(header.layers),
        "dictionaries": [],
        "segments": [],
    }
    context = StreamContext(header.samplerate, header.channels, header.known_frames, header.phase_bits)
    for dictionary in container.dictionaries:
        entries = replace(context, patterns=dictionary.entries)
        known = [data for data in dictionary.streams if data.kind < c.OPTIONAL_STREAM]
        streams = [_description(data, decoded_stream(data, entries)[0]) for data in known]
        found["dictionaries"].append({"entries": dictionary.entries, "streams": streams})
    depths = _depths(container)
    for index, decoded in _decoded(container).items():
        segment = container.segment(index)
        streams = [_description(data, decoded[data.kind]) for data in segment.streams if data.kind in decoded]
        row = {"dependencies": list(segment.dependencies), "depth": depths[index], "streams": streams}
        found["segments"].append(row)
    return found


def _depths(container: ContainerReader) -> list[int]:
    """Of all segments (section 4.1)."""
    depths: list[int] = []
    for index in range(container.segments):
        depths.append(1 + max((depths[other] for other in container.dependencies(index)), default=-1))
    return depths


def _decoded(container: ContainerReader) -> dict[int, dict[int, Any]]:
    """The streams of all segments, by kind."""
    decoder = SegmentDecoder(container, keep=container.segments)
    try:
        with installed_too(FOLDER):
            return dict(sorted(decoder.decode(range(container.segments)).items()))
    finally:
        decoder.close()


def _description(data: StreamData, stream: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": data.kind, "symbols": data.symbols, "checksum": data.checksum}
    if isinstance(stream, SpectrumStream):
        integers = spectrum_integers(stream)
        found |= {"count": len(integers), "sha256": hashlib.sha256(integers.tobytes()).hexdigest()}
        if len(integers) > SHOWN_INTEGERS:
            return found
    return found | {"integers": _plain(stream)}


def _plain(value: Any) -> Any:
    """Dataclasses, arrays and bytes as what JSON has."""
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, bytes):
        return value.hex()
    return value


def reference_samples(data: bytes) -> NDArray[np.int32] | None:
    """The samples of section 11.2 in steps of 24 bits, [frames, channels]; None if they do not fit full scale."""
    chain = Chain(io.BytesIO(data))
    audio = np.concatenate([_link_sound(link) for link in chain.links], axis=1)
    if chain.edited:
        audio = np.concatenate([audio[:, a : a + n] for a, n in chain.edits.stretches], axis=1)
    if np.abs(audio).max() >= 1:
        return None
    return np.rint(audio.T / PCM_STEP).astype(np.int32)


def _link_sound(container: ContainerReader) -> NDArray[np.float64]:
    """The sound of a link by section 10, [channels, frames]."""
    header, decoded = container.header, _decoded(container)
    spectra, occurrences, events, noise, latents = (
        {index: streams[kind] for index, streams in decoded.items() if kind in streams}
        for kind in (c.STREAM_SPECTRUM, c.STREAM_OCCURRENCES, c.STREAM_EVENTS, c.STREAM_NOISE, c.STREAM_LATENT)
    )
    audio = synthesise(header, spectra, occurrences, SegmentDecoder(container).entries)
    hiss = noise_signal(header, noise) if noise else np.zeros_like(audio)
    audio = audio + hiss
    with installed_too(FOLDER):
        if events:
            audio += event_signal(header, events, find(header.networks[0]))
        if latents:
            audio += latent_signal(header, audio, hiss, latents, find(header.networks[-1]))
    return without_overlap(header, audio)


def tolerances(data: bytes) -> tuple[float, float]:
    """Of section 11.2: the greatest deviation, and the root mean square."""
    factor = LATENT_TOLERANCE if "latent" in Chain(io.BytesIO(data)).layers else 1
    return factor * PEAK_TOLERANCE, factor * RMS_TOLERANCE


def deviation(data: bytes, samples: NDArray[np.int32]) -> tuple[float, float]:
    """(greatest, root mean square) deviation of the decoder's sound from the samples, those in segments of depth n
    divided by n + 1; infinite if of another shape."""
    with installed_too(FOLDER), evc.open(io.BytesIO(data)) as file:
        audio = file.read(dtype="float64", always_2d=True)
    if audio.shape != samples.shape:
        return math.inf, math.inf
    error = (audio - samples * PCM_STEP) / (_frame_depths(Chain(io.BytesIO(data)))[:, None] + 1)
    return float(np.abs(error).max()), float(np.sqrt(np.square(error).mean()))


def _frame_depths(chain: Chain) -> NDArray[np.int64]:
    """The depth of the segment that each frame played lies in."""
    parts = [
        np.repeat(_depths(link), link.header.segment_frames)[: link.header.sound_frames] for link in chain.links
    ]
    depths = np.concatenate(parts)
    return np.concatenate([depths[a : a + n] for a, n in chain.edits.stretches]) if chain.edited else depths


def problems(name: str, folder: Path = FOLDER) -> list[str]:
    """What the reference software makes of a vector otherwise than it should; nothing if all is well."""
    data = (folder / f"{name}.evc").read_bytes()
    expected = json.loads((folder / f"{name}.json").read_text())
    sound = expected.pop("pcm")
    expected.pop("about")
    try:
        found = json.loads(json.dumps(describe(data)))
        wrong = [f"{name}: {key} differs" for key in expected if found.get(key) != expected[key]]
        if sound:
            samples = _read_samples(folder / f"{name}.flac")
            if _samples_digest(samples) != sound["sha256"]:
                wrong.append(f"{name}: the reference samples are not those they were")
            deviations = zip(("peak", "rms"), deviation(data, samples), strict=True)
            wrong += [f"{name}: {kind} of the deviation is {x:g}" for kind, x in deviations if x > sound[kind]]
        return wrong
    except EvcError as error:
        return [f"{name}: {error}"]


def write(name: str) -> None:
    """Make one vector: the file, its JSON and, if it has sound, the reference samples."""
    about, make = FILES[name]
    data = make()
    sound: dict[str, Any] | None = None
    samples = None if name in UNHEARD else reference_samples(data)
    if samples is not None:
        _write_samples(FOLDER / f"{name}.flac", samples, describe(data)["samplerate"])
        peak, rms = tolerances(data)
        found = dict(zip(("measured_peak", "measured_rms"), deviation(data, samples), strict=True))
        sound = {"sha256": _samples_digest(samples), "peak": peak, "rms": rms} | found
    (FOLDER / f"{name}.evc").write_bytes(data)
    text = json.dumps({"about": about, **describe(data), "pcm": sound}, indent=1)
    rows_of_numbers = re.compile(r"\[[-\d\s,]+\]")
    text = rows_of_numbers.sub(lambda row: "".join(row[0].split()).replace(",", ", "), text)
    (FOLDER / f"{name}.json").write_text(text + "\n")


def quoted() -> dict[Path, str]:
    """The documents that quote vectors or tables, as they should be."""
    sizes = {name: (FOLDER / f"{name}.evc").stat().st_size for name in FILES}
    rows = [f"| `{name}` | {sizes[name]} | {about} |" for name, (about, _) in FILES.items()]
    readme, text = FOLDER / "README.md", SPEC / "evc-1.md"
    table = "\n".join(["| file | bytes | what it holds |", "|---|---|---|", *rows])
    frozen: list[tuple[str, Mapping[str, NDArray[np.integer]]]] = [
        ("tables", tables()), ("event tables", event_tables()), ("noise tables", noise_tables()),
    ]  # fmt: skip
    parts = {name: f"    {tables_digest(arrays)}" for name, arrays in frozen}
    parts |= {"listing": listing((FOLDER / "mono.evc").read_bytes())}
    return {readme: _quote(readme, {"files": table}), text: _quote(text, parts)}


def _quote(path: Path, parts: Mapping[str, str]) -> str:
    """The document with `parts` between the marks of their names."""
    text = path.read_text()
    for name, part in parts.items():
        begin, end = text.index(f"<!-- {name} begin"), text.index(f"<!-- {name} end")
        begin = text.index("\n", begin)
        text = f"{text[:begin]}\n\n{part.strip(chr(10))}\n\n{text[end:]}"
    return text


def _read_samples(path: Path) -> NDArray[np.int32]:
    import soundfile

    samples: NDArray[np.int32] = soundfile.read(path, dtype="int32", always_2d=True)[0] >> 8
    return samples


def _write_samples(path: Path, samples: NDArray[np.int32], samplerate: int) -> None:
    import soundfile

    soundfile.write(path, samples << 8, samplerate, "PCM_24")


def _samples_digest(samples: NDArray[np.int32]) -> str:
    return hashlib.sha256(samples.astype("<i4").tobytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--check", action="store_true", help="compare the reference software with the vectors")
    action.add_argument("--write", action="store_true", help="make the vectors anew")
    parser.add_argument("names", nargs="*", metavar="NAME", help="vectors; without, all")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - FILES.keys():
        parser.error(f"no such vectors: {', '.join(sorted(unknown))}")
    if not FOLDER.is_dir():
        parser.error("the vectors are in the repository, not in the installed package")
    names = arguments.names or list(FILES)
    if arguments.write:
        for name in names:
            write(name)
        if not arguments.names:
            broken.write(FOLDER)
        for path, text in quoted().items():
            path.write_text(text)
    wrong = [problem for name in names for problem in problems(name)]
    wrong += [] if arguments.names else broken.problems(FOLDER)
    stale = [path.name for path, text in quoted().items() if path.read_text() != text]
    wrong += [f"{name} quotes other vectors or tables" for name in stale]
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(names)} vectors are as they should be")


if __name__ == "__main__":
    main()
