"""Models as the user gives them: ``MODULE[=CHECKPOINT][,KEY=VALUE]...``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import UserError
from harness.core.files import expand_home
from harness.core.hashing import sha256_of
from harness.core.yamltext import option_value, unquoted
from harness.models.names import adapters, refuse_ambiguous, short_name

if TYPE_CHECKING:  # it imports torch, which commands that only read names do not need
    from harness.models.live import LiveModel


@dataclass(frozen=True)
class ModelSpec:
    """A model as the user gives it: HEAR-API module, checkpoint and options of ``load_model``.

    ``module`` is an import name, the path of a ``.py`` file or that of a package's folder.
    ``name``, if given, replaces the label in tables. ``written`` has the text of options that were
    read as a number, true, false or null. ``live`` is a model in memory; the other
    fields except ``name`` are then not used.
    """

    module: str
    checkpoint: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    name: str = ""
    written: Mapping[str, str] = field(default_factory=dict, compare=False)
    live: LiveModel | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The name in tables: ``module/checkpoint-stem(key=value,...)``, or ``name``.

        Paths among the values are shortened to the name of their file.
        """
        if self.name:
            return self.name
        label = short_name(self.module)
        if self.checkpoint:
            path = Path(self.checkpoint)
            # Names of models on a hub can contain dots that begin no suffix: whisper-tiny.en.
            label += f"/{path.name if self.module in adapters() else path.stem}"
        if self.options:
            shown = (f"{k}={_without_folder(v)}" for k, v in sorted(self.options.items()))
            label += f"({','.join(shown)})"
        return label


def _without_folder(value: object) -> object:
    return Path(value).name if isinstance(value, str) and os.sep in value else value


def folder_name(label: str) -> str:
    """Return a folder's name for a model's label; different labels give different names."""
    safe = re.sub(r"[^\w.+=-]", "_", label).lstrip(".")
    return safe if safe == label else f"{safe[:80]}-{sha256_of(label)[:6]}"


def parse_model(text: str) -> ModelSpec:
    """Return :func:`read_model` of a model that the user gives now.

    Raises:
        UserError: :func:`read_model` fails, or the module is the short name of a built-in one, and
            the working directory has another module of this name.
    """
    spec = read_model(text)
    refuse_ambiguous(spec.module)
    return spec


def read_model(text: str) -> ModelSpec:
    """Read ``MODULE[=CHECKPOINT][,KEY=VALUE...]``.

    The key ``name`` is the model's label, as typed. Every other key is an option of ``load_model``,
    whose value :func:`harness.core.yamltext.option_value` reads. A comma starts a new option only
    before ``KEY=``, so checkpoint paths may contain commas. ``~`` is the home folder in the module,
    in the checkpoint and at the beginning of values.

    Raises:
        UserError: the module is missing, an option occurs twice, a value is missing, ambiguous or
            not a single one, or the name cannot be printed.
    """
    head, *pairs = re.split(r",(?=\s*[A-Za-z_]\w*\s*=)", text)
    module, _, checkpoint = (part.strip() for part in head.partition("="))
    if not module:
        raise UserError(
            f"No module in the model '{text}': write MODULE[=CHECKPOINT][,KEY=VALUE...], "
            "for example hear_byola=weights.safetensors,d=512."
        )
    options: dict[str, object] = {}
    written = {}
    for pair in pairs:
        key, _, value = (part.strip() for part in pair.partition("="))
        if key in options:
            raise UserError(f"The option '{key}' occurs twice in the model '{text}'.")
        options[key] = _option_value(key, value)
        if not isinstance(options[key], str):
            written[key] = value
    name = checked_name(str(options.pop("name", "")))
    return ModelSpec(expand_home(module), expand_home(checkpoint), options, name, written)


def checked_name(name: str) -> str:
    """Return the name of a model if it is printable.

    Raises:
        UserError: it is not.
    """
    if not name.isprintable():
        raise UserError(f"The name {name!r} of a model must be printable.")
    return name


def _option_value(key: str, text: str) -> object:
    if key == "name" and text:
        return unquoted(text)
    try:
        return option_value(text, _path_or_text)
    except UserError as error:
        raise UserError(f"The option '{key}' has the value '{text}': {error}.") from error


def _path_or_text(text: str) -> str:
    return expand_home(text) if re.match("~[^/]*/", text) else text
