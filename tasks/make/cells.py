"""Find faults in the cells of one row of a table of labels."""

from __future__ import annotations

import math
import posixpath
import re
from collections.abc import Iterator, Mapping

from harness.core.errors import did_you_mean

SPLIT_CALLED = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev", "development"), "valid"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""The split of each common split name, in lower case."""
BETWEEN_LABELS = ";"


def cell_faults(cells: Mapping[str, str], event: bool) -> Iterator[str]:
    """Yield a sentence for each cell that cannot be used.

    Args:
        cells: the cell of each column: file and label; for events also onset and offset; optional
            are split, fold and group.
        event: whether the row is of an event.
    """
    if fault := path_fault(cells["file"]):
        yield fault
    if event:
        yield from _event_faults(cells)
    else:
        parts = [part.strip() for part in cells["label"].split(BETWEEN_LABELS)]
        if not all(parts):
            yield (
                "the label is empty: every recording needs one."
                if len(parts) == 1
                else (f"one of the labels in '{cells['label']}' is empty.")
            )
        given = [part for part in parts if part]
        if len(set(given)) < len(given):
            yield f"a label occurs twice in '{cells['label']}'."
    for name in ("split", "fold", "group"):
        if name in cells and not cells[name]:
            yield f"the {name} is empty: give one to every row, or remove the column."
    if cells.get("split") and cells["split"].casefold() not in SPLIT_CALLED:
        yield (
            f"the split '{cells['split']}' is unknown: it must be train, valid or test."
            f"{did_you_mean(cells['split'], SPLIT_CALLED)}"
        )


def path_fault(name: str) -> str:
    """Return the fault of a file's name, or ""."""
    if not name:
        return "the file is empty."
    if not name.isprintable():
        return f"the file {name!r} contains a control character: rename it."
    if "\\" in name:
        return f"the file '{name}' must be written with slashes: {name.replace(chr(92), '/')}."
    if name.startswith(("/", "~")) or re.match("[A-Za-z]:", name) or ".." in name.split("/"):
        return (
            f"the file '{name}' must be a path inside the folder of recordings, without '..' and "
            "without '/' at its start."
        )
    return "" if posixpath.normpath(name) != "." else f"the file '{name}' is the folder itself."


def _event_faults(cells: Mapping[str, str]) -> Iterator[str]:
    label, times = cells["label"], (cells["onset"], cells["offset"])
    if not label and not any(times):
        return  # a recording without events
    if not label:
        yield "the label is empty."
    elif BETWEEN_LABELS in label:
        yield f"the label '{label}' contains a semicolon: give each event its own row."
    onset, offset = (_seconds(time) for time in times)
    for name, text, value in zip(("onset", "offset"), times, (onset, offset)):
        if value is None:
            comma = " Write decimals with a point." if "," in text else ""
            yield f"the {name} must be a number of seconds, 0 or more, not '{text}'.{comma}"
    if onset is not None and offset is not None and offset <= onset:
        yield f"the offset, {offset:g} s, must be later than the onset, {onset:g} s."


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
