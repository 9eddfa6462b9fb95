"""``hear-byola pretrain``: pretrain BYOL-A on audio."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.arguments import existing, output_folder
from harness.commands.options import Command, FilePath, out_option, settings
from harness.commands.output import say
from harness.core.errors import UserError
from harness.core.files import expand_home
from harness.core.progress import Pace

if TYPE_CHECKING:
    from hear_byola.pretraining.corpus import AudioCorpus

_LINE_EVERY = 10.0
"""Seconds between lines about a search."""

PROBE = "probe"
"""The folder of quick probes in that of a run."""


@dataclass(frozen=True)
class PretrainOptions:
    """The command's argument and options."""

    audio: Path
    config_name: str
    overrides: tuple[str, ...]
    out: Path | None
    resume: bool
    start: Path | None
    accelerator: str
    devices: str
    nodes: int
    probe_tasks: tuple[str, ...]
    probe_protocol: str
    exclude_tasks: tuple[str, ...]


@click.command(cls=Command)
@click.argument("audio", type=FilePath(path_type=Path))
@click.option(
    "--config",
    "config_name",
    default="byola-512-small",
    show_default=True,
    help="A YAML file, or the name of a shipped config.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Replace a field. Repeatable."
)
@out_option(
    help="Folder of the run; an unfinished run is resumed.  [default: runs/pretrain/CONFIG]",
)
@click.option("--resume", is_flag=True, help="Fail if there is no run to resume.")
@click.option(
    "--start",
    type=FilePath(path_type=Path),
    help="A checkpoint to train further, instead of random weights.",
)
@click.option("--accelerator", default="auto", show_default=True, help="auto, cpu, gpu or mps.")
@click.option(
    "--devices",
    default="auto",
    show_default=True,
    help="Number of devices of each machine, or their indices (0,2).",
)
@click.option("--nodes", type=int, default=1, show_default=True, help="Number of machines.")
@click.option(
    "--probe-task",
    "probe_tasks",
    multiple=True,
    metavar="TASK|DIR",
    help="Probe on this task while training, every `probe_every` steps. Repeatable.",
)
@click.option(
    "--probe-protocol", default="linear", show_default=True, help="As in `hear-byola run`."
)
@click.option(
    "--exclude-tasks",
    multiple=True,
    metavar="TASK|DIR",
    help="Leave out recordings that contain a test clip of this task. Repeatable.",
)
@settings(PretrainOptions)
def pretrain(options: PretrainOptions) -> int:
    """Pretrain BYOL-A on AUDIO.

    AUDIO is a folder of recordings or of tar shards, a text or CSV list, or a tar file. The first
    folder below AUDIO is the kind of a recording. The run's folder gets the checkpoint, its curves,
    and the state from which the same command resumes after a stop.
    """
    # Checked before the imports, which take seconds.
    audio = existing(options.audio)
    start = options.start and existing(options.start)
    fields = _fields(options.overrides)
    try:
        from pytorch_lightning.utilities.rank_zero import rank_zero_only

        from hear_byola.pretraining.config import read_config
        from hear_byola.pretraining.run import STATE, Machines
        from hear_byola.pretraining.run import pretrain as train
    except ImportError as error:
        raise UserError(
            f"Pretraining needs {error.name}: pip install 'hear-byola[pretrain]'."
        ) from error

    name = Path(options.config_name).stem
    out = output_folder(options.out or Path("runs") / "pretrain" / name)
    if options.resume and not (out / STATE).is_file():
        raise UserError(f"--resume: {out / STATE} does not exist.")
    made = [path for path in (out, *out.parents) if not path.exists()]
    try:
        checkpoint = train(
            audio,
            read_config(expand_home(options.config_name), fields),
            out,
            name,
            machines=Machines(options.accelerator, _devices(options.devices), options.nodes),
            probe=_probe(options.probe_tasks, options.probe_protocol, out),
            start=start,
            select=_select(options.exclude_tasks),
            say=say,
        )
    except UserError:
        _clear(made, out / PROBE)
        raise
    rank_zero_only(click.echo)(checkpoint)
    return 0


def _clear(made: Sequence[Path], probe: Path) -> None:
    """Remove the folders that were made for a refused run."""
    if made and set(probe.parent.glob("*")) == {probe}:
        shutil.rmtree(probe, ignore_errors=True)
    for path in made:
        with contextlib.suppress(OSError):  # not made, or no longer empty
            path.rmdir()


def _fields(texts: tuple[str, ...]) -> dict[str, object]:
    from hear_byola.core.yamltext import load

    fields = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text}: give a field and its value, as --set batch_size=128.")
        try:
            fields[name] = load(value)
        except ValueError as error:
            raise UserError(f"--set {text}: the value is not YAML ({error}).") from error
    return fields


def _devices(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _select(names: tuple[str, ...]) -> Callable[[AudioCorpus], AudioCorpus]:
    from harness.commands.contamination import leave_out
    from tasks.find import find_task

    if not names:
        return lambda corpus: corpus
    pace = Pace(_LINE_EVERY)

    def progress(what: str, done: int, total: int) -> None:
        if pace.due():
            say(f"{what}: {done:,} of {total:,}")

    return leave_out([find_task(name, Path("tasks"))[0] for name in names], progress, say)


def _probe(
    names: tuple[str, ...], protocol: str, out: Path
) -> Callable[[Path], Mapping[str, float]] | None:
    from harness.run.training_probe import TrainingProbe
    from tasks.find import find_task

    if not names:
        return None
    directories = [find_task(name, Path("tasks"))[0] for name in names]
    # Probes run on the CPU and need no memory of the devices that train.
    return TrainingProbe(directories, out / PROBE, protocol=protocol, device="cpu", say=say)
