"""`evc compose`: ambient music, composed as a path through the space of timbres."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evc.cli.common import (
    PATH,
    STANDARD,
    examples,
    input_file,
    naming,
    output_file,
    output_folder,
    print_json,
    progress_bar,
    show_warning,
    size_text,
    time_text,
)
from evc.format.errors import EvcError, InputError
from evc.streaming import open_binary, seekable_input

if TYPE_CHECKING:
    from evc.composing.album import Candidate
    from evc.composing.recipe import Recipe
    from evc.composing.song import Song

_LARGEST_SEED = 1 << 31
_MOST_TEXT = 1 << 16
KEPT = "kept"  # the folder in that of an album where the next one goes


@click.command(
    epilog=examples(
        "evc compose song.evc --seed 7",
        "evc compose dark.evc --minutes 10 --rank brightness --effects waves,thunder --wiggle 3",
        "evc compose mine.evc --from samples --grammar form.txt --effects none",
        "evc compose --album 15 --candidates 50 --out-dir album  # and album/candidates.html to listen",
    )
)
@click.argument("target", type=PATH, required=False, metavar="[OUT.evc]")
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Of all that is drawn.  [default: a new one]")
@click.option("--minutes", type=float, default=4.0, show_default=True, metavar="M", help="How long a song is.")
@click.option(
    "--rank", type=click.Choice(["pitch", "brightness", "volume", "weirdness", "roughness"]), default="pitch",
    show_default=True, help="What the sounds are put in order by, of which a song takes a few that differ.",
)  # fmt: skip
@click.option("--grammar", type=PATH, metavar="FILE", help="Rules of the structure, a line each: S => XYXZ.")
@click.option(
    "--effects", default="wind,rain,waves", show_default=True, metavar="NAMES|FOLDER|none",
    help="What lies under a song: wind, rain, waves, thunder, or a folder of recordings.",
)  # fmt: skip
@click.option("--from", "source", type=PATH, metavar="FOLDER", help="Take the sounds from sound files, not at random.")
@click.option("--wiggle", type=float, default=1.5, show_default=True, metavar="S", help="Radius of the wiggler.")
@click.option("--turn", type=float, default=24.0, show_default=True, metavar="S", help="Seconds of its turn.")
@click.option("--lufs", type=float, default=-20.0, show_default=True, metavar="L", help="How loud a song is.")
@click.option("--album", "tracks", type=click.IntRange(1, 99), metavar="N", help="Make an album of so many songs.")
@click.option(
    "--candidates", "count", type=click.IntRange(1, 999), metavar="N",
    help="Choose them among so many.  [default: 3 for each and 5 more]",
)  # fmt: skip
@click.option("--keep", metavar="LIST", help="Only these candidates: 3,7,12, or a file as the page saves it.")
@click.option("--out-dir", type=PATH, metavar="DIR", help="Where the album goes.")
@click.option("--name", default="", metavar="TEXT", help="What the album is called.  [default: as its folder]")
@click.option("-f", "--force", is_flag=True, help="Replace what exists.")
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def compose(
    target: str | None, seed: int | None, minutes: float, rank: str, grammar: str | None, effects: str,
    source: str | None, wiggle: float, turn: float, lufs: float, tracks: int | None, count: int | None,
    keep: str | None, out_dir: str | None, name: str, force: bool, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Compose ambient music and write it to OUT, an .evc file of two or three kilobytes.

    A song is a path through the space of timbres: a few sounds that differ (A, B, C, D, E), a structure that a small
    grammar expands to, straight lines from sound to sound, a wiggler that coils them, and textures of wind, rain or
    waves under it. The same --seed makes the same song; the tag "composed" says what it was.

    With --album many songs are made. Those that are silent, clipped, too loud or too like another are rejected by
    measurement; of the others the page candidates.html plays passages, to keep or to drop. The album is those that
    differ most, or those of --keep.

    Recordings become noise of the same colour and swell: of rain that is all, of birds it is not.

    Needs parts that are not installed by default: pip install 'evc[compose]'.
    """
    from evc.composing.recipe import Recipe
    from evc.composing.song import check_parts

    if (target is None) == (tracks is None):
        raise click.UsageError("name the output, or ask for an album: --album N --out-dir DIR")
    if tracks is not None and out_dir is None:
        raise click.UsageError("name the folder of the album: --out-dir DIR")
    if tracks is not None and count is not None and count < tracks:
        raise click.UsageError(f"an album of {tracks} songs is not chosen among {count}: --candidates {tracks} or more")
    if tracks is None and (count is not None or keep is not None or out_dir is not None or name):
        raise click.UsageError("--candidates, --keep, --out-dir and --name are for albums: --album N")
    if source == "" or effects == "":
        raise click.UsageError("--from and --effects need a name")
    check_parts()
    recipe = Recipe(
        secrets.randbelow(_LARGEST_SEED) if seed is None else seed, minutes, rank, _grammar(grammar), effects,
        source or "", lufs, wiggle, turn,
    )  # fmt: skip
    if target is not None:
        _song(recipe, target, grammar or "", force, as_json, quiet)
    elif tracks is not None and out_dir is not None:
        folder = output_folder(out_dir)
        wish = _Wish(recipe, tracks, count or 3 * tracks + 5, folder, name or folder.resolve().name, grammar or "")
        _album(wish, _kept(keep), force, as_json, quiet)


def _grammar(path: str | None) -> str:
    """The text of a grammar, which is one."""
    from evc.composing.grammar import LATENT, Grammar

    if path is None:
        return LATENT
    with naming(path):
        text = _text(path)
        Grammar.of(text)
    return text


def _kept(keep: str | None) -> dict[int, str]:
    """The candidates that are asked for, with their titles; none if the choice is free."""
    from evc.composing.album import kept_list

    if keep is None:
        return {}
    with naming("--keep" if _is_list(keep) else keep):
        return kept_list(keep if _is_list(keep) else _text(keep) + "\n")


def _is_list(keep: str) -> bool:
    return not keep.strip("0123456789, ")


def _text(path: str) -> str:
    from evc.sound.text import decoded

    with seekable_input(input_file(path) if path == STANDARD else open_binary(path)) as binary:
        data = binary.read(_MOST_TEXT + 1)
    if len(data) > _MOST_TEXT:
        raise EvcError("too large for such a list")
    return decoded(data).removeprefix("\ufeff")  # a mark that editors put in front


def _song(recipe: Recipe, target: str, grammar: str, force: bool, as_json: bool, quiet: bool) -> None:
    from evc.composing.song import write_song

    output = output_file(target, force)
    start = time.perf_counter()
    with progress_bar("composing", quiet=quiet) as progress:
        song, audio, lufs = write_song(output, recipe, overwrite=force, progress=progress)
    size = song.as_file().getbuffer().nbytes
    told = song_facts(song, grammar) | {
        "target": target, "bytes": size, "lufs": round(lufs, 1), "peak": round(float(abs(audio).max()), 3),
    }  # fmt: skip
    to_stderr = target == STANDARD
    if as_json:
        print_json(told, to_stderr)
    elif not quiet:
        seconds, points = recipe.seconds, told["points"]
        lines = [
            f"{'standard output' if to_stderr else target}: {song.title}, {time_text(seconds)}, {size_text(size)}, "
            f"{8 * size / seconds / 1000:.3f} kbit/s",
            f"  {song.structure}: {points} points, one every {seconds / (points - 1):.1f} s; {told['lufs']:.1f} LUFS",
            f"  made in {time.perf_counter() - start:.2f} s; again: {told['composed']}",
        ]
        click.echo("\n".join(lines), err=to_stderr)


def song_facts(song: Song, grammar: str) -> dict[str, Any]:
    """What there is to say of a song before it is a file; `grammar` names the file of its own grammar, if any."""
    return {
        "title": song.title, "structure": song.structure, "points": len(song.points), "seconds": song.recipe.seconds,
        "seed": song.recipe.seed, "composed": song.recipe.arguments(grammar),
    }  # fmt: skip


@dataclass(frozen=True)
class _Wish:
    """An album that is asked for: of `tracks` among `count` candidates, in `folder`, under a `name`; `grammar`
    names the file of its own grammar, if any."""

    recipe: Recipe
    tracks: int
    count: int
    folder: Path
    name: str
    grammar: str

    @property
    def command(self) -> str:
        """What makes the album of a list."""
        folder, name = shlex.quote(str(self.folder / KEPT)), shlex.quote(self.name)
        options = f"--album {self.tracks} --candidates {self.count} --out-dir {folder} --name {name}"
        return f"evc compose {options} {self.recipe.arguments(self.grammar)} --keep keep.txt"


def _album(wish: _Wish, keep: dict[int, str], force: bool, as_json: bool, quiet: bool) -> None:
    from evc.composing.album import PAGE, candidates, chosen, titles, write_album
    from evc.composing.page import candidates_page

    if keep and max(keep) > wish.count:
        raise InputError(f"candidate {max(keep)} is to be kept, but there are {wish.count}: --candidates N")
    output_file(str(wish.folder / PAGE), force)
    if not force and (there := _songs_in(wish.folder)):
        raise EvcError(f"{there[0]}: exists already; --force writes beside it")
    numbers = list(keep) if keep else list(range(1, wish.count + 1))
    usual = titles(wish.recipe.seed, wish.count)
    start = time.perf_counter()
    with progress_bar("composing", files=True, quiet=quiet) as progress:
        found = list(candidates(wish.recipe, numbers, progress))
    if not quiet and not as_json:
        for one in found:
            if one.against:
                click.echo(f"candidate {one.number} {one.against}", err=True)
    album = found if keep else chosen(found, wish.tracks)
    if not album:
        raise EvcError("nothing is left of the candidates: other options, or more of them")
    if not keep and len(album) < wish.tracks:
        show_warning(f"{len(album)} songs instead of {wish.tracks}: no more passed; --candidates N makes more")
    tracks = [(one.song, keep.get(one.number) or usual[one.number - 1]) for one in album]
    page = None
    if not keep:
        kept = {one.number for one in album}
        page = candidates_page(found, usual, kept, f"Candidates for {wish.name}", wish.command)
    paths = write_album(wish.folder, tracks, wish.name, page)
    for path in _songs_in(wish.folder):
        if path not in paths:
            show_warning(f"{path}: is none of this album")
    _show_album(wish, found, tracks, paths, time.perf_counter() - start, as_json, quiet)


def _songs_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.evc"))


def _show_album(
    wish: _Wish, found: Sequence[Candidate], tracks: Sequence[tuple[Song, str]], paths: Sequence[Path], seconds: float,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    if as_json:
        files = [
            song_facts(song, wish.grammar) | {"title": title, "target": str(path), "bytes": path.stat().st_size}
            for (song, title), path in zip(tracks, paths, strict=True)
        ]
        rejected = {str(one.number): one.against for one in found if one.against}
        print_json({"album": wish.name, "seed": wish.recipe.seed, "tracks": files, "rejected": rejected})
        return
    if quiet:
        return
    for path in paths:
        click.echo(f"{path}: {size_text(path.stat().st_size)}")
    left = sum(not one.against for one in found)
    click.echo(
        f"{len(paths)} songs out of {len(found)}, of which {left} passed, in {time_text(seconds)}; "
        f"seed {wish.recipe.seed}"
    )
