"""An ablation study: every arm is trained with every seed and benchmarked, and a table is made.

What a folder holds: ``ARM/seedK/`` (a training, with its checkpoint), what a run leaves there
(``results.csv``, ``results/``, ``embeddings/``, ``probes/``), ``table.md`` and ``table.csv``. What
is finished is not done again, so that the same command goes on after a stop.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.ablation.scores import gather_scores, model_name
from harness.ablation.study import Arm, Study
from harness.ablation.table import format_study, long_form
from harness.ablation.trainings import Pretrain, Training, finished, train
from harness.core.counts import plural
from harness.core.errors import UserError, going_on
from harness.core.files import write_file
from harness.models.spec import ModelSpec, folder_name
from harness.run.engines import local_engine
from harness.run.execute import execute
from harness.run.listener import Listener
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource


@dataclass(frozen=True)
class Trainer:
    """What a study has to know of training; the command line brings it.

    Attributes:
        configure: a base config and overrides to all fields, plain as JSON has them; UserError
            where a field is wrong.
        differing: the fields in which two configs would give other weights, in words.
        pretrain: trains; a new process must be able to import it.
        audio: a hash of what there is to train on; UserError where it cannot be trained on.
        trained_on: that hash of what a checkpoint was trained on; empty where it does not say.
        module: the HEAR-API module that takes the checkpoints.
        untrained: the options that make that module an untrained model of a config.
    """

    configure: Callable[[str, Mapping[str, object]], Mapping[str, object]]
    differing: Callable[[Mapping, Mapping], Sequence[str]]
    pretrain: Pretrain
    audio: Callable[[Path, Callable[[str], None]], str]
    trained_on: Callable[[Path], str]
    module: str
    untrained: Callable[[Mapping[str, object]], Mapping[str, object]]


@dataclass(frozen=True)
class StudyOutcome:
    """How a study ended: its table as markdown, and (name, error) of what failed."""

    table: str
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Model:
    """A row of the results to be: one arm with one seed."""

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
    training_devices: Sequence[str],
    devices: Sequence[str],
    command: str = "",
    listener: Listener | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> StudyOutcome:
    """Train what is not trained, evaluate what is not evaluated, and write the table.

    An arm that fails is reported, and the others go on.

    Args:
        study: from :func:`harness.ablation.study.read_study`.
        tasks: to benchmark on.
        out: the folder of the study.
        trainer: what trains.
        training_devices: one training at a time on each.
        devices: of the evaluations' workers.
        command: what was typed, for the rows.
        listener: told how the evaluations go.
        say: told how the trainings go.

    Raises:
        UserError: anything wrong with the study, its configs, audio or tasks, before any training;
            arms that were trained on different audio.
    """
    models = _models(study, out, trainer)
    if not study.audio.exists() and not all(model.arm.untrained for model in models):
        raise UserError(f"{study.path}: audio: there is nothing at {study.audio}. Try --audio.")
    if not all(model.arm.untrained for model in models):
        _check_one_audio(models, trainer, now=trainer.audio(study.audio, say))
    waiting = [model.training for model in models if _checkpoint(model, trainer) is None]
    if waiting:
        # A plan for a model that need not be trained checks tasks, audio and protocols.
        stand_in = ModelSpec(trainer.module, options=trainer.untrained(models[0].config))
        make_plan(Settings((stand_in,), tuple(tasks), study.protocols, out=out), say)
        say(f"to do: {plural(len(waiting), 'training')} of {study.audio}")
    failed = train(waiting, trainer.pretrain, training_devices, say)
    _check_one_audio(models, trainer)
    failures = [(training.name, error) for training, error in failed.items()]
    specs = [_spec(model, trainer) for model in models if model.training not in failed]
    if not specs:
        raise UserError(
            "No arm could be trained:\n" + "\n".join(f"  {n}: {e}" for n, e in failures)
        )
    plan = make_plan(Settings(tuple(specs), tuple(tasks), study.protocols, out=out), say)
    summary = execute(plan, local_engine(list(devices)), out, command, listener)
    failures += summary.failures
    gathered = gather_scores(study, plan, summary.table)
    table = format_study(study, gathered, [f"{name}: {error}" for name, error in failures])
    with going_on(say):
        write_file(out / "table.md", table)
        write_file(out / "table.csv", long_form(study, gathered).to_csv(index=False))
    return StudyOutcome(table, tuple(failures))


def _models(study: Study, out: Path, trainer: Trainer) -> list[_Model]:
    """Every arm with every seed; all arms get their first seed before any gets its second."""
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
            models.append(_Model(arm, seed, config, training))
    _check_distinct(study, models, trainer)
    return sorted(models, key=lambda model: model.arm.seeds.index(model.seed))


def _check_distinct(study: Study, models: Sequence[_Model], trainer: Trainer) -> None:
    """Refuse two arms that would be one, which is a slip in the study."""
    trained = [model for model in models if not model.arm.untrained]
    for one, other in itertools.combinations(trained, 2):
        if one.arm is not other.arm and not trainer.differing(one.config, other.config):
            raise UserError(
                f"{study.path}: the arms '{one.arm.name}' and '{other.arm.name}' have one config, "
                "all fields alike."
            )


def _check_one_audio(models: Sequence[_Model], trainer: Trainer, now: str = "") -> None:
    """Refuse arms that differ in what they were trained on, or from what the next would be."""
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
        f"{', '.join(others)}. Arms can be compared where all heard the same: put back the audio "
        "that changed, delete these folders to train them again, or name another --out."
    )


def _checkpoint(model: _Model, trainer: Trainer) -> str | None:
    """The checkpoint to load; empty for what needs none, None for what is not trained yet."""
    if model.arm.untrained:
        return ""
    path = finished(model.training, trainer.differing)
    return None if path is None else str(path)


def _spec(model: _Model, trainer: Trainer) -> ModelSpec:
    name = model.training.name
    if model.arm.untrained:
        return ModelSpec(trainer.module, options=trainer.untrained(model.config), name=name)
    return ModelSpec(trainer.module, _checkpoint(model, trainer) or "", name=name)
