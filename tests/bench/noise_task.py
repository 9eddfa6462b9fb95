"""Make a task of noise: a scene task whose clips have no content, for measurements of time."""

from __future__ import annotations

import json
import random
import wave
from collections.abc import Mapping
from pathlib import Path

_RATE = 16_000


def make_task(
    root: Path,
    name: str,
    clips: Mapping[str, int],
    *,
    seconds: float = 0.1,
    labels: int = 2,
    audio: bool = True,
) -> Path:
    """Write a multiclass task and return its directory.

    Args:
        root: the folder of the directory.
        name: of the task; it also decides the noise.
        clips: the number of clips of train, valid and test.
        seconds: the length of each clip.
        labels: the number of labels, which take turns.
        audio: whether to write the clips, not only their names.
    """
    directory = root / f"{name}-v1-full"
    draw = random.Random(name)
    for split, count in clips.items():
        folder = directory / str(_RATE) / split
        folder.mkdir(parents=True)
        truth = {}
        for i in range(count):
            clip = f"{name}-{split}{i:07d}.wav"
            if audio:
                with wave.open(f"{folder}/{clip}", "wb") as file:
                    file.setparams((1, 2, _RATE, 0, "NONE", ""))
                    file.writeframes(draw.randbytes(2 * round(_RATE * seconds)))
            truth[clip] = [str(i % labels)]
        (directory / f"{split}.json").write_text(json.dumps(truth))
    vocabulary = "".join(f"{i},{i}\n" for i in range(labels))
    (directory / "labelvocabulary.csv").write_text(f"idx,label\n{vocabulary}")
    metadata = {
        "task_name": name,
        "version": "v1",
        "mode": "full",
        "embedding_type": "scene",
        "prediction_type": "multiclass",
        "split_mode": "trainvaltest",
        "splits": ["train", "valid", "test"],
        "sample_duration": seconds,
        "evaluation": ["top1_acc"],
    }
    (directory / "task_metadata.json").write_text(json.dumps(metadata))
    return directory
