"""What reads task directories, sounds and archives, each with valid input."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
from support import archives, sound_files, task_directories
from support.hostile.trial import Reader

from harness.core.errors import UserError
from tasks.fetch.installed import RECORD


def _task(kind: str, groups: bool, folder: Path) -> None:
    directory = task_directories.make_task(folder, kind, n=3, seconds=0.3)
    if groups:
        splits = [directory / f"{split}.json" for split in ("train", "valid", "test")]
        names = [name for split in splits for name in json.loads(split.read_text())]
        rows = "".join(f"{name},speaker {i // 2}\n" for i, name in enumerate(names))
        (directory / "groups.csv").write_text("clip,group\n" + rows)
    directory.rename(folder / "task")


def _read_task(audio: bool, folder: Path) -> None:
    from tasks.check import check_task, format_findings
    from tasks.format.task import read_task

    format_findings(folder / "task", check_task(folder / "task", audio=audio))
    task = read_task(folder / "task")
    hash(task.sha256)


def _write_card(folder: Path) -> None:
    from tasks.cards.builtin import card
    from tasks.cards.cardfile import write_card

    (folder / "card.yaml").write_text(write_card(card("esc50")))


def _read_card(folder: Path) -> None:
    from tasks.cards.cardfile import read_card_file

    read_card_file(folder / "card.yaml", None)


def _read_labels(folder: Path) -> None:
    from tasks.make.plan import plan_task
    from tasks.make.wishes import Wishes

    plan_task(folder / "labels.csv", folder / "sounds", Wishes("mine"), lambda _: None)


def _write_labels(event: bool, folder: Path) -> None:
    rows = []
    for i in range(12):
        name = f"{'ab'[i % 2]}_{i}.wav"
        sound_files.write(folder / "sounds" / name, sound_files.noise(0.02, seed=i))
        times = f",0.00{i % 9},0.015" if event else ""
        rows.append(f"{name},{'ab'[i % 2]},g{i // 2}{times}")
    head = "file,label,group" + ",onset,offset" * event
    (folder / "labels.csv").write_text("\n".join([head, *rows, ""]))


def _write_archive(folder: Path) -> None:
    (folder / "task.tar.gz").write_bytes(archives.made_archive())


def _unpack(folder: Path) -> None:
    from tasks.fetch.unpack import unpack

    target = folder / "inside" / "target"
    shutil.rmtree(target, ignore_errors=True)
    archive = folder / "task.tar.gz"
    unpack(archive, archive.name, "made-v1-full", target, most_bytes=50_000_000)


def _write_corpus(name: str, folder: Path) -> None:
    from support import corpora

    packed = folder / "packed"
    for inside in ("yes/a.wav", "no/b.wav"):
        sound_files.write(packed / inside, sound_files.noise(0.05))
    (corpora.zipped if name.endswith(".zip") else corpora.tarred)(packed, folder / name)


def _read_corpus(name: str, folder: Path) -> None:
    from tasks.prepare.archive import close_archives, files_of

    close_archives()
    for _, file in files_of(folder / name, folder / "room", lambda _: None):
        file.content()


def _write_plan(folder: Path) -> None:
    from tasks.synthetic import make_synthetic

    make_synthetic("multiclass", folder, clips=20, classes=2, seconds=0.3, jobs=1, rates=(16_000,),
                   say=lambda _: None, name="made")  # fmt: skip
    (made,) = folder.glob("made-*")
    (made / ".plan").rename(folder / "plan.json")
    (folder / "plan.json").chmod(0o644)


def _read_plan(folder: Path) -> None:
    from tasks.synthetic import make_synthetic

    (made,) = folder.glob("made-*")
    shutil.copy(folder / "plan.json", made / ".plan")
    make_synthetic("multiclass", folder, clips=20, classes=2, seconds=0.3, jobs=1, rates=(16_000,),
                   say=lambda _: None, name="made")  # fmt: skip


def _write_fetched(folder: Path) -> None:
    from tasks.fetch.archive import Archive
    from tasks.fetch.installed import write_record

    _task("scene", False, folder)
    sample = archives.made_sample()
    archive = Archive(sample.file, folder / sample.file, 10, "0" * 32, "the record")
    write_record(folder / "task", sample.card, archive)
    (folder / "task" / RECORD).rename(folder / "record.json")


def _read_fetched(folder: Path) -> None:
    from tasks.fetch.installed import unlike_published, verify

    shutil.copy(folder / "record.json", folder / "task" / RECORD)
    unlike_published(folder / "task")
    verify(folder / "task", archives.made_sample().card)


def _write_listing(folder: Path) -> None:
    files = [{"key": "a.tar.gz", "size": 17, "checksum": "md5:" + "0" * 32}]
    (folder / "listing.json").write_text(json.dumps({"files": files}))


def _read_listing(folder: Path) -> None:
    from tasks.fetch import archive

    try:
        archive._listed_archives((folder / "listing.json").read_bytes(), "http://x", "record")
    except archive._MALFORMED as error:
        raise UserError(repr(error)) from error


SOUNDS = ("wav", "flac", "ogg", "opus", "mp3", "aiff")


def _write_sound(kind: str, folder: Path) -> None:
    sound_files.write(folder / f"sound.{kind}", sound_files.noise(0.1))


def _read_sound(folder: Path) -> None:
    from harness.core.errors import UserError
    from hear_byola.core.audiofile import BadFile
    from hear_byola.pretraining.sound import read_header, read_stretch
    from tasks.audio import read_audio

    (path,) = folder.iterdir()
    try:
        header = read_header(path)
        read_stretch(path, 0, min(16_000, header.frames * 16_000 // header.rate))
    except BadFile:
        pass
    try:
        read_audio(path, 16_000)
    except BadFile as error:
        raise UserError(str(error)) from error


def _write_cached(folder: Path) -> None:
    sound_files.write(folder / "a.wav", sound_files.noise(0.1, rate=44_100), 44_100)
    _read_cached(folder)


def _read_cached(folder: Path) -> None:
    from tasks.audio import ContentHashes
    from tasks.audio_cache import AudioCache

    audio = AudioCache(folder / "cache", 1e9, ContentHashes(folder / "hashes.json")).read(
        folder / "a.wav", 16_000
    )
    assert audio.dtype == np.float32
    assert audio.ndim == 1


def _task_reader(name: str, kind: str, files: tuple[str, ...], groups: bool = False) -> Reader:
    return Reader(name, partial(_task, kind, groups), files, partial(_read_task, "split" in name))


READERS = (
    _task_reader("task metadata", "scene", ("task/task_metadata.json",)),
    _task_reader("task metadata of events", "notes", ("task/task_metadata.json",)),
    _task_reader("split file", "multilabel", ("task/train.json", "task/test.json")),
    _task_reader("split file of events", "events", ("task/train.json", "task/test.json")),
    _task_reader("vocabulary", "scene", ("task/labelvocabulary.csv",)),
    _task_reader("groups", "scene", ("task/groups.csv",), groups=True),
    Reader("card", _write_card, ("card.yaml",), _read_card),
    *(Reader(f"sound: {kind}", partial(_write_sound, kind), (f"sound.{kind}",), _read_sound)
      for kind in SOUNDS),
    Reader("labels of recordings", partial(_write_labels, False), ("labels.csv",), _read_labels),
    Reader("labels of events", partial(_write_labels, True), ("labels.csv",), _read_labels),
    Reader("plan of a task", _write_plan, ("plan.json",), _read_plan),
    Reader("archive of a task", _write_archive, ("task.tar.gz",), _unpack),
    Reader("record of a fetched task", _write_fetched, ("record.json",), _read_fetched),
    Reader("listing of a record", _write_listing, ("listing.json",), _read_listing),
    *(Reader(f"archive of a corpus: {name}", partial(_write_corpus, name), (name,),
             partial(_read_corpus, name)) for name in ("a.zip", "a.tar", "a.tar.gz")),
    Reader("resampled audio", _write_cached, ("cache/**/*.npy",), _read_cached),
)  # fmt: skip
