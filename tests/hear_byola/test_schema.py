from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from hear_byola.core.schema import Flag, Number, Schema, Whole, one_of, read, read_fields

Share = Annotated[Number, Field(ge=0, le=1)]


class Kind(enum.Enum):
    SCENE = "scene"
    EVENT = "event"


class Part(Schema):
    weight: Share = 1.0
    name: str = ""

    @model_validator(mode="after")
    def _agrees(self) -> Part:
        if self.weight == 0 and self.name:
            raise ValueError("a part of weight 0 has a name: leave it out.")
        return self


class Config(Schema):
    field_hints: ClassVar[Mapping[str, str]] = {"steps": "Give `rounds`."}

    rounds: Annotated[Whole, Field(ge=1)]
    rate: Number | None = Field(default=None, gt=0, lt=1)
    floor: Number = Field(default=0.0, le=0)
    quick: Flag = False
    mode: Literal["clips", "seconds"] = "clips"
    engine: Annotated[str, one_of({"local": 1, "ray": 2})] = "local"
    pair: tuple[Number, Number] = (1.0, 2.0)
    names: tuple[str, ...] = ()
    shares: Mapping[str, Share] = {}
    part: Part = Part()
    parts: tuple[Part, ...] = ()
    size: Whole | Literal["all"] = 1
    kind: Kind = Kind.SCENE
    limit: Whole = Field(default=5, validate_default=True)
    other: Part | None = None

    @field_validator("pair")
    @classmethod
    def _in_order(cls, pair: tuple[float, float]) -> tuple[float, float]:
        if pair[0] > pair[1]:
            raise ValueError("a range: low <= high")
        return pair

    @field_validator("limit")
    @classmethod
    def _below_the_rounds(cls, limit: int, fields: ValidationInfo) -> int:
        if limit < fields.data.get("rounds", 0):
            raise ValueError("rounds or more")
        return limit

    @model_validator(mode="after")
    def _agrees(self) -> Config:
        if self.quick and self.rounds > 9:
            raise ValueError("quick is true, and rounds is above 9: set one of them.")
        return self


class Trouble(Exception):
    pass


def fault(**fields: object) -> str:
    with pytest.raises(Trouble) as caught:
        read(Config, {"rounds": 1, **fields}, "mine.yaml", Trouble)
    return str(caught.value).removeprefix("mine.yaml: ")


def test_values_come_as_their_types() -> None:
    config = read(
        Config,
        {
            "rounds": "4e1",
            "limit": 50,
            "rate": "1e-3",
            "floor": -1,
            "names": ["a", 7],
            "shares": {"x": "0.5"},
            "parts": [{"name": "p"}],
            "kind": "event",
        },
        "mine",
    )
    assert (config.rounds, config.rate, config.floor) == (40, 1e-3, -1.0)
    assert (config.names, config.shares) == (("a", "7"), {"x": 0.5})
    assert config.parts == (Part(name="p"),)
    assert config.kind is Kind.EVENT
    assert read(Config, {"rounds": 8.0, "limit": 9}, "mine").rounds == 8
    large = 2**63 - 1
    assert read(Config, {"rounds": str(large), "limit": large}, "mine").rounds == large


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("rounds", 0, "rounds is 0: it must be a whole number, 1 or more."),
        ("rounds", "many", "rounds is 'many': it must be a whole number, 1 or more."),
        ("rounds", 2.5, "rounds is 2.5: it must be a whole number, 1 or more."),
        ("rounds", True, "rounds is True: it must be a whole number, 1 or more."),
        ("rounds", float("inf"), "rounds is inf: it must be a whole number, 1 or more."),
        ("rounds", None, "rounds is None: it must be a whole number, 1 or more."),
        ("rate", 1, "rate is 1: it must be a number, above 0 and below 1, or null."),
        ("rate", False, "rate is False: it must be a number, above 0 and below 1, or null."),
        ("rate", float("nan"), "rate is nan: it must be a finite number."),
        ("floor", 3, "floor is 3: it must be a number, 0 or less."),
        ("floor", "1e999", "floor is '1e999': it must be a finite number."),
        ("quick", 1, "quick is 1: it must be true or false."),
        ("quick", "yes", "quick is 'yes': it must be true or false."),
        ("mode", 16, "mode is 16: it must be one of 'clips', 'seconds'."),
        ("engine", "slurm", "engine is 'slurm': it must be one of 'local', 'ray'."),
        ("engine", None, "engine is None: it must be a text."),
        ("pair", "1 2", "pair is '1 2': it must be a list of 2."),
        ("pair", [1, 2, 3], "pair is [1, 2, 3]: it must be a list of 2."),
        ("pair", [1, "x"], "pair[1] is 'x': it must be a number."),
        ("pair", [2, 1], "pair is [2, 1]: it must be a range: low <= high."),
        ("names", "a", "names is 'a': it must be a list."),
        ("names", ["a", None], "names[1] is None: it must be a text."),
        ("shares", [1], "shares is [1]: it must be names with their values."),
        ("shares", {"x": -1}, "shares.x is -1: it must be a number, 0 to 1."),
        ("part", 3, "part is 3: it must be fields and their values."),
        ("part", {"weight": 2}, "part.weight is 2: it must be a number, 0 to 1."),
        ("parts", [{}, {"weight": 2}], "parts[1].weight is 2: it must be a number, 0 to 1."),
        ("size", "some", "size is 'some': it must be a whole number, or one of 'all'."),
        ("kind", "clip", "kind is 'clip': it must be one of 'scene', 'event'."),
    ],
)
def test_a_fault_names_field_value_and_what_is_allowed(
    field: str, value: object, message: str
) -> None:
    assert fault(**{field: value}) == message


def test_a_missing_field_is_named() -> None:
    with pytest.raises(Trouble, match=r"^mine: rounds is missing: it must be a whole number, 1 or"):
        read(Config, {}, "mine", Trouble)


def test_a_default_that_does_not_fit_is_told_by_its_field() -> None:
    assert fault(rounds=6) == "limit is 5: it must be rounds or more."


def test_an_unknown_field_is_named_with_the_nearest_and_the_list() -> None:
    text = fault(nmaes=[])
    assert text.startswith("no field 'nmaes'. Did you mean 'names'? The fields are rounds, rate,")
    assert fault(part={"wieght": 1}) == (
        "no field 'part.wieght'. Did you mean 'weight'? The fields are weight, name."
    )
    assert fault(other={"name": "x", "weigth": 1}).startswith("no field 'other.weigth'. Did you")
    assert fault(parts=[{"q": 1}]) == "no field 'parts[0].q'. The fields are weight, name."


def test_a_field_with_a_hint_is_answered_by_it() -> None:
    assert fault(steps=3) == "no field 'steps'. Give `rounds`."


def test_all_faults_are_told_at_once() -> None:
    assert fault(quick=1, mode="x", part={"a": 1, "b": 2}).splitlines() == [
        "4 faults:",
        "- no field 'part.a'. The fields are weight, name.",
        "- no field 'part.b'.",
        "- quick is 1: it must be true or false.",
        "- mode is 'x': it must be one of 'clips', 'seconds'.",
    ]


def test_a_rule_about_several_fields_is_a_sentence() -> None:
    assert (
        fault(rounds=10, limit=10, quick=True)
        == "quick is true, and rounds is above 9: set one of them."
    )
    assert fault(parts=[{"name": "x", "weight": 0}]) == (
        "parts[0]: a part of weight 0 has a name: leave it out."
    )


def test_a_long_value_is_cut() -> None:
    assert fault(rounds="x" * 500) == (
        f"rounds is '{'x' * 79}...: it must be a whole number, 1 or more."
    )


@pytest.mark.parametrize("content", [None, [1, 2], "text", 3])
def test_what_is_no_mapping_is_refused(content: object) -> None:
    with pytest.raises(
        Trouble, match=r"mine must hold fields and their values, like `rounds: ...`"
    ):
        read(Config, content, "mine", Trouble)


def test_the_nearest_of_some_names_is_suggested() -> None:
    assert fault(kind="scenes").endswith("one of 'scene', 'event'. Did you mean 'scene'?")
    assert fault(engine="locl").endswith("one of 'local', 'ray'. Did you mean 'local'?")
    assert fault(mode="clip").endswith("one of 'clips', 'seconds'. Did you mean 'clips'?")


class Lenient(Schema):
    model_config = ConfigDict(extra="ignore")

    rounds: Whole
    names: tuple[str, ...] = ()
    part: Part | None = None


def test_a_missing_field_is_sought_among_the_names_that_are_ignored() -> None:
    with pytest.raises(Trouble, match=r"rounds is missing: .*\. Did you mean 'round'\?"):
        read(Lenient, {"round": 3}, "mine", Trouble)


def test_what_can_be_read_is_given_beside_the_faults() -> None:
    assert read_fields(Lenient, {"rounds": 3}) == ({"rounds": 3, "names": (), "part": None}, [])
    values, faults = read_fields(Lenient, {"rounds": "x", "names": [1], "part": {"name": "p"}})
    assert values == {"names": ("1",), "part": Part(name="p")}
    assert faults == ["rounds is 'x': it must be a whole number."]
