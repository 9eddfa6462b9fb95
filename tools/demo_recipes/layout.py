"""What a recipe returns, and how it is stored: a HEAR task directory with OGG for wav."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, SkipValidation

from tasks.format.groups import GROUPS, groups_table
from tasks.format.spec import TaskSpec
from tools.demo_recipes.sound import Sound, below_full_scale
from tools.demo_recipes.sources import PinnedPackage
from tools.demo_recipes.vorbis import encode

LICENCE_URLS = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-SA-2.5": "https://creativecommons.org/licenses/by-sa/2.5/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
}
"""The only licences a recording may have here."""


@dataclass(frozen=True)
class SourceRecording:
    """One file of a package, and whom to credit for it."""

    package: PinnedPackage
    file: str
    author: str
    licence: str
    """A key of ``LICENCE_URLS``."""
    url: str = ""
    """Where the recording was published first, if that is known."""


@dataclass(frozen=True)
class DemoClip:
    """A clip of a task, with the recordings that can be heard in it."""

    name: str
    """The file name without its extension."""
    sound: Sound
    labels: Sequence[str] | Sequence[Mapping[str, str | float]]
    recordings: tuple[SourceRecording, ...]
    group: str = ""
    """Its group; "" where the recordings of a task's clips overlap, so that no groups exist."""


class DemoTask(TaskSpec):
    """A built task, ready to be stored.

    Attributes:
        clips: of each split.
        licence: of the clips: one that every recording's own licence allows.
        changes: what was done to the recordings, in a sentence.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    version: str = "v1"
    mode: str = "full"
    title: str
    clips: SkipValidation[Mapping[str, Sequence[DemoClip]]]
    licence: str
    changes: str


def write(task: DemoTask, out: Path) -> None:
    """Store the task under ``out/<directory>``, which must not exist yet."""
    root = out / task.name
    root.mkdir(parents=True)
    _write_json(root / "task_metadata.json", task.to_json())
    with (root / "labelvocabulary.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["idx", "label"])
        writer.writerows(enumerate(task.labels))
    for split, clips in task.clips.items():
        ordered = sorted(clips, key=lambda clip: clip.name)
        _write_json(root / f"{split}.json", {f"{c.name}.wav": c.labels for c in ordered})
        (root / split).mkdir()
        for clip in ordered:
            (root / split / f"{clip.name}.ogg").write_bytes(encode(below_full_scale(clip.sound)))
    _write_origins(task, root / "origins.csv")
    groups = {f"{c.name}.wav": c.group for clips in task.clips.values() for c in clips if c.group}
    if groups:
        (root / GROUPS).write_text(groups_table(groups), encoding="utf-8")
    (root / "ATTRIBUTION.md").write_text(_attribution(task), encoding="utf-8")


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _write_origins(task: DemoTask, path: Path) -> None:
    """Name, for each clip, the recordings heard in it: one row each."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "clip", "package", "recording"])
        for split, clips in task.clips.items():
            for clip in sorted(clips, key=lambda clip: clip.name):
                for recording in clip.recordings:
                    writer.writerow([split, clip.name, recording.package.name, recording.file])


def _attribution(task: DemoTask) -> str:
    recordings = {
        (r.package.name, r.file): r
        for clips in task.clips.values()
        for clip in clips
        for r in clip.recordings
    }
    used = [recordings[key] for key in sorted(recordings)]
    credits: dict[tuple[str, str, str, str], list[str]] = {}
    for r in used:
        credits.setdefault((r.package.name, r.author, r.licence, r.url), []).append(r.file)
    packages = sorted({(r.package.registry, r.package.pin) for r in used})
    lines = [
        f"# {task.title}: licence and attribution",
        "",
        f"The clips of `{task.name}` are licensed under [{task.licence}]"
        f"({LICENCE_URLS[task.licence]}). They were made from the recordings below.",
        "",
        f"Changes: {task.changes} All was resampled to 16 kHz mono and encoded as OGG Vorbis.",
        "",
        "`origins.csv` names the recordings heard in each clip.",
        "",
        "Packages: " + ", ".join(f"`{pin}` ({registry})" for registry, pin in packages) + ".",
        "",
        "| recordings | package | author | licence | first published |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {', '.join(files)} | {package} | {author} | [{licence}]({LICENCE_URLS[licence]}) "
        f"| {url} |"
        for (package, author, licence, url), files in credits.items()
    ]
    return "\n".join(lines) + "\n"
