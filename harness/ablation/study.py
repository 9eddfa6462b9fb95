"""An ablation study, read from its YAML file: arms, seeds, tasks, and the numbers of a paper.

name: table2                      # default: the file's name
audio: ../pool                    # what pretrain takes; paths are relative to this file
config: byola-512-small           # a shipped config, or a path
overrides: {crops: 40000}         # fields of the config, common to all arms
seeds: 3                          # 0, 1 and 2; or a list
reference: BYOL-A                 # the arm that the others are compared with
arms:
  BYOL-A:                         # the config as it is
  RRC: {augmentations: [random_resize_crop]}
  untrained: {untrained: true, seeds: 3}
suite: demo
tasks: [../my-task-v1-full]       # further tasks: paths, or names in --tasks-dir
protocols: [linear]
paper: table2.paper.csv           # columns arm, source, then the paper's tasks and mean
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, model_validator

from harness.ablation.paper import PaperRow, read_paper
from harness.core.errors import did_you_mean
from harness.core.files import expand_home
from harness.core.yamltext import load_file
from hear_byola.core.schema import Flag, Schema, read

_MOST_SEEDS = 1000
_TAKEN = ("results", "embeddings", "probes", "errors", "heareval")
"""What a run's folder holds beside the arms' folders."""


@dataclass(frozen=True)
class Arm:
    """One row of the table: a change of the config, or weights that were never trained.

    Attributes:
        name: of the arm.
        overrides: fields of the config, on top of the study's.
        seeds: one training each.
        untrained: random weights by the seed; nothing is trained.
    """

    name: str
    overrides: Mapping[str, object]
    seeds: tuple[int, ...]
    untrained: bool = False


@dataclass(frozen=True)
class Study:
    """A study; paths are resolved. ``paper`` holds the arms that the paper has."""

    path: Path
    name: str
    audio: Path
    config: str
    overrides: Mapping[str, object]
    arms: tuple[Arm, ...]
    reference: str
    suite: str | None = None
    tasks: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ("linear",)
    paper: Mapping[str, PaperRow] = field(default_factory=dict)


def _not_empty(text: str) -> str:
    if not text.strip():
        raise ValueError("a text that is not empty")
    return text


def _arm_name(name: str) -> str:
    if name in _TAKEN or not name.strip():
        raise ValueError(f"an arm cannot be called '{name}': OUT/{name} is taken.")
    return name


def _seeds(value: Any) -> tuple[int, ...]:
    # YAML's true is a whole number to Python.
    seeds = list(range(min(value, _MOST_SEEDS + 1))) if type(value) is int else value
    if isinstance(seeds, list) and len(seeds) > _MOST_SEEDS:
        raise ValueError(f"at most {_MOST_SEEDS} seeds")
    if not isinstance(seeds, list) or not seeds or any(type(s) is not int or s < 0 for s in seeds):
        raise ValueError("how many, or a list of seeds, each 0 or more")
    if len(set(seeds)) < len(seeds):
        raise ValueError("a list in which no seed occurs twice")
    return tuple(seeds)


def _no_seed(value: object) -> object:
    raise ValueError("left out: write `seeds`, since every seed is a training")


def _some(value: Any) -> Any:
    if not value:
        raise ValueError("the arms by name, each with its overrides")
    return value


Text = Annotated[str, AfterValidator(_not_empty)]
Place = Annotated[Text, AfterValidator(expand_home)]
Seeds = Annotated[tuple[int, ...], BeforeValidator(_seeds)]
Listed = BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
NullIsEmpty = BeforeValidator(lambda value: {} if value is None else value)


class _Overrides(Schema):
    """Fields of the pretraining config, which its own schema checks."""

    model_config = ConfigDict(extra="allow")

    seed: Annotated[object, BeforeValidator(_no_seed)] = None

    @property
    def fields(self) -> Mapping[str, object]:
        """The fields with their values."""
        return self.model_extra or {}


class _ArmFields(_Overrides):
    """An arm in the file; ``seeds`` are those of the study by default."""

    seeds: Seeds | None = None
    untrained: Flag = False


class _StudyFile(Schema):
    """The content of a study's file."""

    name: Text | None = None
    audio: Place
    config: Place = "byola-512-small"
    overrides: Annotated[_Overrides, NullIsEmpty] = _Overrides()
    seeds: Seeds = (0,)
    reference: Text
    arms: Annotated[
        dict[Annotated[str, AfterValidator(_arm_name)], Annotated[_ArmFields, NullIsEmpty]],
        AfterValidator(_some),
    ]
    suite: Text | None = None
    tasks: Annotated[tuple[Place, ...], Listed] = ()
    protocols: Annotated[tuple[Text, ...], Listed] = ("linear",)
    paper: Place | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> _StudyFile:
        faults = []
        if self.reference not in self.arms:
            faults.append(
                f"reference is '{self.reference}', which is no arm."
                f"{did_you_mean(self.reference, self.arms)} There are {', '.join(self.arms)}."
            )
        if not self.suite and not self.tasks:
            faults.append("name tasks, by `suite: demo` or a list `tasks`.")
        if faults:
            raise ValueError(" ".join(faults))
        return self


def read_study(path: Path) -> Study:
    """Read a study.

    The trainer checks the fields of its config, and the plan of the run tasks and protocols.

    Raises:
        UserError: no such file, not YAML, or fields that are unknown, missing or wrong; the message
            lists all of them.
    """
    content = read(_StudyFile, load_file(path, "study file"), str(path))
    return Study(
        path=path,
        name=content.name or path.stem,
        audio=path.parent / content.audio,
        config=_config(path, content.config),
        overrides=content.overrides.fields,
        arms=tuple(
            Arm(name, arm.fields, arm.seeds or content.seeds, arm.untrained)
            for name, arm in content.arms.items()
        ),
        reference=content.reference,
        suite=content.suite,
        tasks=tuple(str(path.parent / task) if "/" in task else task for task in content.tasks),
        protocols=content.protocols,
        paper=read_paper(path.parent / content.paper, path, list(content.arms))
        if content.paper
        else {},
    )


def _config(path: Path, name: str) -> str:
    """Return a config's path relative to here; a shipped config's name stays."""
    beside = path.parent / name
    # Path.is_file raises for what no file can be called, which the config's reader refuses.
    return str(beside) if "/" in name or os.path.isfile(beside) else name
