"""Estimate the time left of a run from the seconds that its finished units took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.progress import rough_duration
from harness.probe import PROTOCOLS, number_of_units
from harness.run.units import EmbeddingUnit, Evaluation

Kind = tuple[str, ...]
"""Units of equal cost have the same kind; units of similar cost have a common beginning."""


@dataclass
class _Part:
    """A part of a run: its kind, its amount of work, and the amount that is done."""

    kind: Kind
    amount: float
    done: float = 0.0

    @property
    def left(self) -> float:
        return max(0.0, self.amount - self.done)


class Estimate:
    """Estimates the time left of a run.

    Args:
        units: splits to embed. Their cost is assumed proportional to the length of their audio.
        evaluations: evaluations to probe. Their cost is assumed proportional to the number of
            probes.
        slots: number of workers.
    """

    def __init__(
        self, units: Iterable[EmbeddingUnit], evaluations: Iterable[Evaluation], slots: int
    ) -> None:
        self._slots = slots
        self._spent: dict[Kind, list[float]] = {}
        self._parts: dict[Path, _Part] = {}
        for unit in units:
            kind = ("embed", unit.spec.label, unit.source.directory.name)
            self._parts[unit.directory] = _Part(kind, unit.seconds)
        sizes: dict[tuple[str, str], int] = {}
        for evaluation in evaluations:
            name = (evaluation.protocol, evaluation.task_name)
            if name not in sizes:
                sizes[name] = number_of_units(
                    PROTOCOLS[evaluation.protocol], evaluation.embeddings.task()
                )
            self._parts[evaluation.directory] = _Part(("probe", *name), sizes[name])

    def took(self, part: Path, seconds: float, *, whole: bool, share: float = 0.0) -> None:
        """Record the time of a finished unit.

        Args:
            part: the folder of the split, or of the evaluation that the unit belongs to.
            seconds: of work.
            whole: whether the part is done.
            share: amount of the part's work that the unit did: seconds of audio, or probes.
        """
        found = self._parts.get(part)
        if found is None:
            return
        found.done += share
        for length in range(1, len(found.kind) + 1):
            spent = self._spent.setdefault(found.kind[:length], [0.0, 0.0])
            spent[0] += seconds
            spent[1] += share
        if whole:
            del self._parts[part]

    def left(self) -> str:
        """Return the time left in words; empty if it cannot be estimated yet."""
        known = [self._seconds(part) for part in self._parts.values() if part.left]
        seconds = sum(each for each in known if each is not None)
        if not seconds:
            return ""
        seconds /= max(1, min(self._slots, len(self._parts)))
        word = "more than" if None in known else "about"
        return f"{word} {rough_duration(seconds)} left"

    def _seconds(self, part: _Part) -> float | None:
        """Return the seconds left of a part, from the finished units most similar to it."""
        for length in range(len(part.kind), 0, -1):
            seconds, amount = self._spent.get(part.kind[:length], (0.0, 0.0))
            if amount:
                return part.left * seconds / amount
            if part.kind[0] == "probe" and length == 2:
                return None  # the costs of protocols are not similar
        return None
