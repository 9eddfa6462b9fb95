"""Read what people write (configs, cards, metadata) into pydantic models, with plain errors.

A model is a subclass of :class:`Schema`; :func:`read` makes one of a mapping and reports all faults
at once. A validator of a model raises `ValueError` with what is allowed, as in "it must be ...";
one that looks at several fields (`model_validator`) raises it with a sentence of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Strict,
    TypeAdapter,
    ValidationError,
)

from hear_byola.core.errors import UserError
from hear_byola.core.faults import NotOneOf, fault_sentences, is_model


class Schema(BaseModel):
    """Base of all models: immutable, no unknown field, no NaN; a number is taken as a text.

    Attributes:
        field_hints: what to say of a field that does not exist, by its name.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, coerce_numbers_to_str=True
    )
    field_hints: ClassVar[Mapping[str, str]] = {}


def _whole(value: object) -> object:
    """Return the integer that a text or a float holds, or the value itself."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            value = _number(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _number(value: object) -> object:
    """Return the number that a text holds, or the value itself."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


Whole = Annotated[int, Strict(), BeforeValidator(_whole)]
"""An integer; 8.0, "4e4" and "0100" are integers, true is none."""
Number = Annotated[float, Strict(), BeforeValidator(_number)]
"""A finite number; "1e-3" is one, true is none."""
Flag = Annotated[bool, Strict()]
"""true or false, and neither 1 nor "yes"."""


def one_of(names: Collection[object]) -> AfterValidator:
    """Return a validator for values out of a registry; use `Literal` for fixed values."""

    def check(value: Any) -> Any:
        if value not in names:
            raise NotOneOf(names)
        return value

    return AfterValidator(check)


def distinct(what: str) -> AfterValidator:
    """Return a validator for tuples of one or more values, each once; ``what`` names them."""

    def check(values: tuple[Any, ...]) -> tuple[Any, ...]:
        if not values or len(set(values)) < len(values):
            raise ValueError(f"a list of {what}, each once")
        return values

    return AfterValidator(check)


Model = TypeVar("Model", bound=BaseModel)


def read(
    model: type[Model], mapping: object, source: str, error: type[Exception] = UserError
) -> Model:
    """Return an instance of a model with the values of a mapping.

    Args:
        model: usually a subclass of :class:`Schema`.
        mapping: field names with values, as YAML or JSON holds them.
        source: where they come from, for example a file; the error begins with it.
        error: the exception to raise.

    Raises:
        error: something is wrong; the message lists every fault with the field's path, its value,
            what is allowed, and the nearest name for an unknown field.
    """
    if not isinstance(mapping, Mapping):
        example = next(iter(model.model_fields))
        raise error(f"{source} must hold fields and their values, like `{example}: ...`.")
    try:
        return model.model_validate(dict(mapping))
    except ValidationError as caught:
        sentences = list(fault_sentences(model, mapping, caught))
    raise error(listed(source, sentences))


def listed(source: str, faults: Sequence[str]) -> str:
    """Return a text of all faults, a sentence each, that begins with where they are."""
    if len(faults) == 1:
        return f"{source}: {faults[0]}"
    return "\n- ".join([f"{source}: {len(faults)} faults:", *faults])


def read_fields(model: type[BaseModel], mapping: Mapping) -> tuple[dict[str, Any], list[str]]:
    """Return the values of all fields that can be read, and a sentence for each fault.

    :func:`read` is for those who need all of them.
    """
    try:
        return dict(model.model_validate(dict(mapping))), []
    except ValidationError as caught:
        wrong = {fault["loc"][0] for fault in caught.errors() if fault["loc"]}
        sentences = list(fault_sentences(model, mapping, caught))
    values = {}
    for name, field in model.model_fields.items():
        if name in mapping and name not in wrong:
            config = None if is_model(field.annotation) else model.model_config
            adapter: TypeAdapter = TypeAdapter(field.rebuild_annotation(), config=config)
            values[name] = adapter.validate_python(mapping[name])
        elif name not in wrong:
            values[name] = field.get_default(call_default_factory=True)
    return values, sentences
