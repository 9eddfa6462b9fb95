"""Fit a model to a task's training audio, if its module supports it.

The BYOL-A paper normalises log-mel spectrograms by statistics of each task's training split, over
at most 10,000 clips (arXiv 2103.06695, section IV-A). The HEAR API gives a model no data set, so
this needs one more function: a module's ``task_options(clips, model)`` takes the training clips,
``(samples,)`` each, and returns options for ``load_model``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Sequence

from harness.core.errors import UserError
from harness.core.kinds import SplitMode
from harness.models.loading import load_module
from harness.models.module import HearModule
from tasks.audio import audio_path, source_rate
from tasks.format.task import Task
from tasks.read_ahead import read_ahead

MAX_CLIPS = 10_000


def check_fittable(tasks: Sequence[Task]) -> None:
    """Refuse k-fold tasks: every clip of theirs is also in a test fold.

    Raises:
        UserError: there are k-fold tasks; all are named.
    """
    folded = [task.name for task in tasks if task.split_mode != SplitMode.TRAINVALTEST]
    if folded:
        raise UserError(
            f"--task-statistics needs a training split, which k-fold tasks lack: "
            f"{', '.join(folded)}. Run them without it."
        )


def fit_to_task(module: HearModule, task: Task) -> HearModule:
    """Return the model, loaded again with options that its module derives from training clips.

    Raises:
        UserError: the module has no ``task_options``, or it fails.
    """
    names = [clip.name for clip in task.clips["train"]]
    if len(names) > MAX_CLIPS:
        names = random.Random(0).sample(names, MAX_CLIPS)
    rate = source_rate(task, module.sample_rate)
    paths = [audio_path(task, "train", name, rate) for name in names]
    with contextlib.closing(read_ahead(paths, module.sample_rate)) as clips:
        options = module.task_options(clips)
    spec = dataclasses.replace(
        module.spec, options={**module.spec.options, **options}, name=module.spec.label
    )
    return load_module(spec, module.device)
