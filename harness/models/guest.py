"""Calls of a HEAR module's code that leave the process as they found it.

A module may end the process (``sys.exit``, a parser of the command line) or change what all of the
process shares: settings of torch and numpy, warning filters, the working directory, signal
handlers. Its settings hold while it is called, and nowhere else. The rest is put back at once.
"""

from __future__ import annotations

import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from harness.models.process_state import settings, write_settings

# Modules get no arguments of the command line: those are hear-byola's. A parser that reads them at
# import must fail, since its defaults would else be used in silence.
_NO_ARGUMENTS = "(imported by hear-byola)"


class ModuleExit(Exception):
    """The module tried to end the process; the message names the exception that it raised."""


class Guest:
    """A HEAR module in this process, with the settings that it made.

    Args:
        name: the module, as the user named it.

    Attributes:
        changed_by_import: names of the settings that importing the module changed.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._settings: dict[str, Any] = {}
        self._filters: list[Any] = []
        self._moved = False
        self.changed_by_import: list[str] = []

    @property
    def changed(self) -> list[str]:
        """Names of the settings that its code changed."""
        return [*self._settings, *["the working directory"] * self._moved]

    @contextmanager
    def called(self) -> Iterator[None]:
        """Run code of the module: its settings hold inside, and the old ones afterwards.

        Raises:
            ModuleExit: it raises SystemExit, or another exception that ends a process.

        Warns:
            UserWarning: it changed the working directory, which is changed back.
        """
        before = settings()
        with exits_refused(), _restored(self._name):
            with warnings.catch_warnings():
                outer = list(warnings.filters)
                warnings.filters = [*self._filters, *outer]
                write_settings(self._settings)
                try:
                    yield
                finally:
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
        """Put settings back and keep the module's own; true if it changed the directory."""
        now = settings()
        self._settings = {name: now[name] for name in now if now[name] != before[name]}
        write_settings(before)
        return self._settings.pop("os.getcwd()", None) is not None


@contextmanager
def exits_refused() -> Iterator[None]:
    """Turn what would end the process, other than an interrupt, into an error.

    Raises:
        ModuleExit: naming the exception.
    """
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        text = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ModuleExit(text) from error


@contextmanager
def _restored(name: str) -> Iterator[None]:
    """Hide the command line's arguments; put streams and the handlers of signals back."""
    streams, arguments = (sys.stdout, sys.stderr), sys.argv
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    sys.argv = [name, _NO_ARGUMENTS]
    try:
        yield
    finally:
        sys.argv = arguments
        sys.stdout, sys.stderr = streams
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None and signal.getsignal(number) is not handler:
                    signal.signal(number, handler)
