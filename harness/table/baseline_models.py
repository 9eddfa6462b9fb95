"""Which models of a results table are baselines."""

from __future__ import annotations

import json
import pkgutil
import re
from collections.abc import Collection

import pandas as pd

import harness.baselines
from harness.errors import UserError, did_you_mean


def baseline_models(table: pd.DataFrame, named: Collection[str] = ()) -> list[str]:
    """Return the baselines among the models of a results frame, by name.

    Rows do not tell the module that a model is of. A baseline is therefore what is named; what has
    no checkpoint and is called after a module of :mod:`harness.baselines` (``logmel``,
    ``harness.baselines.logmel(...)``); and what has no checkpoint but a ``seed`` among its options:
    weights drawn at random, such as ``-m hear_byola,seed=1``.

    Raises:
        UserError: a name that no row has.
    """
    for name in named:
        if name not in set(table.model):
            models = sorted(set(table.model))
            raise UserError(
                f"No results of the model '{name}' to be a baseline.{did_you_mean(name, models)} "
                f"There are {', '.join(models)}."
            )
    bare = table[(table.checkpoint == "") & (table.checkpoint_sha256 == "")]
    known = {
        model
        for model, options in zip(bare.model, bare.model_options, strict=True)
        if _is_of_package(model) or _has_seed(options)
    }
    return sorted(known | set(named))


def _is_of_package(model: str) -> bool:
    modules = {module.name for module in pkgutil.iter_modules(harness.baselines.__path__)}
    name = re.split(r"[(@]", model, maxsplit=1)[0]
    return name.removeprefix("harness.baselines.") in modules


def _has_seed(options: str) -> bool:
    try:
        read = json.loads(options or "{}")
    except ValueError:
        return False
    return isinstance(read, dict) and "seed" in read
