"""From the root of a checkout everything can be imported, whether or not the installation is an editable one."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODULES = "evc.kernels.sources", "evc.format.header", "evc.models.pipeline", "evc.cli.main", "evc.spec.synthesis"


def test_a_checkout_is_complete_without_an_installation():
    # Without `site` nothing of an installation is known but the libraries in its folder.
    libraries = [path for path in sys.path if "site-packages" in path]
    code = f"import {', '.join(MODULES)}; print(*(m.__file__ for m in ({', '.join(MODULES)},)), sep='\\n')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(libraries)}
    command = [sys.executable, "-S", "-c", code]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert all(Path(path).is_relative_to(ROOT) for path in found.stdout.split()), found.stdout


def test_the_architecture_names_modules_that_are_there():
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = {path.rpartition("/")[2] for path in re.findall(r"`([\w/]+\.(?:py|c|h))`", text)}
    folders = [ROOT / name for name in ("evc", "models", "cli", "spec", "tests")]
    there = {path.name for folder in folders for kind in ("*.py", "*.[ch]") for path in folder.rglob(kind)}
    assert len(named) > 100
    assert named <= there, sorted(named - there)
    models = ("models", *(f"models/{layer}" for layer in ("spectrum", "events", "noise", "latents")))
    face = ("evc", *(f"evc/{name}" for name in ("catalogue", "kernels", "editing", "exports", "format", "sound")))
    for folder in (*face, *models, "spec"):
        modules = {path.name for kind in ("[!_]*.py", "*.c") for path in (ROOT / folder).glob(kind)}
        missing = modules - named - {"version.py", "pipeline.py"}
        assert not missing, f"{folder}: {sorted(missing)}"
