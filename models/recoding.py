"""A segment coded anew from what a file decodes to, so that it repeats nothing of other segments any more. Its envelope
stays as it is, and so does what lies under it.

Its blocks stay as long as they were: then those beside it, which are not coded anew, meet the same slopes, and sound to
the bit as before but for half a superframe at the border.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from evc.format import constants as c
from evc.format.decoding import SegmentDecoder, stream_context
from evc.format.segment import Segment
from evc.format.streams import coded_stream
from evc.format.streams import spectrum_layout as layout
from evc.format.streams.spectrum import Group, SpectrumStream, channel_groups
from evc.format.streams.spectrum_model import spectrum_model
from evc.models.settings import EncodeSettings
from evc.models.spectrum.encoder import FULL_SCALE, AnalysedGroup, analyse_group, quantise_group
from evc.models.spectrum.rate import planned_gain
from evc.models.superframes import COPIED, Choice
from evc.models.synthesis import FileSegments, Synthesiser

FINER = 8  # 1/64 octave: by how much smaller steps are than those of the segment: the errors of both codings add up


class Recoder:
    """Codes segments of a file anew, as spectrum alone. `gone` are the segments that the new file will not have."""

    def __init__(self, decoder: SegmentDecoder, gone: Collection[int]) -> None:
        self._decoder, self._gone = decoder, gone
        self._header = decoder.container.header
        self._size = c.superframe_length(self._header.samplerate)
        self._per_segment = self._header.segment_frames // self._size
        self._synthesiser = Synthesiser(_Bare(decoder), Choice(COPIED), decoder.threads.map)

    def segment(self, index: int, spans: Sequence[tuple[int, int]]) -> Segment:
        """Segment `index` with all its other streams as they are. Outside the frames [begin, end) of `spans` it may be
        silent. Raises what decoding raises."""
        start, frames = self._header.segment_span(index)
        count = -(-frames // self._size)
        signal = self._signal(start - self._size, (count + 2) * self._size)
        wanted = np.zeros(count + 2, bool)  # superframes, with one on either side
        for begin, end in spans:
            first, last = (begin - start) // self._size + 1, -(-(end - start) // self._size) + 1
            wanted[max(0, first) : max(0, last)] = True
        signal.reshape(len(signal), count + 2, self._size)[:, ~wanted] = 0
        groups = []
        for number, channels in enumerate(channel_groups(self._header.channels)):
            analysed, gain = self._analysed(index, number, signal[channels], count)
            groups.append(quantise_group(analysed, gain, spectrum_model())[0])
        stream = coded_stream(c.STREAM_SPECTRUM, SpectrumStream(groups), stream_context(self._decoder.container, index))
        recoded = (c.STREAM_OCCURRENCES, c.STREAM_SPECTRUM)
        streams = [data for data in self._decoder.segment(index).streams if data.kind not in recoded] + [stream]
        return Segment(index, (), tuple(sorted(streams, key=lambda data: data.kind)))

    def _signal(self, start: int, frames: int) -> NDArray[np.float32]:
        """Frames [start, start + frames), silence outside the file, [channels, frames] in units of 16 bits."""
        out = np.zeros((self._header.channels, frames), np.float32)
        first, end = max(0, start), min(start + frames, self._header.known_frames)
        out[:, first - start : end - start] = self._synthesiser.render(first, end - first)
        return out * FULL_SCALE

    def _analysed(
        self, index: int, group: int, signal: NDArray[np.float32], count: int
    ) -> tuple[AnalysedGroup | None, int]:
        """The blocks of a channel group, and the gain to code them with; None where they are silent."""
        if not signal.any():
            return None, 0
        own = self._group(index, group)
        near = [self._group(other, group) for other in self._decoder.container.dependencies(index)]
        known = [each for each in (own, *near) if each is not None and each.coarse_bands]
        gain = min((each.gain for each in known), default=planned_gain(EncodeSettings(), signal.shape[0])) - FINER
        most = layout.most_coarse_bands(self._header.samplerate)
        bands = max((each.coarse_bands for each in known), default=most)
        partitions = _partitions(own, count)
        before, after = self._edge(index - 1, group, -1), self._edge(index + 1, group, 0)
        geometry = layout.geometry(self._size, bands)
        return analyse_group(signal, partitions, before, after, geometry, gain), gain

    def _group(self, index: int, group: int) -> Group | None:
        stream = self._decoder.decode([index])[index].get(c.STREAM_SPECTRUM)
        return None if stream is None else stream.groups[group]

    def _edge(self, index: int, group: int, which: int) -> int:
        """Size of the first (0) or last (-1) block of a segment beside this one; 0 outside the file."""
        if not 0 <= index < self._header.segments:
            return 0
        if index in self._gone:
            return self._size
        return self._size >> _partitions(self._group(index, group), self._per_segment)[which][which]


class _Bare(FileSegments):
    """Segments without envelopes."""

    def envelope(self, index: int) -> None:
        return None


def _partitions(group: Group | None, count: int) -> list[tuple[int, ...]]:
    """Depths of the blocks of each superframe; one of depth 0 where nothing is coded."""
    if group is None or not group.superframes:
        return [(0,)] * count
    return [tuple(block.depth for block in blocks) for blocks in group.superframes]
