"""Field types of the files of a run, read from the text of a CSV cell or from JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from hear_byola.core.schema import Flag, Schema

_MOST = 2**53  # floats represent all whole numbers up to it exactly
_FLAGS = {"true": True, "false": False}
_GAPS = {"", "nan", "null"}


def _is_gap(value: object) -> bool:
    if isinstance(value, str):
        return value in _GAPS or value.strip().lower() in _GAPS
    return value != value  # NaN


def _flag(value: object) -> object:
    return _FLAGS.get(value.strip().lower(), value) if isinstance(value, str) else value


def _named(text: str) -> str:
    if not text:
        raise ValueError("a name, not empty")
    return text


def _inside(place: str) -> str:
    if not place or PurePath(place).is_absolute() or ".." in PurePath(place).parts:
        raise ValueError("a folder in that of the run")
    return place


Amount = Annotated[float, Field(ge=0, le=_MOST)]
"""A number that is not negative: a duration, a standard error."""
Count = Annotated[int, Field(ge=0, le=_MOST)]
TrueOrFalse = Annotated[Flag, BeforeValidator(_flag)]
"""A boolean; spreadsheets' TRUE and FALSE are accepted too."""
Name = Annotated[str, AfterValidator(_named)]
InnerFolder = Annotated[str, AfterValidator(_inside)]
"""The path of a folder, from the run's folder, in which it lies."""


class ColumnGroup(Schema):
    """Fields that a table stores in columns, each named by the field's alias or name.

    A field whose default is None is None if its cell is empty or NaN.
    """

    model_config = ConfigDict(populate_by_name=True)

    _optional: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        cls._optional = frozenset(
            key
            for name, field in cls.model_fields.items()
            if field.default is None
            for key in (name, field.alias or name)
        )

    @model_validator(mode="before")
    @classmethod
    def _without_gaps(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        optional = cls._optional
        return {k: v for k, v in values.items() if k not in optional or not _is_gap(v)}
