"""Read the models given in Python code: texts, HEAR modules, or models in memory."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from harness.core.errors import UserError
from harness.models.guest import Guest, ModuleExit
from harness.models.live import IN_MEMORY, LiveModel
from harness.models.module import FUNCTIONS
from harness.models.spec import ModelSpec, checked_name, parse_model

_ALLOWED = (
    "Give a text as for -m, a module with the functions of the HEAR API, or a pair (module, model)"
)


def read_models(models: Any, device: str = "cpu") -> tuple[ModelSpec, ...]:
    """Return the specifications of the models given in Python code.

    Args:
        models: one model, a list of models, or a mapping from names to models. A model is a text or
            path as :func:`harness.models.spec.parse_model` reads it; a HEAR module, whose
            ``load_model()`` is called; or a pair of a HEAR module and a loaded model. Any object
            with the functions is accepted as a module.
        device: for models loaded here. The model of a pair is not moved.

    Raises:
        UserError: there is no model, two have one name, or a value is not a model.
    """
    if isinstance(models, Mapping):
        specs = tuple(_spec(model, str(name), device) for name, model in models.items())
    else:
        listed = models if isinstance(models, list) or _is_sequence_of_texts(models) else [models]
        specs = tuple(_spec(model, "", device) for model in listed)
    if not specs:
        raise UserError(f"No model is given. {_ALLOWED}, or several in a list or a mapping.")
    labels = [spec.label for spec in specs]
    twice = [label for label in labels if labels.count(label) > 1]
    if twice:
        raise UserError(
            f"Two models are called '{twice[0]}'. Give a mapping from names to models instead of a "
            "list."
        )
    return specs


def _is_sequence_of_texts(models: object) -> bool:
    return (
        isinstance(models, Sequence)
        and not isinstance(models, str)
        and all(isinstance(each, str | Path) for each in models)
    )


def _spec(model: Any, name: str, device: str) -> ModelSpec:
    checked_name(name)
    if isinstance(model, str | Path):
        spec = parse_model(str(model))
        return dataclasses.replace(spec, name=name) if name else spec
    if isinstance(model, tuple) and len(model) == 2 and not isinstance(model[0], str):
        functions, loaded = model
        name = name or type(loaded).__name__
        _check_functions(functions, FUNCTIONS[1:], name)
    elif any(hasattr(model, function) for function in FUNCTIONS):
        functions = model
        name = name or _name_of(functions)
        _check_functions(functions, FUNCTIONS, name)
        loaded = _loaded(functions, name, device)
    else:
        raise UserError(f"A value of type {type(model).__name__} is not a model. {_ALLOWED}.")
    return ModelSpec(IN_MEMORY, name=name, live=LiveModel(loaded, functions))


def _name_of(functions: Any) -> str:
    if isinstance(functions, ModuleType) or inspect.isclass(functions):
        return functions.__name__.rpartition(".")[2]
    return type(functions).__name__


def _check_functions(functions: Any, needed: Sequence[str], name: str) -> None:
    missing = [each for each in needed if not callable(getattr(functions, each, None))]
    if missing:
        raise UserError(
            f"The model '{name}' lacks {', '.join(missing)}. {_ALLOWED}; the module must have "
            f"{' and '.join(needed)}."
        )


def _loaded(functions: Any, name: str, device: str) -> Any:
    """Return the model that ``load_model()`` returns, on the device."""
    try:
        with Guest(name).called():
            model = functions.load_model()
    except (Exception, ModuleExit) as error:  # a module can raise any exception
        raise UserError(
            f"load_model() of '{name}' failed: {type(error).__name__}: {error}. To give it a "
            "checkpoint or options, load the model and give the pair (module, model)."
        ) from error
    return model.to(device) if isinstance(model, torch.nn.Module) else model
