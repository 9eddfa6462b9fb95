"""Retrieval without training, and the protocol ``retrieval``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.probe.classifier import Classifier, FittedClassifier, Trial
from harness.probe.protocol import MULTICLASS, MULTILABEL, Protocol

if TYPE_CHECKING:
    from harness.probe.folddata import FoldData


class Retrieval(Classifier):
    """Rankings of the train clips by cosine similarity; nothing is trained or chosen.

    Predictions are the similarities to the most similar train clip of each class.
    """

    name = "retrieval"
    any_scale = True

    def fit(self, data: FoldData, trial: Trial) -> FittedClassifier:
        """Take the train clips as the gallery; see :class:`harness.probe.retrieval.Gallery`."""
        from harness.probe.retrieval import Gallery

        gallery = Gallery(data.train, data.train_targets, len(data.task.labels))
        return FittedClassifier(
            predict=lambda rows: gallery.similarities(rows).cpu().numpy(),
            rank=lambda rows: tuple(each.cpu().numpy() for each in gallery.rank(rows)),
        )

    def is_random(self, params: Mapping[str, Any], n_rows: int) -> bool:
        """Return False: nothing is drawn."""
        return False


retrieval = Protocol(
    name="retrieval",
    description="train clips ranked by cosine similarity to each test clip; nothing is trained",
    kinds=(MULTICLASS, MULTILABEL),
    classifier=Retrieval(),
    standardise=False,
    metrics=("retrieval_mAP", "precision_at_1", "eer"),
)
