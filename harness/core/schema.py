"""Check what people write against pydantic models; defined in :mod:`hear_byola.core.schema`."""

from hear_byola.core.schema import (
    Flag,
    NotOneOf,
    Number,
    Schema,
    Whole,
    listed,
    one_of,
    read,
    read_fields,
)

__all__ = [
    "Flag",
    "NotOneOf",
    "Number",
    "Schema",
    "Whole",
    "listed",
    "one_of",
    "read",
    "read_fields",
]
