"""Audio and files that many tests share, made once per test process by our own sequencer."""

import os
import sys

# Tests start hundreds of processes: what one has compiled, the others need not. They inherit this.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False

# Where several processes share the tests, threads of the libraries would only wait for each other. They read this when
# they are imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import command_tools  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import soundfile  # noqa: E402
from hypothesis import settings  # noqa: E402

import evc  # noqa: E402
from evc.models import sequencer  # noqa: E402

# No test depends on how fast the machine is, or on chance: a run tries what the last one tried.
settings.register_profile("evc", deadline=None, derandomize=True)
settings.load_profile("evc")

RATE = 16_000
SECONDS = 10.0


@pytest.fixture(scope="session")
def track() -> np.ndarray:
    """Ten seconds of music, float32 [frames, 2] at 16 kHz: four segments."""
    audio = sequencer.track(SECONDS, RATE)
    audio.flags.writeable = False
    return audio


@pytest.fixture(scope="session")
def encoded(track) -> bytes:
    """The track at the default quality, with tags."""
    return evc.encode(track, RATE, patterns="off", tags={"title": "Grid", "artist": ["A", "B"]})


@pytest.fixture(scope="session")
def whole(encoded) -> np.ndarray:
    """The decoded track."""
    return evc.decode(encoded)[0]


@pytest.fixture(scope="session")
def folder(tmp_path_factory, track, encoded):
    """A folder with the track as track.wav (tagged, 16 bits) and as track.evc. Tests do not change these
    files."""
    path = tmp_path_factory.mktemp("track")
    with soundfile.SoundFile(path / "track.wav", "w", RATE, 2, "PCM_16") as file:
        file.title, file.artist, file.tracknumber = "Grid", "Nobody", "7"
        file.write(track)
    (path / "track.evc").write_bytes(encoded)
    return path


@pytest.fixture(scope="session")
def run_evc():
    """Runs the `evc` command in this process: run_evc(*arguments, cwd=..., stdin=bytes) -> CompletedProcess with bytes
    in stdout and stderr."""
    return command_tools.run


@pytest.fixture(scope="session")
def start_evc():
    """The same in a process of its own, where that is what counts."""
    return command_tools.start
