"""Copy a card or a task with other values of some fields."""

from __future__ import annotations

from typing import Any, TypeVar

from hear_byola.core.schema import Schema

Model = TypeVar("Model", bound=Schema)


def changed(model: Model, **fields: Any) -> Model:
    return model.model_copy(update=fields)
