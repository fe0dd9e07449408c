"""What the encoder writes for a fixed set of inputs and settings, through the public functions alone.

    python tests/golden.py              # compare with tests/golden.json, as the test does
    python tests/golden.py --write      # make it anew, where it is meant to change, and tell what did

An encoder's bytes hang on the floats of a machine and its libraries (docs/testing.md): the digests hold in the
environment that is named beside them. Elsewhere sizes and what the files sound like are compared.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import platform
import re
import struct
import warnings
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

import evc
from evc import kernels
from evc.models import sequencer

FILE = Path(__file__).with_name("golden.json")
RATE, SUPERFRAME, SEGMENT = 16_000, 1024, 49_152  # Hz, frames
SIZE_SHARE, SIZE_BYTES, DECIBELS = 0.01, 8, 0.3  # what another environment may change

Audio = NDArray[Any]
Case = Callable[[], tuple[Audio, bytes]]  # the input, and the file


def environment() -> dict[str, Any]:
    """All that an encoder's floats and bytes hang on, beside its code."""
    cpu = Path("/proc/cpuinfo")
    vendor = re.search(r"vendor_id\s*:\s*(\S+)", cpu.read_text()) if cpu.exists() else None  # MKL looks at it
    config: dict[str, Any] = np.show_config(mode="dicts")  # type: ignore[assignment]
    blas = [library for library in threadpool_info() if library["user_api"] == "blas"]
    return {
        "kernels": kernels.what_runs(),
        "machine": f"{platform.machine()} {vendor[1] if vendor else ''}".strip(),
        "libc": " ".join(platform.libc_ver()),
        "libraries": {name: version(name) for name in ("numpy", "torch", "constriction", "zstandard")},
        "numpy": config["SIMD Extensions"]["found"],
        "torch": torch.backends.cpu.get_cpu_capability(),
        "blas": sorted(f"{each['internal_api']} {each['version']} {each.get('architecture')}" for each in blas),
    }


@cache
def track(samplerate: int, seconds: float) -> Audio:
    return sequencer.track(seconds, samplerate)


def music(frames: int, channels: int = 2) -> Audio:
    """The last `frames` of ten seconds at RATE, float32 [frames, channels]; [frames] for one channel."""
    sound = track(RATE, 10.0)[10 * RATE - frames :]
    return sound.mean(axis=1) if channels == 1 else _channels(sound, channels)


def full_band(frames: int, channels: int = 2) -> Audio:
    """The last `frames` of six seconds at 44100 Hz, likewise."""
    sound = track(44_100, 6.0)[6 * 44_100 - frames :]
    return sound.mean(axis=1) if channels == 1 else sound


def _channels(sound: Audio, channels: int) -> Audio:
    """Left, right, then mixes of both that differ, each later than the one before; the last one is silent if there are
    more than four."""
    mixes = [np.roll((0.9 - 0.2 * k) * sound[:, 0] + 0.1 * k * sound[:, 1], 37 * k) for k in range(channels - 2)]
    if channels > 4:
        mixes[-1] = np.zeros_like(mixes[-1])
    return np.stack([sound[:, 0], sound[:, 1], *mixes], axis=1).astype(np.float32)


def bars(times: int, channels: int = 1) -> Audio:
    """Two seconds, `times` times, each time with other noise on it, 50 dB below full scale."""
    bar = np.float32(0.8) * music(2 * RATE, channels)
    whole = np.concatenate([bar] * times)
    return whole + np.random.default_rng(5).normal(0, 0.003, whole.shape).astype(np.float32)


def tones(frames: int) -> Audio:
    """Three partials that last, and a click: for loops and for fine resolution."""
    time = np.arange(frames)
    sound = sum(0.2 * np.sin(2 * np.pi * k * time / 500 + k) for k in (3, 8, 31))
    sound[frames // 3] += 0.5
    return sound.astype(np.float32)


def noise(frames: int) -> Audio:
    return np.random.default_rng(7).normal(0, 0.1, (frames, 2)).astype(np.float32)


def encoded(audio: Callable[[], Audio], samplerate: int = RATE, **settings: Any) -> Case:
    def case() -> tuple[Audio, bytes]:
        sound = audio()
        return sound, evc.encode(sound, samplerate, **settings)

    return case


def from_file(format: str, subtype: str, **settings: Any) -> Case:
    """Encoded from a sound file with a title."""

    def case() -> tuple[Audio, bytes]:
        sound, source, target = music(SEGMENT // 2), io.BytesIO(), io.BytesIO()
        with soundfile.SoundFile(source, "w", RATE, 2, subtype, format=format) as file:
            file.title = "Grid"
            file.write(sound)
        source.seek(0)
        evc.encode_file(source, target, **settings)
        return sound, target.getvalue()

    return case


def _picture() -> evc.Picture:
    size = struct.pack(">4sIIBBBBB", b"IHDR", 1, 1, 8, 2, 0, 0, 0)
    return evc.Picture.of(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + size)


TAGS = {"title": "Grid", "artist": ["A", "B"], "comment": "ä" * 300}
CASES: dict[str, Case] = {
    # The spectrum alone
    "quality 6": encoded(lambda: music(3 * RATE), patterns="off"),
    "quality 0": encoded(lambda: music(RATE), quality=0, patterns="off"),
    "quality 10": encoded(lambda: music(RATE), quality=10, patterns="off"),
    "quality 7.5, 44.1 kHz": encoded(lambda: full_band(40_000), 44_100, quality=7.5, patterns="off"),
    "bitrate 40": encoded(lambda: music(SEGMENT + 997), bitrate=40, patterns="off"),
    "bitrate 8, mono": encoded(lambda: music(3 * RATE, 1), bitrate=8, patterns="off"),
    "tones": encoded(lambda: tones(2 * RATE), quality=8, patterns="off"),
    "noise": encoded(lambda: noise(RATE), quality=3, patterns="off"),
    "silence": encoded(lambda: np.zeros((RATE, 2), np.float32)),
    "mono": encoded(lambda: music(RATE, 1), patterns="off"),
    "3 channels": encoded(lambda: music(RATE, 3), patterns="off"),
    "6 channels": encoded(lambda: music(RATE, 6), bitrate=100, patterns="off"),
    "no frames": encoded(lambda: music(0)),
    "1 frame": encoded(lambda: music(1)),
    "997 frames": encoded(lambda: music(997)),
    "a superframe less one": encoded(lambda: music(SUPERFRAME - 1)),
    "a superframe": encoded(lambda: music(SUPERFRAME)),
    "a superframe and one": encoded(lambda: music(SUPERFRAME + 1)),
    "a segment less one": encoded(lambda: music(SEGMENT - 1, 1), quality=4, patterns="off"),
    "a segment and one": encoded(lambda: music(SEGMENT + 1, 1), quality=4, patterns="off"),
    "8 kHz": encoded(lambda: music(RATE), 8000, patterns="off"),
    "96 kHz": encoded(lambda: full_band(96_000), 96_000, patterns="off"),
    "float": encoded(lambda: 3 * music(RATE), quality=9, patterns="off", subtype="FLOAT"),
    "24 bits": encoded(lambda: (music(RATE) * 2**31).astype(np.int32), patterns="off", subtype="PCM_24"),
    "a loop": encoded(lambda: tones(RATE), loop=True, quality=6),
    "a loop, bitrate 32": encoded(lambda: music(RATE), loop=True, bitrate=32, patterns="off"),
    "tags and a picture": encoded(lambda: music(5000), tags=TAGS, pictures=[_picture()]),
    "tags at a bitrate": encoded(lambda: music(RATE), bitrate=24, tags=TAGS, patterns="off"),
    "speakers": encoded(lambda: music(5000, 3), speakers=["FL", "FR", "LFE"], patterns="off"),
    "a 24-bit wave file": from_file("WAV", "PCM_24", patterns="off"),
    "a FLAC file": from_file("FLAC", "PCM_16", bitrate=24, tags={"album": "B"}),
    # Patterns and spectrum
    "patterns": encoded(lambda: bars(3), quality=4),
    "patterns, stereo": encoded(lambda: bars(2, 2), quality=5),
    "patterns, bitrate 16": encoded(lambda: bars(2), bitrate=16),
    "patterns, effort 1": encoded(lambda: bars(2), quality=4, effort=1),
    "patterns, effort 9": encoded(lambda: bars(2), quality=4, effort=9),
    "patterns, 3 channels": encoded(lambda: bars(2, 3)[: 3 * RATE], quality=4),
    "patterns, the demo track": encoded(lambda: music(7 * RATE // 2)),
    "patterns, a loop": encoded(lambda: bars(2), quality=4, loop=True),
    # Events and noise
    "events": encoded(lambda: full_band(3 * 44_100), 44_100, hints="noise"),
    "events, mono, bitrate 3": encoded(lambda: music(SEGMENT + 4321, 1), hints="noise", bitrate=3),
    "events, effort 2": encoded(lambda: music(2 * RATE), hints="noise", effort=2),
    "events of noise": encoded(lambda: noise(RATE), hints="noise", bitrate=2),
    "events, 1 frame": encoded(lambda: music(1), hints="noise"),
    # Latents beside these
    "latents": encoded(lambda: full_band(3 * 44_100), 44_100, hints="latent"),
    "latents, mono, 48 kHz, bitrate 3": encoded(lambda: full_band(90_001, 1), 48_000, hints="latent", bitrate=3),
    "latents, chosen": encoded(lambda: full_band(44_100), 44_100, bitrate=4),
    "latents, 997 frames": encoded(lambda: full_band(997), 44_100, hints="latent"),
    # Timbres
    "timbres": encoded(lambda: full_band(5 * 44_100), 44_100, hints="timbre"),
}


def measured(name: str) -> dict[str, Any]:
    """Of a case: the digests of its file and of what its segments and dictionaries hold, its layers, its size in bytes,
    and the signal above the error, in dB, of what it decodes to (None: no error, or no signal)."""
    with threadpool_limits(1), warnings.catch_warnings(action="ignore", category=evc.EvcWarning):  # bitrates missed
        audio, data = CASES[name]()
        decoded = evc.decode(data)[0]
    full_scale = 2.0**31 if audio.dtype == np.int32 else 1.0
    signal = np.sum((audio / full_scale) ** 2, dtype=np.float64)
    error = np.sum((audio / full_scale - decoded) ** 2, dtype=np.float64)
    return {
        "file": hashlib.sha256(data).hexdigest(),
        "segments": hashlib.sha256(b"".join(coded_chunks(data))).hexdigest(),
        "layers": "+".join(evc.info(io.BytesIO(data)).layers),
        "bytes": len(data),
        "snr": round(float(10 * np.log10(signal / error)), 2) if signal and error else None,
    }


def coded_chunks(data: bytes) -> list[bytes]:
    """The chunks of a file that hold what sounds, one after the other (spec 2.2)."""
    found, place = [], 8
    while place < len(data):
        type, length = data[place : place + 4], int.from_bytes(data[place + 5 : place + 9], "little")
        end = place + 13 + length
        if type in (b"SEGM", b"DICT"):
            found.append(data[place:end])
        place = end
    return found


def golden() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))


def differences(expected: dict[str, Any], found: dict[str, Any], exact: bool) -> list[str]:
    """What is not as it should be, in words; `exact` in the environment of the digests."""
    if exact:
        return [f"{name}: {found[name]}, not {value}" for name, value in expected.items() if found[name] != value]
    wrong = []
    if found["layers"] != expected["layers"]:
        wrong.append(f"layers: {found['layers']}, not {expected['layers']}")
    if abs(found["bytes"] - expected["bytes"]) > max(SIZE_SHARE * expected["bytes"], SIZE_BYTES):
        wrong.append(f"bytes: {found['bytes']}, not about {expected['bytes']}")
    before, now = expected["snr"], found["snr"]
    if (before is None) != (now is None) or before is not None and abs(now - before) > DECIBELS:
        wrong.append(f"snr: {now} dB, not about {before}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="make the digests anew, in this environment")
    write = parser.parse_args().write
    before = golden() if FILE.exists() else {"environment": None, "cases": {}}
    here = environment()
    if before["environment"] != here:
        print(f"another environment: {here}, not {before['environment']}")
    cases, wrong = {name: measured(name) for name in CASES}, 0
    for name, found in cases.items():
        expected = before["cases"].get(name)
        if expected is None:
            print(f"{name}: new, {found['bytes']} bytes, {found['snr']} dB")
            wrong += 1
        elif changes := differences(expected, found, before["environment"] == here):
            share = found["bytes"] / expected["bytes"] - 1
            print(f"{name}: {expected['bytes']} -> {found['bytes']} bytes, {share:+.2%}; " + "; ".join(changes))
            wrong += 1
    sizes = [sum(case["bytes"] for case in all.values()) for all in (before["cases"], cases)]
    print(f"{wrong} of {len(cases)} cases are not as before; all: {sizes[0]} -> {sizes[1]} bytes")
    if write:
        text = json.dumps({"environment": here, "cases": cases}, indent=1, ensure_ascii=False)
        FILE.write_text(text + "\n", encoding="utf-8")
    elif wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
