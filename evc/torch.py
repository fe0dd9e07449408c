"""Random stretches of .evc files for PyTorch. Importing this imports torch: pip install 'evc[train]'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evc.catalogue.reading import Paths, check_channels, evc_paths, opened, with_channels
from evc.format.constants import MIN_SAMPLERATE
from evc.format.errors import InputError

try:
    import torch
    from torch.utils.data import IterableDataset, get_worker_info
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("evc.torch needs torch: pip install 'evc[train]'", name="torch") from error

_FILES = 64  # whose runs are mixed
_RUN_SEGMENTS = 4  # decoded at a time


class _Run(NamedTuple):
    """Frames of a file that are decoded together, and how many stretches come of them."""

    path: str
    start: int
    frames: int
    stretches: int


class _Sound(NamedTuple):
    """A decoded run, float32 [channels, frames]."""

    run: _Run
    audio: NDArray[np.float32]
    samplerate: int


class EvcDataset(IterableDataset[dict[str, Any]]):
    """Random stretches of .evc files, for a `DataLoader` with any number of workers, each of which has its own files.

        loader = DataLoader(EvcDataset("encoded", seconds=1.0, channels=1), batch_size=32, num_workers=4)

    An item has audio (float32 [channels, frames], silent behind the end of a file that is shorter), samplerate, path,
    and start (s). Only segments that are needed are decoded, once in an epoch: from a run of them come as many
    stretches as cover it `coverage` times, each at a place of its own, mixed with those of `pool` other runs. An epoch
    goes once through all files, in random order; of each that has sound comes one stretch at least.

    With a `seed`, an epoch is the same on every run with as many workers; `set_epoch` chooses which. Without one it
    hangs on torch's own seed. Processes of torch.distributed share the files. `channels` makes files of one and two
    channels alike. Raises InputError, and in an epoch what decoding raises.
    """

    def __init__(
        self,
        paths: Paths,
        seconds: float,
        *,
        channels: int | None = None,
        coverage: float = 4.0,
        pool: int = 16,
        seed: int | None = None,
    ) -> None:
        _check_positive("seconds", seconds)
        _check_positive("coverage", coverage)
        if seconds * MIN_SAMPLERATE < 1:
            raise InputError(f"{seconds:g} s: less than a frame")
        _check_whole("pool", pool, 1)
        if seed is not None:
            _check_whole("seed", seed, 0)
        check_channels(channels)
        self.paths = evc_paths(paths)
        self.seconds, self.channels, self.coverage, self.pool, self.seed = seconds, channels, coverage, pool, seed
        self._epoch = torch.zeros(1, dtype=torch.int64).share_memory_()  # workers that stay on see it change

    def set_epoch(self, epoch: int) -> None:
        """Choose the stretches of the next epoch, from 0 on, if there is a seed."""
        _check_whole("epoch", epoch, 0)
        self._epoch[0] = epoch

    def __iter__(self) -> Iterator[dict[str, Any]]:
        seed, share, shares = self._share()
        order = np.random.default_rng(seed).permutation(len(self.paths))
        random = np.random.default_rng([*seed, share])
        runs = self._runs([self.paths[at] for at in order[share::shares]], random)
        sounds: list[_Sound] = []
        left: list[int] = []
        while True:
            while len(sounds) < self.pool and (run := next(runs, None)) is not None:
                sounds.append(self._decoded(run))
                left.append(run.stretches)
            if not sounds:
                return
            chosen = int(random.integers(len(sounds)))
            yield self._stretch(sounds[chosen], random)
            left[chosen] -= 1
            if not left[chosen]:
                del sounds[chosen], left[chosen]

    def _share(self) -> tuple[list[int], int, int]:
        """What the epoch is seeded with, and which share of the files is this process's."""
        worker = get_worker_info()
        share, shares = (0, 1) if worker is None else (worker.id, worker.num_workers)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            share += shares * torch.distributed.get_rank()
            shares *= torch.distributed.get_world_size()
        if self.seed is not None:
            return [self.seed, int(self._epoch[0])], share, shares
        own = int(torch.randint(1 << 62, ())) if worker is None else worker.seed - worker.id
        return [own], share, shares

    def _runs(self, paths: Sequence[str], random: np.random.Generator) -> Iterator[_Run]:
        """All of the files, in random order among some files that follow upon each other."""
        for first in range(0, len(paths), _FILES):
            runs: list[_Run] = []
            for path in paths[first : first + _FILES]:
                with opened(path) as file:
                    length = file.segments[0].frames if file.segments else 0
                    frames, stretch = file.frames, self.seconds * file.samplerate
                margin = max(0, round(stretch) - length)
                begin = -int(random.integers(_RUN_SEGMENTS)) * length
                own: list[_Run] = []
                while begin < frames:
                    start, end = max(begin, 0), min(begin + _RUN_SEGMENTS * length + margin, frames)
                    count = int(self.coverage * (end - start) / stretch + random.random())
                    own.append(_Run(path, start, end - start, count))
                    begin += _RUN_SEGMENTS * length
                if own and not any(run.stretches for run in own):
                    at = int(random.integers(len(own)))
                    own[at] = own[at]._replace(stretches=1)
                runs += (run for run in own if run.stretches)
            random.shuffle(runs)
            yield from runs

    def _decoded(self, run: _Run) -> _Sound:
        with opened(run.path) as file:
            file.seek(run.start)
            audio = np.ascontiguousarray(file.read(run.frames, always_2d=True).T)
            samplerate = file.samplerate
        return _Sound(run, with_channels(audio, self.channels, run.path), samplerate)

    def _stretch(self, sound: _Sound, random: np.random.Generator) -> dict[str, Any]:
        frames = round(self.seconds * sound.samplerate)
        start = int(random.integers(max(0, sound.run.frames - frames) + 1))
        audio = torch.zeros((len(sound.audio), frames))
        part = torch.from_numpy(sound.audio[:, start : start + frames])
        audio[:, : part.shape[1]] = part
        seconds = (sound.run.start + start) / sound.samplerate
        return {"audio": audio, "samplerate": sound.samplerate, "path": sound.run.path, "start": seconds}


def _check_positive(name: str, value: Any) -> None:
    if not (isinstance(value, Real) and 0 < float(value) < np.inf):
        raise InputError(f"{name} {value!r}: has to be a positive number")


def _check_whole(name: str, value: Any, least: int) -> None:
    if not (isinstance(value, Integral) and int(value) >= least):
        raise InputError(f"{name} {value!r}: has to be a whole number, at least {least}")
