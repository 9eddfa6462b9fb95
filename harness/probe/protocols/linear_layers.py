"""The protocol ``linear_layers``: logistic regression on a weighted sum of a model's layers."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from harness.probe.classifier import FittedClassifier, Trial
from harness.probe.protocols.linear import Logistic, fit_until_worse, linear, sampled_frames

if TYPE_CHECKING:
    import torch

    from harness.probe.folddata import FoldData


class LayerLogistic(Logistic):
    """As :class:`harness.probe.protocols.linear.Logistic`, on layers that are mixed.

    The weights of the layers are learned on train, for each strength.
    """

    name = "logistic_layers"

    def fit(self, data: FoldData, trial: Trial) -> FittedClassifier:
        """Fit a path of strengths, with weights (:mod:`harness.probe.linear_layers`)."""
        from harness.probe.layer_rows import LayerRows
        from harness.probe.linear_layers import LayerPath, weights_of

        kept, counted = sampled_frames(data, trial)
        rows = LayerRows.of_train(data, kept)
        targets = data.train_targets if kept is None else data.train_targets[kept]
        path = LayerPath(rows, targets, len(data.task.labels))
        valid = rows.of(data.embeddings[data.fold.valid])
        judge = trial.judge
        fitted, check, curve = fit_until_worse(
            path,
            trial.grid["l2"],
            lambda fit: fit.logits(valid.mixed(weights_of(fit))),
            judge,
            trial.tell,
            trial.partial,
        )

        def read(split: str) -> torch.Tensor:
            return rows.of(data.embeddings[split]).mixed(weights_of(fitted))

        by_layer = zip(map(str, rows.columns), weights_of(fitted).tolist(), strict=True)
        return FittedClassifier(
            predict=lambda rows: judge.probabilities(fitted.logits(rows)),
            read=read,
            score=check.score,
            loss=check.loss,
            choice=check.choice,
            curve=curve,
            params={
                "l2": fitted.l2,
                "layer_weights": dict(by_layer),
                "steps": fitted.steps,
                "converged": fitted.converged,
                **counted,
            },
        )


linear_layers = dataclasses.replace(
    linear,
    name="linear_layers",
    description="`linear` on a weighted sum of a model's layers, the weights learned on train",
    classifier=LayerLogistic(),
    needs_layers=True,
)
