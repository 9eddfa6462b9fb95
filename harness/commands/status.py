"""``hear-byola status``, and the output of ``run --dry-run``: the state of a run."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.arguments import existing
from harness.commands.options import Command, FilePath
from harness.commands.output import indented
from harness.core.counts import plural
from harness.core.errors import printable
from harness.core.progress import rough_duration

if TYPE_CHECKING:
    from harness.run.holders import Holder
    from harness.run.survey import PairState, Survey

_MOST = 40
"""Number of holders that are listed; JSON has all."""

_COLUMNS = ("to do", "claimed", "done", "failed")


@click.command(cls=Command)
@click.argument("folder", metavar="RUN", type=FilePath(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(folder: Path, as_json: bool) -> int:
    """Print how far a run is, who works on what, and what failed.

    RUN is the folder that --out named. The command loads no model and changes nothing, so it can be
    called at any time. Exit code 1: something failed.
    """
    from harness.run.planned import read_plans
    from harness.run.survey import survey

    plans = read_plans(existing(folder))
    state = survey(plans, folder)
    click.echo(json.dumps(as_object(state), indent=1) if as_json else in_words(state), nl=as_json)
    return int(bool(state.failures))


def in_words(state: Survey) -> str:
    """Return the state of a run as a table and sentences."""
    parts = ["\n".join(_table(state.pairs)) + "\n", *_expected(state)]
    parts += [f"{line}\n" for line in (*_workers(state), *_holders(state.holders))]
    parts += [f"{line}\n" for line in _failures(state)]
    if state.others:
        parts.append(f"{plural(state.others, 'finished evaluation')} of other commands.\n")
    return printable("".join(parts))


def as_object(state: Survey) -> dict[str, object]:
    """Return the state of a run as an object for JSON; unknown numbers are null.

    ``rough_seconds`` uses rates of another machine where ``expected_seconds`` is unknown.
    """
    return {
        "run": str(state.out),
        "pairs": [
            {
                "model": pair.model,
                "task": pair.task,
                "splits": _counts(pair.splits),
                "evaluations": _counts(pair.evaluations),
                "probes_done": pair.probes,
                "expected_seconds": pair.seconds if pair.complete else None,
                "rough_seconds": pair.rough,
                "expected_bytes": round(pair.bytes),
            }
            for pair in state.pairs
        ],
        "expected_seconds": _total(state),
        "rough_seconds": sum(pair.rough for pair in state.pairs),
        "expected_bytes": round(sum(pair.bytes for pair in state.pairs)),
        "free_bytes": state.free,
        "workers": state.slots,
        "time_left": state.left,
        "processes": [_holder(each, "command") for each in state.workers],
        "claims": [_holder(each, "unit") for each in state.holders],
        "failures": [{"unit": f.name, "error": f.error, "when": f.when} for f in state.failures],
        "idle_commands": list(state.idle),
        "other_evaluations": state.others,
    }


def _counts(count: object) -> dict[str, int]:
    return dict(vars(count))


def _holder(holder: Holder, name: str) -> dict[str, object]:
    return {
        name: holder.unit,
        "host": holder.host,
        "process": holder.process,
        "since": holder.since or None,
        "heartbeat_seconds": round(holder.heartbeat, 1),
        "extent": holder.extent,
        "alive": holder.alive,
        "expired": holder.expired,
    }


def _total(state: Survey) -> float | None:
    """Return the seconds of work that are left; None if a part of it is unknown."""
    if not all(pair.complete for pair in state.pairs):
        return None
    return sum(pair.seconds for pair in state.pairs)


def _table(pairs: Sequence[PairState]) -> Iterator[str]:
    import pandas as pd

    from harness.core.rendering import markdown

    counts = [f"{units} {c}" for units in ("splits", "evaluations") for c in _COLUMNS]
    columns = ["task", *counts, "work left", "to write"]
    rows = [_row(pair) for pair in pairs]
    # A plan can be empty.
    total = [sum(column) for column in zip([0] * len(counts), *map(_numbers, pairs))]
    seconds = sum(pair.seconds for pair in pairs)
    complete = all(pair.complete for pair in pairs)
    size = sum(pair.bytes for pair in pairs)
    rows.append(["", *map(str, total), _time(seconds, complete), _to_write(size)])
    index = [pair.model for pair in pairs] + ["all"]
    yield markdown(pd.DataFrame(rows, index, columns), "model")


def _numbers(pair: PairState) -> list[int]:
    split, evaluation = pair.splits, pair.evaluations
    return [
        split.to_do, split.claimed, split.done, split.failed,
        evaluation.to_do, evaluation.claimed, evaluation.done, evaluation.failed,
    ]  # fmt: skip


def _row(pair: PairState) -> list[str]:
    time = _time(pair.seconds, pair.complete)
    return [pair.task, *map(str, _numbers(pair)), time, _to_write(pair.bytes)]


def _to_write(size: float) -> str:
    return in_bytes(size) if size else "-"


def _time(seconds: float, complete: bool) -> str:
    if not complete:
        return f"> {rough_duration(seconds)}" if seconds else "unknown"
    return rough_duration(seconds) if seconds else "-"


def _expected(state: Survey) -> Iterator[str]:
    if any(not pair.complete for pair in state.pairs):
        yield (
            "A time is unknown until the first such unit is done in this folder: a split of the "
            "model, or a probe of the protocol on the task.\n"
        )
    if state.left and state.slots:
        yield f"With {plural(state.slots, 'worker')}: {state.left}.\n"
    if state.rough_left and state.slots:
        yield (
            f"With {plural(state.slots, 'worker')}: {state.rough_left} (rates of hear_byola and "
            "hear2021 on a CPU core of another machine).\n"
        )
    size = sum(pair.bytes for pair in state.pairs)
    if size:
        short = " The disk is too small." if size > state.free else ""
        yield f"Disk: about {in_bytes(size)} to write, {in_bytes(state.free)} free.{short}\n"


def _workers(state: Survey) -> Iterator[str]:
    for each in state.workers:
        yield f"at work   {_who(each)}: {each.unit}"
    if state.idle:
        yield "not finished, and no process works on it:"
        yield from (f"  {command}" for command in state.idle)


def _holders(holders: Sequence[Holder]) -> Iterator[str]:
    for each in holders[:_MOST]:
        extent = f" ({each.extent})" if each.extent else ""
        yield f"claimed   {each.unit}{extent}, {_who(each)}"
    if len(holders) > _MOST:
        yield f"and {plural(len(holders) - _MOST, 'claim')} more"


def _who(each: Holder) -> str:
    from harness.run.holders import clock

    text = f"process {each.process} on {each.host} since {clock(each.since)}"
    text += f", last sign of life {each.heartbeat:.0f} s ago"
    if each.alive is False:
        return text + "; the process has ended"
    return text + "; it can be taken over" * each.expired


def _failures(state: Survey) -> Iterator[str]:
    from harness.run.holders import clock

    by_error = defaultdict(list)
    for failure in state.failures:
        by_error[failure.error].append(failure)
    for error, those in by_error.items():
        for failure in those:
            yield f"failed    {failure.name}, at {clock(failure.when)}"
        yield f"  {indented(error)}"
    if state.failures:
        yield "The same command tries again what failed."


def in_bytes(size: float) -> str:
    """Return a size as ``1.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.{0 if unit == 'B' or size >= 99.5 else 1}f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
