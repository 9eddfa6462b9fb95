"""``hear-byola ablate``: run a study with the trainer of BYOL-A."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands import options
from harness.commands.arguments import as_user_errors, output_folder
from harness.commands.output import report_failures
from harness.commands.run_options import engine

if TYPE_CHECKING:
    from harness.ablation import Train
    from harness.ablation.trainings import Training
    from harness.run.engines import Engine, Wanted


@click.command(cls=options.Command)
@click.argument("study", type=options.FilePath(path_type=Path))
@options.out_option(
    help="Folder of the study; finished work is not repeated.  [default: runs/NAME]",
)
@click.option(
    "--audio",
    type=options.FilePath(path_type=Path),
    help="Audio to train on, instead of the study's.",
)
@options.tasks_dir
@click.option("--jobs", type=int, help="Trainings at a time.  [default: one, or one per GPU]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@engine
def ablate(
    study: Path,
    out: Path | None,
    audio: Path | None,
    tasks_dir: Path,
    jobs: int | None,
    device: str,
    engine: str,
    ray_address: str,
) -> int:
    """Train, evaluate and compare the arms of a study.

    STUDY is a YAML file. Each arm is trained with each seed, and compared with the reference arm.
    The table at the end is also in OUT/table.md and OUT/table.csv. After a stop, the same command
    resumes. Exit code 1: an arm failed, and the others were finished.
    """
    from harness.ablation import Trainer
    from harness.ablation import ablate as run_study
    from harness.ablation.study import read_study
    from harness.commands.progress import RunDisplay
    from harness.run.engines import Wanted, start_engine
    from hear_byola.pretraining.config import differing
    from tasks.find import find_sources

    chosen = read_study(study)
    chosen = replace(chosen, audio=audio) if audio else chosen
    out = output_folder(out or Path("runs") / chosen.name)
    wanted = Wanted(out, device, jobs, ray_address)
    with (
        RunDisplay() as listener,
        closing(start_engine(engine, replace(wanted, say=listener.say))) as started,
    ):
        train, devices = _trainings(started, wanted)
        trainer = Trainer(
            configure=partial(_configure, devices=devices),
            differing=differing,
            pretrain=_pretrain_arm,
            audio=_audio,
            trained_on=_trained_on,
            module="hear_byola",
            untrained=_untrained,
        )
        outcome = run_study(
            chosen,
            find_sources(chosen.tasks, chosen.suite, tasks_dir),
            out,
            trainer,
            train=train,
            engine=started,
            command=shlex.join(["hear-byola", *sys.argv[1:]]),
            listener=listener,
            say=listener.say,
        )
    click.echo(outcome.table, nl=False)
    click.echo(f"\n{out / 'table.md'}")
    return report_failures(outcome.failures)


def _trainings(engine: Engine, wanted: Wanted) -> tuple[Train, Sequence[str]]:
    """Return what runs the trainings of a study, and their devices."""
    from harness.ablation.ray_trainings import train_on_ray
    from harness.ablation.trainings import train
    from harness.core.ray.pool import RayPool
    from harness.run.engines import worker_devices

    if isinstance(engine, RayPool):
        gpu = ["cuda"] if engine.gpu else ["cpu"]
        return partial(train_on_ray, engine=engine, jobs=wanted.jobs), gpu
    devices = worker_devices(wanted.device, wanted.jobs)
    # One training takes all cores; GPUs are given one each.
    at_once = devices if wanted.jobs else list(dict.fromkeys(devices))
    return partial(train, devices=at_once), devices


def _configure(
    base: str, overrides: Mapping[str, object], *, devices: Sequence[str]
) -> Mapping[str, object]:
    from hear_byola.pretraining.config import read_config
    from hear_byola.pretraining.precision import check_precision

    config = read_config(base, overrides)
    for device in devices:
        check_precision(config, device)
    return config.as_dict()


def _pretrain_arm(training: Training, device: str, say: Callable[[str], None]) -> Path:
    from hear_byola.pretraining.config import make_config
    from hear_byola.pretraining.run import STATE, Machines, pretrain

    kind, _, index = device.partition(":")
    # "1," is the device of number 1 to Lightning, where "1" would be one device.
    machines = Machines("gpu" if kind == "cuda" else kind, f"{index}," if index else 1)
    config, out = make_config(training.config), training.out
    checkpoint = pretrain(training.source, config, out, training.name, machines=machines, say=say)
    # The state for resuming is fifty times as large as the checkpoint.
    (out / STATE).unlink(missing_ok=True)
    return checkpoint


def _audio(source: Path, say: Callable[[str], None]) -> str:
    from hear_byola.pretraining.prepare import find_sounds

    return find_sounds(source, say).sha256


def _trained_on(checkpoint: Path) -> str:
    from hear_byola.checkpoint import read_checkpoint

    with as_user_errors("Delete its folder, and the arm is trained again."):
        return read_checkpoint(checkpoint).data_sha256


def _untrained(config: Mapping[str, object]) -> Mapping[str, object]:
    return {key: config[key] for key in ("encoder", "d", "convention", "seed", "init")}
