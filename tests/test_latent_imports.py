"""Files of latents are read, and decoded on the command line, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from latent_tools import RATE, SEGMENT, file_of, latent_header, streams_of

from evc.format import constants as c


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of noise and latents, for the network of the package."""
    found = tmp_path_factory.mktemp("latents")
    header = latent_header(RATE, 2, SEGMENT, segment_frames=SEGMENT)
    streams = streams_of(header)
    del streams[0][c.STREAM_EVENTS]
    header = latent_header(RATE, 2, SEGMENT, segment_frames=SEGMENT, layers=("noise", "latent"))
    (found / "a.evc").write_bytes(file_of(streams, header))
    return found


@pytest.mark.parametrize(
    "code",
    [
        "import evc; f = evc.open('a.evc'); assert f.read().any(); f.stats(); f.verify(synthesis=True)",
        "import sys; from evc.cli.main import main; sys.argv = ['evc', 'decode', 'a.evc', 'a.wav']; main()",
        "import sys; from evc.cli.main import main; sys.argv = ['evc', 'stats', 'a.evc']; main()",
        "import evc.models.latents.encoder",
    ],
)
@pytest.mark.parametrize("kernels", ["0", "1"])
def test_latents_need_no_torch(code: str, kernels: str, folder: Path) -> None:
    (folder / "a.wav").unlink(missing_ok=True)
    program = f"try:\n    exec({code!r})\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
    program += "import sys; print('torch' in sys.modules, file=sys.__stdout__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True,
        env=os.environ | {"EVC_KERNELS": kernels},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
