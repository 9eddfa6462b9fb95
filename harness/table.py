"""The wide table: models × tasks, the primary metric of each, and the mean."""

from __future__ import annotations

import pandas as pd

from harness.errors import UserError
from harness.results import latest
from harness.task import SYNTHETIC, is_synthetic


def wide(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return models × tasks of the primary metrics' values by one protocol, with their mean.

    Values are means over seeds. A cell is NaN where the unit failed, was never run or is
    undefined; the mean stands on the tasks that are there, and the column ``tasks`` says on how
    many of how many. Metrics that are minimised, and synthetic tasks, stand in the table but not in
    the mean.
    """
    chosen = _headlines(table, protocol)
    cells = chosen.groupby(["model", "task"]).value.mean().unstack("task")
    ascending = chosen.groupby("task").higher_is_better.all()
    averaged = cells[[t for t in cells.columns if ascending[t] and not is_synthetic(t)]]
    cells["mean"] = averaged.mean(axis=1)
    cells["tasks"] = [f"{n}/{averaged.shape[1]}" for n in averaged.notna().sum(axis=1)]
    return cells


def cell_texts(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return :func:`wide` as texts: values to three digits with half the width of their interval.

    Over several seeds the half-width is the mean of theirs. ``failed`` marks a unit that failed,
    ``undefined`` a metric that the test split does not define, a dash what was never run.
    """
    chosen = _headlines(table, protocol)
    read = ["status", "value", "ci_low", "ci_high"]
    texts = chosen.groupby(["model", "task"])[read].apply(_cell).unstack("task").fillna("-")
    means = wide(table, protocol)
    texts.columns = short_names(texts.columns)
    texts["mean"] = [
        "-" if pd.isna(mean) else f"{mean:.3f} ({count})"
        for mean, count in zip(means["mean"], means["tasks"])
    ]
    return texts


def short_names(tasks: pd.Index) -> list[str]:
    """Return ``task_name`` for ``task_name-version-mode``, where that is no other task's too.

    Synthetic tasks are said to be synthetic.
    """
    short = [task.rsplit("-", 2)[0] for task in tasks]
    names = [name if short.count(name) == 1 else task for name, task in zip(short, tasks)]
    return [
        f"{name} ({SYNTHETIC})" if is_synthetic(task) else name for name, task in zip(names, tasks)
    ]


def _headlines(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    rows = latest(table)
    return rows[(rows.protocol == protocol) & (rows.split == "all") & rows.is_primary]


def _cell(seeds: pd.DataFrame) -> str:
    done = seeds[seeds.status == "done"]
    if done.empty:
        return "failed"
    if done.value.isna().any():
        return "undefined"
    width = ((done.ci_high - done.ci_low) / 2).mean()
    text = f"{done.value.mean():.3f}" + ("" if pd.isna(width) else f" ±{width:.3f}")
    return text if len(done) == len(seeds) else f"{text} (a seed failed)"


def format_table(table: pd.DataFrame, style: str = "markdown") -> str:
    """Return the wide table of every protocol in the rows, as markdown, csv, latex or html.

    Raises:
        UserError: an unknown format.
    """
    writers = {"markdown": markdown, "csv": _csv, "latex": _latex, "html": _html}
    if style not in writers:
        raise UserError(f"--format must be one of {', '.join(writers)}, not '{style}'.")
    parts = []
    for protocol in sorted(set(table.protocol)):
        metrics = _headlines(table, protocol).groupby("task").metric.first()
        metrics.index = short_names(metrics.index)
        texts = cell_texts(table, protocol)
        metric = pd.DataFrame([[metrics.get(c, "") for c in texts.columns]], ["metric"])
        texts = pd.concat([metric.set_axis(texts.columns, axis=1), texts]).rename_axis("model")
        parts.append(writers[style](texts, protocol))
    return "\n".join(parts)


def markdown(texts: pd.DataFrame, corner: str) -> str:
    """Return texts as a table whose columns line up; ``corner`` stands above the row names."""
    header = [corner, *texts.columns]
    body = [[str(model), *map(str, row)] for model, row in zip(texts.index, texts.values)]
    widths = [max(len(line[i]) for line in [header, *body]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *body]
    drawn = ["| " + " | ".join(t.ljust(w) for t, w in zip(row, widths)) + " |" for row in lines]
    return "\n".join(drawn) + "\n"


def _csv(texts: pd.DataFrame, protocol: str) -> str:
    return texts.assign(protocol=protocol).to_csv(lineterminator="\n")


def _latex(texts: pd.DataFrame, protocol: str) -> str:
    def escape(text: object) -> str:
        return str(text).replace("_", r"\_").replace("%", r"\%").replace("±", r"$\pm$")

    lines = [r"\begin{tabular}{l" + "r" * texts.shape[1] + "}", r"\toprule"]
    lines.append(" & ".join(["model", *map(escape, texts.columns)]) + r" \\")
    lines.append(r"\midrule")
    for model, row in zip(texts.index, texts.values):
        lines.append(" & ".join([escape(model), *map(escape, row)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return f"% protocol {protocol}\n" + "\n".join(lines) + "\n"


def _html(texts: pd.DataFrame, protocol: str) -> str:
    return f"<h2>{protocol}</h2>\n" + texts.to_html(border=0) + "\n"
