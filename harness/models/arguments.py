"""Check the checkpoint and the options of a model against its module's ``load_model``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from harness.core.errors import UserError, did_you_mean, did_you_mean_path
from harness.models.imports import comma_hint
from harness.models.layers import OPTION, offers_layers
from harness.models.spec import ModelSpec

_TYPES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    NoneType: "null",
}
"""The types of options that are checked, and what an error calls their values."""


def names_checkpoints(module: Any) -> bool:
    """Return whether a module's checkpoints can be names, for example those of a hub.

    Such a module sets ``CHECKPOINT_IS_NAMED``. It needs a checkpoint, and checks it itself.
    """
    return bool(getattr(module, "CHECKPOINT_IS_NAMED", False))


def check_arguments(spec: ModelSpec, module: Any) -> None:
    """Refuse a checkpoint that does not exist, unknown options and values of a wrong type.

    Raises:
        UserError: the nearest file or option, or the type of the value, is named.
    """
    if not names_checkpoints(module):
        _check_checkpoint(spec)
    _check_options(spec, module)
    options_of_load(spec, module)


def options_of_load(spec: ModelSpec, module: Any) -> dict[str, object]:
    """Return the options that ``load_model`` gets, of the types that its annotations name.

    Options are checked if their annotation consists of bool, int, float, str and None. Text is
    passed as it was written, also if it looks like a number (a revision 2024).

    Raises:
        UserError: a value is of another type.
    """
    taken = {OPTION} if offers_layers(module) else set()
    types = _annotated(module.load_model)
    return {
        name: _typed(spec, name, types[name]) if name in types else value
        for name, value in spec.options.items()
        if name not in taken
    }


def _annotated(load_model: Callable) -> dict[str, tuple[type, ...]]:
    """Return the types of each parameter whose annotation consists of those that are checked."""
    try:
        hints = get_type_hints(load_model)
    except Exception:  # an annotation is any expression, also one that cannot be evaluated
        return {}
    unions = (Union, UnionType)
    found = {
        name: get_args(hint) if get_origin(hint) in unions else (hint,)
        for name, hint in hints.items()
    }
    return {name: types for name, types in found.items() if all(t in _TYPES for t in types)}


def _typed(spec: ModelSpec, name: str, types: tuple[type, ...]) -> object:
    value = spec.options[name]
    if type(value) not in _TYPES or type(value) in types or (float in types and type(value) is int):
        return value
    written = spec.written.get(name, str(value))
    if str in types:
        return written
    allowed = " or ".join(_TYPES[each] for each in types)
    raise UserError(
        f"The option '{name}' of '{spec.module}' has the value '{written}': it must be {allowed}."
    )


def lacking_arguments(spec: ModelSpec, load_model: Callable, checkpoint: str, option: str) -> str:
    """Return which required arguments of ``load_model`` are missing; empty if none are.

    Args:
        spec: the model.
        load_model: the module's function.
        checkpoint: how the command line takes a checkpoint, for the message.
        option: the text before an option on the command line, for the message.
    """
    lacking = []
    for i, p in enumerate(inspect.signature(load_model).parameters.values()):
        given = p.name in spec.options or (i == 0 and spec.checkpoint)
        if given or p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        how = f"an option ({option}{p.name}=VALUE)" if i else f"a checkpoint ({checkpoint})"
        lacking.append(f"'{p.name}', {how}")
    if not lacking:
        return ""
    return (
        f"needs {'; '.join(lacking)}. Give it, or give the parameter a default value, as the HEAR "
        "API requires"
    )


def _check_options(spec: ModelSpec, module: Any) -> None:
    parameters = list(inspect.signature(module.load_model).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    # The first parameter is the checkpoint's path, whatever its name.
    allowed = [name for name in named if name != parameters[0].name]
    allowed += [OPTION] * (offers_layers(module) and OPTION not in allowed)
    for key in spec.options:
        if key not in allowed:
            raise UserError(
                f"load_model of '{spec.module}' has no option '{key}'."
                f"{did_you_mean(key, allowed)} Its options: {', '.join(allowed) or 'none'}."
            )


def _check_checkpoint(spec: ModelSpec) -> None:
    path = Path(spec.checkpoint)
    if spec.checkpoint and not path.exists():
        raise UserError(
            f"The checkpoint '{spec.checkpoint}' of '{spec.module}' does not exist."
            f"{did_you_mean_path(path)}{comma_hint(spec.checkpoint)}"
        )
