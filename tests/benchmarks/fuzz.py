"""Damages small files at random and counts what becomes of them: audio or an EvcError; all else is a fault.

    python tests/benchmarks/fuzz.py SECONDS [SEED]

Most cases get right CRCs again after the damage, so that it reaches the streams. Prints the number of cases,
faults with their place, the slowest case and the peak memory.
"""

import io
import random
import resource
import sys
import time
import traceback
from collections import Counter

import numpy as np

import evc
from evc import constants as c
from evc.container import ChunkReader, chunk_bytes

INTACT_CRC = 0.97  # share of chunks whose CRC is made right again
MOST_FRAMES = 200_000  # read from a case: a header may promise more


def seeds() -> list[bytes]:
    """Small files of different shapes: noise and tones, one to three channels, three sample rates."""
    noise = np.random.default_rng(1)
    files = []
    for channels, rate, frames in ((1, 8_000, 2_000), (2, 16_000, 3_000), (3, 44_100, 2_000)):
        files.append(evc.encode(0.3 * noise.normal(size=(frames, channels)), rate, quality=1))
        tone = 0.3 * np.sin(np.arange(frames) / 5)[:, None] * np.ones(channels)
        files.append(evc.encode(tone, rate, quality=3, tags={"title": "tone"}))
    return files


def damaged(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to six bytes changed, most of them inside payloads."""
    places = ChunkReader(io.BytesIO(data)).chunks
    changed = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        place = chance.choice(places)
        inside = range(place.offset + c.CHUNK_HEADER_BYTES, place.end - c.CHUNK_CRC_BYTES)
        at = chance.choice(inside) if inside and chance.random() < 0.7 else chance.randrange(len(data))
        changed[at] = chance.choice([0, 1, 127, 128, 255, chance.randrange(256)])
    for place in places:
        if chance.random() < INTACT_CRC:
            payload = bytes(changed[place.offset + c.CHUNK_HEADER_BYTES : place.end - c.CHUNK_CRC_BYTES])
            changed[place.offset : place.end] = chunk_bytes(place.type, payload, place.critical)
    return bytes(changed)


def outcome(data: bytes, salvage: bool) -> str:
    """ "decoded", "refused", or where another exception came from."""
    try:
        with evc.open(io.BytesIO(data), salvage=salvage) as file:
            file.verify()
            file.read(MOST_FRAMES)
            file.stats()
        return "decoded"
    except evc.EvcError:
        return "refused"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"FAULT {type(error).__name__} at {place.filename}:{place.lineno}: {error}"


def main() -> None:
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    chance, files, counts, slowest = random.Random(seed), seeds(), Counter[str](), 0.0
    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        data = damaged(chance.choice(files), chance)
        counts[outcome(data, salvage=chance.random() < 0.5)] += 1
        slowest = max(slowest, time.monotonic() - begun)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{counts.total()} cases, slowest {slowest:.2f} s, peak memory {memory:.0f} MiB")
    for name, count in counts.most_common():
        print(f"{count:9d}  {name}")
    sys.exit(any(name.startswith("FAULT") for name in counts))


if __name__ == "__main__":
    main()
