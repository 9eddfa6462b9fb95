"""One unit: read its fold, fit the protocol's classifier, judge it, and predict the test split."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping

import torch

from harness.embeddings.store import SplitEmbeddings
from harness.metrics.events import Postprocessing
from harness.probe.classifier import FittedClassifier, Trial
from harness.probe.folddata import generator_seed, read_fold
from harness.probe.judge import Judge
from harness.probe.partial import Partial
from harness.probe.protocol import Protocol, criterion
from harness.probe.shots import draw_clips, only_chosen
from harness.probe.units import ProbeUnit, UnitResult
from tasks.format.task import Task


def run_unit(
    protocol: Protocol,
    unit: ProbeUnit,
    task: Task,
    embeddings: Mapping[str, SplitEmbeddings],
    seed: int,
    device: str = "cpu",
    tell: Callable[[str], None] = lambda _: None,
    partial: Partial | None = None,
) -> UnitResult:
    """Train a unit on its fold's train split, select on validation, predict the test split.

    Args:
        protocol: how.
        unit: which; from :func:`next_units`.
        task: the task, whose clips are those of the embeddings.
        embeddings: of every split of the fold.
        seed: changes initialisation, dropout and the order of data, never the grid nor the splits;
            in a few-shot protocol also the training clips.
        device: as torch names it. Probes of ``mps`` run on the CPU: they are small, and Apple's
            GPUs have no double precision.
        tell: called with a text on how far the training is, often.
        partial: keeps what a long training has done so far. A training that was kept goes on, with
            the result of one that was not stopped.

    Raises:
        UserError: data on which the probe is not defined, by task, fold and reason.
    """
    begin = time.perf_counter()
    fold = task.folds[unit.fold]
    if protocol.shots is not None:
        chosen = draw_clips(task, fold, protocol.shots, seed)
        task, fold, embeddings = only_chosen(task, fold, embeddings, chosen)
    device = "cpu" if torch.device(device).type == "mps" else device
    data = read_fold(
        task,
        fold,
        embeddings,
        device,
        shuffle=protocol.shuffle,
        standardise=protocol.standardise,
    )
    judge = Judge(
        data,
        criterion(protocol, task),
        protocol.thresholds,
        heareval=protocol.heareval_validation,
    )
    names = [seed, fold.name, unit.point, unit.run]

    def generator(stream: str, where: str) -> torch.Generator:
        return torch.Generator(where).manual_seed(generator_seed(*names, stream))

    trial = Trial(
        point=unit.point,
        grid=protocol.grid,
        shuffle=protocol.shuffle,
        judge=judge,
        generator=generator,
        tell=tell,
        partial=partial or Partial(),
    )
    fitted = protocol.classifier.fit(data, trial)
    read = fitted.read or data.rows
    score, loss, choice = _on_validation(fitted, judge, lambda: read(fold.valid))
    test = read(fold.test)
    probabilities = fitted.predict(test)
    average_precision, precision_at_1 = fitted.rank(test) if fitted.rank else (None, None)
    return UnitResult(
        valid_score=score,
        valid_loss=loss,
        epoch=fitted.epoch,
        curve=fitted.curve,
        params=fitted.params,
        postprocessing=None if choice is None else dataclasses.asdict(choice),
        seconds=time.perf_counter() - begin,
        probabilities=probabilities,
        average_precision=average_precision,
        precision_at_1=precision_at_1,
    )


def _on_validation(
    fitted: FittedClassifier, judge: Judge, rows: Callable[[], torch.Tensor]
) -> tuple[float, float | None, Postprocessing | None]:
    """Return score, loss and post-processing on the validation split; an undefined score is worst.

    ``rows`` reads the split, which is needed only if the classifier did not choose all of them.
    """
    score, loss, choice = fitted.score, fitted.loss, fitted.choice
    if score is None:
        check = judge.of_probabilities(fitted.predict(rows()))
        score, loss, choice = check.score, check.loss, check.choice
    if judge.grid and choice is None:
        # The criterion was the loss: post-processing is chosen once, for the best classifier.
        _, choice = judge.score(fitted.predict(rows()))
    if math.isnan(score):
        score = -math.inf if judge.higher_is_better else math.inf
    return score, loss, choice
