"""Progress of an evaluation in a notebook or a script: a line for each thing that is done."""

from __future__ import annotations

import sys

from harness.run.listener import Listener
from harness.run.units import EmbeddingUnit, Evaluation


class Printer(Listener):
    """Prints the events of a run on standard error."""

    def say(self, text: str) -> None:
        """Print a sentence."""
        print(text, file=sys.stderr, flush=True)

    def embedded(self, unit: EmbeddingUnit) -> None:
        """Print which split was embedded."""
        self.say(f"embedded {unit.spec.label} · {unit.source.directory.name} · {unit.split}")

    def scored(self, evaluation: Evaluation) -> None:
        """Print which evaluation is done."""
        self.say(f"scored   {evaluation.name}")

    def failed(self, name: str, error: str) -> None:
        """Print which evaluation failed, and why."""
        self.say(f"FAILED   {name}: {error}")
