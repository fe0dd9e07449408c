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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import evc
from evc.format import constants as c
from evc.format.chain import Chain
from evc.format.decoding import SegmentDecoder
from evc.format.errors import EvcError
from evc.format.networks import find, installed_too
from evc.format.reader import ContainerReader
from evc.format.sources import repeats_output
from evc.format.streams.difference import decoded_difference
from evc.format.streams.envelope import tables as envelope_tables
from evc.format.streams.event_tables import tables as event_tables
from evc.format.streams.noise_changes import tables as noise_tables
from evc.format.streams.spectrum_tables import tables
from evc.format.streams.timbre import tables as timbre_tables
from evc.format.timbres import timbre_network
from evc.spec import broken
from evc.spec.description import decoded_streams, depths_of, describe
from evc.spec.envelope import enveloped
from evc.spec.events import event_signal
from evc.spec.latent_synthesis import latent_signal
from evc.spec.listing import listing
from evc.spec.noise import noise_signal
from evc.spec.repeats import repeated_signal
from evc.spec.signals import FILES, FOLDER, UNHEARD
from evc.spec.synthesis import synthesise, without_overlap
from evc.spec.timbre import timbre_signal

SPEC = Path(__file__).parent
PEAK_TOLERANCE, RMS_TOLERANCE = 2.0**-17, 2.0**-20  # of section 11.2; no vector is louder than full scale
LATENT_TOLERANCE = 16  # times as much beside latents
PCM_STEP = 2.0**-23  # of the samples in the FLAC files


def tables_digest(arrays: Mapping[str, NDArray[np.integer]]) -> str:
    """SHA-256 of frozen tables as section 9.12 defines it, in hexadecimal."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(name.encode() + array.astype("<i4").tobytes())
    return digest.hexdigest()


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
    header, decoded = container.header, decoded_streams(container)
    occurrences, events, spectra, noise, latents, _, timbres, envelopes, _ = (
        {index: streams[kind] for index, streams in decoded.items() if kind in streams} for kind in c.STREAM_NAMES
    )
    repeating = repeats_output(header.layers)
    audio = synthesise(header, spectra, {} if repeating else occurrences, SegmentDecoder(container).entries)
    if envelopes:
        audio = enveloped(header, audio, envelopes)
    hiss = noise_signal(header, noise) if noise else np.zeros_like(audio)
    audio = audio + hiss
    with installed_too(FOLDER):
        if events:
            audio += event_signal(header, events, find(header.networks[0]))
        if timbres and (network := timbre_network(header)):
            audio += timbre_signal(header, timbres, find(network))
        if latents:
            data = container.adaptation
            difference = None if data is None else decoded_difference(data)[0]
            audio += latent_signal(header, audio, hiss, latents, find(header.networks[-1]), difference)
    if repeating:
        audio = repeated_signal(header, audio, occurrences)
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
        np.repeat(depths_of(link), link.header.segment_frames)[: link.header.sound_frames] for link in chain.links
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
        ("timbre tables", timbre_tables()), ("envelope tables", envelope_tables()),
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
