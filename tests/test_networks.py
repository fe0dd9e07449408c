"""Networks that are installed, and files that only bear their names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evc.format.errors import EvcError, InputError
from evc.format.networks import find, installed_network, installed_too, reference_of, tensors, weights
from evc.format.streams.latent_model import LatentModel
from evc.models.events.codebooks import Codebooks
from evc.models.events.generator import Generator
from evc.models.events.hearing import OnsetNetwork
from evc.models.events.proposer import Proposer
from evc.models.events.sounding import SoundTables
from evc.models.latents.network import LatentNetwork

NAME = "evc-events-1"
TOO_LONG = b"\xff" * 7 + b"\x7f{}"
GARBAGE = b"", b"weights", TOO_LONG, np.random.default_rng(0).bytes(1000), b"\2\0\0\0\0\0\0\0{}"


LOADERS = (Generator.load, SoundTables.load, Proposer.load, OnsetNetwork.load, LatentNetwork.load, Codebooks.load)


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_holds_no_weights_is_refused(tmp_path: Path, load: Callable[[Path], object], garbage: bytes) -> None:
    path = tmp_path / f"{NAME}.safetensors"
    path.write_bytes(garbage)
    with pytest.raises(EvcError):
        load(path)


@pytest.mark.parametrize("garbage", GARBAGE[:-1])
def test_files_that_hold_no_tensors_are_named(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / f"{NAME}.safetensors"
    path.write_bytes(garbage)
    with pytest.raises(InputError, match=f"^{NAME}.safetensors does not hold the weights of a network$"):
        tensors(path, "")


def test_a_model_without_tensors_is_refused() -> None:
    with pytest.raises(InputError, match="no valid probabilities"):
        LatentModel({})


def test_folders_and_places_that_are_not_there_are_passed_over(tmp_path: Path) -> None:
    shipped = installed_network(NAME)
    (tmp_path / f"{NAME}.safetensors").mkdir()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with installed_too(folder):
            assert installed_network(NAME) == shipped
            assert reference_of(find(shipped)) == shipped
            assert weights(NAME).is_file()
