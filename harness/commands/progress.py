"""How a run goes, told on the terminal: two bars where there is one, and a line a result."""

from __future__ import annotations

import json
import time

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from harness.run.execute import Listener
from harness.run.plan import EmbeddingUnit, Evaluation


class ConsoleListener(Listener):
    """Draws progress on standard error; a context manager, so that the bars end cleanly."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[last]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._embed = self._progress.add_task("embed", total=0, last="", visible=False)
        self._score = self._progress.add_task("probe, score", total=0, last="", visible=False)
        self._total = 0
        self._scored = 0
        self._started = time.monotonic()

    def __enter__(self) -> ConsoleListener:
        """Start the bars."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End the bars."""
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._console.print(escape(text))

    def planned(self, embeddings: int, evaluations: int) -> None:
        """Show what is left to do."""
        self._total = evaluations
        self.say(f"to do: {embeddings} splits to embed, {evaluations} evaluations to probe")
        self._progress.update(self._embed, total=embeddings, visible=embeddings > 0)
        self._progress.update(self._score, total=evaluations, visible=evaluations > 0)

    def embedded(self, unit: EmbeddingUnit) -> None:
        """Count a split."""
        manifest = json.loads((unit.directory / "manifest.json").read_text())
        self.say(
            f"embedded  {unit.spec.label} · {unit.source.directory.name} · {unit.split}: "
            f"{manifest['n_clips']} clips in {manifest['embed_seconds']:.1f} s"
        )
        self._progress.advance(self._embed)

    def probed(self, evaluation: Evaluation) -> None:
        """Show which evaluation the last probe belongs to."""
        self._progress.update(self._score, last=escape(evaluation.name))

    def scored(self, evaluation: Evaluation) -> None:
        """Print the primary metric with its interval."""
        rows = json.loads((evaluation.directory / "result.json").read_text())["rows"]
        row = next(row for row in rows if row["is_primary"] and row["split"] == "all")
        value = "undefined" if row["value"] is None else f"{row['value']:.3f}"
        if row["ci_low"] is not None:
            value += f" [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
        self._scored += 1
        self.say(
            f"scored    {evaluation.name}: {row['metric']} {value} "
            f"({self._scored}/{self._total}, {time.monotonic() - self._started:.0f} s)"
        )
        self._progress.advance(self._score)

    def failed(self, name: str, error: str) -> None:
        """Print what failed, and why."""
        self._console.print(f"[bold red]FAILED[/]    {escape(name)}: {escape(error)}")
