"""Which clips of a task belong together: ``groups.csv`` of a task directory, or the clips' names.

A group is what its clips have in common beyond their labels: a speaker, a recording, an instrument.
Clips of one group are not independent, so a test set has as many units as it has groups. A clip has
one group, whatever splits it is in.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Collection, Mapping

GROUPS = "groups.csv"

FEW = 40
"""With fewer test groups, intervals by groups are rough."""

FEWEST = 6
"""With fewer test groups there is no interval of the right coverage, and none is shown."""

_COLUMNS = ("clip", "group")


def parse_groups(
    text: str, clips: Collection[str], report: Callable[[str], None]
) -> dict[str, str]:
    """Read the group of every clip from the text of ``groups.csv``.

    Args:
        text: CSV with the columns clip and group, a row a clip; others are not read.
        clips: the names of the task's clips, in all splits.
        report: told each thing that is wrong, a sentence each.

    Returns:
        The group of each clip; nothing where anything was reported, so that groups are never half.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        columns = reader.fieldnames or ()
        rows = [(reader.line_num, row.get("clip") or "", row.get("group") or "") for row in reader]
    except csv.Error as error:
        report(f"line {reader.line_num}: {error}.")
        return {}
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        report(f"needs the columns clip,group; lacks {' and '.join(missing)}.")
        return {}
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    known, whole = set(clips), True
    for line, clip, group in rows:
        reason = ""
        if not clip or not group.strip():
            reason = "needs a clip and a group."
        elif clip in lines:
            reason = f"the clip '{clip}' is on line {lines[clip]} too."
        elif clip not in known:
            reason = f"no split has a clip '{clip}'."
        if reason:
            report(f"line {line}: {reason}")
            whole = False
        lines.setdefault(clip, line)
        found[clip] = group
    if absent := [clip for clip in dict.fromkeys(clips) if clip not in lines]:
        report(
            f"must have a row for every clip; {len(absent)} of {len(known)} have none, "
            f"'{absent[0]}' for one."
        )
        whole = False
    return found if whole else {}


def derive_groups(pattern: str, clips: Collection[str]) -> tuple[dict[str, str], str]:
    """Read the group of every clip from its name.

    Args:
        pattern: a regular expression with one capture group that matches a whole name; what it
            captures is the group.
        clips: the names of the task's clips, in all splits.

    Returns:
        The group of each clip and "". Where the pattern does not fit a name, no group and that
        name: groups are never half.
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
    """Return a sentence on a clip whose name a pattern of groups does not fit."""
    return (
        f"the card's group_pattern does not fit the name of clip '{clip}', so no clip has a group "
        f"and each counts as independent. Correct the pattern, or add {GROUPS}."
    )


def groups_table(groups: Mapping[str, str]) -> str:
    """Return the text of ``groups.csv``, by clip in alphabetical order."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows(sorted(groups.items()))
    return text.getvalue()
