"""What a network sees of a waveform, as tensors: see `cells`, whose windows and rows these are."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from evc.models.events import cells
from evc.models.events.cells import CELLS, FINE, FLOOR, HOP, LONG, NEARBY, NOTHING, QUIET, RANGE, SAMPLERATE, SHORT


def note_hertz(note: Tensor | float) -> Tensor:
    """Frequency in Hz of MIDI note numbers."""
    return torch.as_tensor(cells.note_hertz(torch.as_tensor(note)))


def cell_notes() -> Tensor:
    """MIDI note numbers float32 [cells] at the centres of the cells."""
    return torch.from_numpy(cells.cell_notes())


class CellFeatures(nn.Module):
    """Waveforms [batch, frames] at 22.05 kHz -> features [batch, hops, cells, CHANNELS], hop t being centred at frame
    t HOP. Channels: of FINE rows per cell by the long window, levels, then deviations of the instantaneous frequency,
    then of the group delay; of one row by the short window, level and group delay. Levels are 1 for the loudest cell
    within 1.5 s and -1 for one 80 dB below; frequencies are in semitones from the row, delays in half windows.
    """

    fine_notes: Tensor
    long_rows: Tensor
    long_windows: Tensor
    short_rows: Tensor
    short_windows: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("fine_notes", torch.from_numpy(cells.fine_notes().copy()), persistent=False)
        for name, size in (("long", LONG), ("short", SHORT)):
            self.register_buffer(f"{name}_rows", torch.from_numpy(cells.row_matrix(size).copy()), persistent=False)
            self.register_buffer(f"{name}_windows", torch.from_numpy(cells.windows(size).copy()), persistent=False)

    def forward(self, audio: Tensor) -> Tensor:
        with torch.autocast(audio.device.type, enabled=False):
            return self._features(audio.float())

    def _features(self, audio: Tensor) -> Tensor:
        power, frequency, delay = self._derivatives(audio, LONG, self.long_windows, self.long_rows)
        hertz = SAMPLERATE / (2 * math.pi) * frequency
        deviation = 12 * torch.log2(hertz.clamp_min(10.0) / 440.0) + 69.0 - self.fine_notes
        short_power, _, short_delay = self._derivatives(audio, SHORT, self.short_windows, self.short_rows)
        level, short_level = _levels(power), _levels(short_power)
        # Where there is nothing, phases are noise.
        seen, short_seen = (level + 1) / 2, (short_level + 1) / 2
        rows = [level, deviation.clamp(-1.5, 1.5) * seen, delay.clamp(-1, 1) * seen]
        fine = [x.unflatten(-1, (CELLS, FINE)) for x in rows]
        short = torch.stack([short_level, short_delay.clamp(-1, 1) * short_seen], dim=-1)
        return torch.cat([*fine, short], dim=-1)

    def _derivatives(self, audio: Tensor, size: int, shapes: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Energy, instantaneous frequency in radians per frame and group delay in half windows [batch, hops, rows]:
        the latter two are means over bins, weighted with their energy."""
        padded = functional.pad(audio, (size // 2, size // 2))
        frames = padded.unfold(-1, size, HOP)
        plain, ramped, slope = (torch.fft.rfft(frames * shape) for shape in shapes)
        energy = plain.real.square() + plain.imag.square()
        bins = torch.arange(size // 2 + 1, device=audio.device) * (2 * math.pi / size)
        # X_dh conj(X) and X_th conj(X): their imaginary and real parts over |X|^2 are the deviations.
        turning = bins * energy - (slope.imag * plain.real - slope.real * plain.imag)
        delayed = ramped.real * plain.real + ramped.imag * plain.imag
        power, turning, delayed = (x @ rows for x in (energy, turning, delayed))
        scale = 1 / (power + FLOOR)
        return power, turning * scale, delayed * scale * (2 / size)


def _levels(power: Tensor) -> Tensor:
    """Energies [batch, hops, rows] -> levels from -1 to 1."""
    decades = torch.log10(power + NOTHING)
    loudest = decades.amax(dim=-1)[:, None].clamp_min(QUIET)
    nearby = functional.max_pool1d(loudest, 2 * NEARBY + 1, 1, NEARBY).transpose(1, 2).detach()
    return (1 + 2 * (decades - nearby) / RANGE).clamp_min(-1)
