from __future__ import annotations

import csv
import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from support.sound_files import FORMATS, noise, pack, write

from hear_byola.core.errors import UserError
from hear_byola.pretraining.corpus import AudioCorpus, scan
from hear_byola.pretraining.sound import read_stretch


def names(corpus: AudioCorpus) -> list[str]:
    return [corpus.name(item) for item in range(len(corpus))]


def kinds(corpus: AudioCorpus) -> list[str]:
    return [corpus.kinds[kind] for kind in corpus.kind]


def first_samples(corpus: AudioCorpus, item: int) -> np.ndarray:
    source = corpus.open(item)
    return read_stretch(source, 0, 500)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every format, in two kinds and at the top, beside what is no audio, and a shard."""
    for number, extension in enumerate(FORMATS):
        path = tmp_path / "audio" / ["speech", "music/deep/er", ""][number % 3] / f"a.{extension}"
        write(path, np.stack([noise(0.5 + number / 8, 48_000, number)] * 2, 1), 48_000)
    sound = write(tmp_path / "x.wav", noise(1.0, seed=9)).read_bytes()
    pack(tmp_path / "audio/effects/1.tar", {"door/1.wav": sound, "2.wav": sound, "2.json": b"{}"})
    (tmp_path / "audio/speech/readme.txt").write_text("hello")
    write(tmp_path / "audio/.hidden/a.wav", noise(1.0))
    write(tmp_path / "audio/speech/._a.wav", noise(1.0))
    return tmp_path / "audio"


def test_a_folder_is_searched_through_and_through(folder: Path) -> None:
    corpus = scan(folder)
    assert names(corpus) == [
        "a.aiff",
        "a.mp3",
        "effects/1.tar/door/1.wav",
        "effects/1.tar/2.wav",
        "music/deep/er/a.flac",
        "music/deep/er/a.opus",
        "speech/a.ogg",
        "speech/a.wav",
    ]
    assert corpus.kinds == ("", "effects", "music", "speech")
    assert kinds(corpus) == ["", "", *["effects"] * 2, *["music"] * 2, *["speech"] * 2]
    assert corpus.skipped == ()
    np.testing.assert_allclose(
        corpus.durations(), [0.75, 1.125, 1.0, 1.0, 0.625, 1.0, 0.875, 0.5], atol=0.06
    )
    assert corpus.seconds == pytest.approx(6.875, abs=0.1)
    hours = corpus.hours_by_kind()
    assert hours["effects"] == pytest.approx(2 / 3600)
    assert sum(hours.values()) == pytest.approx(corpus.seconds / 3600)
    for item in range(len(corpus)):
        assert np.abs(first_samples(corpus, item)).max() > 0.1


def test_linked_folders_are_entered_once(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/a.wav", noise(1.0))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/speech").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/circle").symlink_to(tmp_path / "root")
    assert names(scan(tmp_path / "root")) == ["speech/a.wav"]


def test_a_single_shard_takes_its_kinds_from_its_members(tmp_path: Path) -> None:
    sound = write(tmp_path / "x.flac", noise(1.0)).read_bytes()
    shard = pack(tmp_path / "s.tar", {"b/1.flac": sound, "a/2.flac": sound, "3.flac": sound})
    corpus = scan(shard)
    assert names(corpus) == ["s.tar/b/1.flac", "s.tar/a/2.flac", "s.tar/3.flac"]
    assert kinds(corpus) == ["b", "a", ""]
    np.testing.assert_array_equal(first_samples(corpus, 1), first_samples(corpus, 0))


def test_lists_keep_their_order_and_paths_are_relative_to_them(tmp_path: Path) -> None:
    for name in ("b/1.wav", "a/2.flac", "lists/3.wav", "absolute.wav"):
        write(tmp_path / name, noise(1.0))
    lines = ["../b/1.wav", "", "  ../a/2.flac  ", "3.wav", str(tmp_path / "absolute.wav")]
    path = tmp_path / "lists/audio.txt"
    path.write_text("\n".join(lines))
    corpus = scan(path)
    assert names(corpus) == [line.strip() for line in lines if line]
    assert corpus.kinds == ("",)
    assert all(len(first_samples(corpus, item)) for item in range(4))


def table(path: Path, *rows: dict[str, object]) -> Path:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_table_gives_kinds_and_weights(tmp_path: Path) -> None:
    for name in ("x/1.wav", "x/2.wav", "y/3.wav"):
        write(tmp_path / name, noise(1.0))
    path = table(
        tmp_path / "audio.csv",
        {"weight": 2, "path": "x/1.wav", "kind": "dog", "more": "ignored"},
        {"weight": 0.5, "path": "x/2.wav", "kind": "cat"},
        {"weight": 0, "path": "y/3.wav", "kind": "dog"},
    )
    corpus = scan(path)
    assert kinds(corpus) == ["dog", "cat", "dog"]
    assert corpus.weight.tolist() == [2.0, 0.5, 0.0]
    plain = scan(table(tmp_path / "plain.csv", {"path": "x/1.wav"}, {"path": "y/3.wav"}))
    assert kinds(plain) == ["x", "y"]
    assert plain.weight.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("file,kind\na.wav,x\n", "no column 'path'"),
        ("path,weight\na.wav,1\nb.wav,many\n", "line 3: weight is 'many'"),
        ("path,weight\na.wav,-1\n", "line 2: weight is '-1'"),
        ("path,weight\na.wav,nan\n", "line 2: weight is 'nan'"),
        ("path,kind\n,x\n", "line 2: the path is empty"),
        ("", "no column 'path'"),
        ("path\n", "names no audio"),
    ],
)
def test_a_malformed_table_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "audio.csv"
    path.write_text(content)
    with pytest.raises(UserError, match=complaint):
        scan(path)


def test_sources_without_audio_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty/deeper").mkdir(parents=True)
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)))
    (tmp_path / "blank.txt").write_text("\n\n")
    sound = write(tmp_path / "a.wav", noise(1.0))
    shard = pack(tmp_path / "s.tar.gz", {"a.wav": sound.read_bytes()}, "w:gz")
    for source, complaint in {
        tmp_path / "empty": "names no audio. Audio files end in .aif",
        tmp_path / "absent": "is missing",
        tmp_path / "binary.txt": "not a readable list",
        tmp_path / "blank.txt": "names no audio",
        sound: "is one sound",
        shard: "compressed tar",
        pack(tmp_path / "none.tar", {"a.txt": b"x"}): "none.tar: it holds no audio",
    }.items():
        with pytest.raises(UserError, match=complaint):
            scan(source)


def test_what_cannot_be_used_is_skipped_with_its_name_and_reason(tmp_path: Path) -> None:
    good = write(tmp_path / "good.wav", noise(1.0)).read_bytes()
    write(tmp_path / "low.wav", noise(1.0, 11_025), 11_025)
    write(tmp_path / "nothing.wav", np.zeros(0))
    (tmp_path / "cut.wav").write_bytes(good[:-1000])
    (tmp_path / "text.flac").write_text("text")
    (tmp_path / "void.ogg").write_bytes(b"")
    pack(tmp_path / "packed.tgz", {"a.wav": good}, "w:gz")
    pack(tmp_path / "shard.tar", {"bad.wav": good[:-1000], "fine.wav": good})
    cut = pack(tmp_path / "torn.tar", {"one.wav": good, "two.wav": good})
    cut.write_bytes(cut.read_bytes()[:40_000])
    corpus = scan(tmp_path)
    assert names(corpus) == ["good.wav", "shard.tar/fine.wav", "torn.tar/one.wav"]
    reasons = dict(corpus.skipped)
    for name, reason in {
        "low.wav": "11025 Hz; it must be at least 16000 Hz",
        "nothing.wav": "contains no sample",
        "cut.wav": "is truncated",
        "text.flac": "is a text file",
        "void.ogg": "is an empty file",
        "packed.tgz": "compressed tar",
        "shard.tar/bad.wav": "is truncated",
        "torn.tar": "is truncated",
    }.items():
        assert reason in reasons.pop(name)
    assert not reasons


def test_missing_files_of_a_list_are_skipped_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a.wav", noise(1.0))
    (tmp_path / "list.txt").write_text("a.wav\ngone.wav\n")
    assert scan(tmp_path / "list.txt").skipped == (("gone.wav", "is missing."),)


def test_nothing_usable_is_an_error_that_says_why(tmp_path: Path) -> None:
    for number in range(7):
        write(tmp_path / f"{number}.wav", noise(1.0, 8_000), 8_000)
    (tmp_path / "8.wav").write_text("no sound")
    with pytest.raises(UserError) as refused:
        scan(tmp_path)
    said = str(refused.value)
    hertz = "Skipped: 0.wav, 1.wav, 2.wav and 4 more: each has .*8000 Hz.*"
    assert re.search(f"{hertz}; 8.wav: it is a text file, not audio", said)
    assert said.count("8000 Hz") == 1


def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise(1.0))
    path.rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xe4 \xff.wav"))
    memory = tmp_path / "memory"
    for _ in range(2):
        corpus = scan(tmp_path, memory=memory)
        assert os.fsencode(corpus.name(0)) == b"\xe4 \xff.wav"
        assert len(first_samples(corpus, 0))
        assert len(corpus.sha256) == 64


@pytest.mark.usefixtures("settled")
def test_a_memory_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    write(tmp_path / "audio/a.wav", noise(1.0))
    (tmp_path / "file").write_text("not a folder")
    with pytest.warns(UserWarning, match="HEAR_BYOLA_CACHE"):
        corpus = scan(tmp_path / "audio", memory=tmp_path / "file" / "memory")
    assert len(corpus) == 1


def test_progress_reaches_the_number_of_files_and_sounds(folder: Path) -> None:
    calls: list[tuple[int, int, int]] = []
    scan(folder, progress=lambda *call: calls.append(call))
    assert calls == sorted(calls)
    assert calls[-1] == (7, 7, 8)
    assert {call[0] for call in calls} >= set(range(1, 8))


def test_sounds_of_a_shard_that_is_being_read_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hear_byola.pretraining import headers

    sound = write(tmp_path / "x.wav", noise(0.1)).read_bytes()
    shard = pack(tmp_path / "1.tar", {f"{number}.wav": sound for number in range(4)})
    read = headers.read_header
    monkeypatch.setattr(headers, "read_header", lambda it: [time.sleep(0.1), read(it)][1])
    monkeypatch.setattr(headers, "_LOOK_EVERY", 0.02)
    calls: list[tuple[int, int, int]] = []
    scan(shard, progress=lambda *call: calls.append(call))
    assert [sounds for sounds in range(4) if (0, 1, sounds) in calls] == [0, 1, 2, 3]
    assert calls[-1] == (1, 1, 4)


@pytest.mark.usefixtures("settled")
def test_an_interrupted_scan_remembers_whole_files_and_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hear_byola.pretraining import headers

    sound = write(tmp_path / "audio/a.wav", noise(0.1)).read_bytes()
    pack(tmp_path / "audio/b.tar", {f"{number:03}.wav": sound for number in range(200)})
    read = headers.read_header
    opened: list[object] = []
    monkeypatch.setattr(
        headers, "read_header", lambda it: [opened.append(it), time.sleep(0.05), read(it)][2]
    )

    def interrupt(done: int, *_: int) -> None:
        if done:
            raise KeyboardInterrupt

    memory = tmp_path / "memory"
    with pytest.raises(KeyboardInterrupt):
        scan(tmp_path / "audio", memory=memory, progress=interrupt)
    assert len(opened) < 100
    opened.clear()
    assert len(scan(tmp_path / "audio", memory=memory)) == 201
    assert len(opened) == 200


@pytest.mark.usefixtures("settled")
def test_a_second_start_opens_what_changed_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "memory/headers"
    first = scan(folder, memory=memory)
    write(folder / "speech/new.wav", noise(1.0))
    write(folder / "speech/a.wav", noise(2.0))
    (folder / "a.mp3").unlink()
    opened = []
    from hear_byola.pretraining import headers

    read = headers.read_header
    monkeypatch.setattr(
        headers, "read_header", lambda source: [opened.append(str(source)), read(source)][1]
    )
    second = scan(folder, memory=memory)
    assert sorted(opened) == [str(folder / "speech/a.wav"), str(folder / "speech/new.wav")]
    monkeypatch.undo()
    assert second.sha256 == scan(folder).sha256 == scan(folder, memory=memory).sha256
    assert second.sha256 != first.sha256


@pytest.mark.parametrize("change", ["in place", "unpacked again"])
@pytest.mark.usefixtures("settled")
def test_audio_replaced_under_its_size_and_time_is_read_again(tmp_path: Path, change: str) -> None:
    path = tmp_path / "audio/a.wav"

    def put(rate: int) -> None:
        write(path, noise(1.0, 16_000), rate)
        os.utime(path, (1e9, 1e9))

    put(16_000)
    assert scan(path.parent, memory=tmp_path / "memory").rate.tolist() == [16_000]
    time.sleep(0.02)
    if change == "unpacked again":
        path.unlink()
    put(32_000)
    assert scan(path.parent, memory=tmp_path / "memory").rate.tolist() == [32_000]


def test_audio_that_has_just_changed_is_not_remembered(tmp_path: Path) -> None:
    write(tmp_path / "audio/a.wav", noise(1.0))
    assert len(scan(tmp_path / "audio", memory=tmp_path / "memory")) == 1
    assert not (tmp_path / "memory").exists()


@pytest.mark.usefixtures("settled")
def test_a_damaged_memory_costs_only_what_was_damaged(folder: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    expected = scan(folder, memory=memory).sha256
    lines = memory.read_text().splitlines()
    newer = json.dumps([3, str(folder / "a.mp3"), "what is to come"])
    memory.write_text("\n".join([lines[1][:20], newer, "[]", "7", *lines[2:-1], lines[-1][:30]]))
    assert scan(folder, memory=memory).sha256 == expected
    assert scan(folder, memory=memory).sha256 == expected
    memory.write_bytes(b"\xff\0" * 99)
    assert scan(folder, memory=memory).sha256 == expected
    for number, value in [(0, "\ud800"), (1, 2**63), (3, 2**63), (4, 2**31)]:
        changed = []
        for line in filter(None, lines):
            version, key, state, sounds = json.loads(line)
            sounds[0][number] = value
            changed.append(json.dumps([version, key, state, sounds]))
        memory.write_text("\n".join([*changed, ""]))
        assert scan(folder, memory=memory).sha256 == expected


def test_a_source_with_a_nul_character_is_refused() -> None:
    with pytest.raises(UserError, match="NUL character"):
        scan(Path("a\0b"))


def test_the_hash_tells_corpora_apart_and_does_not_know_where_they_are(tmp_path: Path) -> None:
    def of(folder: str, *files: tuple[str, float]) -> str:
        for name, seconds in files:
            write(tmp_path / folder / name, noise(seconds))
        return scan(tmp_path / folder).sha256

    one = of("one", ("x/a.wav", 1.0), ("x/b.wav", 2.0))
    assert one == of("same", ("x/b.wav", 2.0), ("x/a.wav", 1.0))
    others = [
        of("longer", ("x/a.wav", 1.0), ("x/b.wav", 2.1)),
        of("named", ("x/a.wav", 1.0), ("x/c.wav", 2.0)),
        of("moved", ("x/a.wav", 1.0), ("y/b.wav", 2.0)),
        of("fewer", ("x/a.wav", 1.0)),
    ]
    assert len({one, *others}) == 5
