"""Describe in plain sentences what is wrong with values that do not fit a pydantic model."""

from __future__ import annotations

import collections.abc
import enum
import types
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from hear_byola.core.errors import did_you_mean

_LONGEST_VALUE = 80  # characters of a value that an error repeats
_TYPES: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    type(None): "null",
}


class NotOneOf(ValueError):
    """A value is none of some names; the error of the field suggests the nearest."""

    def __init__(self, names: Collection[object]) -> None:
        super().__init__(one_of_these(names))
        self.names = names


def one_of_these(names: Collection[object]) -> str:
    """Return the names in words, as an error shows them."""
    return f"one of {', '.join(map(repr, names))}"


def fault_sentences(
    model: type[BaseModel], mapping: Mapping, caught: ValidationError
) -> Iterator[str]:
    """Yield a sentence for each fault; all faults of one value are one sentence."""
    allowed: dict[tuple[int | str, ...], list[str]] = {}
    values: dict[tuple[int | str, ...], str] = {}
    hints: dict[tuple[int | str, ...], str] = {}
    with_list = set()
    for fault in caught.errors():
        path, value = _found(mapping, model, fault)
        if fault["type"] == "extra_forbidden":
            yield _unknown_field(model, path, with_list=path[:-1] not in with_list)
            with_list.add(path[:-1])
        elif fault["type"] == "value_error" and _models_at(model, path):
            yield f"{_path_text(path)}: {fault['ctx']['error']}".removeprefix(": ")
        else:
            missing = fault["type"] == "missing"
            values[path] = "is missing" if missing else f"is {_shown(value)}"
            words = allowed.setdefault(path, [])
            words += [new for new in [_allowed(model, path, fault)] if new not in words]
            if missing:
                hints[path] = did_you_mean(str(path[-1]), _unknown_names(model, mapping, path[:-1]))
            elif isinstance(value, str):
                hints[path] = did_you_mean(value, _choices(model, path, fault))
    for path, words in allowed.items():
        hint = hints.get(path, "")
        yield f"{_path_text(path)} {values[path]}: it must be {' or '.join(words)}.{hint}"


def _found(
    mapping: object, model: type[BaseModel], fault: Any
) -> tuple[tuple[int | str, ...], object]:
    """Return the path of a fault and the value there.

    pydantic's location also names members of unions, and its input is what validators returned.
    """
    path: tuple[int | str, ...] = ()
    value: Any = mapping
    for part in fault["loc"]:
        is_list = isinstance(value, list | tuple)
        if part in (range(len(value)) if is_list else value if isinstance(value, Mapping) else ()):
            value = value[part]
            path = (*path, part)
        elif any(part in below.model_fields for below in _models_at(model, path)):
            return (*path, part), fault["input"]  # a field that is missing, or a default
    return path, value


def _unknown_names(
    model: type[BaseModel], mapping: Mapping, path: Sequence[int | str]
) -> Sequence[str]:
    """Return the names at a path that are no fields; its model ignores them."""
    there: Any = mapping
    for part in path:
        there = there[part]
    known = {name for below in _models_at(model, path) for name in below.model_fields}
    return [str(name) for name in there if name not in known]


def _choices(model: type[BaseModel], path: Sequence[int | str], fault: Any) -> Sequence[str]:
    """Return the names that a value may be, if it must be one of some names."""
    if isinstance(error := fault.get("ctx", {}).get("error"), NotOneOf):
        return list(map(str, error.names))
    kinds = [bare for kind in _kinds_at(model, path) for bare, _ in _variants(kind)]
    return [name for kind in kinds for name in map(str, _names_of(kind))]


def _names_of(kind: Any) -> Sequence[object]:
    """Return the values of a `Literal` or an enumeration."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    is_enum = isinstance(kind, type) and issubclass(kind, enum.Enum)
    return [member.value for member in kind] if is_enum else ()


def _unknown_field(model: type[BaseModel], path: tuple[int | str, ...], with_list: bool) -> str:
    name = str(path[-1])
    models = _models_at(model, path[:-1])
    known = [field for below in models for field in below.model_fields]
    for below in models:
        if hint := getattr(below, "field_hints", {}).get(name):
            return f"no field {_path_text(path)!r}. {hint}"
    fields = f" The fields are {', '.join(known)}." if with_list else ""
    return f"no field {_path_text(path)!r}.{did_you_mean(name, known)}{fields}"


def _allowed(model: type[BaseModel], path: tuple[int | str, ...], fault: Any) -> str:
    """Return what a value may be, in words that follow "it must be"."""
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    if fault["type"] == "finite_number":
        return "a finite number"
    in_words = [text for kind in _kinds_at(model, path) if (text := _describe(kind))]
    return " or ".join(in_words) or fault["msg"].removeprefix("Input should be ")


def _path_text(path: Sequence[int | str]) -> str:
    """Return a path as people write it: `shares.speech`, `crop_time[1]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def is_model(kind: object) -> bool:
    """Return whether a type is a pydantic model."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _variants(kind: Any, limits: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the types that an annotation allows, each with its limits (as `Field(ge=0)`)."""
    if get_origin(kind) is Annotated:
        inner, *annotated = get_args(kind)
        own = [m for a in annotated for m in (a.metadata if isinstance(a, FieldInfo) else [a])]
        yield from _variants(inner, (*limits, *own))
    elif get_origin(kind) in (Union, types.UnionType):
        for member in get_args(kind):
            yield from _variants(member, limits)
    else:
        yield kind, limits


def _models_at(model: type[BaseModel], path: Sequence[int | str]) -> list[type[BaseModel]]:
    kinds = _kinds_at(model, path)
    return [bare for kind in kinds for bare, _ in _variants(kind) if is_model(bare)]


def _kinds_at(kind: Any, path: Sequence[int | str]) -> list[Any]:
    """Return the annotations of the value at a path; below a union there may be several."""
    if not path:
        return [kind]
    return [
        found
        for bare, _ in _variants(kind)
        for below in _below(bare, path[0])
        for found in _kinds_at(below, path[1:])
    ]


def _below(kind: Any, part: int | str) -> Sequence[Any]:
    """Return the annotations of one part of a value."""
    if is_model(kind):
        fields = kind.model_fields.items()
        return [f.rebuild_annotation() for name, f in fields if part in (name, f.alias)]
    arguments = get_args(kind)
    if get_origin(kind) is tuple and isinstance(part, int):
        return arguments[:1] if Ellipsis in arguments else arguments[part : part + 1]
    return arguments[-1:] if get_origin(kind) is not Literal else []


def _describe(kind: Any) -> str:
    """Return what values an annotation allows, in words; empty if one of its types has none."""
    texts = [_with_range(_type_text(bare), limits) for bare, limits in _variants(kind)]
    return ", or ".join(texts) if all(texts) else ""


def _type_text(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if names := _names_of(kind):
        return one_of_these(names)
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)}"
    if origin in (tuple, list, set, frozenset, collections.abc.Sequence):
        return "a list"
    if is_model(kind):
        return "fields and their values"
    if origin in (dict, collections.abc.Mapping) or kind is dict:
        return "names with their values"
    return _TYPES.get(kind, "")


def _with_range(text: str, limits: Sequence[Any]) -> str:
    """Return the type with its range: "a whole number, 1 or more"."""
    if text not in (_TYPES[int], _TYPES[float]):
        return text
    ge, gt, le, lt = (
        next((getattr(m, name) for m in limits if getattr(m, name, None) is not None), None)
        for name in ("ge", "gt", "le", "lt")
    )
    if ge is not None and le is not None:
        return f"{text}, {ge} to {le}"
    low = [f"{ge} or more"] * (ge is not None) + [f"above {gt}"] * (gt is not None)
    high = [f"{le} or less"] * (le is not None) + [f"below {lt}"] * (lt is not None)
    return ", ".join([text, *[" and ".join(low + high)] * bool(low + high)])
