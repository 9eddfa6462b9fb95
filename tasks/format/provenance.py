"""What a task directory was written from, kept in it, so that another try can be told from this.

The file ``.plan`` of a task directory holds the rates, the length of its clips, and hashes of its
tables and of the source of each clip.
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
from tasks.format.files import METADATA
from tasks.format.groups import GROUPS, groups_table
from tasks.format.newtask import NewTask, tables
from tasks.format.wavs import Read

PLAN = ".plan"
"""File of a task directory that holds hashes of what it was written from."""

_FORMAT = "2"  # changed whenever the same plan is to give other files

Provenance = dict[str, Any]
"""What a directory is written from: its reader, its clips' length in seconds, its rates, and
hashes of its tables and of each clip's source; {} when that is not known."""


def provenance(task: NewTask, read: Read, rates: Sequence[int]) -> Provenance:
    """Return what a task is to be written from."""
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
    """Return the directory that was made from the plan; refuse one made from something else.

    ``renamed``: its name may have become longer, when clips were left out.
    """
    final = tasks_dir / task.name
    places = [final]
    if renamed:
        rest = task.name.removeprefix(task.task_name)
        places += sorted(tasks_dir.glob(f"{glob.escape(task.task_name)}*{glob.escape(rest)}"))
    for place in places:
        there = stored_provenance(place)
        if there == plan or _lacks_groups(there, plan):
            say(f"{place} is there already.")
            if there != plan and not (place / GROUPS).exists():
                _add_groups(place, task, plan)
                say(f"{place / GROUPS} was missing and is added.")
            return place
    if final.exists():
        how = "; ".join(differences(final, stored_provenance(final), plan, task))
        raise UserError(
            f"{final} is there already, made from something else: {how}. Delete it, or {elsewhere}."
        )
    return None


def _lacks_groups(there: Provenance, plan: Provenance) -> bool:
    """Return whether a directory's plan lacks only the groups, as earlier versions wrote it."""
    tables = {name: content for name, content in plan["tables"].items() if name != GROUPS}
    return there == {**plan, "tables": tables}


def _add_groups(directory: Path, task: NewTask, plan: Provenance) -> None:
    names = {clip for split in task.splits for clip in _listed_in(directory / f"{split}.json")}
    groups = {clip.name: clip.group for clip in task.clips if clip.name in names}
    write_file(directory / GROUPS, groups_table(groups))
    store_provenance(directory, plan)


def _listed_in(split_file: Path) -> dict[str, object]:
    return dict(json.loads(split_file.read_bytes()))


def store_provenance(directory: Path, plan: Provenance) -> None:
    """Write what a directory is written from into it."""
    write_file(directory / PLAN, json.dumps(plan, indent=0) + "\n")


def stored_provenance(directory: Path) -> Provenance:
    """Return what a directory was written from; {} if this version of the program does not know."""
    try:
        plan = json.loads((directory / PLAN).read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return plan if isinstance(plan, dict) and plan.get("by", "").startswith(f"{_FORMAT} ") else {}


def differences(
    directory: Path, there: Provenance, plan: Provenance, task: NewTask
) -> Iterator[str]:
    """Yield what differs between a directory's plan and another one, a phrase each."""
    if not there:
        yield "it does not say what, or another version of this program made it"
        return
    if there["by"] != plan["by"]:
        yield "it was made by another command"
    if there["rates"] != plan["rates"]:
        yield f"its rates are {_listed(there['rates'])} Hz, not {_listed(plan['rates'])}"
    if there["seconds"] != plan["seconds"]:
        yield f"its clips are {_length(there)}, not {_length(plan)}"
    before, now = there["sounds"], plan["sounds"]
    for what, names in (
        ("of other recordings", [name for name in now if before.get(name, now[name]) != now[name]]),
        ("that it lacks", [name for name in now if name not in before]),
        ("that would go", [name for name in before if name not in now]),
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
        there = json.loads(metadata.read_bytes())
    except (FileNotFoundError, ValueError):
        return ["all of it"]
    now = json.loads(tables(task)[METADATA])
    keys = sorted(key for key in {*there, *now} if there.get(key) != now.get(key))
    return [key for key in keys if key != "sample_duration"]
