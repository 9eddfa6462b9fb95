"""Find labels, groups and folds of a table that read the same but are spelt differently."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from harness.core.counts import first_of
from harness.core.spelling import alike, composed, difference, quoted
from tasks.make.cells import BETWEEN_LABELS
from tasks.make.faults import Faults, places

_COLUMNS = ("label", "group", "fold")
_SHOWN = 3
_KEPT_TOGETHER = ("group", "fold")


class Spellings:
    """Collects the spellings of the names in a table, each with its lines."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[str, list[int]]] = {name: {} for name in _COLUMNS}

    def read(self, line: int, cells: Mapping[str, str]) -> dict[str, str]:
        """Return a row's cells with names in Unicode form NFC, and store the original names."""
        read = dict(cells)
        for column in _COLUMNS:
            if column not in cells:
                continue
            several = column == "label"
            for name in cells[column].split(BETWEEN_LABELS) if several else [cells[column]]:
                if name.strip():
                    self._lines[column].setdefault(name.strip(), []).append(line)
            read[column] = composed(cells[column])
        return read

    def refuse(self, faults: Faults) -> None:
        """Add a fault for each group or fold that reads the same as an earlier one."""
        for column in _KEPT_TOGETHER:
            lines = self._by_name(column)
            for first, *others in alike(lines):
                for other in others:
                    faults.add(
                        lines[other][0],
                        f"the {column}s {quoted(other)} and {quoted(first)} of line "
                        f"{lines[first][0]} differ in {difference(first, other)}: use one spelling "
                        f"for one {column}, or clearly different names for two.",
                    )

    def notes(self) -> Iterator[str]:
        """Yield sentences on names in several Unicode forms, and on labels that read the same."""
        for column in _COLUMNS:
            forms: dict[str, list[str]] = defaultdict(list)
            for name in self._lines[column]:
                forms[composed(name)].append(name)
            several = [names for names in forms.values() if len(names) > 1]
            if several:
                one = f"1 {column} is" if len(several) == 1 else f"{len(several)} {column}s are"
                yield (
                    f"{one} written in several Unicode forms, which are read as one: "
                    f"{self._listed(several, self._lines[column])}"
                )
        lines = self._by_name("label")
        for names in alike(lines):
            yield (
                f"warning: {len(names)} labels read the same and differ in "
                f"{difference(*names[:2])}: {self._listed([names], lines)}; spell them in one way "
                "if they are one label"
            )

    def _by_name(self, column: str) -> dict[str, list[int]]:
        """Return the lines of each name, in one Unicode form."""
        lines: dict[str, list[int]] = defaultdict(list)
        for name, of_name in self._lines[column].items():
            lines[composed(name)] += of_name
        return lines

    @staticmethod
    def _listed(names: Sequence[Sequence[str]], lines: Mapping[str, list[int]]) -> str:
        """Return the first sets of names as text, each name with its lines."""
        shown = [
            " and ".join(f"{quoted(name)} on {places(sorted(lines[name]))}" for name in of_one)
            for of_one in names
        ]
        return "; ".join(first_of(shown, _SHOWN))
