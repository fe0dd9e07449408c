"""Trains the network that tells notes: python -m evc.exports.train_notes FOLDER --out evc-notes-1.safetensors

FOLDER has files NAME_RATE.evc of events and, for each NAME, a NAME.json: a list of the notes that sound there, as
[seconds, MIDI number, velocity]. Prints the mean F (onset within 50 ms, and pitch) of works that were left out, by the
log odds from which on a candidate counts as a note. Needs torch.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import evc
from evc.events import EventList
from evc.exports.candidates import Candidates
from evc.exports.notes import _LARGEST, NoteNetwork, heard, picked
from evc.exports.rolls import Reals
from evc.format.networks import installed_network
from evc.models.events.vectors import EVENTS_NETWORK, PART_INDEX, PARTS, PITCH_PER_SEMITONE

ONSET_SECONDS = 0.05
HIDDEN = 48
EPOCHS = 15
PLANTED = 40  # moments of a planted example ...
PLANTED_SHARE = 0.15  # ... and how many of these there are, of all examples
FOLDS = 4
BATCH = 1024
LEAST_ODDS = (-2.0, -1.5, -1.25, -1.0, -0.5)

Example = tuple[Candidates, Reals]  # what could be notes, and the notes [n, 2]: seconds and MIDI number


def hits(notes: Reals, found: Reals) -> int:
    """How many of `notes` are among those `found`, both [n, 2]: as many pairs of one pitch and onsets 50 ms apart at
    most as there can be."""
    count = 0
    for pitch in np.unique(notes[:, 1]):
        wanted, told = (np.sort(part[part[:, 1] == pitch, 0]) for part in (notes, found))
        i = j = 0
        while i < len(wanted) and j < len(told):
            if abs(wanted[i] - told[j]) <= ONSET_SECONDS:
                count, i, j = count + 1, i + 1, j + 1
            elif wanted[i] < told[j]:
                i += 1
            else:
                j += 1
    return count


def f_measure(notes: Reals, found: Reals) -> float:
    """Twice the hits over all that there are and that are told."""
    return 2 * hits(notes, found) / max(len(notes) + len(found), 1)


def examples(folder: Path) -> dict[str, Example]:
    """Those in a folder, by the name of the .evc file."""
    found = {}
    for path in sorted(folder.glob("*_*.evc")):
        truth = path.with_name(path.stem.rpartition("_")[0] + ".json")
        if truth.exists() and (notes := json.loads(truth.read_text())):
            with evc.open(path) as file:
                _, told, _ = heard(file.events, file.duration)
            if len(told):
                found[path.stem] = told, np.array(notes)[:, :2]
    return found


def planted(times: Reals, pitches: Reals, amplitudes: Reals) -> EventList:
    """Events that are a tone each, with three partials above the first, as of a piano."""
    codes = np.zeros((len(times), len(PARTS)), np.int64)
    codes[:, 0] = np.rint(PITCH_PER_SEMITONE * pitches)
    for name, code in (("decay", 7), ("length", 4), ("partial2", 1), ("partial3", 1), ("partial4", 1)):
        codes[:, PART_INDEX[name]] = code
    return EventList(times, amplitudes, np.zeros(len(times)), codes=codes, network=installed_network(EVENTS_NETWORK))


def planted_examples(count: int, seed: int = 0) -> list[Example]:
    """Melodies and chords of plain events, of which some come in fragments and with partials of their own: so plain as
    no encoder makes them, but people do."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        moments = np.cumsum(random.choice([0.15, 0.2, 0.3, 0.4, 0.6], PLANTED))
        times = np.repeat(moments, random.integers(1, random.integers(2, 5), PLANTED))
        pitches = np.clip(np.rint(random.normal(random.uniform(48, 76), 7, len(times))), 30, 96)
        amplitudes = 10 ** random.uniform(-1.5, -0.3, len(times))
        rows = np.unique(np.column_stack([times, pitches]), axis=0, return_index=True)[1]
        parts = [np.column_stack([times, pitches, amplitudes])[rows]]
        for away, gain, chance in ((0, 0.4, 0.3), (12, 0.3, 0.4), (19, 0.2, 0.4), (24, 0.15, 0.3)):
            more = parts[0][random.random(len(rows)) < chance * random.integers(0, 2)]
            parts.append(more * (1, 1, gain) + (0.012 * (away == 0), away, 0))
        events = planted(*np.concatenate(parts).T)
        _, told, _ = heard(events, float(moments[-1]) + 2)
        found.append((told, parts[0][:, :2]))
    return found


def labels(example: Example) -> NDArray[np.float32]:
    """1 for each candidate that is near a note of its pitch."""
    told, notes = example
    out = np.zeros(len(told), np.float32)
    for pitch in np.unique(told.pitches):
        rows, onsets = np.flatnonzero(told.pitches == pitch), notes[notes[:, 1] == pitch, 0]
        if len(onsets):
            out[rows] = np.abs(told.times[rows, None] - onsets).min(axis=1) <= ONSET_SECONDS
    return out


def trained(data: list[Example], seed: int = 0) -> NoteNetwork:
    """A network that learned from examples, each of which weighs the same."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    known = np.concatenate([told.known for told, _ in data])
    centre, spread = known.mean(axis=0), known.std(axis=0) + 1e-3
    inputs = torch.tensor(np.clip((known - centre) / spread, -_LARGEST, _LARGEST))
    wanted = torch.tensor(np.concatenate([labels(example) for example in data]))
    weight = torch.tensor(np.concatenate([np.full(len(told), 1 / len(told), np.float32) for told, _ in data]))
    weight /= weight.mean()
    inner, outer = nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, 1)
    net = nn.Sequential(nn.Dropout(0.1), inner, nn.ReLU(), nn.Dropout(0.25), outer)
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3, weight_decay=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, EPOCHS)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(inputs)).split(BATCH):
            loss = nn.functional.binary_cross_entropy_with_logits(net(inputs[rows])[:, 0], wanted[rows], weight[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    learned = (inner.weight, inner.bias, outer.weight[0], outer.bias)
    return NoteNetwork(centre, spread, *(tensor.detach().numpy() for tensor in learned))


def cross_checked(data: dict[str, Example]) -> dict[float, float]:
    """Mean F of works that were not learned from, by the least log odds."""
    works = sorted({name.split("_")[0] + name.rsplit("_", 2)[0] for name in data})
    fold = {name: works.index(name.split("_")[0] + name.rsplit("_", 2)[0]) % FOLDS for name in data}
    scores: dict[float, list[float]] = {least: [] for least in LEAST_ODDS}
    for number in range(FOLDS):
        network = trained([data[name] for name in data if fold[name] != number])
        for told, notes in (data[name] for name in data if fold[name] == number):
            odds = network.odds(told.known)
            for least in LEAST_ODDS:
                rows = picked(told, odds, least)
                scores[least].append(f_measure(notes, np.column_stack([told.times[rows], told.pitches[rows]])))
    return {least: float(np.mean(found)) for least, found in scores.items()}


def main() -> None:
    from safetensors.numpy import save_file

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    data = examples(arguments.folder)
    more = planted_examples(round(PLANTED_SHARE * len(data)))
    for least, score in cross_checked(data).items():
        print(f"log odds {least:+.1f}: mean F {score:.3f} of {len(data)} files")
    network = trained([*data.values(), *more])
    save_file({name: np.ascontiguousarray(value) for name, value in vars(network).items()}, arguments.out)


if __name__ == "__main__":
    main()
