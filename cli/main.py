"""The `evc` command: finds the subcommand, and turns every error into one line and an exit code.

Exit codes: 0 done, 1 the data or a file is at fault, 2 the command line is, 130 interrupted, 141 the reader
of the output went away.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import warnings
from importlib import import_module
from typing import Any, NoReturn

import click

import evc
from evc.cli.common import EXIT_DATA, EXIT_INTERRUPTED, EXIT_PIPE, EXIT_TERMINATED
from evc.errors import EvcError, EvcWarning

# Each command's module is imported only when the command runs, so that `evc --help` starts at once.
_COMMANDS = {
    "encode": "Encode sound files as .evc.",
    "decode": "Decode an .evc file to WAV or FLAC.",
    "stats": "Report where the bits of .evc files went.",
    "patterns": "List what repeats in an .evc file; export it as WAV.",
    "events": "List the events of an .evc file: what sounds when.",
    "edit": "Change the events of an .evc file.",
    "train": "Train a network on a folder of audio.",
    "heatmap": "Show target, reconstruction and difference as pictures.",
    "info": "Show what .evc files are.",
    "tag": "Show or change the tags and the cover of .evc files.",
    "verify": "Check .evc files for damage.",
}


class _LazyGroup(click.Group):
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


@click.group(
    cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(evc.__version__, prog_name="evc", message="%(prog)s %(version)s")
def evc_command() -> None:
    """EVC, an audio format: what happens in a track is stored once, and its moments precisely.

    "-" stands for standard input or output.
    """


class _Interrupted(SystemExit):
    """What SIGINT raises here. A KeyboardInterrupt that passes through an import would make Python end by the signal
    afterwards, even though it was caught."""


def _interrupt(*_: object) -> NoReturn:
    raise _Interrupted(EXIT_INTERRUPTED)


def main() -> NoReturn:
    """Run the command line and exit."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(EXIT_TERMINATED))
    signal.signal(signal.SIGINT, _interrupt)
    warnings.simplefilter("ignore")  # what libraries warn of is no line for a user
    warnings.simplefilter("always", EvcWarning)
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a tag or a name may not fit the locale
    code = _run()
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        code = _silence_stdout()
    sys.exit(code)


def _run() -> int:
    try:
        result: Any = evc_command.main(prog_name="evc", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt, _Interrupted):
        return _complain("interrupted", EXIT_INTERRUPTED)
    except EvcError as error:
        return _complain(str(error), EXIT_DATA)
    except MemoryError:
        return _complain("out of memory", EXIT_DATA)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _complain(f"{name}{(error.strerror or str(error)).lower()}", EXIT_DATA)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"evc: warning: {message}", err=True)


def _complain(message: str, code: int) -> int:
    click.echo(f"evc: {message}", err=True)
    return code


def _silence_stdout() -> int:
    """Keep the interpreter from failing once more when it flushes standard output on its way out."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_PIPE


if __name__ == "__main__":
    main()
