"""What a report is made of: rows of all runs, and the evaluations whose predictions are there."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from harness.analysis.compare.gather import Results
from harness.analysis.compare.gather import gather as gather_results
from harness.analysis.table.baseline_models import baseline_models
from harness.analysis.table.cells import cells, headlines
from harness.core.errors import UserError, did_you_mean
from harness.results import COLUMNS
from harness.results.predictions import FoldPredictions
from harness.results.record import Record, read_record
from tasks.cards.builtin import cards
from tasks.cards.cardfile import card_in
from tasks.find import cards_in


@dataclass(frozen=True)
class TaskFacts:
    """What a task's card says of it.

    Attributes:
        title: a name for people.
        domain: ``speech``, ``music``, ``environment`` and the like; empty where there is no card.
        suite: to which it belongs.
        oddities: what to know before trusting a score, a sentence or two each.
    """

    title: str
    domain: str = ""
    suite: str = ""
    oddities: tuple[str, ...] = ()


@dataclass(frozen=True)
class Material:
    """What is reported.

    Attributes:
        rows: the newest rows, models as tables name them.
        runs: folders and files that they are from.
        records: evaluations with predictions, a record a seed, by (protocol, task, model).
        facts: of tasks.
        baselines: models that are baselines.
        named: models that the user wants to see; the first is what the others are compared with.
        unread: what could not be read, a sentence each.
        results: the rows with their predictions, as they are compared; None where rows were made
            otherwise, and nothing is compared.
    """

    rows: pd.DataFrame
    runs: tuple[Path, ...]
    records: Mapping[tuple[str, str, str], tuple[Record, ...]]
    baselines: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    results: Results | None = None
    facts: Mapping[str, TaskFacts] = field(default_factory=dict)
    _headlines: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False)
    _cells: dict[str, pd.DataFrame] = field(default_factory=dict, init=False, repr=False)

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those of the rows, the one with most tasks first."""
        counted = self.rows.groupby("protocol").task.nunique()
        return tuple(sorted(counted.index, key=lambda name: (-counted[name], name)))

    def tasks(self, protocol: str) -> tuple[str, ...]:
        """The tasks that a protocol was run on."""
        return tuple(sorted(set(self.headlines(protocol).task)))

    def fact(self, task: str) -> TaskFacts:
        """What is known of a task; its name alone where there is no card."""
        return self.facts.get(task) or TaskFacts(title=task.rsplit("-", 2)[0])

    def headlines(self, protocol: str) -> pd.DataFrame:
        """The rows of one protocol's primary metrics."""
        if protocol not in self._headlines:
            self._headlines[protocol] = headlines(self.rows, protocol)
        return self._headlines[protocol]

    def cells(self, protocol: str) -> pd.DataFrame:
        """The table of one protocol (:func:`harness.analysis.table.cells.cells`), without means."""
        if protocol not in self._cells:
            found = cells(self.rows, protocol, baselines=self.baselines)
            self._cells[protocol] = found[found.n_tasks.isna()]
        return self._cells[protocol]


def with_cards(material: Material, tasks_dir: Path) -> Material:
    """Return the material with what the cards of its tasks say.

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
        runs: run folders or results CSVs, or what was gathered of them.
        protocols: which to keep; all where none is named.
        models: to be shown on every task, as tables name them; the first is the reference of the
            comparison.
        baselines: models that are baselines beside the built-in ones.

    Raises:
        UserError: nothing there, not results, a protocol, model or baseline that no row has.
    """
    results = runs if isinstance(runs, Results) else gather_results(runs)
    table = results.table
    for name in protocols:
        if name not in set(table.protocol):
            known = sorted(set(table.protocol))
            raise UserError(
                f"No row is by protocol '{name}'.{did_you_mean(name, known)} "
                f"There are {', '.join(known)}."
            )
    rows = table[table.protocol.isin(protocols)] if protocols else table
    for name in models:
        if name not in set(rows.model):
            known = sorted(set(rows.model))
            raise UserError(
                f"No row is of a model '{name}'.{did_you_mean(name, known)} "
                f"There are {', '.join(known)}."
            )
    unread: list[str] = []
    records = _records(results, protocols, unread)
    rows = rows[COLUMNS].reset_index(drop=True)
    return Material(
        rows=rows,
        runs=tuple(map(Path, dict.fromkeys(table.run))),
        records=records,
        baselines=tuple(baseline_models(rows, baselines)),
        named=tuple(models),
        unread=tuple(unread),
        results=results,
    )


def _records(
    results: Results, protocols: Sequence[str], unread: list[str]
) -> dict[tuple[str, str, str], tuple[Record, ...]]:
    """The evaluations of what tables call a model, where every seed of it has one.

    One that is damaged is named and left out.
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
