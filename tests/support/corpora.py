"""Write miniatures of corpora: a few sounds with the layout, file names and tables of real ones.

    corpora.esc50(tmp_path)          # unpacked
    corpora.zipped(folder, archive)  # a folder packed as its publisher packs it

Each clip is a sum of sines that depends on its name (:func:`sound`), so that a test can identify a
sound.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import soundfile
from support import sound_files

FAMILIES = ("bass", "brass", "flute", "guitar", "keyboard", "mallet", "organ", "reed", "string",
            "synth_lead", "vocal")  # fmt: skip


def sound(name: str, seconds: float = 0.3, rate: int = 16_000, start: float = 0.0) -> np.ndarray:
    """Return the sound of a clip by its name."""
    return sound_files.sines(
        start + np.arange(round(seconds * rate)) / rate, zlib.crc32(name.encode())
    )


def write(
    path: Path, name: str, seconds: float = 0.3, rate: int = 16_000, subtype: str = "PCM_16"
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound(name, seconds, rate), rate, subtype)


def zipped(folder: Path, archive: Path, prefix: str = "") -> Path:
    """Pack the content of a folder into a zip, with entries for its folders."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(folder.rglob("*")):
            packed.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def tarred(folder: Path, archive: Path, prefix: str = "./") -> Path:
    """Pack the content of a folder into a tar, compressed unless the name ends in .tar."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as packed:
        packed.add(folder, prefix.rstrip("/"))
    return archive


def esc50(folder: Path) -> Path:
    """Write ESC-50-master: two clips in each of five folds, 44.1 kHz."""
    root = folder / "ESC-50-master"
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in range(1, 6):
        for target, category in ((0, "dog"), (36, "vacuum_cleaner")):
            name = f"{fold}-{100032 + fold}-A-{target}.wav"
            rows.append(f"{name},{fold},{target},{category},True,{100032 + fold},A")
            write(root / "audio" / name, name, rate=44_100)
    (root / "meta").mkdir()
    (root / "meta" / "esc50.csv").write_text("\n".join(rows) + "\n")
    (root / "README.md").write_text("ESC-50: Dataset for Environmental Sound Classification\n")
    return root


URBAN_KINDS = {
    "16 bit, stereo": (44_100, 2, "PCM_16"),
    "24 bit": (48_000, 1, "PCM_24"),
    "float, 96 kHz": (96_000, 1, "FLOAT"),
    "MS ADPCM": (22_050, 1, "MS_ADPCM"),
    "8 bit, 11 kHz": (11_025, 1, "PCM_U8"),
}
"""Encodings in the corpus."""


def urbansound8k(folder: Path) -> Path:
    """Write UrbanSound8K: one clip of each of two classes in ten folds, in several encodings."""
    root = folder / "UrbanSound8K"
    rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
    kinds = list(URBAN_KINDS.values())
    for fold in range(1, 11):
        for class_id, label in ((3, "dog_bark"), (9, "street_music")):
            name = f"{100032 + fold}-{class_id}-0-0.wav"
            rows.append(f"{name},{100032 + fold},0.0,0.3,1,{fold},{class_id},{label}")
            rate, channels, subtype = kinds[fold % len(kinds)]
            audio = np.repeat(sound(name, rate=rate)[:, None], channels, 1)
            path = root / "audio" / f"fold{fold}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, audio, rate, subtype)
        (root / "audio" / f"fold{fold}" / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (root / "metadata").mkdir()
    (root / "metadata" / "UrbanSound8K.csv").write_text("\n".join(rows) + "\n")
    (root / "UrbanSound8K_README.txt").write_text("UrbanSound8K\n")
    return root


def nsynth(folder: Path) -> Path:
    """Write the three folders of the jsonwav archives; ``synth_lead`` is only in training."""
    for split, families in (("train", FAMILIES), ("valid", FAMILIES), ("test", FAMILIES)):
        notes = {}
        for number, family in enumerate(families):
            if family == "synth_lead" and split != "train":
                continue
            note = f"{family}_synthetic_{number:03}-{60 + number:03}-075"
            if split != "train":
                note = note.replace("synthetic", "acoustic" if split == "valid" else "electronic")
            write(folder / f"nsynth-{split}" / "audio" / f"{note}.wav", note)
            notes[note] = {
                "note": number, "note_str": note, "instrument": number,
                "instrument_str": note.rsplit("-", 2)[0], "pitch": 60 + number, "velocity": 75,
                "sample_rate": 16000, "qualities": [0] * 10, "qualities_str": [],
                "instrument_family": FAMILIES.index(family), "instrument_family_str": family,
                "instrument_source": 2, "instrument_source_str": "synthetic",
            }  # fmt: skip
        (folder / f"nsynth-{split}" / "examples.json").write_text(json.dumps(notes, indent=4))
    return folder


VOX_LINES = (
    "1 id10001/1zcIwhmdeo4/00001.wav",
    "1 id10001/1zcIwhmdeo4/00002.wav",
    "2 id10001/7gWzIy6yIIk/00001.wav",
    "3 id10001/J9lHsKG98U8/00001.wav",
    "1 id10270/5r0dWxy17C8/00001.wav",
    "2 id10270/8jEAjG6SegY/00008.wav",
    "3 id10270/x6uYqmx31kE/00001.wav",
)


def voxceleb1(folder: Path) -> Path:
    """Write iden_split.txt and the zips of the dev and test speakers (id10270 is in the test)."""
    for part, speaker in (("dev", "id10001"), ("test", "id10270")):
        unpacked = folder / f"unpacked_{part}"
        for line in VOX_LINES:
            path = line.split()[1]
            if path.startswith(speaker):
                write(unpacked / "wav" / path, path, seconds=0.5)
        zipped(unpacked, folder / f"vox1_{part}_wav.zip")
        for path in sorted(unpacked.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        unpacked.rmdir()
    (folder / "iden_split.txt").write_text("\n".join(VOX_LINES) + "\n")
    return folder


def voxforge_session(
    folder: Path, session: str, clips: int = 2, kind: str = "wav", rate: int = 16_000
) -> Path:
    """Write the archive of a session with the publisher's name and layout."""
    archive = folder / f"{session}.tgz"
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w:gz") as packed:
        prompts = "".join(f"{session}/mfc/a{i:04} A SENTENCE\n" for i in range(clips))
        contents = {"etc/PROMPTS": prompts.encode(), "LICENSE": b"GNU GENERAL PUBLIC LICENSE\n"}
        for i in range(clips):
            stream = io.BytesIO()
            audio = sound(f"{session}/a{i:04}", rate=rate)
            soundfile.write(stream, audio, rate, format=kind.upper(), subtype="PCM_16")
            contents[f"{kind}/a{i:04}.{kind}"] = stream.getvalue()
        for name, content in contents.items():
            entry = tarfile.TarInfo(f"{session}/{name}")
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return archive


def speech_commands(folder: Path, noise_seconds: float = 3.3) -> Path:
    """Write speech_commands_v0.02: two commands and two other words in each part; two noises."""
    root = folder / "speech_commands_v0.02"
    lists: dict[str, list[str]] = {"validation": [], "testing": []}
    for word in ("yes", "no", "bed", "zero"):
        for speaker, table in (
            ("0a7c2a8d", None),
            ("1b4c9b89", "validation"),
            ("3f2b358d", "testing"),
        ):
            path = f"{word}/{speaker}_nohash_0.wav"
            write(root / path, path)
            if table:
                lists[table].append(path)
    for part, paths in lists.items():
        (root / f"{part}_list.txt").write_text("\n".join(paths) + "\n")
    for noise in ("running_tap", "pink_noise"):
        write(root / "_background_noise_" / f"{noise}.wav", noise, noise_seconds)
    (root / "_background_noise_" / "README.md").write_text("Background noises\n")
    (root / "LICENSE").write_text("Creative Commons Attribution 4.0\n")
    return root


def speech_commands_test_set(folder: Path) -> Path:
    """Write speech_commands_test_set_v0.02: commands, _unknown_ and _silence_."""
    root = folder / "speech_commands_test_set_v0.02"
    for path in (
        "yes/1e4064b8_nohash_0.wav",
        "no/1e4064b8_nohash_0.wav",
        "_unknown_/seven_fb7eb481_nohash_1.wav.wav",
        "_silence_/842.wav",
    ):
        write(root / path, path)
    return root


def free_spoken_digits(folder: Path, takes: int = 1) -> Path:
    """Write recordings/: each digit by all six speakers, 8 kHz."""
    for digit in range(10):
        for speaker in ("george", "jackson", "lucas", "nicolas", "theo", "yweweler"):
            for take in range(takes):
                name = f"{digit}_{speaker}_{take}"
                write(folder / "recordings" / f"{name}.wav", name, rate=8_000)
    (folder / "metadata.py").write_text("# who speaks\n")
    return folder
