"""The recordings that a table names: what is read of them, and what is refused."""

from __future__ import annotations

import os
import re
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from support import sound_files

from harness.core import progress
from harness.core.errors import UserError
from harness.core.files import file_state
from tasks import audio
from tasks.audio import BadAudio, ContentHashes, decode
from tasks.make import recordings
from tasks.make.faults import Faults
from tasks.make.labels import Labelled
from tasks.make.recordings import Recording, look_into, read_recording

RATE = 48000


def recording(path: Path, seconds: float | None = None) -> Recording:
    return Recording(str(path), file_state(path), "", seconds)


@pytest.fixture
def mp3(tmp_path: Path) -> Path:
    return sound_files.write(tmp_path / "sound.mp3", sound_files.noise(1.0, RATE), RATE)


@pytest.mark.parametrize("seconds", [None, 0.9])
def test_a_truncated_mp3_is_no_recording(mp3: Path, seconds: float | None) -> None:
    whole = mp3.read_bytes()
    assert len(read_recording(recording(mp3, seconds))[0]) == RATE
    mp3.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"sound\.mp3 is truncated: \d+ of \d+ frames are present"):
        read_recording(recording(mp3, seconds))
    with pytest.raises(BadAudio, match=r"is truncated: \d+ of \d+ frames"):
        decode(mp3)


@pytest.mark.parametrize("extension", sound_files.FORMATS)
@pytest.mark.parametrize("seconds", [None, 0.5])
def test_what_is_truncated_is_told_before_anything_is_written(
    tmp_path: Path, extension: str, seconds: float | None
) -> None:
    path = sound_files.write(tmp_path / f"a.{extension}", sound_files.noise(3.0, RATE), RATE)
    labelled = [Labelled(path.name, 2)]
    headers, bad = look_into(tmp_path, labelled, seconds, Faults(tmp_path / "x.csv"), [].append)
    assert (headers[path.name].seconds, bad) == (3.0, [])
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    headers, bad = look_into(tmp_path, labelled, seconds, Faults(tmp_path / "x.csv"), [].append)
    assert not headers
    assert f"'a.{extension}' " in bad[0][1]
    assert "truncated" in bad[0][1]


def test_an_mp3_may_be_a_frame_shorter_than_it_says(mp3: Path) -> None:
    content = bytearray(mp3.read_bytes())
    tag = max(content.find(b"Xing", 0, 100), content.find(b"Info", 0, 100))
    count = int.from_bytes(content[tag + 8 : tag + 12], "big") + 1
    content[tag + 8 : tag + 12] = count.to_bytes(4, "big")
    for picture in (b"", b"ID3\x03\0\0\0\0\x17\x38" + bytes(3000)):
        mp3.write_bytes(picture + content)
        frames = soundfile.info(mp3).frames
        assert 0 < frames - len(read_recording(recording(mp3))[0]) <= 1152
        mp3.write_bytes((picture + content)[:-2000])
        with pytest.raises(UserError, match="is truncated"):
            read_recording(recording(mp3))


def test_an_mp3_that_does_not_say_its_length_is_read_to_its_end(tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(RATE // 4), sound_files.noise(1.0, RATE)])
    mp3 = sound_files.write(tmp_path / "sound.mp3", sound, RATE)
    content = mp3.read_bytes()
    mp3.write_bytes(content[content.find(content[:2], 2) :])
    assert soundfile.info(mp3).frames > 2 * len(sound)  # guessed from the file's size
    assert len(read_recording(recording(mp3))[0]) >= len(sound)
    assert len(decode(mp3)[0]) >= len(sound)


def look(folder: Path, said: list[str]) -> None:
    labelled = [Labelled(path.name, 2) for path in sorted(folder.iterdir())]
    look_into(folder, labelled, None, Faults(folder / "x.csv"), said.append)


@pytest.mark.usefixtures("settled")
def test_what_is_known_of_the_recordings_is_kept_at_an_interrupt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(20):
        sound_files.write(tmp_path / f"{i:02d}.wav", sound_files.noise(0.1, seed=i))
    known = audio.file_sha256
    hashed: list[str] = []

    def stopped(path: Path) -> str:
        if path.name == "12.wav":
            raise KeyboardInterrupt
        return known(path)

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return known(path)

    monkeypatch.setattr(recordings, "_THREADS", 1)
    monkeypatch.setattr(audio, "file_sha256", stopped)
    with pytest.raises(KeyboardInterrupt):
        look(tmp_path, [])
    monkeypatch.setattr(audio, "file_sha256", counted)
    look(tmp_path, [])
    assert 0 < len(hashed) <= 8
    assert hashed[0] == "12.wav"


def test_it_says_how_far_it_has_looked_and_remembers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        sound_files.write(tmp_path / f"{i:02d}.wav", sound_files.noise(0.1, seed=i))
    saved: list[int] = []
    save = ContentHashes.save

    def counted(hashes: ContentHashes) -> None:
        saved.append(len(said))
        save(hashes)

    said: list[str] = []
    monkeypatch.setattr(ContentHashes, "save", counted)
    look(tmp_path, said)
    assert (said, saved) == ([], [0])
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    monkeypatch.setattr(recordings, "_SAVE_EVERY", 0.0)
    look(tmp_path, said)
    assert re.match(r"1 of 3 recordings checked, \d+ a second, .* left$", said[0])
    assert saved == [0, 1, 2, 3, 3]


@pytest.mark.parametrize(("on_disk", "in_table"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_accented_letters_may_have_another_form_on_the_disk(
    tmp_path: Path, on_disk: str, in_table: str
) -> None:
    def named(form: str) -> str:
        return unicodedata.normalize(form, "é/höhe.wav")

    path = sound_files.write(tmp_path / named(on_disk), sound_files.noise(0.1))
    faults = Faults(tmp_path / "x.csv")
    labelled = [Labelled(named(in_table), 2), Labelled("é/hohe.wav", 3)]
    headers, bad = look_into(tmp_path, labelled, None, faults, [].append)
    assert headers[named(in_table)].recording.path == str(path.resolve())
    assert [one.line for one, _ in bad] == [3]


def test_of_two_forms_the_one_that_the_table_has_is_meant(tmp_path: Path) -> None:
    forms = [unicodedata.normalize(form, "höhe.wav") for form in ("NFC", "NFD")]
    for seed, name in enumerate(forms):
        sound_files.write(tmp_path / name, sound_files.noise(0.1, seed=seed))
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system knows one form alone")
    labelled = [Labelled(name, 2) for name in forms]
    headers, _ = look_into(tmp_path, labelled, None, Faults(tmp_path / "x.csv"), [].append)
    assert len({header.recording.sha256 for header in headers.values()}) == 2


def test_a_recording_replaced_since_it_was_looked_into_is_refused(tmp_path: Path) -> None:
    path = sound_files.write(tmp_path / "a.wav", sound_files.noise(0.1))
    os.utime(path, (1e9, 1e9))
    before = recording(path)
    time.sleep(0.02)
    sound_files.write(path, sound_files.noise(0.1, seed=1))
    os.utime(path, (1e9, 1e9))
    with pytest.raises(UserError, match=r"a\.wav changed while the task was being made"):
        read_recording(before)


def test_a_recording_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sound_files.write(tmp_path / "a.wav", sound_files.noise(0.1))
    read = recordings.read_frames

    def meanwhile(*arguments: Any, **options: Any) -> np.ndarray:
        time.sleep(0.02)
        os.utime(path)
        return read(*arguments, **options)

    monkeypatch.setattr(recordings, "read_frames", meanwhile)
    with pytest.raises(UserError, match="changed while the task was being made"):
        read_recording(recording(path))
