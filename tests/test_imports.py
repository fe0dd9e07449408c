"""What is imported when: torch never for decoding, little at start-up, and only in one direction."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = {"evc": 0, "models": 1, "cli": 2}


def modules_after(code, cwd):
    """Names of the modules loaded after `code` has run in a fresh interpreter."""
    report = "import sys; print(*sorted(sys.modules), sep='\\n', file=sys.__stdout__)"
    command = [sys.executable, "-c", f"{code}\n{report}"]
    return set(subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.split())


def heavy(modules):
    """The top-level packages among `modules` that take long to import."""
    return {name.split(".")[0] for name in modules} & {
        "numpy", "torch", "constriction", "soundfile", "rich", "scipy"
    }  # fmt: skip


def run_cli(*arguments):
    call = f"sys.argv = ['evc', *{arguments!r}]; sys.stdout = open('/dev/null', 'w')"
    return f"import sys; from evc.cli.main import main; {call}\ntry: main()\nexcept SystemExit: pass"


@pytest.mark.parametrize(
    "code, expected",
    [
        ("import evc", set()),
        ("import evc; evc.info('track.evc')", set()),
        (run_cli("--help"), set()),
        (run_cli("encode", "--help"), set()),
        (run_cli("info", "track.evc"), set()),
        ("import evc; f = evc.open('track.evc'); f.events, f.patterns, f.stats()", {"numpy", "constriction"}),
        ("import evc; evc.open('track.evc').read()", {"numpy", "constriction"}),
        (
            "import evc; evc.decode_file('track.evc', '/dev/null', format='WAV')",
            {"numpy", "constriction", "soundfile"},
        ),
    ],
)  # fmt: skip
def test_what_is_loaded(code, expected, folder):
    assert heavy(modules_after(code, folder)) == expected


def imports_of(path):
    """Absolute names of the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 or path.parent == ROOT / "evc", f"{path} has a relative import"
            yield "evc" if node.module is None else node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module):
    parts = module.split(".")
    if parts[0] != "evc":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in LAYERS else "evc"


@pytest.mark.parametrize("layer", LAYERS)
def test_dependencies_point_one_way(layer):
    for path in (ROOT / layer).rglob("*.py"):
        for module in imports_of(path):
            other = layer_of(module)
            if other is None or LAYERS[other] <= LAYERS[layer]:
                continue
            if path == ROOT / "evc" / "__main__.py":  # the command
                continue
            # The library's functions reach the models where they are called, never when they are imported.
            assert (layer, other) == ("evc", "models"), f"{path} imports {module}"
            assert path.name in ("api.py", "playback.py"), f"{path} imports {module}"


def top_level_packages(path):
    """Packages that are imported as soon as the module is."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_the_format_needs_only_its_own_dependencies():
    for path in (ROOT / "evc").rglob("*.py"):
        packages = set(top_level_packages(path))
        assert not packages & {"torch", "click", "rich", "scipy", "models", "cli"}, path
        assert "constriction" not in packages or path.name == "coder.py"
        assert "soundfile" not in packages or path.name in ("soundfiles.py", "soundfile_checks.py")


def test_every_file_names_packages_as_they_are_installed():
    for layer in LAYERS:
        for path in (ROOT / layer).rglob("*.py"):
            assert not {"models", "cli", "spec", "tests"} & set(top_level_packages(path)), path
