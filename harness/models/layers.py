"""Embed several layers of a model in one pass: which are chosen, and their place in an embedding.

A module offers layers by the function ``get_layer_embeddings(audio, model, layers, *, timestamps)``
and the attribute ``layer_sizes`` of its model. The option ``layer`` of ``-m`` then chooses some.
The embedding of a clip consists of those of its layers, one after the other.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from harness.core.errors import UserError
from harness.models.spec import ModelSpec

OPTION = "layer"
FUNCTION = "get_layer_embeddings"


def offers_layers(module: Any) -> bool:
    """Return whether a module offers layers; an option ``layer`` of its own has precedence."""
    if not callable(getattr(module, FUNCTION, None)):
        return False
    load_model = getattr(module, "load_model", None)
    return load_model is None or OPTION not in inspect.signature(load_model).parameters


def chosen_layers(spec: ModelSpec, module: Any, model: Any) -> dict[int, int]:
    """Return the numbers and sizes of the layers that a model is to embed; empty without a choice.

    Raises:
        UserError: the option names no layer, or ``layer_sizes`` is not a list of sizes.
    """
    if OPTION not in spec.options or not offers_layers(module):
        return {}
    sizes = getattr(model, "layer_sizes", None)
    if not isinstance(sizes, Sequence) or not all(type(s) is int and s > 0 for s in sizes):
        raise UserError(
            f"{spec.label}: the model's attribute layer_sizes is {sizes!r}; {FUNCTION} needs a "
            "list with the embedding size of each layer."
        )
    if not sizes:
        raise UserError(
            f"{spec.label}: this model offers no layers (hidden states) with these options. Leave "
            "the option layer out."
        )
    numbers = _numbers(str(spec.options[OPTION]), len(sizes))
    if not numbers:
        raise UserError(
            f"{spec.label}: layer={spec.options[OPTION]} names no layer. Its layers are 0 to "
            f"{len(sizes) - 1}: give one number, a range such as 0..{len(sizes) - 1}, or all."
        )
    return {number: sizes[number] for number in numbers}


def _numbers(text: str, count: int) -> list[int]:
    if text == "all":
        return list(range(count))
    found = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text)
    if not found:
        return []
    first, last = int(found[1]), int(found[2] or found[1])
    return list(range(first, last + 1)) if last < count else []


def columns(layers: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """Return the first column of each layer, and the one after its last."""
    found, begin = {}, 0
    for number, size in layers.items():
        found[number] = (begin, begin + size)
        begin += size
    return found


class LayerFunctions:
    """The two functions of the HEAR API, for several layers of a model.

    Args:
        module: the module that offers layers.
        layers: their numbers and sizes.
        label: the model's label, for messages.
    """

    def __init__(self, module: Any, layers: Mapping[int, int], label: str) -> None:
        self._function = getattr(module, FUNCTION)
        self._layers = layers
        self._label = label

    def get_scene_embeddings(self, audio: Any, model: Any) -> torch.Tensor:
        """Return the scene embeddings of the layers, ``(n, sum of sizes)``."""
        return self._embedded(audio, model, timestamps=False)[0]

    def get_timestamp_embeddings(self, audio: Any, model: Any) -> tuple[torch.Tensor, Any]:
        """Return the timestamp embeddings of the layers, ``(n, t, sum of sizes)``, and times."""
        return self._embedded(audio, model, timestamps=True)

    def _embedded(self, audio: Any, model: Any, *, timestamps: bool) -> tuple[torch.Tensor, Any]:
        answer = self._function(audio, model, list(self._layers), timestamps=timestamps)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise self._against(f"a {type(answer).__name__}", "tensors, and times or None")
        embeddings, times = answer
        shapes = [tuple(getattr(each, "shape", ())) for each in embeddings]
        n_dimensions = 3 if timestamps else 2
        if [shape[-1:] for shape in shapes] != [(size,) for size in self._layers.values()] or any(
            len(shape) != n_dimensions or shape[:-1] != shapes[0][:-1] for shape in shapes
        ):
            sizes = ", ".join(map(str, self._layers.values()))
            raise self._against(
                f"tensors of the shapes {shapes}", f"{n_dimensions} dimensions, the last {sizes}"
            )
        return _side_by_side(list(embeddings)), times

    def _against(self, found: str, expected: str) -> UserError:
        return UserError(f"{self._label}: {FUNCTION} returned {found}; it must return {expected}.")


def _side_by_side(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Join tensors along the last axis, without a copy if they are columns of one, side by side.

    The layers of long audio take gigabytes, and a copy as much again.
    """
    first = layers[0]
    column = first.storage_offset()
    for layer in layers:
        if (
            layer.untyped_storage().data_ptr() != first.untyped_storage().data_ptr()
            or (layer.dtype, layer.stride()) != (first.dtype, first.stride())
            or (layer.stride(-1), layer.storage_offset()) != (1, column)
        ):
            return torch.cat(list(layers), dim=-1)
        column += layer.shape[-1]
    width = column - first.storage_offset()
    return first.as_strided((*first.shape[:-1], width), first.stride())
