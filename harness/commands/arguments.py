"""Read the words of a command line that several commands take alike."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import UserError, did_you_mean_path
from harness.core.files import expand_home

if TYPE_CHECKING:
    from harness.models.spec import ModelSpec


def output_folder(out: Path) -> Path:
    """Return the folder of --out; raise UserError if it is a file."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file: name a folder.")
    return out


def existing(path: Path) -> Path:
    """Return a path that is there, or raise UserError with the nearest name."""
    if not path.exists():
        raise UserError(f"'{path}' does not exist.{did_you_mean_path(path)}")
    return path


@contextlib.contextmanager
def as_user_errors(advice: str = "") -> Iterator[None]:
    """Raise UserError, with advice at its end, for what hear_byola raises for a user's mistake."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise UserError(f"{error} {advice}".rstrip()) from error


_OF_A_RUN = ("results.csv", "results")


def chosen_runs(*paths: Path) -> tuple[Path, ...]:
    """Return the runs that a command names, or the folder runs without any."""
    return paths or (Path("runs"),)


def divide_runs(words: Iterable[str]) -> tuple[tuple[str, ...], tuple[Path, ...]]:
    """Divide words into names of models and runs: a run's folder, or a path that ends in .csv."""
    names, runs = [], []
    for word in words:
        path = Path(expand_home(word))
        if path.suffix == ".csv" or any((path / part).exists() for part in _OF_A_RUN):
            runs.append(path)
        else:
            names.append(word)
    return tuple(names), tuple(runs)


def read_models(texts: tuple[str, ...]) -> tuple[ModelSpec, ...]:
    """Return the models of all -m."""
    from harness.models.spec import parse_model

    if not texts:
        raise UserError(
            "Name a model: -m hear_byola, -m ./my_module.py=weights.pt, or -m transformers=FOLDER."
        )
    return tuple(parse_model(text) for text in texts)


def read_shots(text: str) -> tuple[int | None, ...]:
    """Return the numbers of --shots; None for `all`."""
    words = [word.strip() for word in text.split(",")]
    if wrong := [word for word in words if word != "all" and not re.fullmatch(r"\d{1,9}", word)]:
        raise UserError(
            f"--shots has '{wrong[0]}': give whole numbers from 1 on, or `all`, separated by "
            "commas, for example --shots 1,4,16,all."
        )
    return tuple(None if word == "all" else int(word) for word in dict.fromkeys(words))


def read_shard(text: str | None) -> tuple[int, int]:
    """Return I and N of --shard I/N."""
    if text is None:
        return (1, 1)
    first, _, count = text.partition("/")
    if not (first.isdigit() and count.isdigit() and 1 <= int(first) <= int(count)):
        raise UserError(f"--shard must be I/N with 1 <= I <= N, for instance 2/8, not '{text}'.")
    return (int(first), int(count))
