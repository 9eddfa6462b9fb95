"""``hear-byola results export``: results in formats of other projects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.commands.arguments import chosen_runs
from harness.commands.options import Command, out_option, run_option, runs_argument, some_tasks
from harness.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

# The names of harness.results.export.FORMATS, whose import is slow.
_FORMATS = ("jsonl", "model-index", "eval-results", "every-eval-ever")
_RELATIONSHIPS = ("first_party", "third_party", "collaborative", "other")


@click.command(cls=Command)
@runs_argument
@run_option
@click.option(
    "--format", "style", type=click.Choice(_FORMATS), required=True, help="Format, as above."
)
@out_option(default=None, help="File to write.  [default: standard output]")
@click.option(
    "-m",
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Only this model, as tables name it. Repeatable for jsonl.",
)
@click.option("--protocol", help="Only this protocol.  [default: all]")
@some_tasks
@click.option("--name", default="", help="The model's name where it is published, as ORG/NAME.")
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    metavar="TASK=ORG/NAME[:TASK_ID]",
    help="The dataset of a task on the Hugging Face hub. Repeatable.",
)
@click.option(
    "--organization",
    default="unknown",
    show_default=True,
    help="Organization that evaluated the model, for every-eval-ever.",
)
@click.option(
    "--relationship",
    type=click.Choice(_RELATIONSHIPS),
    default="other",
    show_default=True,
    help="Relationship of that organization to the model's makers, for every-eval-ever.",
)
def export(
    paths: tuple[Path, ...],
    runs: tuple[Path, ...],
    style: str,
    out: Path | None,
    models: tuple[str, ...],
    protocol: str | None,
    tasks: tuple[str, ...],
    exclude: tuple[str, ...],
    name: str,
    datasets: tuple[str, ...],
    organization: str,
    relationship: str,
) -> None:
    """Write results in the formats of other projects.

    RUN is a run's folder or a results.csv. Without RUN: the folder runs.

    \b
    jsonl            a JSON object for each evaluation, with the columns of results.csv
    model-index      YAML for the front matter of a Hugging Face model card
    eval-results     YAML for .eval_results/ of a model's repository; needs --dataset
    every-eval-ever  JSON by the schema of the Every Eval Ever project
    """
    from harness.analysis.compare.gather import load
    from harness.core.files import write_file
    from harness.results.export import Publication
    from harness.results.export import export as exported

    protocols = [protocol] if protocol else []
    results = load(chosen_runs(*paths, *runs))
    chosen = results.select(models=models, protocols=protocols, tasks=tasks, exclude=exclude)
    rows = chosen.rows
    publication = Publication(
        name, organization, relationship, _datasets(datasets, rows), _intervals(chosen.table)
    )
    text = exported(rows, style, publication)
    if out is None:
        click.echo(text, nl=False)
    else:
        write_file(out, text)
        click.echo(out)


def _intervals(table: pd.DataFrame) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return the intervals of `results table`, by model, task and protocol."""
    from harness.analysis.table.cells import cells

    return {
        (cell.model, cell.task, protocol): (float(cell.ci_low), float(cell.ci_high))
        for protocol in table.protocol.unique()
        for cell in cells(table, protocol).dropna(subset="ci_low").itertuples()
    }


def _datasets(texts: tuple[str, ...], rows: pd.DataFrame) -> dict[str, str]:
    from harness.analysis.compare.gather import choose

    found = {}
    for text in texts:
        task, equals, dataset = text.partition("=")
        if not equals or dataset.count("/") != 1:
            raise UserError(f"--dataset {text}: give a task and its dataset, as esc50=me/esc50.")
        (chosen,) = choose(rows, "task", [task], " among the chosen ones")
        found[chosen] = dataset
    return found
