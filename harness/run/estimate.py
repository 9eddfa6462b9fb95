"""Estimate the time left of a run from the seconds that finished units took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.progress import rough_duration

Kind = tuple[str, ...]
"""Units of equal cost have the same kind. Those with a common beginning have costs that are
proportional to what they usually take."""


@dataclass
class WorkPart:
    """A part of a run, a split or an evaluation.

    Attributes:
        kind: of its units: ("embed", model, task) or ("probe", protocol, task).
        amount: of work: seconds of audio, or probes.
        usual: seconds that an amount of 1 takes on another machine.
        done: amount of work that is done.
    """

    kind: Kind
    amount: float
    usual: float
    done: float = 0.0

    @property
    def left(self) -> float:
        """Amount of work that is not done."""
        return max(0.0, self.amount - self.done)


class Rates:
    """The seconds that units of each kind took, relative to what they usually take."""

    def __init__(self) -> None:
        self._spent: dict[Kind, list[float]] = {}

    def add(self, kind: Kind, seconds: float, usual: float) -> None:
        """Count the seconds of finished work, and those that it usually takes."""
        for length in range(1, len(kind) + 1):
            spent = self._spent.setdefault(kind[:length], [0.0, 0.0])
            spent[0] += seconds
            spent[1] += usual

    def of(self, kind: Kind) -> float | None:
        """Return the seconds for each usual second, from the units most similar to a kind.

        None if there are none.
        """
        for length in range(len(kind), 0, -1):
            seconds, usual = self._spent.get(kind[:length], (0.0, 0.0))
            if usual:
                return seconds / usual
            if kind[0] == "probe" and length == 2:
                return None  # the costs of protocols are not similar
        return None


class Estimate:
    """Estimates the time left of a run.

    Args:
        parts: the unfinished splits and evaluations by their folders. The cost of a split is
            assumed proportional to the length of its audio, that of an evaluation to the number of
            its probes.
        slots: number of workers.
        stored: rates of earlier runs, for kinds of units of which none was finished in this run.
    """

    def __init__(
        self, parts: dict[Path, WorkPart], slots: int, stored: Rates | None = None
    ) -> None:
        self._slots = slots
        self._stored = stored or Rates()
        self._rates = Rates()
        self._parts = parts

    def took(self, part: Path, seconds: float | None, *, whole: bool, share: float = 0.0) -> None:
        """Record the time of a finished unit.

        Args:
            part: the folder of the split, or of the evaluation that the unit belongs to.
            seconds: of work; None if another process did it.
            whole: whether the part is done.
            share: amount of the part's work that the unit did: seconds of audio, or probes.
        """
        found = self._parts.get(part)
        if found is None:
            return
        found.done += share
        if seconds is not None:
            self._rates.add(found.kind, seconds, share * found.usual)
        if whole:
            del self._parts[part]

    def seconds(self, parts: Iterable[Path]) -> tuple[float, bool]:
        """Return the seconds of work left in some parts, and whether all of them are known."""
        left = [self._parts[part] for part in parts if part in self._parts]
        known = [self._seconds(part) for part in left if part.left]
        return sum(each for each in known if each is not None), None not in known

    def share_left(self, part: Path) -> float:
        """Return which share of a part's work is left: 0 if it is done."""
        found = self._parts.get(part)
        if found is None:
            return 0.0
        return found.left / found.amount if found.amount else 1.0

    def cost(self, parts: Iterable[Path]) -> float:
        """Return the expected seconds left in some parts, by usual rates where none are known."""
        left = [self._parts[part] for part in parts if part in self._parts]
        known = [(self._seconds(part), part.left * part.usual) for part in left]
        return sum(usual if seconds is None else seconds for seconds, usual in known)

    def left(self) -> str:
        """Return the time left in words; empty if it cannot be estimated yet."""
        seconds, complete = self.seconds(self._parts)
        if not seconds:
            return ""
        return f"{'about' if complete else 'more than'} {self._shared(seconds)} left"

    def rough_left(self) -> str:
        """Return the time left in words, by usual rates where none are known.

        Empty if all rates are known.
        """
        _, complete = self.seconds(self._parts)
        return "" if complete else f"very roughly {self._shared(self.cost(self._parts))} left"

    def _shared(self, seconds: float) -> str:
        """Return in words how long the workers take for so much work."""
        return rough_duration(seconds / max(1, min(self._slots, len(self._parts))))

    def _seconds(self, part: WorkPart) -> float | None:
        rate = self._rates.of(part.kind)
        rate = self._stored.of(part.kind) if rate is None else rate
        return None if rate is None else part.left * part.usual * rate
