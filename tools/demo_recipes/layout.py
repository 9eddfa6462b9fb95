"""Define a built demo task, and store it as a HEAR task directory with OGG instead of wav."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ConfigDict, SkipValidation

from tasks.format.groups import GROUPS, groups_table
from tasks.format.spec import EmbeddingType, Names, PredictionType, SplitMode, TaskSpec
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
"""The allowed licences of recordings, with their addresses."""


@dataclass(frozen=True)
class SourceRecording:
    """A file of a package, with its author and licence."""

    package: PinnedPackage
    file: str
    author: str
    licence: str
    """A key of ``LICENCE_URLS``."""
    url: str = ""
    """Address of the first publication, if known."""


@dataclass(frozen=True)
class DemoClip:
    """A clip of a task, with the recordings that it contains."""

    name: str
    """The file name without its extension."""
    sound: Sound
    labels: Sequence[str] | Sequence[Mapping[str, str | float]]
    recordings: tuple[SourceRecording, ...]
    group: str = ""
    """Its group; "" if clips of the task share recordings, so that groups cannot be defined."""


class DemoTask(TaskSpec):
    """A built task, ready to be stored.

    Attributes:
        clips: the clips of each split.
        licence: licence of the clips, which the licences of all recordings allow.
        changes: a sentence on how the recordings were changed.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    version: str = "v1"
    mode: str = "full"
    embedding_type: EmbeddingType = EmbeddingType.SCENE
    prediction_type: PredictionType = PredictionType.MULTICLASS
    split_mode: SplitMode = SplitMode.TRAINVALTEST
    evaluation: Names = ("top1_acc", "mAP", "d_prime", "aucroc")
    title: str
    clips: SkipValidation[Mapping[str, Sequence[DemoClip]]]
    licence: str
    changes: str


def write(task: DemoTask, out: Path) -> None:
    """Write the task to ``out/<directory>``, which must not exist."""
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
    """Write a CSV with one row per clip and recording in it."""
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
