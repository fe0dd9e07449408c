"""`evc verify`: is a file whole?"""

from __future__ import annotations

import warnings

import click

import evc
from evc.cli.common import PATH, examples, input_file, naming, progress_bar
from evc.format.errors import EvcWarning
from evc.streaming import seekable_input


@click.command(
    epilog=examples("evc verify *.evc", "evc verify song.evc --decode  # synthesises the sound as well")
)
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@click.option("--decode", "synthesis", is_flag=True, help="Synthesise all audio as well.")
def verify(files: tuple[str, ...], synthesis: bool) -> int:
    """Check .evc files: every CRC, the structure, every coded symbol against its checksum, and that nothing follows.

    Exits with 1 if any file is damaged, after checking all of them.
    """
    failed = 0
    warnings.simplefilter("ignore", EvcWarning)  # what others only warn of is an error here
    for path in files:
        try:
            with naming(path), seekable_input(input_file(path)) as binary, evc.open(binary) as file:
                with progress_bar(path) as progress:
                    file.verify(synthesis, progress)
                segments = len(file.segments)
            click.echo(f"{path}: ok, {segments} segment{'' if segments == 1 else 's'}")
        except evc.EvcError as error:
            click.echo(f"evc: {error}", err=True)
            failed += 1
    return 1 if failed else 0
