"""Write the figures of a report as files for papers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.analysis.compare.gather import choose
from harness.core.files import write_file
from harness.models.spec import folder_name
from harness.report.comparison import HOW
from harness.report.figures.style import save
from harness.report.material import Material
from harness.report.panel import Panel
from harness.report.sections import protocol_section, task_sections
from harness.report.texts import without_folders


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

    They are in ``out/PROTOCOL`` (all tasks, comparisons) and ``out/PROTOCOL/TASK``;
    ``out/captions.md`` has their captions.

    Args:
        material: the results.
        out: the folder.
        width: in inches.
        formats: of ``harness.report.figures.style.FORMATS``.
        tasks: names or directories of tasks; all by default.
        say: receives the name of each file.

    Raises:
        UserError: a task has no results.
    """
    chosen = tuple(choose(material.rows, "task", tasks))
    written: list[Path] = []
    captions = ["# Captions"]

    def write(folder: Path, panels: Sequence[Panel], of: str) -> None:
        captions.append(f"## {of}")
        for panel in panels:
            if panel.draw is None:
                say(f"{folder / panel.name}: {panel.note}")
                continue
            name = folder_name("-".join(filter(None, (panel.name, panel.model))))
            for style in formats:
                save(panel.draw(width), folder / f"{name}.{style}")
                written.append(folder / f"{name}.{style}")
                say(str(written[-1]))
            title = f"{panel.title} of {panel.model}" if panel.model else panel.title
            said = " ".join(filter(None, [panel.note, panel.caption]))
            place = (folder / name).relative_to(out).as_posix()
            captions.append(f"`{place}`: {title}. {said}")

    for protocol in material.protocols:
        found = protocol_section(material, protocol)
        write(out / folder_name(protocol), [*found.summary, *found.comparison], protocol)
        captions += [note for note in found.notes if note != HOW]
    for section in task_sections(material, tasks=chosen):
        folder = out / folder_name(section.protocol) / folder_name(section.task)
        panels = [panel for panel in section.every_panel() if not panel.shown]
        write(folder, panels, f"{section.task} by {section.protocol}")
        captions += [section.left_out] if section.left_out else []
    written.append(out / "captions.md")
    write_file(written[-1], without_folders("\n\n".join(captions)) + "\n")
    return written
