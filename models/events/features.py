"""What a network sees of a waveform: magnitude and phase of two STFTs, on cells of a semitone.

The phase is seen through its derivatives (Auger and Flandrin 1995): along time, the instantaneous frequency; along
frequency, the group delay, which points at the onset from every bin that an onset fills. Both are exact with two
further windows, and need no unwrapping.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

SAMPLERATE = 22_050
HOP = 512
LOWEST_NOTE = 23.0  # MIDI note number at the centre of the lowest cell: 30.9 Hz
CELLS = 96  # to MIDI note 118, 7459 Hz
FINE = 3  # rows per cell of what the long window sees
LONG, SHORT = 2048, 1024
CHANNELS = 3 * FINE + 2

_FLOOR = 1e-10
_NOTHING = 1e-14  # energy
_QUIET = -5.0  # decades of energy, about 75 dB below full scale: the loudest cell is taken to be no quieter
_RANGE = 8.0  # decades of energy below the loudest cell nearby that are told apart
_NEARBY = 64  # hops on each side


def note_hertz(note: Tensor | float) -> Tensor:
    """Frequency in Hz of MIDI note numbers."""
    return 440.0 * 2.0 ** ((torch.as_tensor(note) - 69.0) / 12.0)


def cell_notes() -> Tensor:
    """MIDI note numbers float32 [cells] at the centres of the cells."""
    return LOWEST_NOTE + torch.arange(CELLS, dtype=torch.float32)


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
        fine = LOWEST_NOTE + (torch.arange(CELLS * FINE) - (FINE - 1) / 2) / FINE
        self.register_buffer("fine_notes", fine, persistent=False)
        for name, size, notes in (("long", LONG, fine), ("short", SHORT, cell_notes())):
            self.register_buffer(f"{name}_rows", row_matrix(size, notes), persistent=False)
            self.register_buffer(f"{name}_windows", windows(size), persistent=False)

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
        scale = 1 / (power + _FLOOR)
        return power, turning * scale, delayed * scale * (2 / size)


def windows(size: int) -> Tensor:
    """The Hann window h, t h(t) with t = 0 at its middle, and its derivative: [3, size], energy of h being 1."""
    t = torch.arange(size, dtype=torch.float64) - size // 2
    angle = 2 * math.pi * t / size
    hann = 0.5 + 0.5 * torch.cos(angle)
    slope = -math.pi / size * torch.sin(angle)
    return (torch.stack([hann, t * hann, slope]) / hann.square().sum().sqrt()).float()


def row_matrix(size: int, notes: Tensor) -> Tensor:
    """Weights [bins, rows] of triangles around the notes, as wide as their spacing, or as a bin where that is more."""
    hertz = note_hertz(notes.double())
    half = note_hertz(notes.double() + (notes[1] - notes[0]).double()) - hertz
    bins = torch.arange(size // 2 + 1, dtype=torch.float64)[:, None] * (SAMPLERATE / size)
    width = half.clamp_min(SAMPLERATE / size)
    return (1 - (bins - hertz).abs() / width).clamp_min(0).float()


def _levels(power: Tensor) -> Tensor:
    """Energies [batch, hops, rows] -> levels from -1 to 1."""
    decades = torch.log10(power + _NOTHING)
    loudest = decades.amax(dim=-1)[:, None].clamp_min(_QUIET)
    nearby = functional.max_pool1d(loudest, 2 * _NEARBY + 1, 1, _NEARBY).transpose(1, 2).detach()
    return (1 + 2 * (decades - nearby) / _RANGE).clamp_min(-1)
