"""What is imported when: torch never for decoding, little at start-up, and only in one direction."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import evc

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {
    "kernels": "evc/kernels", "format": "evc/format", "models": "models", "evc": "evc", "spec": "spec", "cli": "cli",
}  # fmt: skip
COMPILED = ".c", ".h", ".so", ".pyd"  # the kernels and what is made of them
ORDER = {layer: place for place, layer in enumerate(FOLDERS)}  # each may import those before it


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
        ("import evc.kernels", set()),
        (run_cli("--version"), set()),
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


@pytest.fixture(scope="module")
def layers(tmp_path_factory):
    """A folder with a file of patterns beside a spectrum, and one of noise alone."""
    folder, random = tmp_path_factory.mktemp("layers"), np.random.default_rng(0)
    burst = random.normal(0, 0.2, 4000) * np.exp(-np.arange(4000) / 800)
    (folder / "patterns+spectrum.evc").write_bytes(evc.encode(np.tile(burst, 4), 8000, quality=4))
    with pytest.warns(evc.EvcWarning, match="as near as it comes"):  # no room for events
        hiss = evc.encode(random.normal(0, 0.1, 16_000), 16_000, hints="noise", bitrate=0.4)
    (folder / "noise.evc").write_bytes(hiss)
    return folder


@pytest.mark.parametrize("name", ["patterns+spectrum", "noise"])
@pytest.mark.parametrize("reading", ["f.read()", "f.events, f.patterns, f.occurrences, f.stats()"])
def test_layers_that_need_no_torch(name, reading, layers):
    assert "+".join(evc.info(layers / f"{name}.evc").layers) == name
    code = f"import evc; f = evc.open('{name}.evc'); {reading}; f.verify(synthesis=True)"
    assert heavy(modules_after(code, layers)) == {"numpy", "constriction"}


def modules_of(layer):
    """Paths of a layer's modules by name. `evc` is the face, without the format and the kernels below it."""
    for path in (ROOT / FOLDERS[layer]).rglob("*.py"):
        if layer == "evc" and any(path.is_relative_to(ROOT / FOLDERS[below]) for below in ("kernels", "format")):
            continue
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts if parts[0] == "evc" else ("evc", *parts)).removesuffix(".__init__")
        yield name, path


MODULES = {name: (layer, path) for layer in FOLDERS for name, path in modules_of(layer)}
MODULES["evc.spec"] = ("format", MODULES["evc.spec"][1])  # where the tables lie


def module_of(name):
    """The module that a dotted name is, or is something of; None where it is neither."""
    while name not in MODULES and "." in name:
        name = name.rpartition(".")[0]
    return name if name in MODULES else None


@cache
def imported_and_named():
    """For each module, which of ours its file imports, wherever in it, for types only too; and which a string of it
    names: itself, or a class or a function in it."""
    imported, named = {}, {}
    for name, (_, path) in MODULES.items():
        nodes = list(ast.walk(tree(path)))
        imported[name] = set(imports_of(path, nodes)) - {name, None}
        texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
        named[name] = {module_of(text) for text in texts if re.fullmatch(r"evc(\.\w+)+", text)} - {name, None}
    return imported, named


@cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path, nodes):
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (module_of(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (module_of(f"{node.module}.{alias.name}") for alias in node.names)


def test_dependencies_point_one_way():
    imported, named = imported_and_named()
    upward = {
        (name, other)
        for name in MODULES
        for other in imported[name] | named[name]
        if ORDER[MODULES[other][0]] > ORDER[MODULES[name][0]]
    }
    assert upward == {("evc.__main__", "evc.cli.main")}


def test_no_modules_import_each_other_in_a_circle():
    imported, named = imported_and_named()
    left = {name: imported[name] | named[name] for name in MODULES}
    # What the table of layers names is built upon that table, and found by it when a file has the layer.
    assert "evc.models.events.layer" in named["evc.models.layers"]
    left["evc.models.layers"] = imported["evc.models.layers"]
    while leaves := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in leaves}
    assert not left, f"in a circle, or above one: {sorted(left)}"


def test_modules_are_imported_by_name_in_few_places():
    """Names that are put together escape the tests above."""
    found = {name for name, (_, path) in MODULES.items() if "import_module(" in path.read_text(encoding="utf-8")}
    assert found == {"evc", "evc.format.streams", "evc.models.layers", "evc.cli.main"}
    assert not any("__import__" in path.read_text(encoding="utf-8") for _, path in MODULES.values())


def top_level_packages(path):
    """Packages that are imported as soon as the module is."""
    for node in tree(path).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def test_the_format_needs_only_its_own_dependencies():
    for path in (ROOT / "evc").rglob("*.py"):
        packages = set(top_level_packages(path))
        assert not packages & {"torch", "click", "rich", "scipy"}, path
        assert "constriction" not in packages or path.name in ("coder.py", "words.py", "frequencies.py")
        assert "soundfile" not in packages or path.name in ("soundfiles.py", "soundfile_checks.py")
        assert "cffi" not in packages or path.name == "build.py"


def test_every_file_names_packages_as_they_are_installed():
    for _, path in MODULES.values():
        assert not {"models", "cli", "spec", "tests"} & set(top_level_packages(path)), path


def test_every_folder_and_file_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = {name if path.name == "__init__.py" else name.rpartition(".")[0] for name, (_, path) in MODULES.items()}
    assert set(settings["packages"]) == folders
    data = {"evc": ROOT / "evc", "evc.models": ROOT / "models", "evc.cli": ROOT / "cli", "evc.spec": ROOT / "spec"}
    for package, folder in data.items():
        installed = {path for pattern in settings["package-data"].get(package, ()) for path in folder.glob(pattern)}
        there = {path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
        there = {path for path in there if path.suffix not in (".py", *COMPILED)}
        there = {path for path in there if "vectors" not in path.relative_to(folder).parts}
        assert installed == there
