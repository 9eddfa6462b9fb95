"""Store in a task directory what it was written from, and compare that with a new plan.

The file ``.plan`` of a task directory contains the sample rates, the length of the clips, and
hashes of the tables and of the source of each clip.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.files import write_file
from harness.core.hashing import content_sha256
from hear_byola.core import jsontext
from tasks.format.files import METADATA
from tasks.format.groups import GROUPS, groups_table
from tasks.format.newtask import NewTask, tables
from tasks.format.wavs import Read

PLAN = ".plan"
"""File of a task directory with hashes of what it was written from."""

_FORMAT = "2"  # changed whenever the same plan gives different files

Provenance = dict[str, Any]
"""What a directory is written from: the reader, the length of the clips in seconds, the sample
rates, and hashes of the tables and of each clip's source; {} if this is unknown."""


def provenance(task: NewTask, read: Read, rates: Sequence[int]) -> Provenance:
    """Return the provenance of a task that is to be written."""
    return {
        "by": f"{_FORMAT} {read.__module__}.{read.__qualname__}",
        "seconds": task.sample_duration,
        "rates": sorted(rates),
        "tables": {name: _hash(content) for name, content in tables(task).items()},
        "sounds": {clip.name: _hash(repr(clip.source)) for clip in task.clips},
    }


def _hash(text: str) -> str:
    return content_sha256(text)[:16]


def made_before(
    task: NewTask,
    tasks_dir: Path,
    plan: Provenance,
    say: Callable[[str], None],
    elsewhere: str,
    renamed: bool = False,
) -> Path | None:
    """Return the directory that was made from the plan, or None if there is none.

    Args:
        task: the task to be written.
        tasks_dir: folder of task directories.
        plan: provenance of the task.
        say: called with a progress message.
        elsewhere: the advice in the error message besides deleting the directory.
        renamed: also search longer names, which a task gets when clips are left out.

    Raises:
        UserError: a directory of this name was made from a different plan.
    """
    final = tasks_dir / task.name
    places = [final]
    if renamed:
        rest = task.name.removeprefix(task.task_name)
        places += sorted(tasks_dir.glob(f"{glob.escape(task.task_name)}*{glob.escape(rest)}"))
    for place in places:
        there = stored_provenance(place)
        if there == plan or _lacks_groups(there, plan):
            say(f"{place} already exists.")
            if there != plan and not (place / GROUPS).exists():
                _add_groups(place, task, plan)
                say(f"{place / GROUPS} was missing and has been added.")
            return place
    if final.exists():
        how = "; ".join(differences(final, stored_provenance(final), plan, task))
        raise UserError(
            f"{final} already exists and was made from something else: {how}. Delete it, or "
            f"{elsewhere}."
        )
    return None


def _lacks_groups(there: Provenance, plan: Provenance) -> bool:
    """Return whether a directory's plan lacks only the groups, as earlier versions wrote it."""
    tables = {name: content for name, content in plan["tables"].items() if name != GROUPS}
    return there == {**plan, "tables": tables}


def _add_groups(directory: Path, task: NewTask, plan: Provenance) -> None:
    tables = [json.loads((directory / f"{split}.json").read_bytes()) for split in task.splits]
    names = {clip for table in tables for clip in table}
    groups = {clip.name: clip.group for clip in task.clips if clip.name in names}
    write_file(directory / GROUPS, groups_table(groups))
    store_provenance(directory, plan)


def store_provenance(directory: Path, plan: Provenance) -> None:
    """Write a directory's provenance into it."""
    write_file(directory / PLAN, json.dumps(plan, indent=0) + "\n")


def stored_provenance(directory: Path) -> Provenance:
    """Return a directory's provenance; {} if it has none or one of another format version."""
    try:
        plan = jsontext.load((directory / PLAN).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return plan if _is_provenance(plan) else {}


def _is_provenance(plan: object) -> bool:
    """Return whether a plan has the fields of this format version, each of its type."""
    if not isinstance(plan, dict) or not str(plan.get("by")).startswith(f"{_FORMAT} "):
        return False
    seconds, rates = plan.get("seconds", ""), plan.get("rates")
    hashes = [plan.get("tables"), plan.get("sounds")]
    return (
        (seconds is None or isinstance(seconds, int | float))
        and isinstance(rates, list)
        and all(type(rate) is int for rate in rates)
        and all(isinstance(of, dict) for of in hashes)
        and all(isinstance(digest, str) for of in hashes for digest in of.values())  # type: ignore[union-attr]
    )


def differences(
    directory: Path, there: Provenance, plan: Provenance, task: NewTask
) -> Iterator[str]:
    """Yield a phrase for each difference between a directory's plan and a new one."""
    if not there:
        yield "its origin is unknown, or another version of this program made it"
        return
    if there["by"] != plan["by"]:
        yield "it was made by another command"
    if there["rates"] != plan["rates"]:
        yield f"its rates are {_listed(there['rates'])} Hz, not {_listed(plan['rates'])}"
    if there["seconds"] != plan["seconds"]:
        yield f"its clips are {_length(there)}, not {_length(plan)}"
    before, now = there["sounds"], plan["sounds"]
    other = [name for name in now if before.get(name, now[name]) != now[name]]
    for what, names in (
        ("from other recordings", other),
        ("that it lacks", [name for name in now if name not in before]),
        ("that the new task does not have", [name for name in before if name not in now]),
    ):
        if names:
            yield f"{plural(len(names), 'clip')} {what} ('{names[0]}'{', ...' * (len(names) > 1)})"
    changed = [name for name in plan["tables"] if there["tables"].get(name) != plan["tables"][name]]
    if labelled := [name for name in changed if name not in (METADATA, GROUPS)]:
        yield f"other labels or splits ({', '.join(labelled)})"
    if there["tables"].get(GROUPS) != plan["tables"].get(GROUPS):
        yield "other groups"
    if METADATA in changed and (keys := _other_keys(directory / METADATA, task)):
        yield f"other metadata ({', '.join(keys)})"


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _length(plan: Provenance) -> str:
    return "of their own lengths" if plan["seconds"] is None else f"{plan['seconds']:g} s long"


def _other_keys(metadata: Path, task: NewTask) -> list[str]:
    try:
        there = jsontext.load(metadata.read_bytes())
    except (FileNotFoundError, ValueError):
        return ["all of it"]
    if not isinstance(there, dict):
        return ["all of it"]
    now = json.loads(tables(task)[METADATA])
    keys = sorted(key for key in {*there, *now} if there.get(key) != now.get(key))
    return [key for key in keys if key != "sample_duration"]
