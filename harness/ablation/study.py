"""An ablation study as its YAML file says it: arms, seeds, tasks, and the numbers of a paper.

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

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from harness.core import yamltext
from harness.core.errors import UserError, did_you_mean, did_you_mean_path
from harness.core.files import expand_home

FIELDS = (
    "name",
    "audio",
    "config",
    "overrides",
    "seeds",
    "reference",
    "arms",
    "suite",
    "tasks",
    "protocols",
    "paper",
)
_NEEDED = ("audio", "reference", "arms")
# What a run's folder holds beside the arms' folders.
_TAKEN = ("results", "embeddings", "probes", "errors", "heareval")


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
class PaperRow:
    """What a paper prints of an arm.

    Attributes:
        source: where it stands ("arXiv 2103.06695, Table II").
        scores: by the paper's column, in percent; one of them is ``mean``.
    """

    source: str
    scores: Mapping[str, float]


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


def read_study(path: Path) -> Study:
    """Read a study.

    Whether the config's fields exist is for the trainer to say, tasks and protocols for the plan.

    Raises:
        UserError: no such file, not YAML, or a field that is unknown, missing or wrong; the file
            and the field are named.
    """
    content = _content(path)
    _known(path, "", content, FIELDS)
    for name in _NEEDED:
        if name not in content:
            raise UserError(f"{path}: the field '{name}' is missing.")
    common = _overrides(path, "overrides", content.get("overrides"))
    seeds = _seeds(path, "seeds", content.get("seeds", 1))
    arms = _arms(path, content["arms"], seeds)
    names = [arm.name for arm in arms]
    reference = _name(path, "reference", content["reference"])
    if reference not in names:
        raise UserError(
            f"{path}: reference is '{reference}', which is no arm.{did_you_mean(reference, names)} "
            f"There are {', '.join(names)}."
        )
    suite = content.get("suite")
    tasks = [expand_home(task) for task in _texts(path, "tasks", content.get("tasks", []))]
    if not suite and not tasks:
        raise UserError(f"{path}: name tasks, by `suite: demo` or a list `tasks`.")
    return Study(
        path=path,
        name=_name(path, "name", content.get("name", path.stem)),
        audio=path.parent / _path(path, "audio", content["audio"]),
        config=_config(path, _path(path, "config", content.get("config", "byola-512-small"))),
        overrides=common,
        arms=arms,
        reference=reference,
        suite=None if suite is None else _text(path, "suite", suite),
        tasks=tuple(str(path.parent / task) if "/" in task else task for task in tasks),
        protocols=_texts(path, "protocols", content.get("protocols", ["linear"])),
        paper=_paper(path, content.get("paper"), names),
    )


def _content(path: Path) -> Mapping[str, object]:
    try:
        content = yamltext.load(path.read_text("utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        near = did_you_mean_path(path, "*.yaml")
        raise UserError(f"There is no study file '{path}'.{near}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UserError(f"{path} is not YAML: {error}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold fields and their values, like `reference: BYOL-A`.")
    return content


def _known(path: Path, where: str, content: Iterable[str], known: Iterable[str]) -> None:
    choices = list(known)
    for name in content:
        if name not in choices:
            raise UserError(
                f"{path}: no field '{where}{name}'.{did_you_mean(name, choices)} "
                f"There are {', '.join(choices)}."
            )


def _arms(path: Path, content: object, seeds: tuple[int, ...]) -> tuple[Arm, ...]:
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: arms must hold each arm's name with its overrides.")
    return tuple(_arm(path, str(name), values, seeds) for name, values in content.items())


def _arm(path: Path, name: str, content: object, seeds: tuple[int, ...]) -> Arm:
    where = f"arms.{name}"
    if name in _TAKEN or not name.strip():
        raise UserError(f"{path}: an arm cannot be called '{name}': OUT/{name} is taken.")
    values = dict(_overrides(path, where, content))
    if "seeds" in values:
        seeds = _seeds(path, f"{where}.seeds", values.pop("seeds"))
    untrained = values.pop("untrained", False)
    if not isinstance(untrained, bool):
        raise UserError(f"{path}: {where}.untrained must be true or false, not {untrained!r}.")
    return Arm(name, values, seeds, untrained)


def _overrides(path: Path, where: str, content: object) -> Mapping[str, object]:
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: {where} must hold fields of the config, not {content!r}.")
    if "seed" in content:
        raise UserError(f"{path}: {where}.seed: write `seeds`, for every seed is a training.")
    return {str(key): value for key, value in content.items()}


def _seeds(path: Path, where: str, content: object) -> tuple[int, ...]:
    # YAML's true is a whole number to Python.
    seeds = list(range(content)) if type(content) is int else content
    if not isinstance(seeds, list) or not seeds or not all(map(_is_seed, seeds)):
        raise UserError(
            f"{path}: {where} must be how many, or a list of seeds from 0 on, not {content!r}."
        )
    if len(set(seeds)) < len(seeds):
        raise UserError(f"{path}: {where} names a seed twice: {content!r}.")
    return tuple(seeds)


def _is_seed(value: object) -> bool:
    return type(value) is int and value >= 0


def _texts(path: Path, where: str, content: object) -> tuple[str, ...]:
    listed = content if isinstance(content, list) else [content]
    return tuple(_text(path, where, each) for each in listed)


def _text(path: Path, where: str, content: object) -> str:
    if not isinstance(content, str) or not content:
        raise UserError(f"{path}: {where} must be a name or a path, not {content!r}.")
    return content


def _name(path: Path, where: str, content: object) -> str:
    # A number that is read as one is written back as it was typed (harness.core.yamltext).
    number = isinstance(content, int | float) and not isinstance(content, bool)
    return _text(path, where, str(content) if number else content)


def _path(path: Path, where: str, content: object) -> str:
    return expand_home(_text(path, where, content))


def _config(path: Path, name: str) -> str:
    """A path relative to the study becomes one from here; a shipped config's name stays."""
    beside = path.parent / name
    return str(beside) if "/" in name or beside.is_file() else name


def _paper(path: Path, name: object, arms: list[str]) -> Mapping[str, PaperRow]:
    if name is None:
        return {}
    table = path.parent / _path(path, "paper", name)
    try:
        read = pd.read_csv(table, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path}: paper: there is no file '{table}'.") from None
    except OSError as error:
        raise UserError(f"{path}: paper: '{table}' cannot be read: {error.strerror}.") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UserError(f"{table} is not a CSV: {error}") from error
    for column in ("arm", "source", "mean"):
        if column not in read.columns:
            raise UserError(f"{table}: the column '{column}' is missing.")
    rows: dict[str, PaperRow] = {}
    for line, entry in enumerate(read.to_dict("records"), start=2):
        arm = entry["arm"]
        if arm not in arms or arm in rows:
            why = "stands twice" if arm in rows else f"is no arm of {path}"
            raise UserError(f"{table}, line {line}: '{arm}' {why}.{did_you_mean(arm, arms)}")
        rows[arm] = PaperRow(entry["source"], _printed(table, line, entry))
    return rows


def _printed(table: Path, line: int, entry: Mapping[Hashable, str]) -> dict[str, float]:
    """What the row has of numbers; an empty field was not printed."""
    scores = {}
    for column, text in entry.items():
        if column in ("arm", "source") or (not text and column != "mean"):
            continue
        try:
            scores[str(column)] = float(text)
        except ValueError:
            raise UserError(
                f"{table}, line {line}: {column} is '{text}', not a number of percent."
            ) from None
    return scores
