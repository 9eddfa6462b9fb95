"""Assign each recording to a split or fold, as the table gives it or by stratified choice."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.core.counts import plural
from harness.core.errors import UserError
from tasks.format.spec import FEWEST_FOLDS, SPLITS, SplitMode, fold_names
from tasks.format.tables import labels_of
from tasks.make.faults import Faults
from tasks.make.labels import Labelled, Labels
from tasks.make.splitting import split_groups

_SHARES = (0.6, 0.2, 0.2)  # train, valid and test
_LINES_SHOWN = 5


@dataclass(frozen=True)
class Parts:
    """The splits of a task.

    Attributes:
        split_mode: the split mode of the metadata.
        splits: names of the splits, in order.
        split_of: the split of each file.
        note: a phrase on how the splits were made.
    """

    split_mode: SplitMode
    splits: tuple[str, ...]
    split_of: Mapping[str, str]
    note: str


def find_parts(
    labels: Labels, recordings: Sequence[Labelled], folds: int | None, seed: int
) -> Parts:
    """Return the splits or folds that the table gives, or choose them.

    If given splits lack ``valid``, a quarter of ``train`` becomes ``valid``. Given folds are
    renamed ``fold00``, ``fold01``, ... in the order of their names, in which numbers are sorted by
    value.

    Args:
        labels: the table, for its columns.
        recordings: the recordings with their labels in the task.
        folds: number of folds to make; None for train, valid and test of 60, 20 and 20 %.
        seed: random seed of the choice.

    Raises:
        UserError: ``folds`` is given although the table gives splits or folds; a split is missing;
            there are too few folds; or a label has fewer recordings or groups than there are
            splits to make.
    """
    if labels.places and folds is not None:
        raise UserError(
            f"{labels.path} gives each file's {labels.places}: omit --folds, or remove the column."
        )
    if labels.places == "fold":
        return _given_folds(labels, recordings)
    if labels.places == "split":
        return _given_splits(labels, recordings, seed)
    names = list(fold_names(folds) if folds else SPLITS)
    _check_enough(labels, recordings, folds)
    shares = [1.0] * folds if folds else _SHARES
    return Parts(
        split_mode=SplitMode.NEW_SPLIT_KFOLD if folds else SplitMode.TRAINVALTEST,
        splits=tuple(names),
        split_of=_choose(labels, recordings, names, shares, seed),
        note=f"chosen with seed {seed}, stratified{', groups kept together' * labels.grouped}",
    )


def _given_folds(labels: Labels, recordings: Sequence[Labelled]) -> Parts:
    given = sorted({one.place for one in recordings}, key=lambda name: (_natural(name), name))
    if len(given) < FEWEST_FOLDS:
        raise UserError(
            f"{labels.path} gives {plural(len(given), 'fold')}, but at least {FEWEST_FOLDS} are "
            "needed: one for testing, one for validation and one for training. If you remove the "
            "column, folds are chosen."
        )
    names = dict(zip(given, fold_names(len(given)), strict=True))
    return Parts(
        split_mode=SplitMode.PRESPLIT_KFOLD,
        splits=tuple(names.values()),
        split_of={one.file: names[one.place] for one in recordings},
        note=f"given, '{given[0]}' to '{given[-1]}'",
    )


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts the numbers inside names by value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


def _given_splits(labels: Labels, recordings: Sequence[Labelled], seed: int) -> Parts:
    given = {one.place for one in recordings}
    for name in ("train", "test"):
        if name not in given:
            raise UserError(
                f"{labels.path}: no file has the split '{name}'. Assign files to it, or remove the "
                "column, and splits are chosen."
            )
    split_of = {one.file: one.place for one in recordings}
    note = "given"
    if "valid" not in given:
        train = [one for one in recordings if one.place == "train"]
        split_of |= _choose(labels, train, ("train", "valid"), (_SHARES[0], _SHARES[1]), seed)
        note = f"given, except 'valid', a quarter of 'train' chosen with seed {seed}"
    return Parts(SplitMode.TRAINVALTEST, SPLITS, split_of, note)


def _choose(
    labels: Labels,
    recordings: Sequence[Labelled],
    names: Sequence[str],
    shares: Sequence[float],
    seed: int,
) -> dict[str, str]:
    vocabulary = sorted({label for one in recordings for label in labels_of(one)})
    column = {label: i for i, label in enumerate(vocabulary)}
    counts = np.zeros((len(recordings), len(vocabulary)))
    for row, one in zip(counts, recordings, strict=True):
        for label in labels_of(one):
            row[column[label]] += 1
    groups = [one.group if labels.grouped else one.file for one in recordings]
    if len(set(groups)) < len(names):
        raise UserError(
            f"{labels.path} has {plural(len(set(groups)), 'group' if labels.grouped else 'file')}, "
            f"too few for {', '.join(names)}."
        )
    chosen = split_groups(counts, groups, shares, seed)
    return {one.file: names[part] for one, part in zip(recordings, chosen, strict=True)}


def _check_enough(labels: Labels, recordings: Sequence[Labelled], folds: int | None) -> None:
    """Raise UserError if a label has too few files or groups for every split."""
    files: dict[str, set[str]] = defaultdict(set)
    groups: dict[str, set[str]] = defaultdict(set)
    lines: dict[str, list[int]] = defaultdict(list)
    for one in recordings:
        for label in labels_of(one):
            if one.file not in files[label]:
                lines[label].append(one.line)
            files[label].add(one.file)
            groups[label].add(one.group)
    faults = Faults(labels.path)
    parts = folds or len(SPLITS)
    what = f"{folds} folds" if folds else "train, valid and test"
    for label in files:
        have, of = len(files[label]), "file"
        if labels.grouped and len(groups[label]) < parts:
            have, of = len(groups[label]), "group"
        if have < parts:
            rest = len(lines[label]) - _LINES_SHOWN
            ways = [f"add {of}s", "remove the label"]
            ways += ["give fewer --folds"] * bool(folds and folds > FEWEST_FOLDS)
            shown = ", ".join(map(str, sorted(lines[label])[:_LINES_SHOWN]))
            faults.add(
                min(lines[label]),
                f"the label '{label}' is in {have} {of}{'s' * (have != 1)} "
                f"(line{'s' * (len(lines[label]) != 1)} {shown}"
                f"{f' and {rest} more' if rest > 0 else ''}), too few for {what}, each of which "
                f"must have it: {', '.join(ways[:-1])} or {ways[-1]}.",
            )
    faults.refuse()
