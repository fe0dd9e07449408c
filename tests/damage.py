"""Ways to damage a file, for tests."""

import io

from evc.format import constants as c
from evc.format.container import ChunkReader


def segment_places(data):
    return [place for place in ChunkReader(io.BytesIO(data)).chunks if place.type == c.CHUNK_SEGM]


def with_flipped_bit(data, byte, bit=0):
    changed = bytearray(data)
    changed[byte] ^= 1 << bit
    return bytes(changed)


def closure(container, index):
    """Numbers of all segments that decoding segment `index` needs, itself among them."""
    needed = {index}
    waiting = [index]
    while waiting:
        new = set(container.dependencies(waiting.pop())) - needed
        needed |= new
        waiting += new
    return needed
