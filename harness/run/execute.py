"""Execute a plan on an engine, and write the results, their table and the kit's layout."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.core.errors import UserError, going_on
from harness.embeddings.heareval import write_layout
from harness.models.spec import folder_name
from harness.results import find_evaluations, read_results, write_csv
from harness.run.engines import Engine
from harness.run.folder import clean
from harness.run.listener import Listener
from harness.run.progress import Run
from harness.run.rows import run_info
from harness.run.scheduler import Scheduler
from harness.run.units import Evaluation


@dataclass(frozen=True)
class Summary:
    """The outcome of a run.

    Attributes:
        table: the result rows of the plan's evaluations.
        places: the folders of these rows.
        failures: (name, error) of each evaluation that failed.
    """

    table: pd.DataFrame
    places: tuple[Path, ...]
    failures: tuple[tuple[str, str], ...]


def execute(
    plan: Sequence[Evaluation],
    engine: Engine,
    out: Path,
    command: str = "",
    listener: Listener | None = None,
    *,
    embed_only: bool = False,
    unit_timeout: float | None = None,
    idle_limit: float | None = None,
) -> Summary:
    """Do all unfinished work of a plan, and rebuild ``results.csv`` from all results in ``out``.

    If a job fails, its evaluation fails; the others continue. With ``embed_only`` no probe is
    trained, and the CSV is not written. ``unit_timeout`` and ``idle_limit``
    are those of :class:`harness.run.progress.Run`.
    """
    listener = listener or Listener()
    run = Run(out, run_info(command), listener, embed_only, unit_timeout, idle_limit)
    scheduler = Scheduler(plan, engine, run)
    try:
        scheduler.work()
    except KeyboardInterrupt:  # a stop must be quick: the next run writes the table
        engine.close(kill=True)
        raise
    except BaseException:  # whatever stops a run must end its workers
        engine.close(kill=True)
        # Errors of the table must not replace the error that stopped the run.
        with contextlib.suppress(OSError):
            _write_table(run)
        raise
    # The table comes first: nothing that a model has left running can prevent it.
    with going_on(listener.say):
        _write_table(run)
    engine.close()
    clean(out)
    ours = [place for e in plan for place in (e.directory, e.failure)]
    ours = [place for place in ours if (place / "result.json").is_file()]
    return Summary(read_results(ours), tuple(ours), tuple(scheduler.failures))


def _write_table(run: Run) -> None:
    """Write ``results.csv``, and again if another process finished an evaluation in the meantime.

    Otherwise, of two processes that end together, one could overwrite the last rows of the other.
    """
    written = None
    while not run.embed_only and (found := find_evaluations(run.out)) != written:
        write_csv(read_results(found), run.out / "results.csv")
        written = found


def write_layouts(plan: Sequence[Evaluation], directory: Path) -> list[Path]:
    """Write a plan's embeddings in the original kit's layout: ``DIRECTORY/MODEL/TASK``.

    Returns:
        The directories written. Evaluations without embeddings are left out.
    """
    written: list[Path] = []
    for evaluation in plan:
        target = directory / folder_name(evaluation.model.label) / evaluation.task_name
        if target not in written and not evaluation.embeddings.missing():
            task, embeddings = evaluation.embeddings.load()
            write_layout(task, embeddings, target)
            written.append(target)
    return written


def require_embeddings(plan: Sequence[Evaluation]) -> None:
    """Refuse a plan with missing embeddings.

    Raises:
        UserError: embeddings are missing; each model and task is named.
    """
    lacking = dict.fromkeys(
        f"{evaluation.model.label} on {evaluation.task_name}"
        for evaluation in plan
        if evaluation.embeddings.missing()
    )
    if lacking:
        raise UserError(
            "Embeddings of the present model and audio are missing:\n  "
            + "\n  ".join(lacking)
            + "\nMake them with `hear-byola embed`, or use `hear-byola run`."
        )
