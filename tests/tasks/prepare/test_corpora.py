"""Each corpus, from a miniature of its real layout to a task directory."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
from support import corpora, sound_files

from harness.core.errors import UserError
from tasks.cards.builtin import card
from tasks.check import check_task
from tasks.format.newtask import NewClip
from tasks.format.task import Task, read_task
from tasks.prepare.corpora import speech_commands, spoken_digit, voxforge
from tasks.prepare.folder import SourceFolder
from tasks.prepare.registry import CORPORA
from tasks.prepare.run import prepare


def prepared(name: str, source: Path, tmp_path: Path, said: list[str] | None = None) -> Task:
    """Prepare a miniature at 16 kHz; the directory must be in order, and called a part's."""
    say = [].append if said is None else said.append
    directory = prepare(name, source, tmp_path / "tasks", rates=[16_000], say=say)
    assert directory.name == card(name).directory.replace("-", "_part-", 1)
    assert [str(found) for found in check_task(directory) if found.severity == "error"] == []
    return read_task(directory)


def listed(
    clips: Callable[[SourceFolder, Callable[[str], None]], list[NewClip]], source: Path
) -> list[NewClip]:
    """The clips of a corpus that are there."""
    found = clips(SourceFolder(source, source, lambda _: None), lambda _: None)
    return [clip for clip in found if clip.source is not None]


def labels(task: Task, split: str) -> dict[str, str]:
    return {clip.name: clip.labels[0] for clip in task.clips[split]}


def groups(task: Task) -> dict[str, str]:
    return {clip.name: clip.group for split in task.splits for clip in task.clips[split]}


def assert_sounds(
    task: Task,
    original: Callable[[str], np.ndarray],
    rate: int | Callable[[str], int] = 16_000,
    likeness: float = 0.999,
    rest: int = 0,
) -> None:
    """Every clip is its own sound, resampled, with zeros after it."""
    for split in task.splits:
        for clip in task.clips[split]:
            audio, at = soundfile.read(task.directory / "16000" / split / clip.name)
            assert (at, len(audio)) == (16_000, round(task.sample_duration * 16_000))
            own_rate = rate if isinstance(rate, int) else rate(clip.name)
            wanted = soxr.resample(original(clip.name), own_rate, 16_000, quality="VHQ")
            wanted = wanted[: len(audio)]
            assert np.corrcoef(audio[: len(wanted)], wanted)[0, 1] > likeness, clip.name
            assert np.linalg.norm(audio) == pytest.approx(np.linalg.norm(wanted), rel=0.1)
            assert not audio[len(wanted) + rest :].any()


def test_every_corpus_has_a_card_that_it_can_fill() -> None:
    for name in CORPORA:
        about = card(name)
        assert (about.embedding_type, about.prediction_type) == ("scene", "multiclass")
        assert about.clip_seconds is not None


@pytest.mark.parametrize("packed", [False, True])
def test_esc50(tmp_path: Path, packed: bool) -> None:
    source = corpora.esc50(tmp_path / "x").parent
    if packed:  # as GitHub names and packs it
        source = corpora.zipped(source, tmp_path / "y" / "ESC-50-master.zip").parent
    task = prepared("esc50", source, tmp_path)
    assert task.splits == tuple(f"fold{i:02d}" for i in range(5))
    assert labels(task, "fold02") == {
        "3-100035-A-0.wav": "dog",
        "3-100035-A-36.wav": "vacuum_cleaner",
    }
    assert groups(task)["3-100035-A-36.wav"] == "100035"
    assert_sounds(task, lambda name: corpora.sound(name, rate=44_100), 44_100)


def test_urbansound8k_in_all_its_encodings(tmp_path: Path) -> None:
    corpora.urbansound8k(tmp_path / "x")
    task = prepared("urbansound8k", tmp_path / "x", tmp_path)
    assert len(task.splits) == 10
    assert labels(task, "fold09") == {
        "100042-3-0-0.wav": "dog_bark",
        "100042-9-0-0.wav": "street_music",
    }
    assert groups(task)["100042-9-0-0.wav"] == "100042"
    kinds = list(corpora.URBAN_KINDS.values())

    def rate(name: str) -> int:
        return kinds[(int(name[:6]) - 100_032) % len(kinds)][0]

    # MS ADPCM has 4 bits a sample, and comes in whole blocks.
    assert_sounds(
        task, lambda name: corpora.sound(name, rate=rate(name)), rate, likeness=0.97, rest=800
    )


@pytest.mark.parametrize("fold", ["seven", "0", "-1", pytest.param("9" * 5000, id="long")])
def test_a_fold_that_is_no_number_is_named(tmp_path: Path, fold: str) -> None:
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata" / "UrbanSound8K.csv").write_text(
        f"slice_file_name,fold,class\n100039-9-0-0.wav,{fold},siren\n"
    )
    with pytest.raises(UserError, match=rf"UrbanSound8K\.csv: the fold of 100039-.* not '{fold}"):
        listed(CORPORA["urbansound8k"].clips, tmp_path)


def test_nsynth_from_its_archives_and_a_folder(tmp_path: Path) -> None:
    corpus = corpora.nsynth(tmp_path / "x")
    for split in ("train", "valid"):
        folder = corpus / f"nsynth-{split}"
        corpora.tarred(folder, tmp_path / "y" / f"{folder.name}.jsonwav.tar.gz", prefix=folder.name)
    (corpus / "nsynth-test").rename(tmp_path / "y" / "nsynth-test")
    task = prepared("nsynth_instrument", tmp_path / "y", tmp_path)
    assert task.labels == tuple(corpora.FAMILIES)
    assert [len(task.clips[split]) for split in task.splits] == [11, 10, 10]
    assert labels(task, "test")["mallet_electronic_005-065-075.wav"] == "mallet"
    assert_sounds(task, lambda name: corpora.sound(name.removesuffix(".wav")))


def test_nsynth_without_a_part_is_refused(tmp_path: Path) -> None:
    corpus = corpora.nsynth(tmp_path)
    (corpus / "nsynth-valid" / "examples.json").unlink()
    with pytest.raises(UserError, match=r"NSynth's part 'valid'.*nsynth-valid\.jsonwav\*"):
        listed(CORPORA["nsynth_instrument"].clips, tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "not JSON",
        '["a note"]',
        '{"a note": {"pitch": 60}}',
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(f'{{"a note": {"9" * 5000}}}', id="a number of 5000 digits"),
    ],
)
def test_nsynth_tables_that_are_none_are_named(tmp_path: Path, content: str) -> None:
    corpus = corpora.nsynth(tmp_path)
    (corpus / "nsynth-train" / "examples.json").write_text(content)
    with pytest.raises(UserError, match=r"nsynth-train/examples\.json"):
        listed(CORPORA["nsynth_instrument"].clips, tmp_path)


def test_voxceleb1(tmp_path: Path) -> None:
    task = prepared("voxceleb1", corpora.voxceleb1(tmp_path / "x"), tmp_path)
    assert labels(task, "valid") == {
        "id10001-7gWzIy6yIIk-00001.wav": "id10001",
        "id10270-8jEAjG6SegY-00008.wav": "id10270",
    }
    assert [len(task.clips[split]) for split in task.splits] == [3, 2, 2]
    assert groups(task)["id10001-7gWzIy6yIIk-00001.wav"] == "id10001-7gWzIy6yIIk"
    assert_sounds(task, lambda name: corpora.sound(name.replace("-", "/"), seconds=0.5))


def test_voxceleb1_partly_unpacked_is_read_from_both_places(tmp_path: Path) -> None:
    corpus = corpora.voxceleb1(tmp_path)
    zipfile.ZipFile(corpus / "vox1_dev_wav.zip").extractall(corpus / "vox1_dev_wav")
    (corpus / "vox1_dev_wav.zip").unlink()
    assert len(listed(CORPORA["voxceleb1"].clips, tmp_path)) == len(corpora.VOX_LINES)


def test_voxceleb1_says_what_is_wrong(tmp_path: Path) -> None:
    clips = CORPORA["voxceleb1"].clips
    corpus = corpora.voxceleb1(tmp_path)
    table = corpus / "iden_split.txt"
    table.write_text(table.read_text() + "4 id10001/1zcIwhmdeo4/00003.wav\n")
    with pytest.raises(UserError, match=r"iden_split\.txt, line 8"):
        listed(clips, corpus)
    for archive in corpus.glob("*.zip"):
        archive.unlink()
    (corpus / "vox1_dev_wav_partaa").write_bytes(b"a part")
    with pytest.raises(UserError, match=r"VoxCeleb1's sounds.*found 2 files"):
        listed(clips, corpus)
    table.unlink()
    with pytest.raises(UserError, match=r"looked for iden_split\.txt"):
        listed(clips, corpus)


VOXFORGE = "www.repository.voxforge1.org/downloads"
"""Where ``wget -x`` puts the publisher's archives."""


def voxforge_folder(folder: Path, language: str) -> Path:
    part = "SpeechCorpus" if language == "en" else language
    return folder / VOXFORGE / part / "Trunk" / "Audio" / "Main" / "16kHz_16bit"


def test_voxforge(tmp_path: Path) -> None:
    source = tmp_path / "x"
    # By the hash of their names guenter is for training, rortiz for validation, manu for the test.
    sessions = {
        "de": ("guenter-20140214-afn", "manu-20110401-ok1", "anonymous-20080202-abc"),
        "en": ("Rortiz-20080318-kdl", "manu-20120101-xyz"),
    }
    for language, names in sessions.items():
        for name in names:
            kind = "flac" if name.startswith("guenter") else "wav"
            corpora.voxforge_session(voxforge_folder(source, language), name, kind=kind)
    task = prepared("voxforge", source, tmp_path)
    split_of = {clip.name: split for split in task.splits for clip in task.clips[split]}
    assert split_of["de-guenter-20140214-afn-a0000.wav"] == "train"
    assert split_of["de-anonymous-20080202-abc-a0000.wav"] == "train"
    assert split_of["en-Rortiz-20080318-kdl-a0001.wav"] == "valid"
    assert split_of["de-manu-20110401-ok1-a0000.wav"] == "test"
    assert labels(task, "test")["en-manu-20120101-xyz-a0000.wav"] == "en"
    assert len(split_of) == 10
    assert {name: group for name, group in groups(task).items() if "0000" in name} == {
        "de-guenter-20140214-afn-a0000.wav": "guenter",
        "de-manu-20110401-ok1-a0000.wav": "manu",
        "en-manu-20120101-xyz-a0000.wav": "manu",
        "en-Rortiz-20080318-kdl-a0000.wav": "rortiz",
        "de-anonymous-20080202-abc-a0000.wav": "anonymous-20080202-abc",
    }
    assert_sounds(task, lambda name: corpora.sound(name[3:].replace("-a0", "/a0")[:-4]))


def voxforge_split(user: str) -> str:
    rest = int(hashlib.sha256(user.encode()).hexdigest(), 16) % 5
    return ("test", "valid", "train", "train", "train")[rest]


def test_voxforge_users_keep_their_split_whatever_else_is_there(tmp_path: Path) -> None:
    users = [f"user{i}" for i in range(40)]
    for i, user in enumerate(users):
        language = ("de", "fr", "it")[i % 3]
        corpora.voxforge_session(tmp_path / "all" / language, f"{user}-20100101-abc", 1)
        corpora.voxforge_session(tmp_path / "all" / "ru", f"{user.upper()}-20110101-def", 1)
        if i % 2:
            corpora.voxforge_session(tmp_path / "half" / language, f"{user}-20100101-abc", 1)
    splits: dict[str, set[str]] = {user: set() for user in users}
    for folder in ("all", "half"):
        for clip in listed(voxforge.clips, tmp_path / folder):
            splits[clip.name.split("-")[1].lower()].add(clip.split)
    assert all(found == {voxforge_split(user)} for user, found in splits.items())
    assert {split for found in splits.values() for split in found} == {"train", "valid", "test"}


def test_voxforge_keeps_prolific_users_for_training(tmp_path: Path) -> None:
    user = next(f"u{i}" for i in range(99) if voxforge_split(f"u{i}") == "test")
    for count, split in ((499, "test"), (500, "train")):
        wavs = tmp_path / str(count) / "it" / f"{user}-20100101-abc" / "wav"
        corpora.write(wavs / "a0000.wav", user)
        for i in range(1, count):
            (wavs / f"a{i:04}.wav").hardlink_to(wavs / "a0000.wav")
        clips = listed(voxforge.clips, tmp_path / str(count))
        assert ({clip.split for clip in clips}, len(clips)) == ({split}, count)


def test_voxforge_says_what_it_leaves_out(tmp_path: Path) -> None:
    corpora.voxforge_session(tmp_path / "de", "one-20191231-abc")
    corpora.voxforge_session(tmp_path / "de", "two-20200101-abc", 3)
    corpora.voxforge_session(tmp_path / "nl", "three-20100101-abc", 4)
    corpora.write(tmp_path / "de" / "demo" / "wav" / "hello.wav", "hello")
    wavs = tmp_path / "de" / "four-20100101-abc" / "wav"
    corpora.write(wavs / "empty.wav", "empty", seconds=0)
    (wavs / "broken.wav").write_bytes(b"no sound at all")
    said: list[str] = []
    clips = voxforge.clips(SourceFolder(tmp_path, tmp_path, said.append), said.append)
    assert {clip.name.split("-")[1] for clip in clips} == {"one"}
    assert sorted(said) == [
        "left out: 2 sounds empty or undecodable",
        "left out: 3 sounds recorded in 2020 or later",
        "left out: 5 sounds outside the sessions of a language",
    ]
    with pytest.raises(UserError, match="sessions of VoxForge"):
        listed(voxforge.clips, tmp_path / "nl")


def test_a_voxforge_sound_that_ends_in_its_middle_is_left_out(tmp_path: Path) -> None:
    whole = sound_files.write(tmp_path / "a.flac", sound_files.noise(1.0)).read_bytes()
    sounds = {"a": whole, "b": whole[: len(whole) // 2]}
    members = {f"one-20100101-abc/flac/{name}.flac": each for name, each in sounds.items()}
    sound_files.pack(tmp_path / "x" / "de" / "one-20100101-abc.tgz", members, "w:gz")
    said: list[str] = []
    clips = voxforge.clips(SourceFolder(tmp_path / "x", tmp_path, said.append), said.append)
    assert [clip.name for clip in clips] == ["de-one-20100101-abc-a.wav"]
    assert said == ["left out: 1 sound empty or undecodable"]


def test_a_voxforge_session_is_taken_once_from_its_lower_rate(tmp_path: Path) -> None:
    for folder, rate in (("48kHz_16bit", 48_000), ("16kHz_16bit", 16_000)):
        corpora.voxforge_session(tmp_path / "fr" / folder, "x-20100101-abc", rate=rate)
    assert ["16kHz_16bit" in str(clip.source) for clip in listed(voxforge.clips, tmp_path)] == [
        True,
        True,
    ]


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """Both archives of Speech Commands, as published."""
    for folder in (
        corpora.speech_commands(tmp_path / "x"),
        corpora.speech_commands_test_set(tmp_path / "x"),
    ):
        corpora.tarred(folder, tmp_path / "published" / f"{folder.name}.tar.gz")
    return tmp_path / "published"


def test_speech_commands_with_35_words(commands: Path, tmp_path: Path) -> None:
    task = prepared("speech_commands_v2_35", commands, tmp_path)
    assert task.labels == ("bed", "no", "yes", "zero")
    assert labels(task, "valid")["zero_1b4c9b89_nohash_0.wav"] == "zero"
    assert [len(task.clips[split]) for split in task.splits] == [4, 4, 4]
    assert_sounds(task, lambda name: corpora.sound(name.replace("_", "/", 1)))


@pytest.mark.parametrize("name", ["speech_commands_v2_12", "speech_commands_full"])
def test_speech_commands_with_12_classes(name: str, commands: Path, tmp_path: Path) -> None:
    task = prepared(name, commands, tmp_path)
    assert labels(task, "test") == {
        "_silence__842.wav": "_silence_",
        "_unknown__seven_fb7eb481_nohash_1.wav.wav": "_unknown_",
        "no_1e4064b8_nohash_0.wav": "no",
        "yes_1e4064b8_nohash_0.wav": "yes",
    }
    cuts = range(0, 52_800 - 16_000, 8_000)
    for split, noise in (("valid", "running_tap"), ("train", "pink_noise")):
        here = labels(task, split)
        assert {k for k, v in here.items() if v == "_silence_"} == {
            f"_silence__{noise}-{start}.wav" for start in cuts
        }
        assert {v for k, v in here.items() if k.startswith(("bed", "zero"))} == {"_unknown_"}
    assert "yes_3f2b358d_nohash_0.wav" not in {**labels(task, "train"), **labels(task, "valid")}

    def original(clip: str) -> np.ndarray:
        if clip.startswith("_silence__") and "-" in clip:
            noise, start = clip.removeprefix("_silence__").removesuffix(".wav").split("-")
            return corpora.sound(noise, 1.0, start=int(start) / 16_000)
        folder = "_silence_" if clip.startswith("_silence_") else clip.rsplit("_nohash", 1)[0]
        if folder.startswith("_unknown_"):
            folder = "_unknown_"
        folder = folder.split("_")[0] or folder
        return corpora.sound(f"{folder}/{clip[len(folder) + 1 :]}")

    assert_sounds(task, original)


def test_speech_commands_without_noises_say_what_has_no_silence(tmp_path: Path) -> None:
    corpus = corpora.speech_commands(tmp_path / "x")
    corpora.speech_commands_test_set(tmp_path / "x")
    (corpus / "_background_noise_" / "pink_noise.wav").unlink()
    said: list[str] = []
    prepared("speech_commands_v2_12", tmp_path / "x", tmp_path, said)
    assert (
        "missing: 5 of 6 background noises, from which _silence_ is cut (doing_the_dishes, "
        "dude_miaowing, exercise_bike, pink_noise, white_noise)"
    ) in said
    assert "train has no clip of 1 of 4 classes: _silence_" in said


def test_an_empty_noise_is_a_bad_sound_of_speech_commands(tmp_path: Path) -> None:
    corpus = corpora.speech_commands(tmp_path / "x")
    corpora.speech_commands_test_set(tmp_path / "x")
    (corpus / "_background_noise_" / "pink_noise.wav").write_bytes(b"")
    (corpus / "yes" / "0a7c2a8d_nohash_0.wav").write_bytes(b"")
    with pytest.raises(UserError, match="2 clips cannot be used") as caught:
        prepared("speech_commands_v2_12", tmp_path / "x", tmp_path)
    assert "pink_noise.wav is an empty file" in str(caught.value)
    assert "0a7c2a8d_nohash_0.wav is an empty file" in str(caught.value)


def test_speech_commands_unpacked_into_one_folder_are_refused(tmp_path: Path) -> None:
    corpus = corpora.speech_commands(tmp_path)
    corpora.speech_commands_test_set(tmp_path).rename(tmp_path / "y")
    for folder in (tmp_path / "y").iterdir():
        for path in folder.iterdir():
            (corpus / folder.name).mkdir(exist_ok=True)
            path.rename(corpus / folder.name / path.name)
    with pytest.raises(UserError, match="contains both parts"):
        listed(speech_commands.twelve_classes, tmp_path)


def test_speech_commands_without_the_test_set_name_its_archive(tmp_path: Path) -> None:
    corpora.speech_commands(tmp_path)
    with pytest.raises(UserError, match=r"test set.*speech_commands_test_set_v0\.02\*"):
        listed(speech_commands.twelve_classes, tmp_path)


def test_five_hours_are_drawn_as_hear_drew_them(
    commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speech_commands, "_FIVE_HOURS", {"train": 5, "valid": 3})
    everything = listed(speech_commands.twelve_classes, commands)
    drawn = listed(speech_commands.five_hours, commands)
    for split, count in (("train", 5), ("valid", 3)):
        # What hear-preprocess 2021.1.1 does to a split, in pandas.
        stems = sorted(clip.name[:-4] for clip in everything if clip.split == split)
        seed = int(hashlib.sha1(f"SubsampleSplit({split})".encode()).hexdigest(), 16)
        wanted = pd.Series(stems).sample(frac=1, random_state=seed % (2**32 - 1))[:count]
        assert len(stems) > count
        assert {c.name[:-4] for c in drawn if c.split == split} == set(wanted)
    assert sum(clip.split == "test" for clip in drawn) == 4


def test_free_spoken_digits(tmp_path: Path) -> None:
    said: list[str] = []
    source = corpora.free_spoken_digits(tmp_path / "x")
    task = prepared("spoken_digit", source, tmp_path, said)
    assert sum(len(clips) for clips in task.clips.values()) == 50
    assert any("10 recordings newer than version 1.0.9, for example" in line for line in said)
    digits = [int(label) for split in task.splits for label in labels(task, split).values()]
    assert sorted(digits) == sorted(list(range(10)) * 5)
    names = {f"{hear}.wav": stem for stem, hear in spoken_digit._hear_names().items()}
    assert_sounds(task, lambda name: corpora.sound(names[name], rate=8_000), 8_000)


def test_a_spoken_digit_keeps_its_name_and_fold_whatever_is_there(tmp_path: Path) -> None:
    corpora.free_spoken_digits(tmp_path / "two", takes=2)
    corpora.zipped(
        corpora.free_spoken_digits(tmp_path / "x"),
        tmp_path / "one" / "free-spoken-digit-dataset-1.0.9.zip",
        prefix="free-spoken-digit-dataset-1.0.9/",
    )
    one, two = (
        {clip.name: (clip.split, clip.labels) for clip in listed(spoken_digit.clips, tmp_path / f)}
        for f in ("one", "two")
    )
    assert len(one) == 50
    assert len(two) == 100
    assert one.items() <= two.items()


def test_the_whole_of_spoken_digits_has_every_digit_in_every_fold(tmp_path: Path) -> None:
    # HEAR tries another seed where that is not so; here its first one serves.
    folder = tmp_path / "recordings"
    folder.mkdir()
    for digit in range(10):
        for speaker in spoken_digit.SPEAKERS:
            for take in range(50):
                (folder / f"{digit}_{speaker}_{take}.wav").write_bytes(b"sound")
    clips = listed(spoken_digit.clips, tmp_path)
    assert len(clips) == 2500
    assert len({(clip.split, clip.labels) for clip in clips}) == 50
    assert [sum(c.split == f"fold0{i}" for c in clips) for i in range(5)] == [500] * 5
