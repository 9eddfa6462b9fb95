"""Read the groups of a task's clips from ``groups.csv`` or from the clips' names.

Clips of one group share a source, such as a speaker, a recording or an instrument. They are not
independent, so the independent units of a test set are its groups. A clip has the same group in
all splits.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping

from harness.core.counts import plural
from harness.core.spelling import composed

GROUPS = "groups.csv"

_COLUMNS = ("clip", "group")


def parse_groups(
    text: str, clips: Collection[str], report: Callable[[str], None]
) -> dict[str, str]:
    """Parse the text of ``groups.csv``.

    Args:
        text: CSV with the columns clip and group and one row per clip. Other columns are ignored.
        clips: the names of the task's clips in all splits.
        report: called with a message for each fault.

    Returns:
        The group of each clip by its name, in Unicode form NFC. Empty if there is any fault, so
        that either all clips have a group or none.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = reader.fieldnames or ()
        rows = [
            (reader.line_num, row.get("clip") or "", composed((row.get("group") or "").strip()))
            for row in reader
        ]
    except csv.Error as error:
        report(f"line {reader.line_num}: {error}.")
        return {}
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        report(f"needs the columns clip,group; lacks {' and '.join(missing)}.")
        return {}
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    faults: dict[str, list[str]] = {"empty": [], "twice": [], "unknown": []}
    known = set(clips)
    for line, clip, group in rows:
        if not clip or not group.strip():
            faults["empty"].append(f"line {line}: the clip or its group is empty")
        elif clip in lines:
            faults["twice"].append(f"line {line}: clip '{clip}' is also on line {lines[clip]}")
        elif clip not in known:
            faults["unknown"].append(f"line {line}: no split contains a clip '{clip}'")
        lines.setdefault(clip, line)
        found[clip] = group
    for same in filter(None, faults.values()):
        # The groups.csv of another task gives thousands of such lines.
        report(f"{same[0]}{f' ({len(same) - 1} more such lines)' * (len(same) > 1)}.")
    absent = [clip for clip in dict.fromkeys(clips) if clip not in lines]
    if absent:
        have = "has" if len(absent) == 1 else "have"
        report(
            f"{len(absent)} of {plural(len(known), 'clip')} {have} no row, for example "
            f"'{absent[0]}'. Every clip must have one."
        )
    return {} if absent or any(faults.values()) else found


def derive_groups(pattern: str, clips: Collection[str]) -> tuple[dict[str, str], str]:
    """Derive the group of each clip from its name.

    Args:
        pattern: regular expression that must match a whole name. Its one capture group is the
            clip's group.
        clips: the names of the task's clips in all splits.

    Returns:
        A mapping from clip name to group, and "". If a name does not match: an empty mapping and
        that name.
    """
    expression = re.compile(pattern)
    found = {}
    for clip in clips:
        match = expression.fullmatch(clip)
        if match is None or not match[1]:
            return {}, clip
        found[clip] = match[1]
    return found, ""


def misfit(clip: str) -> str:
    """Return the message for a clip whose name does not match a card's group_pattern."""
    return (
        f"the card's group_pattern does not match the name of clip '{clip}'. No groups are used, "
        f"and clips count as independent. Correct the pattern or add {GROUPS}."
    )


def groups_table(groups: Mapping[str, str]) -> str:
    """Return the text of ``groups.csv``, sorted by clip."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows(sorted(groups.items()))
    return text.getvalue()
