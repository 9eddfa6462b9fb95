"""The events of a run, as methods that a display or a test overrides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.run.units import EmbeddingUnit, Evaluation


class Listener:
    """Receives the events of a run; this one ignores them."""

    def say(self, text: str) -> None:
        """Receive a sentence for the user."""

    def planned(self, embeddings: int, evaluations: int) -> None:
        """Receive the numbers of unfinished splits and evaluations, before work starts."""

    def working(self, units: Sequence[tuple[str, Path]], left: str) -> None:
        """Receive the units that are being worked on.

        Args:
            units: name and key of each unit; :func:`harness.run.pulse.pulse_of` takes the key.
            left: the time left in words; empty if it is not known.
        """

    def embedded(self, unit: EmbeddingUnit) -> None:
        """Receive a split that was embedded."""

    def probed(self, evaluation: Evaluation) -> None:
        """Receive an evaluation after one of its probes was trained."""

    def scored(self, evaluation: Evaluation) -> None:
        """Receive an evaluation that is done."""

    def failed(self, name: str, error: str) -> None:
        """Receive the name of an evaluation that failed and the error; the others continue."""
