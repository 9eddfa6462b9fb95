"""Call a HEAR module's code and restore the state of the process afterwards.

A module may end the process (``sys.exit``, a parser of the command line) or change its state:
settings of torch and numpy, environment variables, warning filters, the working directory, signal
handlers. The module's settings, variables and filters are active only while it is called. All else
is restored at once. What it prints goes to standard error.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NoReturn

from harness.models.process_state import changed_environment, settings, write_settings

# Modules do not get hear-byola's command-line arguments. A module that parses arguments at import
# must fail on this one; otherwise it would silently use its defaults.
_NO_ARGUMENTS = "(imported by hear-byola)"


class ModuleExit(Exception):
    """The module tried to end the process; the message names the exception that it raised."""


class Guest:
    """A HEAR module in this process, with its own settings of the process.

    Args:
        name: the module's name, as the user gave it.

    Attributes:
        changed_by_import: names of the settings that importing the module changed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._settings: dict[str, Any] = {}
        self._variables: dict[str, str | None] = {}
        self._filters: list[Any] = []
        self._moved = False
        self.changed_by_import: list[str] = []

    @property
    def changed(self) -> list[str]:
        """Names of the settings that the module's code changed."""
        return [*self._settings, *["the working directory"] * self._moved]

    @contextmanager
    def called(self) -> Iterator[None]:
        """Run the block with the module's settings, and restore the process's settings afterwards.

        Raises:
            ModuleExit: the block raises SystemExit, or another exception that ends a process.

        Warns:
            UserWarning: the block changed the working directory, which is restored.
        """
        before, variables = settings(), dict(os.environ)
        with exits_refused(), _restored(self._name):
            with warnings.catch_warnings():
                outer = list(warnings.filters)
                warnings.filters = [*self._filters, *outer]
                write_settings(self._settings)
                _write_variables(self._variables)
                try:
                    yield
                finally:
                    self._variables = changed_environment(variables)
                    _write_variables({name: variables.get(name) for name in self._variables})
                    self._filters = [f for f in warnings.filters if f not in outer]
                    moved = self._keep(before)
            if moved:
                self._moved = True
                warnings.warn(
                    f"'{self._name}' changed the working directory. It was changed back: build "
                    "the paths in the module from __file__.",
                    stacklevel=4,
                )

    def _keep(self, before: Mapping[str, Any]) -> bool:
        """Keep the module's settings, restore the others; return whether the directory changed."""
        now = settings()
        self._settings = {name: now[name] for name in now if now[name] != before[name]}
        write_settings(before)
        return self._settings.pop("os.getcwd()", None) is not None


def _write_variables(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def exits_refused() -> Iterator[None]:
    """Turn what would end the process, except an interrupt, into an error.

    Raises:
        ModuleExit: the block called ``os._exit`` or raised an exception that ends a process; the
            message names the exception, SystemExit for ``os._exit``.
    """
    try:
        with _exit_raises():
            yield
    except (Exception, KeyboardInterrupt):  # none of these ends the process
        raise
    except BaseException as error:  # SystemExit, and what a module may define beside Exception
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ModuleExit(text) from error


@contextmanager
def _exit_raises() -> Iterator[None]:
    """Make ``os._exit`` raise SystemExit in this thread; forked children still end by it.

    It would end the process at once, without an exception that could become an error.
    """
    end, here = os._exit, (os.getpid(), threading.get_ident())

    def raise_exit(status: int) -> NoReturn:
        if (os.getpid(), threading.get_ident()) != here:
            end(status)
        raise SystemExit(status)

    os._exit = raise_exit
    try:
        yield
    finally:
        os._exit = end


@contextmanager
def _restored(name: str) -> Iterator[None]:
    """Hide the command-line arguments in the block; restore streams and signal handlers after.

    What the block prints goes to standard error: standard output is for results.
    """
    streams, arguments = (sys.stdout, sys.stderr), sys.argv
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    sys.argv = [name, _NO_ARGUMENTS]
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.argv = arguments
        sys.stdout, sys.stderr = streams
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
