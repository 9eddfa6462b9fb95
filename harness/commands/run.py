"""``hear-byola run``, and its two halves ``embed`` and ``probe``."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.arguments import existing, output_folder, read_models
from harness.commands.options import Command, FilePath, baseline, chosen, settings
from harness.commands.output import report_failures
from harness.commands.run_options import (
    DRAWS,
    config,
    layout,
    log_to,
    preview,
    probes,
    workers,
)
from harness.core.deadline import stops_in_time
from harness.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from harness.analysis.table.cells import Marks
    from harness.run.listener import Listener
    from harness.run.plan import Plan
    from harness.run.tracking import Tracker


@dataclass(frozen=True)
class RunOptions:
    """The options of the three commands; those that not all of them have come last."""

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    suite: str | None
    tasks_dir: Path
    out: Path
    jobs: int | None
    unit_timeout: float | None
    idle_limit: float | None
    device: str
    engine: str
    ray_address: str
    skip_bad: bool
    task_statistics: bool
    verify: bool
    cache_audio: float
    dtype: str
    shard: tuple[int, int]
    dry_run: bool
    as_json: bool
    # Embeddings do not depend on the protocol; this one supports every kind of task.
    protocols: tuple[str, ...] = ("linear",)
    seeds: int = 1
    shots: tuple[int | None, ...] = (None,)
    draws: int = DRAWS
    baselines: tuple[str, ...] = ()
    layout: str = "native"
    directories: tuple[Path, ...] = ()
    log_to: tuple[str, str] | None = None


@click.command(cls=Command)
@chosen
@probes
@baseline
@workers
@preview
@layout
@log_to
@config
@settings(RunOptions)
def run(options: RunOptions) -> int:
    """Embed, probe and score models on tasks.

    The command prints a table at the end, and writes results.csv. Every unit of work is saved when
    it finishes: after a stop or a crash, the same command resumes.
    Exit code 0: all done; 1: something failed, and the rest was finished; 2: wrong arguments, or a
    model or a task that cannot be used, and nothing was run.
    """
    return _execute(options)


@click.command(cls=Command)
@chosen
@workers
@preview
@layout
@config
@settings(RunOptions)
def embed(options: RunOptions) -> int:
    """Embed tasks with models, without probing."""
    return _execute(options, embed_only=True)


@click.command(cls=Command)
@click.argument("directories", nargs=-1, type=FilePath(path_type=Path))
@chosen
@probes
@baseline
@workers
@preview
@config
@settings(RunOptions)
def probe(options: RunOptions) -> int:
    """Probe and score finished embeddings.

    DIRECTORIES are embeddings of the original kit, one folder per task
    (embeddings/MODULE/TASK). Without any, probe what `hear-byola embed` made of -m and -t.
    """
    return _execute(options, probe_only=True)


def _execute(options: RunOptions, *, embed_only: bool = False, probe_only: bool = False) -> int:
    from harness.analysis.table import format_table
    from harness.commands.progress import RunDisplay
    from harness.core.forkserver import serve_from_here
    from harness.run.engines import Wanted, start_engine
    from harness.run.execute import execute, require_embeddings, write_layouts
    from harness.run.tracking import Both
    from tasks.find import domains

    check_options(options)
    if options.dry_run:
        return _preview(options, embed_only=embed_only)
    serve_from_here()
    out = output_folder(options.out)
    wanted = Wanted(out, options.device, options.jobs, options.ray_address)
    with (
        stops_in_time(),
        RunDisplay() as listener,
        closing(start_engine(options.engine, replace(wanted, say=listener.say))) as engine,
    ):
        plan = _plan(options, out, listener)
        if probe_only and not options.directories:
            require_embeddings(plan)
        command = shlex.join(["hear-byola", *sys.argv[1:]])
        tracker = _tracker(options, command, listener)
        summary = execute(
            plan,
            engine,
            out,
            command,
            Both(listener, tracker) if tracker else listener,
            embed_only=embed_only,
            unit_timeout=options.unit_timeout,
            idle_limit=options.idle_limit,
        )
        if tracker:
            tracker.finish()
        if options.layout == "heareval":
            for directory in write_layouts(plan, out / "heareval"):
                listener.say(f"wrote {directory}")
    if not embed_only:
        text = format_table(
            summary.table,
            domains=domains(options.tasks_dir),
            baselines=options.baselines,
            marks=_marks(summary.table, out),
            unsupported=plan.unsupported,
        )
        click.echo(text, nl=False)
        click.echo(f"\n{out / 'results.csv'}")
        if summary.table.value.notna().any() and len(options.models) > 1:
            click.echo(f"To test the differences: hear-byola results compare A B {out}")
    return report_failures(summary.failures)


def check_options(options: RunOptions) -> None:
    """Refuse options that have no effect, before models are loaded.

    Raises:
        UserError: there is such an option.
    """
    from harness.probe import find_protocol
    from harness.run.engines import check_engine
    from harness.run.preflight import with_shots

    check_engine(options.engine, options.ray_address)
    if options.as_json and not options.dry_run:
        raise UserError("--json needs --dry-run. `hear-byola status RUN --json` prints the state.")
    names = with_shots(options.protocols, options.shots)
    if options.draws != DRAWS and all(find_protocol(name).shots is None for name in names):
        raise UserError("--draws needs --shots: give both, for example --shots 1,4 --draws 5.")


def _preview(options: RunOptions, *, embed_only: bool) -> int:
    """Print what a run would do, and write nothing."""
    from harness.commands.progress import RunDisplay
    from harness.commands.status import as_object, in_words
    from harness.run.engines import Wanted, slots_of
    from harness.run.planned import describe
    from harness.run.survey import survey

    out = output_folder(options.out)
    wanted = Wanted(out, options.device, options.jobs, options.ray_address)
    with stops_in_time(), RunDisplay() as listener:
        slots = slots_of(options.engine, wanted)
        plan = _plan(options, out, listener)
        planned = describe(plan, out, "", embed_only=embed_only)
        state = survey([planned], out, slots)
    click.echo(json.dumps(as_object(state), indent=1) if options.as_json else in_words(state))
    return 0


def _plan(options: RunOptions, out: Path, listener: Listener) -> Plan:
    from harness.run.layout_plan import plan_probes
    from harness.run.plan import Settings, make_plan
    from harness.run.preflight import with_shots
    from tasks.find import find_sources, group_pattern

    protocols = with_shots(options.protocols, options.shots)
    if options.directories:
        if options.models or options.tasks or options.suite:
            raise UserError("Give embedding folders or -m and -t, not both.")
        return plan_probes(
            [existing(directory) for directory in options.directories],
            protocols,
            options.seeds,
            out,
            group_pattern,
            listener.say,
            draws=options.draws,
        )
    chosen = Settings(
        models=read_models(options.models),
        tasks=find_sources(options.tasks, options.suite, options.tasks_dir),
        protocols=protocols,
        seeds=options.seeds,
        draws=options.draws,
        out=out,
        dtype=options.dtype,
        skip_bad=options.skip_bad,
        task_statistics=options.task_statistics,
        verify=options.verify,
        cache_audio=options.cache_audio,
        shard=options.shard,
        read_only=options.dry_run,
    )
    return make_plan(chosen, listener.say)


def _tracker(options: RunOptions, command: str, listener: Listener) -> Tracker | None:
    from harness.run.tracking import Tracker

    if options.log_to is None:
        return None
    package, project = options.log_to
    config = {"command": command, "models": list(options.models), "out": str(options.out)}
    return Tracker(package, project, config, listener)


def _marks(table: pd.DataFrame, out: Path) -> Marks | None:
    """Return the marks of a table; None for a table of one model."""
    from harness.analysis.table.marks import find_marks

    return find_marks(table, out) if table.model.nunique() > 1 else None
