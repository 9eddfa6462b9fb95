"""The progress of a run: bars and the current work on a terminal, lines in a log file."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from harness.commands.display import Display
from harness.commands.output import indented
from harness.core.counts import plural
from harness.core.progress import Pace
from harness.run.listener import Listener
from harness.run.pulse import pulse_of
from harness.run.units import EmbeddingUnit, Evaluation

_LOOK_EVERY = 1.0
"""Seconds between two updates of the current work."""

_LINE_EVERY = 60.0
"""Seconds without a line after which a log file gets one about the current work."""


class RunDisplay(Display, Listener):
    """Shows the events of a run."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[last]}"),
        )
        self._embed = self.bars.add_task("embed", total=0, last="", visible=False)
        self._score = self.bars.add_task("probe, score", total=0, last="", visible=False)
        self._total = 0
        self._scored = 0
        self._started = time.monotonic()
        self._silence = Pace(_LINE_EVERY)
        self._now: Sequence[tuple[str, Path]] = ()
        self._left = ""
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> RunDisplay:
        super().__enter__()
        self._watch.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._watch.join()
        super().__exit__(*error)

    def say(self, text: str) -> None:
        """Print a sentence."""
        self.line(text)

    def line(self, text: str, head: str = "") -> None:
        """Print a line above the bars."""
        self._silence.restart()
        super().line(text, head)

    def planned(self, embeddings: int, evaluations: int) -> None:
        """Show what is left to do."""
        self._total = evaluations
        self.say(
            f"to do: {plural(embeddings, 'split')} to embed, "
            f"{plural(evaluations, 'evaluation')} to probe"
        )
        self.bars.update(self._embed, total=embeddings, visible=embeddings > 0)
        self.bars.update(self._score, total=evaluations, visible=evaluations > 0)

    def working(self, units: Sequence[tuple[str, Path]], left: str) -> None:
        """Store the current work and the remaining time."""
        self._now, self._left = units, left

    def embedded(self, unit: EmbeddingUnit) -> None:
        """Count a split."""
        manifest = json.loads((unit.directory / "manifest.json").read_text())
        self.say(
            f"embedded  {unit.spec.label} · {unit.source.directory.name} · {unit.split}: "
            f"{plural(manifest['n_clips'], 'clip')} in {manifest['embed_seconds']:.1f} s"
        )
        self.bars.advance(self._embed)

    def scored(self, evaluation: Evaluation) -> None:
        """Print the primary metric with its interval."""
        rows = json.loads((evaluation.directory / "result.json").read_text())["rows"]
        row = next(row for row in rows if row["is_primary"] and row["split"] == "all")
        value = "undefined" if row["value"] is None else f"{row['value']:.3f}"
        if row["ci_low"] is not None:
            value += f" [{row['ci_low']:.3f}, {row['ci_high']:.3f}]"
        self._scored += 1
        passed = f"{time.monotonic() - self._started:.0f} s"
        left = f", {self._left}" if self._left and self._scored < self._total else ""
        self.say(
            f"scored    {evaluation.name}: {row['metric']} {value} "
            f"({self._scored}/{self._total}, {passed}{left})"
        )
        self.bars.advance(self._score)

    def failed(self, name: str, error: str) -> None:
        """Print a failure and its reason."""
        self.line(f"{name}: {indented(error)}", head="[bold red]FAILED[/]    ")

    def _look(self) -> None:
        """Show the current work at intervals, until the run ends."""
        while not self._ended.wait(_LOOK_EVERY):
            now = self._describe_now()
            if not now:
                continue
            if not self.has_bars:
                if self._silence.due():
                    self.line(f"working on {now}")
                continue
            for bar in (self._embed, self._score):
                shown = bar == (self._score if self._total else self._embed)
                self.bars.update(bar, last=escape(now) if shown else "")

    def _describe_now(self) -> str:
        """Return the current unit, its progress, and the remaining time of the run."""
        if not self._now:
            return ""
        (name, unit), *others = self._now
        extent = pulse_of(unit)
        text = name + (f" ({extent})" if extent else "")
        text += f" and {len(others)} more" if others else ""
        return f"{text}; {self._left}" if self._left else text
