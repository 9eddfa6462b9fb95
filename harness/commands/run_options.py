"""Options of the commands that do work: ``run``, ``embed``, ``probe``, and some of ``ablate``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from harness.commands.arguments import read_shard, read_shots
from harness.commands.config import read_config
from harness.commands.options import CommaList, FilePath, out_option, together
from harness.core.errors import UserError

DRAWS = 10
"""How often the clips of ``--shots`` are drawn by default."""

engine = together(
    click.option(
        "--engine",
        default="local",
        show_default=True,
        metavar="local|ray",
        help="Where units run: on this machine, or on a Ray cluster (docs/cluster.md).",
    ),
    click.option(
        "--ray-address",
        default="",
        metavar="auto|HOST:PORT",
        help="The Ray cluster of --engine ray.  [default: one is started on this machine]",
    ),
)

workers = together(
    out_option(
        default=Path("runs"),
        show_default=True,
        help="Folder of embeddings, predictions and results.csv; finished work is not repeated.",
    ),
    click.option("--jobs", type=int, help="Worker processes.  [default: one per core, or per GPU]"),
    click.option(
        "--unit-timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="Fail a split whose model takes longer than this for one call.  [default: 10 minutes, "
        "and a minute for each second of audio in the call]",
    ),
    click.option(
        "--idle-limit",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        help="End when other processes have held all unfinished units for this long.  [default: "
        "wait until all is done]",
    ),
    click.option(
        "--device", default="auto", show_default=True, help="auto, cpu, mps, cuda or cuda:N."
    ),
    engine,
    click.option("--skip-bad", is_flag=True, help="Leave out clips with bad audio."),
    click.option(
        "--task-statistics",
        is_flag=True,
        help="Fit a model's input statistics to each task's training split, as the BYOL-A paper "
        "does; for modules that have `task_options`, and tasks with a training split.",
    ),
    click.option("--verify", is_flag=True, help="Hash all audio again, and ignore stored hashes."),
    click.option(
        "--cache-audio",
        type=click.FloatRange(min=0),
        default=0.0,
        metavar="GB",
        help="Keep up to this many GB of resampled audio in --out, for further models. An hour at "
        "16 kHz takes 0.23 GB.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float16"]),
        default="float32",
        show_default=True,
        help="Number format of stored embeddings.",
    ),
    click.option(
        "--shard",
        metavar="I/N",
        callback=lambda _, __, text: read_shard(text),
        help="Do the I-th of N parts of the model × task pairs, from 1: for job arrays.",
    ),
)

preview = together(
    click.option(
        "--dry-run",
        is_flag=True,
        help="Check everything and print what is to do, its time and disk space; write nothing.",
    ),
    click.option("--json", "as_json", is_flag=True, help="With --dry-run: print one JSON object."),
)

probes = together(
    click.option(
        "--protocol",
        "protocols",
        multiple=True,
        default=("hear2021",),
        show_default=True,
        help="Protocol of the probes; see below. Repeatable.",
    ),
    click.option(
        "--seeds",
        type=int,
        default=1,
        show_default=True,
        help="Train every probe with this many seeds, on the same grids and splits.",
    ),
    click.option(
        "--shots",
        type=CommaList(read_shots),
        metavar="N,...",
        default="all",
        show_default=True,
        help="Train on N training clips of each label, for example `1,4,16,64,all`. Each N is a "
        "protocol of its own, PROTOCOL-N-shot.",
    ),
    click.option(
        "--draws",
        type=int,
        default=DRAWS,
        show_default=True,
        help="How often the clips of --shots are drawn. All models get the same clips.",
    ),
)

layout = click.option(
    "--layout",
    type=click.Choice(["native", "heareval"]),
    default="native",
    show_default=True,
    help="`heareval` also writes the original kit's embedding folders, to OUT/heareval.",
)


def _tracker(_: click.Context, __: click.Parameter, text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    from harness.run.tracking import PROJECT, TRACKERS

    package, _colon, project = text.partition(":")
    if package not in TRACKERS:
        known = f"{', '.join(TRACKERS[:-1])} or {TRACKERS[-1]}"
        raise UserError(f"--log-to {text}: give {known}, or trackio:PROJECT.")
    if importlib.util.find_spec(package) is None:
        raise UserError(f"--log-to {package}: {package} is not installed: pip install {package}.")
    return package, project or PROJECT


log_to = click.option(
    "--log-to",
    metavar="TRACKER[:PROJECT]",
    callback=_tracker,
    help="Log scores as they are computed to `trackio` or `mlflow` (on this machine), or `wandb`.",
)

config = click.option(
    "--config",
    type=FilePath(path_type=Path),
    callback=read_config,
    is_eager=True,
    expose_value=False,
    help="YAML with any of these options, e.g. `models: [hear_byola]`, `seeds: 3`.",
)
