"""Tables of texts as markdown, LaTeX and HTML.

Neither pandas nor tabulate can set a part of a cell in bold, set the first rows apart in LaTeX and
HTML, and escape what users named in all three formats.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from harness.core.errors import UserError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

NEAR = "†"
"""Mark of a value that is not significantly different from the best."""

PARTIAL = "‡"
"""Mark of a mean over fewer tasks than other means."""


@dataclass(frozen=True)
class Text:
    """A cell: a value, bold if ``best`` and with a dagger if ``near``, and the text after it."""

    value: str
    rest: str = ""
    best: bool = False
    near: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Attributes:
        title: header of the row names in markdown, caption otherwise.
        columns: names of the columns, that of the row names first.
        rows: one cell per column, the row's name first.
        below: second line of the header, one text per column, or empty.
        n_top: number of rows in a separate section at the top.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]
    below: tuple[str, ...] = ()
    n_top: int = 0


def plain(text: str) -> str:
    """Return a text on one line, with line breaks and control characters replaced by spaces."""
    return _CONTROL.sub(" ", text)


def check_format(style: str) -> None:
    """Raise UserError if a format is unknown."""
    if style not in FORMATS:
        raise UserError(f"--format must be one of {', '.join(FORMATS)}, not '{style}'.")


def render(sheets: Sequence[Sheet], notes: Sequence[str], style: str) -> str:
    """Return tables and the sentences below them; ``style`` is one of ``STYLES``."""
    return STYLES[style](sheets, notes)


def _cell(cell: Text, bold: str, near: str, escaped: Callable[[str], str]) -> str:
    """Return a cell; ``bold`` is a template for the value."""
    value = bold % escaped(cell.value) if cell.best else escaped(cell.value)
    return value + near * cell.near + escaped(cell.rest)


def markdown(texts: pd.DataFrame, corner: str) -> str:
    """Return texts as an aligned table; ``corner`` is the header of the row names."""
    body = [[str(name), *map(str, row)] for name, row in zip(texts.index, texts.values)]
    return _lined_up([corner, *texts.columns], body)


def _markdown(sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    drawn = []
    for sheet in sheets:
        body = [list(sheet.below)] if sheet.below else []
        body += [[_cell(cell, "**%s**", NEAR, str) for cell in row] for row in sheet.rows]
        drawn.append(_lined_up([sheet.title, *sheet.columns[1:]], body))
    return "\n".join([*drawn, *(f"{plain(note)}\n" for note in notes)])


def _lined_up(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [[plain(text).replace("|", r"\|") for text in line] for line in [header, *body]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    lines.insert(1, ["-" * width for width in widths])
    drawn = ["| " + " | ".join(t.ljust(w) for t, w in zip(row, widths)) + " |" for row in lines]
    return "\n".join(drawn) + "\n"


def _latex(sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    """Return tables for a document that uses booktabs."""
    drawn = ["% \\usepackage{booktabs}"]
    for sheet in sheets:
        lines = [sheet.columns, *([sheet.below] if sheet.below else [])]
        drawn += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex_text(sheet.title)}}}",
            rf"\label{{tab:{re.sub(r'[^a-z0-9]+', '-', sheet.title.lower()).strip('-')}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(sheet.columns) - 1)}}}",
            r"\toprule",
            *(_latex_line(map(_latex_text, line)) for line in lines),
            r"\midrule",
        ]
        for number, row in enumerate(sheet.rows):
            if number and number == sheet.n_top:
                drawn.append(r"\midrule")
            drawn.append(_latex_line(map(_latex_cell, row)))
        drawn += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    drawn += [_latex_text(note) + "\n" for note in notes]
    return "\n".join(drawn)


def _latex_line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: Text) -> str:
    return _cell(cell, r"\textbf{%s}", _LATEX[NEAR], _latex_text)


_LATEX = {
    **{character: "\\" + character for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "–": "--",
    NEAR: r"$^{\dagger}$",
    PARTIAL: r"$^{\ddagger}$",
    # LaTeX reads these at the start of a table row as an option of the row before.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}


def _latex_text(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in plain(text))


def _html(sheets: Sequence[Sheet], notes: Sequence[str]) -> str:
    """Return a fragment of a page that is also well-formed XML."""
    drawn = ['<section class="results">']
    for sheet in sheets:
        drawn += ['<div style="overflow-x: auto">', "<table>"]
        drawn += [f"<caption>{_html_text(sheet.title)}</caption>", "<thead>"]
        for line in [sheet.columns, *([sheet.below] if sheet.below else [])]:
            cells = (f'<th scope="col">{_html_text(text)}</th>' for text in line)
            drawn.append(f"<tr>{''.join(cells)}</tr>")
        drawn.append("</thead>")
        parts = {"baselines": sheet.rows[: sheet.n_top], "models": sheet.rows[sheet.n_top :]}
        for name, rows in parts.items():
            if rows:
                drawn += [f'<tbody class="{name}">', *map(_html_row, rows), "</tbody>"]
        drawn += ["</table>", "</div>"]
    drawn += [f"<p>{_html_text(note)}</p>" for note in notes]
    return "\n".join([*drawn, "</section>", ""])


def _html_row(row: Sequence[Text]) -> str:
    name, *cells = row
    drawn = "".join(f"<td>{_html_cell(cell)}</td>" for cell in cells)
    return f'<tr><th scope="row">{_html_cell(name)}</th>{drawn}</tr>'


def _html_cell(cell: Text) -> str:
    return _cell(cell, "<strong>%s</strong>", f"<sup>{NEAR}</sup>", _html_text)


def _html_text(text: str) -> str:
    return html.escape(plain(text))


STYLES: Mapping[str, Callable[[Sequence[Sheet], Sequence[str]], str]] = {
    "markdown": _markdown,
    "latex": _latex,
    "html": _html,
}

FORMATS = (*STYLES, "csv")
"""The formats of tables."""
