"""``--config``: a YAML file that gives a command's options their values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click

from harness.commands.options import CommaList

if TYPE_CHECKING:
    from hear_byola.core.schema import Schema


def read_config(ctx: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Take the values of a YAML file as the defaults of the command's options.

    Raises:
        UserError: no such file, not YAML, or options that are unknown or wrong; the message lists
            all of them.
    """
    if path is None:
        return None
    from harness.core.yamltext import load_file
    from hear_byola.core.schema import read

    options = [p for p in ctx.command.params if isinstance(p, click.Option) and p.expose_value]
    content = read(_schema(options), load_file(path, "config"), str(path))
    ctx.default_map = content.model_dump(exclude_unset=True)
    return path


def _schema(options: Iterable[click.Option]) -> type[Schema]:
    """Return a schema with a field for each option."""
    from pydantic import create_model

    from hear_byola.core.schema import Schema

    fields: dict[str, Any] = {str(option.name): (_kind(option), None) for option in options}
    return create_model("Config", __base__=Schema, **fields)


def _kind(option: click.Option) -> Any:
    """Return the annotation of an option's values in YAML."""
    from pydantic import BeforeValidator

    from hear_byola.core.schema import Flag, Number, Whole

    if option.is_flag:
        return Flag
    kind: Any = str
    if isinstance(option.type, click.Choice):
        kind = Literal[tuple(option.type.choices)]
    elif option.type is click.INT:
        kind = Whole
    elif isinstance(option.type, click.FloatRange):
        kind = Number
    if isinstance(option.type, CommaList):
        return Annotated[str, BeforeValidator(_joined)]
    if option.multiple:
        return Annotated[list[kind], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)]
    return kind


def _joined(value: object) -> object:
    """Return a list of words as the command line gives them; anything else as it is."""
    simple = isinstance(value, list) and all(type(each) in (str, int) for each in value)
    return ",".join(map(str, value)) if simple else value  # type: ignore[call-overload]
