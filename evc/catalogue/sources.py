"""What a catalogue job is about: folders, globs, single files and lists of files, each with its place in the tree."""

from __future__ import annotations

import glob
import os
import posixpath
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from evc.catalogue.manifest import COLUMNS
from evc.catalogue.places import Found, LocalPlace, Place, RemotePlace, place, readable, split
from evc.format.errors import InputError

LISTS = frozenset((".csv", ".parquet", ".jsonl"))
PATH_COLUMN, SETTING_COLUMNS = "path", ("quality", "bitrate")
_WILD = re.compile(r"[*?\[]")


class Input(NamedTuple):
    """A file to work on. `path` is where it is, `name` its place in the tree, `size` in bytes and `stamp` as
    `places.Found` has them, `columns` what a list says of it beside its path."""

    path: str
    name: str
    size: int
    stamp: str
    columns: dict[str, Any] | None = None


def inputs(sources: Sequence[str], endings: frozenset[str]) -> list[Input]:
    """All files that the sources name: of folders and globs those with `endings`, in lower case.

    The tree is that below a folder, or below the part of a glob without wildcards; of several sources each begins with
    its own name. Paths of a list that are relative count from the list's folder, and are the tree; others have it from
    the folder that is common to all.

    Raises InputError for what is not there, for a list without a column `path`, and for names out of the tree.
    """
    found: list[Input] = []
    for source in sources:
        own = list(_of(source, endings))
        if not own:
            raise InputError(f"{source}: no files here that end in {_some(endings)}")
        top = posixpath.basename(place(source).root.rstrip("/")) if len(sources) > 1 and _is_tree(source) else ""
        found += [one._replace(name=f"{top}/{one.name}") for one in own] if top else own
    if out := [one.name for one in found if one.name.startswith("/") or ".." in one.name.split("/")]:
        raise InputError(f"{readable(out[0])}: is outside of the tree")
    return list({(one.path, one.name, repr(one.columns)): one for one in found}.values())


def outputs(
    files: Iterable[Input], endings: frozenset[str], ending: str, taken: Collection[str] = frozenset()
) -> list[str]:
    """The name in the tree of what each file becomes: with `ending` in place of its own where that is one of
    `endings`, and behind it where two would have the same name otherwise, or one that is `taken`. Raises InputError
    where two still do."""
    names = [file.name for file in files]
    parts = [os.path.splitext(name) for name in names]
    short = [(stem if own.lower() in endings else name) + ending for name, (stem, own) in zip(names, parts)]
    times = Counter((*short, *taken))
    chosen = [name + ending if times[own] > 1 else own for name, own in zip(names, short)]
    if twice := [name for name, count in Counter(chosen).items() if count > 1]:
        raise InputError(f"{len(twice)} outputs would be made of several inputs each, {twice[0]} is one of them")
    return chosen


def _is_tree(source: str) -> bool:
    return os.path.splitext(source)[1].lower() not in LISTS and not _WILD.search(source) and not _is_file(source)


def _is_file(source: str) -> bool:
    if "://" not in source:
        return os.path.isfile(source)
    folder, name = split(source)
    return bool(posixpath.splitext(name)[1]) and folder.found(name) is not None


def _of(source: str, endings: frozenset[str]) -> Iterator[Input]:
    if os.path.splitext(source)[1].lower() in LISTS:
        yield from _listed(source)
    elif _WILD.search(source) and not os.path.exists(source):
        yield from _globbed(source, endings)
    elif _is_file(source):
        folder, name = split(source)
        told = folder.found(name)
        if told is not None:
            yield Input(folder.full(name), name, told.size, told.stamp)
    else:
        folder = place(source)
        if isinstance(folder, LocalPlace) and not os.path.isdir(folder.root):
            raise InputError(f"{source}: no such file or folder")
        root = folder.root.rstrip("/") + "/"
        yield from (Input(root + name, name, size, stamp) for name, size, stamp in folder.files(endings))


def _globbed(pattern: str, endings: frozenset[str]) -> Iterator[Input]:
    """Files that a pattern names, and those below the folders that it does."""
    fixed = pattern[: pattern.rfind("/", 0, _first_wild(pattern)) + 1]
    base = place(fixed or ".")
    if isinstance(base, RemotePlace):
        from fsspec.core import url_to_fs

        system, path = url_to_fs(pattern)
        root = url_to_fs(base.root)[1].rstrip("/") + "/"
        names: Iterable[str] = (str(one)[len(root) :] for one in system.glob(path))
    else:
        names = (os.path.relpath(one, base.root) for one in glob.iglob(os.path.abspath(pattern), recursive=True))
    seen: set[str] = set()
    for name in names:
        if isinstance(base, LocalPlace) and os.path.isdir(base.full(name)):
            below = LocalPlace(base.full(name)).files(endings)
            found: Iterable[Found | None] = (one._replace(name=f"{name}/{one.name}") for one in below)
        else:
            found = [base.found(name)] if os.path.splitext(name)[1].lower() in endings else []
        for one in found:
            if one is not None and one.name not in seen:  # by itself, and with its folder
                seen.add(one.name)
                yield Input(base.full(one.name), *one)


def _first_wild(pattern: str) -> int:
    match = _WILD.search(pattern)
    return match.start() if match else len(pattern)


def _listed(source: str) -> Iterator[Input]:
    """The files of a list. One that is not there is an input all the same: what it lacks is told where it is read."""
    rows = _rows(source)
    if rows and PATH_COLUMN not in rows[0]:
        raise InputError(f"{source}: has no column {PATH_COLUMN}, only {', '.join(map(str, rows[0]))}")
    for number, row in enumerate(rows, 1):
        if not (isinstance(row[PATH_COLUMN], (str, int, float)) and str(row[PATH_COLUMN]) not in ("", "nan")):
            raise InputError(f"{source}: row {number} has no path")
    given = [str(row.pop(PATH_COLUMN)) for row in rows]
    paths, tree = _places(split(source)[0], given)
    for path, name, row in zip(paths, tree, rows):
        parent, own = split(path)
        told = parent.found(own)
        yield Input(path, name, told.size if told else 0, told.stamp if told else "", _kept(row))


def _places(folder: Place, given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Paths or URLs, and names in the tree, of what a list in `folder` gives as paths."""
    paths = [_normal(path if _is_whole(path) else folder.full(posixpath.normpath(path))) for path in given]
    tree = [posixpath.normpath(path) for path in given]
    if any(_is_whole(path) or name.split("/")[0] == ".." for path, name in zip(given, tree)):
        common = _common(paths)
        tree = [path[len(common) :] for path in paths]
    return paths, tree


def _normal(path: str) -> str:
    """A whole path or URL without "." and ".."."""
    scheme, colon, rest = path.rpartition("://")
    plain = colon and not {".", ".."} & set(rest.split("/"))  # stores tell "a//b" from "a/b"
    return path if plain else scheme + colon + posixpath.normpath(rest)


def _is_whole(path: str) -> bool:
    return "://" in path or os.path.isabs(path)


def _kept(row: dict[str, Any]) -> dict[str, Any] | None:
    """The columns of a list's row as a manifest has them: numbers or texts, under names that are not its own."""
    kept = {}
    for name, value in row.items():
        if value is not None and value == value:  # no NaN
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            kept[f"list_{name}" if name in COLUMNS else str(name)] = float(value) if number else readable(str(value))
    return kept or None


def _common(paths: Sequence[str]) -> str:
    """The folder that all paths or URLs begin with, with its slash."""
    prefix = os.path.commonprefix([os.path.dirname(path) + "/" for path in paths])
    return prefix[: prefix.rfind("/") + 1]


def _rows(source: str) -> list[dict[str, Any]]:
    from evc.catalogue.needed import check_installed

    check_installed("pandas", "pyarrow")
    import pandas

    folder, name = split(source)
    ending = os.path.splitext(source)[1].lower()
    with folder.fetched(name) as path:
        if not os.path.exists(path):
            raise InputError(f"{source}: no such file")
        try:
            if ending == ".csv":
                table = pandas.read_csv(path)
            elif ending == ".parquet":
                table = pandas.read_parquet(path)
            else:
                table = pandas.read_json(path, lines=True, dtype=False)
        except (ValueError, OSError) as error:  # pandas' errors of parsing are ValueErrors
            raise InputError(f"{source}: cannot be read as a list ({' '.join(str(error).split())})") from error
    return table.astype(object).to_dict("records")


def _some(endings: frozenset[str]) -> str:
    usual = [ending for ending in (".wav", ".flac", ".mp3", ".evc") if ending in endings]
    return ", ".join(usual) + (" or the like" if len(endings) > len(usual) else "")
