"""The command line ``hear-byola``: its commands, and how each of them ends.

Heavy packages are imported by the commands that need them, so that help is quick.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn

import click

from harness.commands.ablate import ablate
from harness.commands.checkpoint import checkpoint
from harness.commands.options import Group
from harness.commands.pretrain import pretrain
from harness.commands.results import results
from harness.commands.run import embed, probe, run
from harness.commands.status import status
from harness.commands.submit import submit
from harness.commands.tasks import tasks
from harness.commands.validate import validate
from harness.core.copies import flush
from harness.core.deadline import INTERRUPTED, STOPPED
from harness.core.errors import UserError, disk_fault, printable, text_of
from harness.core.forkserver import allow_copies

_LONGEST_TEXT = 20_000  # characters


def main() -> None:
    """Run the command line of this process."""
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # foreign texts may contain what UTF-8 lacks
            stream.reconfigure(errors="backslashreplace")
    _reserve_stdout()
    allow_copies()
    code = call(sys.argv[1:])
    if code == INTERRUPTED:
        _end_now(code)
    sys.exit(code)


def _reserve_stdout() -> None:
    """Keep standard output for results: from now on, file number 1 is standard error.

    Native code and the child processes of a module write to that file number. The C library writes
    its buffer at the end of the process, so a redirection during each call would not suffice.
    """
    out = sys.stdout
    if not isinstance(out, io.TextIOWrapper) or sys.stderr is None:  # closed by the caller
        return
    out.flush()
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.stdout = io.TextIOWrapper(
        results, out.encoding, out.errors, None, out.line_buffering, out.write_through
    )


def _end_now(code: int) -> NoReturn:
    """End this process after its exit handlers.

    The interpreter would free all that torch has loaded, which takes more than a second of CPU
    time, and would wait for threads of models.
    """
    with contextlib.suppress(BaseException):  # a second interrupt
        atexit._run_exitfuncs()
    flush()
    os._exit(code)


def call(arguments: list[str]) -> int:
    """Run one command; a user's mistake ends in one sentence and exit code 2.

    So does an error of the system, for example a full disk or a folder that cannot be written.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _warnings_once()
        try:
            _check_arguments(arguments)
            return cli(arguments, prog_name="hear-byola", standalone_mode=False) or 0
        except UserError as error:
            _say("Error", str(error), "red")
            return 2
        except BrokenPipeError:  # the reader of the output has ended, as in `hear-byola ... | head`
            sys.stdout = None
            return 1
        except OSError as error:
            _say("Error", disk_fault(error) or text_of(error), "red")
            return 2
        except click.ClickException as error:
            _show(error)
            return error.exit_code
        except (click.Abort, KeyboardInterrupt) as error:
            if isinstance(error.__cause__, EOFError):  # click treats it as the end of the input
                raise error.__cause__ from None
            click.echo(STOPPED, err=True)
            return INTERRUPTED


def _check_arguments(arguments: list[str]) -> None:
    """Refuse what is not UTF-8: it cannot be a name in JSON files, tables and reports."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise UserError(f"'{argument}' is not UTF-8. Rename the file or folder.")


def _show(error: click.ClickException) -> None:
    """Print what is wrong with a command line, without the usage lines that would hide it."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    _say("Error", error.format_message(), "red")
    if isinstance(error, click.UsageError) and error.ctx is not None:
        click.echo(f"Try '{error.ctx.command_path} --help' for help.", err=True)


def _say(kind: str, text: str, colour: str) -> None:
    """Print an error or a warning, which can contain foreign text: names, contents of files."""
    text = printable(text)
    shown = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}..."
    click.secho(f"{kind}: {shown}", fg=colour, err=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _warnings_once() -> Callable[..., None]:
    """Return a function that prints each warning once; several parts read the same file."""
    shown: set[str] = set()

    def show(message: Warning | str, *_: object, **__: object) -> None:
        if str(message) not in shown:
            shown.add(str(message))
            _say("Warning", str(message), "yellow")

    return show


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hear-byola")
def cli() -> None:
    """Evaluate audio representations on HEAR-format tasks."""


for command in (
    run, embed, probe, submit, status, validate, tasks, results, pretrain, checkpoint, ablate,
):  # fmt: skip
    cli.add_command(command)


if __name__ == "__main__":
    main()
