"""Make errors of the Python functions name arguments where those of the commands name options."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from harness.core.errors import UserError

P = ParamSpec("P")
T = TypeVar("T")

_OPTION = re.compile(
    r"""
    (?P<command> `hear-byola\ [^`]*` )      # advice to run a command stays as it is
    | --(?P<name> [a-z]+ (?:-[a-z]+)* )
      (?P<value>                            # a word before a colon or full stop is the value,
          \ \w+ (?: :\d+ )?                 # as in "--device cuda:1: this machine has ..."
          (?= [:.] (?: \s | $ ) )           # and "Use --device cpu."
      )?
    """,
    re.VERBOSE,
)
_OTHER_NAMES = {"format": "style"}


def naming_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function's UserErrors name its arguments instead of options of commands.

    ``--jobs`` becomes ``jobs``, ``--skip-bad`` becomes ``skip_bad=True``, and ``--device cpu.``
    becomes ``device='cpu'.``.
    """
    parameters = inspect.signature(function).parameters

    def argument(option: re.Match[str]) -> str:
        if option["command"]:
            return option[0]
        name = _OTHER_NAMES.get(option["name"], option["name"].replace("-", "_"))
        name = name if name in parameters else f"{name}s"
        if name not in parameters:
            return option[0]
        value = option["value"] or ""
        if isinstance(parameters[name].default, bool):
            return f"{name}=True{value}"
        word = value.strip()
        return f"{name}={word if word.isdecimal() else repr(word)}" if word else name

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except UserError as error:
            raise UserError(_OPTION.sub(argument, str(error))) from error

    return called
