"""What reads configs, checkpoints and files of trainings, each with valid input."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import torch
from support import sound_files
from support.hostile.trial import Reader

STUDY = """
name: table2
audio: pool
config: byola-512-small
overrides: {crops: 40000}
seeds: [0, 1]
reference: BYOL-A
arms:
  BYOL-A:
  RRC: {augmentations: [random_resize_crop]}
  untrained: {untrained: true, seeds: 3}
suite: demo
tasks: [../my-task-v1-full]
protocols: [linear]
paper: paper.csv
"""
PAPER = "arm,source,demo,mean\nBYOL-A,Table 2,78.5,78.5\nRRC,Table 2,70.0,70.0\n"


def _write_study(folder: Path) -> None:
    (folder / "study.yaml").write_text(STUDY)
    (folder / "paper.csv").write_text(PAPER)


def _read_study(folder: Path) -> None:
    from harness.ablation.study import read_study
    from hear_byola.pretraining.config import read_config

    study = read_study(folder / "study.yaml")
    for arm in study.arms:
        read_config(study.config, {**study.overrides, **arm.overrides})


def _write_config(folder: Path) -> None:
    fields = {name: value for name, value in _config().items() if value is not None}
    (folder / "config.yaml").write_text(json.dumps(fields))


def _read_config(folder: Path) -> None:
    from hear_byola.pretraining.config import read_config

    read_config(folder / "config.yaml", {})


@cache
def _checkpoint(kind: str) -> Path:
    from hear_byola.checkpoint import Checkpoint, save_checkpoint
    from hear_byola.encoder import make_encoder

    state = {
        name: torch.zeros_like(t) for name, t in make_encoder("2020", 512).state_dict().items()
    }
    path = Path(tempfile.mkdtemp(prefix="hostile-")) / f"weights.{kind}"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    if kind == "pth":
        torch.save(state, path)
    else:
        made = Checkpoint("2020", 512, state, "slaney", -9.6, 4.7, {"crops": 1}, "data", "CC0-1.0")
        save_checkpoint(path, made)
    return path


def _write_checkpoint(kind: str, folder: Path) -> None:
    shutil.copy(_checkpoint(kind), folder)


def _read_checkpoint(folder: Path) -> None:
    from harness.commands.arguments import as_user_errors
    from hear_byola.checkpoint_report import describe, format_description
    from hear_byola.loading import load

    (path,) = folder.iterdir()
    nothing = dict.fromkeys(
        ("version", "d", "convention", "mean", "std", "seed", "init", "hop_ms", "precision")
    )
    with as_user_errors():
        format_description(describe(path))
        load(str(path), **nothing)


def _write_state(folder: Path) -> None:
    torch.save(
        {
            "pytorch-lightning_version": "2.6.0", "global_step": 3, "epoch": 0,
            "state_dict": {"a": torch.ones(3)}, "optimizer_states": [{"state": {}}],
        },
        folder / "resume.ckpt",
    )  # fmt: skip


def _read_state(folder: Path) -> None:
    from hear_byola.pretraining.state import WholeFiles

    WholeFiles().load_checkpoint(folder / "resume.ckpt")


def _write_training(folder: Path) -> None:
    fields = {name: value for name, value in _config().items() if value is not None}
    (folder / "config.yaml").write_text(json.dumps(fields))
    (folder / "metrics.csv").write_text("step,loss,std\n1,3.5,0.1\n2,3.4,0.2\n")
    _write_state(folder)


def _read_training(folder: Path) -> None:
    from hear_byola.pretraining.config import PretrainConfig
    from hear_byola.pretraining.folder import Folder
    from hear_byola.pretraining.metrics import CurveLog

    place = Folder(folder, "byola")
    place.precision()
    place.keep_config(PretrainConfig().as_dict())
    CurveLog(place.metrics).rewind(1)


def _write_sounds(source: str, folder: Path) -> None:
    from hear_byola.pretraining import corpus  # noqa: F401 (its import is slow)

    for name in ("a/0.wav", "b/1.wav"):
        sound_files.write(folder / "sounds" / name, sound_files.noise(0.1))
    if source == "list.csv":
        (folder / source).write_text(
            "path,kind,weight\nsounds/a/0.wav,music,1\nsounds/b/1.wav,speech,0.5\n"
        )
    elif source == "list.txt":
        (folder / source).write_text("sounds/a/0.wav\nsounds/b/1.wav\n")
    else:
        contents = {p.name: p.read_bytes() for p in (folder / "sounds").rglob("*.wav")}
        sound_files.pack(folder / source, contents)


def _read_sounds(source: str, folder: Path) -> None:
    from hear_byola.pretraining.corpus import scan

    scan(folder / source)


def _config() -> Mapping[str, object]:
    from hear_byola.pretraining.config import PretrainConfig

    return PretrainConfig().as_dict()


def _write_trained(folder: Path) -> None:
    content = {"checkpoint": "arm.safetensors", "config": dict(_config())}
    (folder / "training.json").write_text(json.dumps(content))
    (folder / "arm.safetensors").touch()


def _read_trained(folder: Path) -> None:
    from harness.ablation.trainings import RECORD, Training, finished
    from hear_byola.pretraining.config import differing

    shutil.copy(folder / "training.json", folder / RECORD)
    finished(Training("arm", folder, _config(), folder), differing)


def _write_corpus_record(folder: Path) -> None:
    content = {
        "version": 1, "audio": str(folder / "list.txt"), "description": "a", "sha256": "0" * 64,
        "sounds": 7, "skipped": {}, "hours": {"a": 1.5},
        "statistics": {"mean": -9.5, "std": 4.5}, "measured_on": ["0", {}, 0, "slaney"],
    }  # fmt: skip
    (folder / "corpus.json").write_text(json.dumps(content))


def _read_corpus_record(folder: Path) -> None:
    from hear_byola.pretraining import prepare

    known = prepare._read(folder / "corpus.json")
    prepare.Statistics(**known["statistics"])


def _write_searched(folder: Path) -> None:
    _write_sounds("list.txt", folder)
    _write_corpus_record(folder)


def _read_searched(folder: Path) -> None:
    from harness.commands.contamination import read_corpus

    read_corpus(folder / "corpus.json", lambda _: None)


def _write_headers(folder: Path) -> None:
    _write_sounds("list.txt", folder)
    _read_headers(folder)


def _read_headers(folder: Path) -> None:
    from hear_byola.pretraining.corpus import scan

    with patch("hear_byola.core.filestate.SETTLED_NS", 0):
        scan(folder / "list.txt", memory=folder / "memory.jsonl")


READERS = (
    Reader("pretraining config", _write_config, ("config.yaml",), _read_config),
    Reader("study", _write_study, ("study.yaml",), _read_study),
    Reader("table of a paper", _write_study, ("paper.csv",), _read_study),
    *(Reader(f"checkpoint: {kind}", partial(_write_checkpoint, kind), (f"weights.{kind}",),
             _read_checkpoint) for kind in ("safetensors", "pth")),
    Reader("state of a pretraining", _write_state, ("resume.ckpt",), _read_state),
    Reader("folder of a pretraining", _write_training, ("config.yaml", "metrics.csv"),
           _read_training),
    Reader("finished training", _write_trained, ("training.json",), _read_trained),
    *(Reader(f"audio to pretrain on: {source}", partial(_write_sounds, source), (source,),
             partial(_read_sounds, source)) for source in ("list.csv", "list.txt", "shard.tar")),
    Reader("audio of a pretraining", _write_corpus_record, ("corpus.json",), _read_corpus_record),
    Reader("audio of a pretraining, searched", _write_searched, ("corpus.json",), _read_searched),
    Reader("headers of audio", _write_headers, ("memory.jsonl",), _read_headers),
)  # fmt: skip
