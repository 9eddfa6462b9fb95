"""Commands whose work is killed and repeated, with their input."""

from __future__ import annotations

import csv
import json
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import corpora, sound_files, task_directories
from support.archives import RECORD, made_sample
from support.kill_commands import Job, snapshot
from support.pretraining_runs import FIELDS, make_audio
from support.record_server import RecordServer


@contextmanager
def all_jobs(root: Path) -> Iterator[list[Job]]:
    """Yield all commands with their input; a server publishes what is fetched."""
    with RecordServer() as server:
        yield [
            _make(root / "make"),
            _prepare(root / "prepare"),
            _fetch(root / "fetch", server),
            _pretrain(root / "pretrain"),
            _ablate(root / "ablate"),
        ]


def _make(root: Path) -> Job:
    rows = ["file,label,group"]
    for i in range(120):
        name = f"{i}.wav"
        sound_files.write(root / "sounds" / name, sound_files.noise(1.0, 44_100, i), 44_100)
        rows.append(f"{name},{'abc'[i % 3]},{i // 4}")
    (root / "labels.csv").write_text("\n".join([*rows, ""]))
    words = ("tasks", "make", root / "labels.csv", root / "sounds", "--name", "mine", "--jobs", 2)
    return Job("tasks make", lambda out: (*words, "--tasks-dir", out), ".*", snapshot)


def _prepare(root: Path) -> Job:
    corpora.free_spoken_digits(root / "source", takes=3)
    words = ("tasks", "prepare", "spoken_digit", "--source", root / "source", "--jobs", 2)
    return Job("tasks prepare", lambda out: (*words, "--tasks-dir", out), ".*", snapshot)


_FETCH = """
import pickle, sys
from types import MappingProxyType
import tasks.cards.builtin, tasks.fetch.archive
from harness.cli import main
card = pickle.load(open(sys.argv.pop(1), "rb"))
tasks.fetch.archive.API = sys.argv.pop(1)
tasks.cards.builtin.cards = lambda: MappingProxyType({card.name: card})
main()
"""


def _fetch(root: Path, server: RecordServer) -> Job:
    sample = made_sample()
    server.publish(RECORD, sample.file, sample.content)
    root.mkdir(parents=True)
    (root / "card").write_bytes(pickle.dumps(sample.card))
    program = (sys.executable, "-c", _FETCH, str(root / "card"), server.api)
    words = ("tasks", "fetch", sample.card.name)
    # The record of where an archive came from has the time of the download.
    return Job("tasks fetch", lambda out: (*words, "--tasks-dir", out), ".*", snapshot, program)


def _pretrain(root: Path) -> Job:
    audio = make_audio(root / "audio")
    (root / "tiny.yaml").write_text(json.dumps({**FIELDS, "crops": 240, "save_every": 5}))
    words = ("pretrain", audio, "--config", root / "tiny.yaml", "--accelerator", "cpu")
    return Job("pretrain", lambda out: (*words, "--out", out / "run"), "run/*", _trained)


def _trained(out: Path) -> object:
    """Return the weights and curves of all trainings below a folder."""
    from hear_byola.checkpoint import read_checkpoint

    found: dict[str, object] = {}
    for path in sorted(out.rglob("*.safetensors")):
        state = read_checkpoint(path).state
        found[path.name] = {name: tensor.numpy().tobytes() for name, tensor in state.items()}
    for path in sorted(out.rglob("metrics.csv")):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        found[path.relative_to(out).as_posix()] = [
            {name: value for name, value in row.items() if "per_second" not in name} for row in rows
        ]
    return found


def _ablate(root: Path) -> Job:
    audio = make_audio(root / "audio")
    task = task_directories.make_task(root, "scene", n=8, seconds=0.5)
    (root / "tiny.yaml").write_text(json.dumps({**FIELDS, "crops": 40}))
    study = {
        "audio": str(audio), "config": str(root / "tiny.yaml"), "reference": "all", "seeds": 2,
        "arms": {"all": {}, "crop": {"augmentations": ["random_resize_crop"]}},
        "tasks": [str(task)], "protocols": ["knn"],
    }  # fmt: skip
    (root / "study.yaml").write_text(json.dumps(study))
    words = ("ablate", root / "study.yaml", "--device", "cpu")
    return Job("ablate", lambda out: (*words, "--out", out / "study"), "study/*", _studied)


def _studied(out: Path) -> object:
    return _trained(out), (out / "study" / "table.csv").read_text()
