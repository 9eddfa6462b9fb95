"""Results in Python: tables and reports."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pandas as pd

from harness.analysis.compare import compare as compare_results
from harness.analysis.compare.gather import Runs, read_runs
from harness.analysis.compare.gather import load as load_results
from harness.analysis.compare.plan import power as plan_power
from harness.analysis.table import format_table as format_rows
from harness.analysis.table import wide
from harness.analysis.table.cells import Marks
from harness.analysis.table.marks import find_marks
from harness.api.wording import naming_arguments
from harness.core.errors import UserError
from harness.core.files import expand_home
from harness.probe import by_shots
from harness.results import COLUMNS
from tasks.find import domains

load = naming_arguments(load_results)
compare = naming_arguments(compare_results)
power = naming_arguments(plan_power)


@naming_arguments
def table(results: Runs, protocol: str | None = None) -> pd.DataFrame:
    """Return the primary metric of each task by model.

    Args:
        results: what to show.
        protocol: needed if the results have several.

    Returns:
        One row per model. One column per task has the mean over seeds, NaN if the evaluation is
        missing, has failed or is undefined. The last columns are ``mean`` and ``tasks``, the number
        of tasks in the mean. The mean leaves out synthetic tasks, and metrics of which less is
        better.

    Raises:
        UserError: no results by the protocol, or several protocols and none is named.
    """
    rows = read_runs(results).table[COLUMNS]
    known = sorted(set(rows.protocol), key=by_shots)
    if protocol is None and len(known) > 1:
        raise UserError(f"The results have several protocols. Name one of {', '.join(known)}.")
    return wide(rows, protocol or known[0])


@naming_arguments
def format_table(
    results: Runs,
    style: str = "markdown",
    *,
    baselines: Collection[str] = (),
    marks: bool = True,
    grouped: bool = True,
    tasks_dir: Path | str = "tasks",
) -> str:
    """Return the table that ``hear-byola results table`` prints, one for each protocol.

    Args:
        results: what to show.
        style: ``markdown``, ``csv``, ``latex`` or ``html``.
        baselines: further models that are baselines and come first.
        marks: mark models that are not significantly different from the best of a task.
        grouped: use the groups of tasks as independent units; otherwise clips.
        tasks_dir: the folder of task directories whose cards name their domains.

    Raises:
        UserError: an unknown style or baseline.
    """
    read = read_runs(results)
    rows = read.table[COLUMNS]
    found = Marks() if marks else None
    if marks and read.has_predictions:
        found = find_marks(rows, read, grouped=grouped)
    folder = Path(expand_home(str(tasks_dir)))
    return format_rows(rows, style, domains(folder), baselines, found, grouped=grouped)


def write_report(
    results: Runs,
    out: Path | str = "report.html",
    *,
    title: str = "Results",
    models: Sequence[str] = (),
    protocols: Sequence[str] = (),
    baselines: Sequence[str] = (),
    audio_mb: float = 8.0,
    marks: bool = True,
    tasks_dir: Path | str = "tasks",
    say: Callable[[str], None] = lambda line: None,
) -> Path:
    """Write results as one HTML page, which opens without a network.

    Args:
        results: what to report.
        out: the file.
        title: the page's heading.
        models: models that have panels on every task; the others are compared with the first.
        protocols: report only these.
        baselines: further models that are baselines.
        audio_mb: embed recordings up to this size in all; others are linked.
        marks: mark models that are not significantly different from the best of a task.
        tasks_dir: the folder of task directories whose cards give titles and domains.
        say: receives a line for each part that is done.

    Returns:
        The file.

    Raises:
        UserError: matplotlib or jinja2 is not installed, or a name without results.
    """
    need_report_packages()
    from harness.report.material import gather as gather_material
    from harness.report.material import with_cards
    from harness.report.page import write_page

    read, page = read_runs(results), Path(expand_home(str(out)))
    material = gather_material(read, protocols, models, baselines)
    material = with_cards(material, Path(expand_home(str(tasks_dir))))
    found = Marks() if marks else None
    if marks and material.records:
        found = find_marks(material.rows, read)
    write_page(material, page, title=title, audio_bytes=int(audio_mb * 1e6), marks=found, say=say)
    return page


def need_report_packages() -> None:
    """Raise UserError if a package is missing that the report and its figures need."""
    for name in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"This takes {name}, which is not installed: pip install 'hear-byola[report]'"
            )
