"""The figures of a report as files for papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.figures.style import save
from harness.module import folder_name
from harness.report.comparison import comparison
from harness.report.material import Material
from harness.report.panel import Panel
from harness.report.sections import task_sections


def write_figures(
    material: Material,
    out: Path,
    *,
    width: float,
    formats: Sequence[str] = ("pdf", "png"),
    tasks: tuple[str, ...] = (),
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Write every figure of a report, and return the files.

    They lie in ``out/PROTOCOL`` (comparisons) and ``out/PROTOCOL/TASK``.

    Args:
        material: what is reported.
        out: the folder.
        width: in inches.
        formats: of ``harness.figures.style.FORMATS``.
        tasks: which; all where none is named.
        say: gets the name of each file.
    """
    written: list[Path] = []

    def write(folder: Path, panels: Sequence[Panel]) -> None:
        for panel in panels:
            if panel.draw is None:
                say(f"{folder / panel.name}: {panel.note}")
                continue
            name = folder_name("-".join(filter(None, (panel.name, panel.model))))
            for style in formats:
                save(panel.draw(width), folder / f"{name}.{style}")
                written.append(folder / f"{name}.{style}")
                say(str(written[-1]))

    for protocol in material.protocols:
        write(out / folder_name(protocol), comparison(material, protocol).panels)
    for section in task_sections(material, tasks=tasks):
        folder = out / folder_name(section.protocol) / folder_name(section.task)
        write(folder, [panel for panel in section.every_panel() if not panel.shown])
    return written
