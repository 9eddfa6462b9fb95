"""Find the baselines among the models of a results table."""

from __future__ import annotations

import itertools
import json
import re
import shlex
from collections.abc import Collection, Container
from typing import Any

import pandas as pd

from harness.analysis.compare.gather import choose
from harness.core.errors import UserError

_PACKAGE = "harness.baselines."
_BYOLA = "hear_byola"
_MARK = re.compile("@[0-9a-f]{8}$")  # suffix of models that share a name


def baseline_models(table: pd.DataFrame, named: Collection[str] = ()) -> list[str]:
    """Return the baselines among the models of a results frame, by name.

    A baseline is a model that is named; a module of :mod:`harness.baselines`; or ``hear_byola``
    with random weights, which has a ``seed`` and no checkpoint. The module is the one that the
    rows record. A user's module is a baseline only if it is named.

    Raises:
        UserError: a name that no row has.
    """
    columns = ["model", "module", "model_options", "checkpoint", "command"]
    known = {
        row.model
        for row in table[columns].drop_duplicates().itertuples()
        if _is_built_in(row.module or _module_in(row.command, row.model), row)
    }
    return sorted(known | set(choose(table, "model", named)))


def _is_built_in(module: str, row: Any) -> bool:
    if module.startswith(_PACKAGE):
        return True
    return module == _BYOLA and not row.checkpoint and "seed" in _options(row.model_options)


def _options(text: str) -> Container[str]:
    try:
        options = json.loads(text or "{}")
    except ValueError:
        return ()
    return options if isinstance(options, dict) else ()


def _module_in(command: str, model: str) -> str:
    """Return the module that a command names for a model, for rows of schema version 1."""
    from harness.models.spec import read_model

    try:
        words = shlex.split(command)
        specs = [read_model(b) for a, b in itertools.pairwise(words) if a in ("-m", "--model")]
    except (ValueError, UserError):
        return ""
    label = _MARK.sub("", model)
    return next((spec.module for spec in specs if spec.label == label), "")
