"""The input of a report: the rows of all runs, and the evaluations with predictions."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd

from harness.analysis.compare.gather import Results, choose, read_runs
from harness.analysis.table.baseline_models import baseline_models
from harness.analysis.table.cells import cells, headlines
from harness.core.errors import UserError
from harness.probe import by_shots, name_and_shots
from harness.results import COLUMNS
from harness.results.predictions import FoldPredictions
from harness.results.record import Record, read_record
from tasks.cards.builtin import cards
from tasks.cards.cardfile import card_in
from tasks.find import cards_in


@dataclass(frozen=True)
class TaskFacts:
    """Fields of a task's card.

    Attributes:
        title: title of the task.
        domain: ``speech``, ``music``, ``environment`` and the like; empty without a card.
        suite: its suite.
        oddities: peculiarities of the task that affect scores.
    """

    title: str
    domain: str = ""
    suite: str = ""
    oddities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """The results of a report.

    Attributes:
        rows: the newest rows, models as tables name them.
        runs: the folders and files of the rows.
        records: evaluations with predictions, one per seed, by (protocol, task, model).
        baselines: models that are baselines.
        named: models that the user named; the others are compared with the first.
        only: protocols that the user named.
        unread: a sentence on each evaluation that cannot be read.
        results: the rows with their predictions; None if nothing is compared.
        facts: fields of the tasks' cards.
    """

    rows: pd.DataFrame
    runs: tuple[Path, ...]
    records: Mapping[tuple[str, str, str], tuple[Record, ...]]
    baselines: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    results: Results | None = None
    facts: Mapping[str, TaskFacts] = field(default_factory=dict)
    _headlines: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False)
    _cells: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False)

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols that have sections: few-shot ones last, then the one with most tasks first.

        Of a protocol and its few-shot versions it is the one with most training clips, and each
        other one with a model's scores on a task that none with more clips has; or those that the
        user named. The panel of scores by shots shows all.
        """
        counted = self.rows.groupby("protocol").task.nunique()
        names = self.only or [name for family in self._families() for name in self._shown(family)]
        few = {name: name_and_shots(name)[1] is not None for name in names}
        return tuple(sorted(names, key=lambda name: (few[name], -counted[name], name)))

    def _shown(self, family: Sequence[str]) -> list[str]:
        """Return the protocols of a family, from most training clips, that add something."""
        shown: list[str] = []
        seen: set[tuple[str, str]] = set()
        for name in reversed(family):
            own = self.rows[self.rows.protocol == name]
            added = set(zip(own.task, own.model, strict=True)) - seen
            if added:
                shown.append(name)
                seen |= added
        return shown

    def family(self, protocol: str) -> tuple[str, ...]:
        """Return a protocol's few-shot versions, rising, then the one with all training clips."""
        return next(family for family in self._families() if protocol in family)

    def _families(self) -> list[tuple[str, ...]]:
        names = sorted(set(self.rows.protocol), key=by_shots)
        families = (list(family) for _, family in groupby(names, lambda name: by_shots(name)[0]))
        # by_shots sorts the protocol with all training clips first.
        return [
            tuple(family[1:] + family[:1] if name_and_shots(family[0])[1] is None else family)
            for family in families
        ]

    def tasks(self, protocol: str) -> tuple[str, ...]:
        """Return the tasks with results by a protocol."""
        return tuple(sorted(set(self.headlines(protocol).task)))

    def fact(self, task: str) -> TaskFacts:
        """Return the fields of a task's card; without a card, its name as the title."""
        return self.facts.get(task) or TaskFacts(title=task.rsplit("-", 2)[0])

    def headlines(self, protocol: str) -> pd.DataFrame:
        """Return the rows of one protocol's primary metrics."""
        if protocol not in self._headlines:
            self._headlines[protocol] = headlines(self.rows, protocol)
        return self._headlines[protocol]

    def cells(self, protocol: str) -> pd.DataFrame:
        """Return the table of one protocol without means (:mod:`harness.analysis.table.cells`)."""
        if protocol not in self._cells:
            found = cells(self.rows, protocol, baselines=self.baselines)
            self._cells[protocol] = found[found.n_tasks.isna()]
        return self._cells[protocol]


def with_cards(material: Material, tasks_dir: Path) -> Material:
    """Return the material with the fields of its tasks' cards.

    Cards are the package's, those in ``tasks_dir``, and those in the directories that were
    evaluated.

    Warns:
        UserWarning: a card that cannot be read.
    """
    known = {each.directory: each for each in (*cards().values(), *cards_in(tasks_dir))}
    for (_, task, _), records in material.records.items():
        if task not in known:
            try:
                found = card_in(records[0].task_directory)
            except UserError as error:
                # The page needs only its title and oddities.
                warnings.warn(str(error), stacklevel=2)
            else:
                known |= {task: found} if found else {}
    facts = {
        task: TaskFacts(card.title, card.domain, card.suite, card.oddities)
        for task in set(material.rows.task)
        if (card := known.get(task))
    }
    return dataclasses.replace(material, facts=facts)


def gather(
    runs: Sequence[Path] | Results,
    protocols: Sequence[str] = (),
    models: Sequence[str] = (),
    baselines: Sequence[str] = (),
) -> Material:
    """Read runs and results CSVs.

    Args:
        runs: results, or folders of runs and results CSVs.
        protocols: the protocols to report; by default all.
        models: models with panels on every task, as tables name them; the others are compared with
            the first.
        baselines: further models that are baselines.

    Raises:
        UserError: there are no results, or no row has a named protocol, model or baseline.
    """
    results = read_runs(runs)
    table = results.table
    protocols = choose(table, "protocol", protocols)
    bases = [name_and_shots(protocol)[0] for protocol in protocols]
    in_family = table.protocol.map(lambda name: name_and_shots(name)[0]).isin(bases)
    rows = table[in_family] if protocols else table
    where = f" with the protocol {', '.join(protocols)}" if protocols else ""
    models = choose(rows, "model", models, where)
    unread: list[str] = []
    records = _records(results, protocols, unread)
    rows = rows[COLUMNS].reset_index(drop=True)
    return Material(
        rows=rows,
        runs=tuple(map(Path, dict.fromkeys(table.run))),
        records=records,
        baselines=tuple(baseline_models(rows, baselines)),
        named=tuple(models),
        only=tuple(protocols),
        unread=tuple(unread),
        results=results,
    )


def _records(
    results: Results, protocols: Sequence[str], unread: list[str]
) -> dict[tuple[str, str, str], tuple[Record, ...]]:
    """Return the records of each model's seeds, if every seed has one.

    Damaged records are left out and added to ``unread``.
    """
    wanted = results.rows[results.rows.status == "done"]
    if protocols:
        wanted = wanted[wanted.protocol.isin(protocols)]
    found = {}
    for (protocol, task, model), seeds in wanted.groupby(["protocol", "task", "model"]):
        places = [results.evaluation(row) for _, row in seeds.sort_values("seed").iterrows()]
        try:
            records = tuple(read_record(place) for place in places if place is not None)
        except UserError as error:
            unread.append(str(error))
            continue
        if len(records) == len(places):
            found[protocol, task, model] = records
    return found


def mean_probabilities(
    records: Sequence[Record],
) -> list[tuple[str, tuple[str, ...], np.ndarray, np.ndarray]]:
    """Return, for each test fold, its split, clips, probabilities (n, C) and targets.

    Probabilities are means over the runs of a probe and over seeds.

    Raises:
        UserError: predictions are missing or damaged, or seeds were tested on other clips.
    """
    folds = [record.read_predictions() for record in records]
    for record, seed in zip(records, folds, strict=True):
        if _tested(seed) != _tested(folds[0]):
            raise UserError(
                f"{record.directory} and {records[0].directory} are two seeds of one model, and "
                "were tested on other clips or other truth: delete both folders and run again."
            )
    return [
        (
            seeds[0].split,
            seeds[0].clips,
            np.concatenate([fold.probabilities for fold in seeds]).mean(axis=0),
            seeds[0].targets,
        )
        for seeds in zip(*folds, strict=True)
    ]


def _tested(folds: Sequence[FoldPredictions]) -> list[tuple]:
    return [(fold.split, fold.clips, fold.targets.tolist()) for fold in folds]
