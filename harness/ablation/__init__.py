"""Run an ablation study: train every arm with every seed, benchmark the models, write the table.

The folder of a study contains ``ARM/seedK/`` (a training with its checkpoint), the files of a run
(``results.csv``, ``results/``, ``embeddings/``, ``probes/``), ``table.md`` and ``table.csv``. The
same command resumes: what is finished is not done again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.ablation.scores import gather_scores, model_name
from harness.ablation.study import Arm, Study
from harness.ablation.table import format_study, long_form
from harness.ablation.trainings import Pretrain, Say, Training, finished
from harness.core.counts import plural
from harness.core.errors import UserError, going_on
from harness.core.files import write_file
from harness.models.spec import ModelSpec, folder_name
from harness.run.engines import Engine
from harness.run.execute import execute
from harness.run.listener import Listener
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource


@dataclass(frozen=True)
class Trainer:
    """The functions by which a study trains; the command line provides them.

    Attributes:
        configure: returns all fields of a config as JSON values, from a base config and overrides;
            raises UserError for a wrong field.
        differing: returns the fields by which two configs give different weights, in words.
        pretrain: trains; see :data:`harness.ablation.trainings.Pretrain`.
        audio: returns a hash of the audio; raises UserError if it cannot be trained on.
        trained_on: returns that hash for the audio of a checkpoint; empty if it is not recorded.
        module: the HEAR-API module that loads the checkpoints.
        untrained: returns the module's options for an untrained model of a config.
    """

    configure: Callable[[str, Mapping[str, object]], Mapping[str, object]]
    differing: Callable[[Mapping, Mapping], Sequence[str]]
    pretrain: Pretrain
    audio: Callable[[Path, Callable[[str], None]], str]
    trained_on: Callable[[Path], str]
    module: str
    untrained: Callable[[Mapping[str, object]], Mapping[str, object]]


Train = Callable[[Sequence[Training], Pretrain, Say], Mapping[Training, str]]
"""Runs trainings; returns the errors of those that failed."""


@dataclass(frozen=True)
class StudyOutcome:
    """The table of a study as markdown, and (name, error) of each failure."""

    table: str
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _SeededArm:
    """One arm with one seed."""

    arm: Arm
    seed: int
    config: Mapping[str, object]
    training: Training


def ablate(
    study: Study,
    tasks: Sequence[TaskSource],
    out: Path,
    trainer: Trainer,
    *,
    train: Train,
    engine: Engine,
    command: str = "",
    listener: Listener | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> StudyOutcome:
    """Train and evaluate all arms that are not finished, and write the table.

    A failed arm is reported; the others go on.

    Args:
        study: from :func:`harness.ablation.study.read_study`.
        tasks: the tasks of the benchmark.
        out: the folder of the study.
        trainer: the functions that train.
        train: runs the trainings.
        engine: runs the evaluations, and is closed.
        command: the command line, for the result rows.
        listener: gets the progress of the evaluations.
        say: gets lines on the progress of the trainings.

    Raises:
        UserError: the study, its configs, audio or tasks have a fault (before any training), or
            arms were trained on different audio.
    """
    models = _models(study, out, trainer)
    if not study.audio.exists() and not all(model.arm.untrained for model in models):
        raise UserError(f"{study.path}: audio: there is nothing at {study.audio}. Try --audio.")
    if not all(model.arm.untrained for model in models):
        _check_one_audio(models, trainer, now=trainer.audio(study.audio, say))
    waiting = [model.training for model in models if _checkpoint(model, trainer) is None]
    if waiting:
        # Plan a model that needs no training, to check tasks, audio and protocols first.
        stand_in = ModelSpec(trainer.module, options=trainer.untrained(models[0].config))
        make_plan(Settings((stand_in,), tuple(tasks), study.protocols, out=out), say)
        say(f"to do: {plural(len(waiting), 'training')} of {study.audio}")
    failed = train(waiting, trainer.pretrain, say)
    _check_one_audio(models, trainer)
    failures = [(training.name, error) for training, error in failed.items()]
    specs = [_spec(model, trainer) for model in models if model.training not in failed]
    if not specs:
        raise UserError(
            "No arm could be trained:\n" + "\n".join(f"  {n}: {e}" for n, e in failures)
        )
    plan = make_plan(Settings(tuple(specs), tuple(tasks), study.protocols, out=out), say)
    summary = execute(plan, engine, out, command, listener)
    failures += summary.failures
    gathered = gather_scores(study, plan, summary.table)
    table = format_study(study, gathered, [f"{name}: {error}" for name, error in failures])
    with going_on(say):
        write_file(out / "table.md", table)
        write_file(out / "table.csv", long_form(study, gathered).to_csv(index=False))
    return StudyOutcome(table, tuple(failures))


def _models(study: Study, out: Path, trainer: Trainer) -> list[_SeededArm]:
    """Return every arm with every seed, the first seeds of all arms before the second seeds."""
    models = []
    for arm in study.arms:
        for seed in arm.seeds:
            overrides = {**study.overrides, **arm.overrides, "seed": seed}
            try:
                config = trainer.configure(study.config, overrides)
            except UserError as error:
                raise UserError(f"{study.path}, arm '{arm.name}': {error}") from error
            folder = out / folder_name(arm.name) / f"seed{seed}"
            training = Training(model_name(arm.name, seed), study.audio, config, folder)
            models.append(_SeededArm(arm, seed, config, training))
    _check_distinct(study, models, trainer)
    return sorted(models, key=lambda model: model.arm.seeds.index(model.seed))


def _check_distinct(study: Study, models: Sequence[_SeededArm], trainer: Trainer) -> None:
    """Refuse two arms with equal configs, which are a mistake in the study."""
    trained = [model for model in models if not model.arm.untrained]
    for one, other in itertools.combinations(trained, 2):
        if one.arm is not other.arm and not trainer.differing(one.config, other.config):
            raise UserError(
                f"{study.path}: the arms '{one.arm.name}' and '{other.arm.name}' have one config, "
                "all fields alike."
            )


def _check_one_audio(models: Sequence[_SeededArm], trainer: Trainer, now: str = "") -> None:
    """Refuse arms that were trained on different audio, or on other audio than there is ``now``."""
    folders: dict[str, list[Path]] = {now: []} if now else {}
    for model in models:
        checkpoint = _checkpoint(model, trainer)
        audio = trainer.trained_on(Path(checkpoint)) if checkpoint else ""
        if audio:
            folders.setdefault(audio, []).append(model.training.out)
    if len(folders) < 2:
        return
    most = max(folders.values(), key=len)
    apart = now or next(audio for audio, trained in folders.items() if trained is most)
    others = [str(out) for audio, trained in folders.items() if audio != apart for out in trained]
    raise UserError(
        f"These were trained on other audio than {'there is now' if now else 'the other arms'}: "
        f"{', '.join(others)}. Arms can be compared only if all are trained on the same audio: "
        "restore the audio, delete these folders to train them again, or name another --out."
    )


def _checkpoint(model: _SeededArm, trainer: Trainer) -> str | None:
    """Return the checkpoint; empty for an untrained arm, None if it is not trained yet."""
    if model.arm.untrained:
        return ""
    path = finished(model.training, trainer.differing)
    return None if path is None else str(path)


def _spec(model: _SeededArm, trainer: Trainer) -> ModelSpec:
    name = model.training.name
    if model.arm.untrained:
        return ModelSpec(trainer.module, options=trainer.untrained(model.config), name=name)
    return ModelSpec(trainer.module, _checkpoint(model, trainer) or "", name=name)
