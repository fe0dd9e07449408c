"""One-shots as instruments: the pitch of a sound, and an SFZ that plays it over the whole keyboard."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from evc.loops import MIDDLE_C

_A4, _A4_KEY = 440.0, 69
_LOWEST, _HIGHEST = 40.0, 2000.0  # Hz
_CLEAR = 0.9  # correlation of a sound with itself a period later, where it has a pitch
_AS_GOOD = 0.95  # of the greatest correlation: the shortest period that has this is the pitch's, no multiple of it
_HEARD = 0.2  # s: how much of a sound is listened to, from its loudest moment on that has so much behind it


def root_key(audio: NDArray[np.float32], samplerate: int) -> float | None:
    """The MIDI key, with fractions, that a sound [frames, channels] has the pitch of; None where it has no clear
    one."""
    mono = audio.mean(axis=1).astype(np.float64)
    heard = round(_HEARD * samplerate)
    loudest = int(np.abs(mono[: max(1, len(mono) - heard)]).argmax())
    part = mono[loudest : loudest + heard]
    least, most = int(samplerate / _HIGHEST), min(int(samplerate / _LOWEST), len(part) // 2)
    if most <= least + 2:
        return None
    likeness = _self_likeness(part - part.mean(), most + 2)
    inside = likeness[1:-1]
    peaks = 1 + np.flatnonzero((inside >= likeness[:-2]) & (inside >= likeness[2:]))
    peaks = peaks[peaks >= least]
    if not len(peaks) or likeness[peaks].max() < _CLEAR:
        return None
    lag = int(peaks[likeness[peaks] >= _AS_GOOD * likeness[peaks].max()][0])
    before, at, behind = likeness[lag - 1 : lag + 2]
    bend = before - 2 * at + behind
    period = lag + (0.5 * (before - behind) / bend if bend else 0.0)
    return float(_A4_KEY + 12 * np.log2(samplerate / period / _A4))


def instrument_text(name: str, source: str, root: float | None, loop: tuple[int, int, str] | None) -> str:
    """An SFZ instrument of one sound in the WAV file `name`, at every pitch; `loop`: first frame, frames and kind."""
    of = " ".join(source.split())  # whatever it is, the comment is one line
    key = MIDDLE_C if root is None else round(root)
    tune = 0 if root is None else round(100 * (key - root))
    lines = [f"// A sound of {of}", "<region>", f"sample={name}"]
    lines.append(f"lokey=0 hikey=127 pitch_keycenter={key} tune={tune}")
    if loop is None:
        lines.append("loop_mode=no_loop")
    else:
        start, frames, kind = loop
        lines.append(f"loop_mode=loop_continuous loop_type={kind} loop_start={start} loop_end={start + frames - 1}")
    return "\n".join(lines) + "\n"


def _self_likeness(signal: NDArray[np.float64], lags: int) -> NDArray[np.float64]:
    """Correlation of a signal with itself [lags], by what both parts have of energy."""
    size = 1 << (2 * len(signal) - 1).bit_length()
    spectrum = np.fft.rfft(signal, size)
    products = np.fft.irfft(np.abs(spectrum) ** 2, size)[:lags]
    energy = np.concatenate([[0.0], np.cumsum(signal**2)])
    lag = np.arange(lags)
    both = energy[len(signal) - lag] * (energy[-1] - energy[lag])
    found: NDArray[np.float64] = products / np.sqrt(np.maximum(both, 1e-30))
    return found
