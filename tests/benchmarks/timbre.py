"""How well timbres hold what is sustained: reconstruction through the 32 dimensions, points that come back, ten named
pads and drones beside `--hints noise`, and the speed of rendering.

    python tests/benchmarks/timbre.py network DEV     # clips of works that were not trained on
    python tests/benchmarks/timbre.py ten DEV         # needs the rate-distortion bench, beside the checkout
    python tests/benchmarks/timbre.py speed
"""

from __future__ import annotations

import argparse
import io
import time
import warnings
from pathlib import Path

import numpy as np
import soundfile
from measuring import BENCH, bench
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import evc
from evc.format import constants as c
from evc.format.networks import weights
from evc.format.streams.timbre import step_size
from evc.models.timbre.clips import MOST_TRANSIENT, QUIETEST, transience
from evc.models.timbre.inference import TimbreNetwork
from evc.models.timbre.layout import TIMBRE_NETWORK
from evc.models.timbre.spectra import RANGE_DB, measured, values_of
from evc.timbres import TimbrePath

RATE, SECONDS, KBPS, AUDIBLE_DB = 44_100, 12, 0.4, 60.0
EXCERPTS = {  # of the development set: seconds of their starts, where least is struck
    "acoustic/holizna_cabin_fever": 0, "tracker/pingus_rough_journey": 0, "electronic/opensurge_speed_lmms": 6,
    "tracker/pingus_gd-cancn": 12, "electronic/lmms_Socceroos-Progress": 6,
}  # fmt: skip
Audio = NDArray[np.float32]


def ten(folder: Path) -> dict[str, Audio]:
    """Pads and drones [frames, 2] by name: five of the development set, five synthesised."""
    found = {}
    for name, start in EXCERPTS.items():
        place = folder / f"{name}.flac"
        audio, _ = soundfile.read(place, RATE * SECONDS, start * RATE, dtype="float32", always_2d=True)
        found[name.partition("/")[2]] = audio
    return found | synthesised()


def synthesised() -> dict[str, Audio]:
    random, time = np.random.default_rng(99), np.arange(SECONDS * RATE) / RATE

    def saw(note: float, cutoff: NDArray[np.float64] | float, detune: float) -> NDArray[np.float64]:
        hertz, phase = 440 * 2 ** ((note - 69) / 12), 6 * random.random()
        partials = range(1, int(9000 / hertz) + 1)
        return sum(
            np.sin(2 * np.pi * hertz * k * (1 + detune) * time + k * phase) / k / (1 + (hertz * k / cutoff) ** 4)
            for k in partials
        )

    def both(make) -> NDArray[np.float64]:
        return np.stack([make(0), make(1)], axis=1)

    cutoff = 600 + 500 * np.sin(2 * np.pi * time / 9)
    sides = (-0.0015, 0.0015)
    found = {"saw drone": both(lambda s: sum(saw(n, cutoff, sides[s]) for n in (36, 43, 48)))}
    chords = (57, 60, 64, 71), (53, 57, 60, 64), (48, 55, 64, 67), (55, 59, 62, 69)
    fades = [np.clip(np.minimum(time - 3 * i + 0.7, 3 * i + 3.7 - time), 0, 1) for i in range(4)]
    found["chord pad"] = both(
        lambda s: sum(f * sum(saw(n, 1200, sides[s]) for n in chord) for f, chord in zip(fades, chords, strict=True))
    )

    def strings(side: int) -> NDArray[np.float64]:
        out = 0 * time
        for note in (50, 57, 62, 66, 69):
            bend = 1 + 0.003 * np.sin(2 * np.pi * (5 + random.random()) * time + 6 * random.random())
            turns = 2 * np.pi * np.cumsum(440 * 2 ** ((note - 69) / 12) * bend) / RATE
            out += sum(np.sin(k * turns) / k**1.2 for k in range(1, 20))
        return out * (0.6 + 0.4 * np.sin(2 * np.pi * time / 7))

    found["strings"] = both(strings)
    hertz = np.fft.rfftfreq(len(time), 1 / RATE)
    shape = np.exp(-((np.log(np.maximum(hertz, 1) / 500) / 0.6) ** 2))
    wind = np.fft.irfft(np.fft.rfft(random.standard_normal((2, len(time)))) * shape, len(time))
    tones = np.sin(2 * np.pi * 220 * time) + 0.5 * np.sin(2 * np.pi * 330 * time)
    found["wind and tones"] = (wind / wind.std() * (0.6 + 0.4 * np.sin(2 * np.pi * time / 5)) + tones).T
    glass = np.zeros((len(time), 2))
    for _ in range(14):
        pitch, centre, pan = 220 * 2 ** random.uniform(0, 4), random.uniform(0, SECONDS), random.uniform(0, np.pi / 2)
        swell = np.exp(-(((time - centre) / 2.5) ** 2)) * np.sin(2 * np.pi * pitch * time + 6 * random.random())
        glass += np.outer(swell / np.sqrt(pitch / 220), [np.cos(pan), np.sin(pan)])
    found["glass"] = glass
    return {name: (0.1 * sound / sound.std()).astype(np.float32) for name, sound in found.items()}


def errors(found: NDArray[np.floating], values: NDArray[np.floating]) -> float:
    """Root mean square error in dB over the cells within AUDIBLE_DB of the strongest."""
    audible = values >= values.max(axis=1, keepdims=True) - AUDIBLE_DB / RANGE_DB
    return float(np.sqrt(np.square(RANGE_DB * (np.clip(found, 0, 1) - values))[audible].mean()))


def network(folder: Path) -> None:
    """Reconstruction of sustained clips, and points that are encoded, written, decoded and encoded again."""
    model = TimbreNetwork.load(weights(TIMBRE_NETWORK))
    values = []
    for path in sorted(folder.glob("[aet]*/*.flac")):
        rate = soundfile.info(path).samplerate
        for block in soundfile.blocks(path, 2 * rate, overlap=0, always_2d=True):
            clip = block.T
            if len(block) == 2 * rate and 10 * np.log10(np.square(clip).mean() + 1e-12) > QUIETEST:
                if transience(clip, rate) <= MOST_TRANSIENT:
                    values.append(values_of(measured(clip, rate)))
    spectra = np.array(values)
    places = model.refined(spectra)
    step = step_size(c.DEFAULT_TIMBRE_STEP)
    before, after = (errors(model.decoded(z), spectra) for z in (places, np.rint(places / step) * step))
    print(f"{len(spectra)} clips: {before:.2f} dB, rounded {after:.2f} dB; spread {places.std(axis=0).round(2)}")
    apart = []
    for place in places[:: max(1, len(places) // 30)]:
        path = TimbrePath([0], place[None], -20.0, 0.5)
        audio = evc.decode(_file(path))[0][2 * RATE :].T.astype(np.float64)
        clips = [values_of(measured(audio[:, at : at + 2 * RATE], RATE)) for at in range(0, 4 * RATE, 2 * RATE)]
        apart.append(model.refined(np.array(clips)).mean(axis=0) - place)
    distance = np.sqrt(np.square(apart).mean())
    print(f"a point comes back within {distance:.2f} standard deviations of the prior (root mean square by dimension)")


def _file(path: TimbrePath, seconds: int = 8) -> bytes:
    silent, target = io.BytesIO(evc.encode(np.zeros((seconds * RATE, 2), np.float32), RATE)), io.BytesIO()
    with evc.open(silent) as file:
        path.save(target, file)
    return target.getvalue()


def beside_noise(folder: Path) -> None:
    """Mel and zim of the ten, timbres and noise at KBPS."""
    import torch

    metrics = bench(BENCH)
    means = {"timbre": [], "noise": []}
    for name, audio in ten(folder).items():
        row = [f"| {name} "]
        for hints in means:
            with warnings.catch_warnings(action="ignore", category=evc.EvcWarning):
                data = evc.encode(audio, RATE, hints=hints, bitrate=KBPS)
            decoded = evc.decode(data)[0]
            one, other = (torch.from_numpy(np.ascontiguousarray(x.T)) for x in (audio, decoded))
            mel = metrics.mel_and_stft_distance(one, other, RATE)[0]
            zim = metrics.zimtohrli(*(np.asarray(metrics.resample(x.T, RATE, 48_000)) for x in (audio, decoded)))
            means[hints].append((len(data) / 125 / SECONDS, mel, zim))
            row.append("{:.2f} | {:.2f} | {:.1f} ".format(*means[hints][-1]))
        print("| ".join(row) + "|", flush=True)
    for hints, rows in means.items():
        print(hints, np.mean(rows, axis=0).round(2))


def speed() -> None:
    """Seconds of sound rendered in one second of one core."""
    random = np.random.default_rng(0)
    path = TimbrePath(np.arange(0, 60, 1.5), random.normal(0, 1, (40, 32)), -20.0, 0.5)
    with threadpool_limits(1):
        path.rendered(RATE, 2, RATE)
        begun = time.process_time()
        path.rendered(RATE, 2, 60 * RATE)
        print(f"{60 / (time.process_time() - begun):.0f} times real time, by CPU seconds of one core")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("network", "ten", "speed"))
    parser.add_argument("folder", type=Path, nargs="?", help="the development set")
    arguments = parser.parse_args()
    if arguments.what == "speed":
        speed()
    elif arguments.folder is None:
        parser.error("name the folder of the development set")
    else:
        {"network": network, "ten": beside_noise}[arguments.what](arguments.folder)


if __name__ == "__main__":
    main()
