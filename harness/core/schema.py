"""Read what people write into pydantic models, as :mod:`hear_byola.core.schema` does."""

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
