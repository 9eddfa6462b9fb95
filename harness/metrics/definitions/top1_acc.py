"""The share of clips whose largest probability is on the true class."""

from __future__ import annotations

from harness.metrics.scene_metric import Accuracy

# HEAR lists it for FSD50K, and all published values were made by this convention.
top1_acc = Accuracy(name="top1_acc", multilabel_convention="counts a clip's first label alone")
