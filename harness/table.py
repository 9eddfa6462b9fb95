"""The wide table: models × tasks, the primary metric of each, and the mean."""

from __future__ import annotations

import pandas as pd

from harness.errors import UserError
from harness.results import latest


def wide(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return models × tasks of the primary metrics' values by one protocol, with their mean.

    Values are means over seeds. A cell is NaN where the unit failed or was never run; the mean
    stands on the tasks that are there, and the column ``tasks`` says on how many of how many. The
    metrics that are minimised stand in the table but not in the mean.
    """
    chosen = latest(table)
    chosen = chosen[(chosen.protocol == protocol) & (chosen.split == "all") & chosen.is_primary]
    cells = chosen.pivot_table(
        index="model", columns="task", values="value", aggfunc="mean", dropna=False, sort=False
    )
    cells = cells.sort_index(axis=1)
    ascending = chosen.groupby("task").higher_is_better.all()
    averaged = cells[[task for task in cells.columns if ascending[task]]]
    cells["mean"] = averaged.mean(axis=1)
    cells["tasks"] = [f"{n}/{averaged.shape[1]}" for n in averaged.notna().sum(axis=1)]
    return cells


def cell_texts(table: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return :func:`wide` as texts: values to three digits with half the width of their interval.

    The half-width is of the single seed's interval, or the mean of the seeds'. ``failed`` marks a
    unit that failed, a dash one that was never run.
    """
    values = wide(table, protocol)
    chosen = latest(table)
    chosen = chosen[(chosen.protocol == protocol) & (chosen.split == "all") & chosen.is_primary]
    half = (chosen.ci_high - chosen.ci_low) / 2
    widths = half.groupby([chosen.model, chosen.task]).mean()
    failed = chosen[chosen.status == "failed"].set_index(["model", "task"]).index
    texts = pd.DataFrame(index=values.index, columns=values.columns, dtype=object)
    for model in values.index:
        for task in values.columns.drop(["mean", "tasks"]):
            value, width = values.loc[model, task], widths.get((model, task), float("nan"))
            if pd.isna(value):
                text = "failed" if (model, task) in failed else "-"
            else:
                text = f"{value:.3f}" + ("" if pd.isna(width) else f" ±{width:.3f}")
                if (model, task) in failed:
                    text += " (a seed failed)"
            texts.loc[model, task] = text
        mean, count = values.loc[model, "mean"], values.loc[model, "tasks"]
        texts.loc[model, "mean"] = "-" if pd.isna(mean) else f"{mean:.3f} ({count})"
    return texts.drop(columns="tasks")


def format_table(table: pd.DataFrame, style: str = "markdown") -> str:
    """Return the wide table of every protocol in the rows, as markdown, csv, latex or html.

    Raises:
        UserError: an unknown format.
    """
    writers = {"markdown": _markdown, "csv": _csv, "latex": _latex, "html": _html}
    if style not in writers:
        raise UserError(f"--format must be one of {', '.join(writers)}, not '{style}'.")
    primary = latest(table)
    primary = primary[primary.is_primary & (primary.split == "all")]
    parts = []
    for protocol in sorted(set(primary.protocol)):
        mine = primary[primary.protocol == protocol]
        metrics = mine.groupby("task").metric.first()
        parts.append(writers[style](cell_texts(table, protocol), protocol, metrics))
    return "\n".join(parts)


def _markdown(texts: pd.DataFrame, protocol: str, metrics: pd.Series) -> str:
    header = ["model", *[f"{c} ({metrics[c]})" if c in metrics else c for c in texts.columns]]
    body = [[str(model), *map(str, row)] for model, row in zip(texts.index, texts.values)]
    widths = [max(len(line[i]) for line in [header, *body]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *body]
    drawn = ["| " + " | ".join(t.ljust(w) for t, w in zip(row, widths)) + " |" for row in lines]
    return f"protocol {protocol}\n\n" + "\n".join(drawn) + "\n"


def _csv(texts: pd.DataFrame, protocol: str, metrics: pd.Series) -> str:
    return texts.assign(protocol=protocol).to_csv(lineterminator="\n")


def _latex(texts: pd.DataFrame, protocol: str, metrics: pd.Series) -> str:
    def escape(text: object) -> str:
        return str(text).replace("_", r"\_").replace("%", r"\%").replace("±", r"$\pm$")

    lines = [r"\begin{tabular}{l" + "r" * texts.shape[1] + "}", r"\toprule"]
    lines.append(" & ".join(["model", *map(escape, texts.columns)]) + r" \\")
    lines.append(r"\midrule")
    for model, row in zip(texts.index, texts.values):
        lines.append(" & ".join([escape(model), *map(escape, row)]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    return f"% protocol {protocol}\n" + "\n".join(lines) + "\n"


def _html(texts: pd.DataFrame, protocol: str, metrics: pd.Series) -> str:
    return f"<h2>{protocol}</h2>\n" + texts.to_html(border=0) + "\n"
