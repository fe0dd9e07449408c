"""Training pairs: excerpts of a folder of audio, and what is left of them in a file that has events and noise alone.

Pairs take seconds to make and are used hundreds of times, so they are made before training and kept as files: first
they are described, then rendered. Each is a function of the seed and of its number: whoever makes the missing ones
later makes the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from evc.format.errors import InputError
from evc.models.latents.descriptions import SIGNALS, Description, PairSettings, Samples
from evc.models.progress import Progress
from evc.models.training.ahead import each
from evc.models.training.dataset import AudioFolder
from evc.models.training.whole import whole

CROPPED = ("source", "events", "noise")  # rows of a crop
RECORD = "pairs.json"


class Pairs:
    """The pairs of one side, in files: int16 [SIGNALS, 2 (left, right), frames] each, full scale 32768."""

    def __init__(self, folder: Path, side: str, count: int) -> None:
        self.paths = [path_of(folder, side, number) for number in range(count)]

    def __len__(self) -> int:
        return len(self.paths)

    def crop(self, number: int, with_events: bool, frames: int, random: np.random.Generator | None = None) -> Samples:
        """A random stretch of a pair, or its beginning: int16 [CROPPED, 2 (left, right), frames]. Without events, the
        noise is that which stands alone. A pair that is shorter is followed by zeros."""
        rows = np.load(self.paths[number], mmap_mode="r")
        start = 0 if random is None else int(random.integers(0, max(0, rows.shape[2] - frames) + 1))
        found = rows[:, :, start : start + frames]
        crop = np.zeros((len(CROPPED), 2, frames), np.int16)
        chosen = {0: 0, 1: 1, 2: 2} if with_events else {0: 0, 2: SIGNALS.index("noise alone")}
        for row, signal in chosen.items():
            crop[row, :, : found.shape[2]] = found[signal]
        return crop


def path_of(folder: Path, side: str, number: int) -> Path:
    """Where a pair lies below the folder of a training run."""
    return folder / "pairs" / side / f"{number:05d}.npy"


def description_of(folder: Path, side: str, number: int) -> Path:
    """Where the description of a pair lies."""
    return folder / "descriptions" / side / f"{number:05d}.json"


def describe_pairs(
    folder: Path, audio: Path, parts: Sequence[AudioFolder], settings: PairSettings, seed: int,
    progress: Progress | None = None,
) -> None:  # fmt: skip
    """Describe the pairs for training and for validation that are missing, from the two `parts` of the folder `audio`,
    in one process per core. `progress` takes the number of pairs that are described, and how many will be. Raises
    InputError if `folder` has pairs of another seed or of other settings."""
    _check(folder, settings, seed)
    orders = [
        _Order(folder, audio, side, number, settings, seed, parts[side])
        for side, number in _numbers(settings)
        if not _path(path_of, folder, settings, side, number).exists()
        and not _path(description_of, folder, settings, side, number).exists()
    ]
    _make(_describe, orders, settings, progress)


def render_pairs(folder: Path, audio: Path, settings: PairSettings, progress: Progress | None = None) -> None:
    """Render the pairs that are described and not yet there, in one process per core; `progress` as above."""
    orders = [
        _Order(folder, audio, side, number, settings)
        for side, number in _numbers(settings)
        if not _path(path_of, folder, settings, side, number).exists()
    ]
    _make(_render, orders, settings, progress)


@dataclass(frozen=True)
class _Order:
    """A pair to be described or rendered; this is what a process is told."""

    folder: Path
    audio: Path
    side: int
    number: int
    settings: PairSettings
    seed: int = 0
    part: AudioFolder | None = None

    def path(self, of: Callable[[Path, str, int], Path]) -> Path:
        return _path(of, self.folder, self.settings, self.side, self.number)


def _describe(order: _Order) -> None:
    if order.part is None:
        raise InputError("a pair is described from a part of a folder")
    random = np.random.default_rng((order.seed, order.side, order.number))
    description = Description.draw(order.part, order.settings, random, vary=order.side == 0)
    description.save(order.path(description_of), order.audio)


def _render(order: _Order) -> None:
    """The file appears when it is whole."""
    pair = Description.load(order.path(description_of)).render(order.audio, order.settings)
    path = order.path(path_of)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as partial, open(partial, "wb") as file:
        np.save(file, pair)


def _make(
    function: Callable[[_Order], None], orders: Sequence[_Order], settings: PairSettings, progress: Progress | None
) -> None:
    total = settings.training + settings.validation
    for done, _ in enumerate(each(function, orders), 1):
        if progress is not None:
            progress(total - len(orders) + done, total)


def _numbers(settings: PairSettings) -> list[tuple[int, int]]:
    return [(side, number) for side, (_, count) in enumerate(settings.sides) for number in range(count)]


def _path(of: Callable[[Path, str, int], Path], folder: Path, settings: PairSettings, side: int, number: int) -> Path:
    return of(folder, settings.sides[side][0], number)


def _check(folder: Path, settings: PairSettings, seed: int) -> None:
    """Note what the pairs are made with, or compare it with what the note says. More pairs may be made later."""
    made = {"seed": seed, **asdict(settings)}
    wanted = {name: value for name, value in made.items() if name not in dict(settings.sides)}
    path = folder / "pairs" / RECORD
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    elif json.loads(path.read_text(encoding="utf-8")) != json.loads(json.dumps(wanted)):
        raise InputError(f"{path.parent}: has pairs of another seed or of other settings; train into another folder")
