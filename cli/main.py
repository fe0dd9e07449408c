"""The `evc` command: finds the subcommand, and turns every error into one line and an exit code.

Exit codes: 0 done, 1 the data or a file is at fault, 2 the command line is, 3 of a catalogue some files failed, 129 the
terminal is gone, 130 interrupted, 141 the reader of the output went away, 143 terminated.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

import evc
from evc.cli.common import EXIT_DATA, EXIT_INTERRUPTED, EXIT_PIPE, SuggestingGroup, examples, show_warning
from evc.cli.signals import Ended, end_by_signals
from evc.format.cores import SWITCH_SECONDS
from evc.format.errors import EvcError, EvcWarning

# Each command's module is imported only when the command runs, so that `evc --help` starts at once.
_COMMANDS = {
    "encode": "Encode sound files as .evc.",
    "decode": "Decode .evc files to WAV, FLAC or another format.",
    "play": "Play an .evc file.",
    "stats": "Report where the bits of .evc files went.",
    "patterns": "List what repeats in an .evc file; export it as WAV.",
    "events": "List the events of an .evc file: what sounds when.",
    "edit": "Change the events or the timbres of an .evc file.",
    "cut": "Cut a part or the tracks out of an .evc file, without coding it anew.",
    "join": "Join .evc files, without coding them anew.",
    "compose": "Compose ambient music as paths through the space of timbres.",
    "train": "Train a network on a folder of audio.",
    "heatmap": "Show target, reconstruction and difference as pictures.",
    "report": "Make a page that shows and plays what is in .evc files.",
    "catalogue": "Encode, decode and describe many thousand files in one job.",
    "info": "Show what .evc files are.",
    "tag": "Show or change the tags and the cover of .evc files.",
    "verify": "Check .evc files for damage.",
}


class _LazyGroup(SuggestingGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"evc.cli.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would exit by itself
            return _silence_stdout()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _show_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from evc import kernels
        from evc.format.constants import VERSION_MAJOR, VERSION_MINOR

        click.echo(f"evc {evc.__version__} (format {VERSION_MAJOR}.{VERSION_MINOR}, {kernels.what_runs()})")
        ctx.exit()


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples("evc encode song.wav --bitrate 48", "evc decode song.evc copy.flac"),
)  # fmt: skip
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version,
    help="Show versions, and whether compiled kernels run.",
)  # fmt: skip
def evc_command() -> None:
    """EVC, an audio format: what happens in a track is stored once, and its moments precisely.

    "-" stands for standard input or output. evc COMMAND --help tells more of each command.
    """


def main() -> NoReturn:
    """Run the command line and exit."""
    end_by_signals()
    sys.setswitchinterval(SWITCH_SECONDS)
    _silence_libraries()
    warnings.simplefilter("ignore")  # what libraries warn of is no line for a user
    warnings.simplefilter("always", EvcWarning)
    warnings.filterwarnings("always", module=r"evc\.kernels")
    warnings.showwarning = lambda message, *_, **__: show_warning(message)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a tag or a name may not fit the locale
    code = _run()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = _silence_stdout()
    except OSError as error:
        _silence_stdout()
        code = _complain_of(error)
    sys.exit(code)


def _run() -> int:
    try:
        result: Any = evc_command.main(prog_name="evc", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except Ended as ended:
        return _complain(ended.reason, ended.status)
    except (click.Abort, KeyboardInterrupt):
        return _complain("interrupted", EXIT_INTERRUPTED)
    except EvcError as error:
        return _complain(str(error), EXIT_DATA)
    except MemoryError:
        return _complain("out of memory", EXIT_DATA)
    except ModuleNotFoundError as error:
        if error.name != "torch":  # only training and --device cuda are to need it
            raise
        return _complain("this needs torch, which is not installed: pip install 'evc[train]'", EXIT_DATA)
    except OSError as error:
        return _complain_of(error)


def _complain_of(error: OSError) -> int:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # other outputs have errors of their own
    name = error.filename or ("standard output" if full else "")
    return _complain(f"{name}{': ' if name else ''}{(error.strerror or str(error)).lower()}", EXIT_DATA)


def _silence_libraries() -> None:
    """Keep what C libraries print on standard error, as libmpg123 does, from the user: file descriptor 2 leads nowhere,
    and sys.stderr to where it did."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if isinstance(sys.stderr, io.TextIOWrapper):
        with suppress(OSError, ValueError):
            copy, encoding = os.dup(sys.stderr.fileno()), sys.stderr.encoding
            sys.stderr = open(copy, "w", 1, encoding, "backslashreplace")
            sys.__stderr__ = sys.stderr  # type: ignore[misc]  # by which rich measures a terminal
            os.dup2(nowhere, 2)
    if nowhere > 2:  # else it takes the place of a stream that was closed
        os.close(nowhere)


def _complain(message: str, code: int) -> int:
    with suppress(OSError):  # a terminal may be gone
        click.echo(f"evc: {message}", err=True)
    return code


def _silence_stdout() -> int:
    """Keep the interpreter from failing once more when it flushes standard output on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_PIPE


if __name__ == "__main__":
    main()
