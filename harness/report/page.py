"""Write the page: one HTML file that contains style, script, figures and recordings."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from harness.analysis.table.cells import Marks
from harness.core.files import write_file
from harness.report.figures.names import xml_safe
from harness.report.figures.style import SCREEN_INCHES
from harness.report.figures.svg import to_svg
from harness.report.material import Material
from harness.report.overview import overview
from harness.report.panel import Panel, ProvenancePanel
from harness.report.registry import make_panels
from harness.report.sections import TaskSection, protocol_section, task_sections
from harness.report.sounds import Player
from harness.report.texts import without_folders

_PARTS = "page_data"


def write_page(
    material: Material,
    out: Path,
    *,
    title: str,
    audio_bytes: int,
    marks: Marks | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> None:
    """Write the report of some results as one self-contained HTML file.

    Args:
        material: the results.
        out: the file.
        title: title of the page.
        audio_bytes: size of recordings to embed; others are linked, relative to the page.
        marks: the models that do not differ significantly from the best of their task.
        say: gets a line for each finished part, with the seconds since the start.
    """
    began = time.monotonic()
    figures = _Figures()
    protocols = {}
    for protocol in material.protocols:
        protocols[protocol] = found = protocol_section(material, protocol)
        figures.draw([*found.summary, *found.comparison])
        say(f"{time.monotonic() - began:5.0f} s  comparison by {protocol}")
    sections: dict[str, dict[str, TaskSection]] = {}
    for section in task_sections(material, audio_bytes, out.parent):
        figures.draw(section.every_panel())
        sections.setdefault(section.task, {})[section.protocol] = section
        say(f"{time.monotonic() - began:5.0f} s  {section.task} by {section.protocol}")
    html = _template(figures).render(
        title=title,
        material=material,
        tables=[overview(material, protocol, marks) for protocol in material.protocols],
        protocols=protocols,
        sections=dict(sorted(sections.items())),
        provenance=make_panels(ProvenancePanel, material),
        ids=_ids(sections),
        **_parts(),
    )
    write_file(out, xml_safe(html))
    say(f"{time.monotonic() - began:5.0f} s  {out}: {out.stat().st_size / 1e6:.1f} MB")


class _Figures:
    """Draws the figures of panels, with ids that are unique on the page."""

    def __init__(self) -> None:
        self._drawn: dict[int, Markup] = {}

    def draw(self, panels: Sequence[Panel]) -> None:
        for panel in panels:
            if panel.draw is not None:
                name = f"f{len(self._drawn)}"
                figure = panel.draw(SCREEN_INCHES)
                self._drawn[id(panel)] = Markup(to_svg(figure, name, without_folders(panel.alt)))

    def svg(self, panel: Panel) -> Markup:
        return self._drawn[id(panel)]


def _template(figures: _Figures) -> Template:
    # Everything that comes from users is escaped, unless it is wrapped in Markup.
    environment = Environment(
        autoescape=True,
        loader=PackageLoader("harness.report", _PARTS),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["svg"] = figures.svg
    environment.filters["breakable"] = _breakable
    environment.filters["prose"] = _prose
    environment.tests["player"] = lambda cell: isinstance(cell, Player)
    return environment.get_template("page.html.j2")


def _breakable(text: object) -> Markup:
    """Allow line breaks in a name after underscores, hyphens and dots only."""
    return Markup(re.sub(r"([_.-])", r"\1<wbr>", str(escape(str(text)))))


def _prose(text: object) -> Markup:
    """Return a sentence as HTML, with text in backticks as code."""
    cut = str(escape(without_folders(str(text))))
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", cut))


def _parts() -> Mapping[str, object]:
    """Return style, script, and a content security policy that forbids network access."""
    folder = files("harness.report") / _PARTS
    script = (folder / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src data:; media-src data: file:; base-uri 'none'; form-action 'none'"
    )
    return {
        "style": Markup((folder / "page.css").read_text("utf-8")),
        "script": Markup(script),
        "policy": policy,
    }


def _ids(tasks: Iterable[str]) -> Mapping[str, str]:
    """Return a readable, unique anchor for each task."""
    found: dict[str, str] = {}
    for task in tasks:
        anchor = "task-" + re.sub(r"[^\w.-]+", "-", task, flags=re.ASCII)
        while anchor in found.values():
            anchor += "-"
        found[task] = anchor
    return found
