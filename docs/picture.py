"""Draws docs/demo.png: the demonstration track, the same at 48 kbit/s, and what each second cost.

Needs matplotlib (with Pillow), which nothing else here does. Run it from the root of the repository:
python docs/picture.py
"""

import io

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

import evc
from evc.models import sequencer

RATE = 44_100
BITRATE = 48
INK, BARS = "#333333", "#3b6ea5"


def decibels(audio: np.ndarray, size: int = 2048, hop: int = 441) -> np.ndarray:
    """Spectrogram of the sum of the channels in dB: [bins, frames]."""
    mono = np.pad(audio.sum(axis=1), size // 2)
    starts = np.arange(0, len(mono) - size, hop)
    windows = mono[starts[:, None] + np.arange(size)] * np.hanning(size)
    return 20 * np.log10(np.abs(np.fft.rfft(windows)).T / size + 1e-7)


def main() -> None:
    track = sequencer.track(samplerate=RATE)
    data = evc.encode(track, RATE, bitrate=BITRATE)
    with evc.open(io.BytesIO(data)) as file:
        decoded, stats = file.read(), file.stats(symbols=False)
    figure = Figure(figsize=(10, 7.2), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1))
    seconds = len(track) / RATE
    ratio = track.size * 2 / len(data)
    titles = (
        f"original: {track.size * 2 / 1e6:.2f} MB",
        f"EVC at {BITRATE} kbit/s: {len(data) / 1e3:.0f} kB, 1:{ratio:.0f}",
    )
    for axis, audio, title in zip(axes, (track, decoded), titles, strict=False):
        axis.imshow(
            decibels(audio),
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, RATE / 2000),
            vmin=-110,
            vmax=-30,
            cmap="magma",
        )
        axis.set_ylabel("kHz", color=INK)
        axis.set_title(title, loc="left", color=INK, fontsize=11)
    axes[2].bar(np.arange(len(stats.seconds)) + 0.5, stats.seconds / 1000, width=0.85, color=BARS)
    axes[2].set(xlabel="seconds", ylabel="kbit", xlim=(0, seconds))
    axes[2].set_title("bits per second", loc="left", color=INK, fontsize=11)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=80)
    # A palette is enough, and takes a third of the bytes.
    Image.open(drawn).convert("RGB").quantize(96).save("docs/demo.png", optimize=True)


if __name__ == "__main__":
    main()
