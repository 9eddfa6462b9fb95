"""Accuracy: the share of clips whose most probable class is the true class."""

from __future__ import annotations

from harness.metrics.scene_metric import Accuracy

# HEAR lists it for the multilabel task FSD50K; the published values follow this convention.
top1_acc = Accuracy(name="top1_acc", multilabel_convention="counts a clip's first label alone")
