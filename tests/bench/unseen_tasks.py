"""Make the three tasks on which checkpoints are measured once, after every choice was made.

    python tests/bench/unseen_tasks.py runs/unseen

The recordings are those of three Debian packages that no pretraining of this project uses, and the
labels are the names of their files and folders: kinds of drums (groups are drum kits), voices of a
game (groups are the phrases, which all voices speak), and families of instruments (groups are the
instruments). The tasks are written into the folder `tasks` of the given one.
"""

from __future__ import annotations

import csv
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile

from harness.cli import call
from tools.audio_pool.packages import DebianPackage, fetch, open_deb

DRUMS = DebianPackage(
    "hydrogen-drumkits",
    "2017.09.19~dfsg-1",
    "6ea3c6df9a67762e2362f946c695e619859126b19fbccf32a2e8f07dfd03b2f4",
    "GPL-2.0-or-later",
    "effects",
)
VOICES = DebianPackage(
    "hedgewars-data",
    "1.0.2-6",
    "722225903a72604403e6e0026e40e9a6953f47a74d94efc5f55504bc05bb4761",
    "GPL-2.0-only",
    "speech",
)
INSTRUMENTS = DebianPackage(
    "fluid-soundfont-gm",
    "3.1-5.3",
    "6f531493ac4e4d9772fd96b2488ea1790af81c196135fbdd25997da0781fc60e",
    "MIT",
    "music",
)

DRUM_NAMES = {
    "kick": r"kick|^j?bd",
    "snare": r"snare|^sn\d?_|^sd|_sn_",
    "hi-hat": r"hat|^hh|_hh_|chh|ohh",
    "cymbal": r"crash|ride|china|splash|^[cr]c_|^rd\d?_",
    "tom": r"(?<!s)tom|^t\d_|^tm\d?_",
}
"""What the names of files contain, by the kind of drum."""

FAMILIES = {
    "keyboard": "P200 Piano|Rhodes|Electric Piano|EP 2|Clavinet|Harpsichord",
    "organ": "Church Organ|B3|Rock Organ|Drawbar Organ|reed organ|Accordian",
    "strings": "Violin|Viola|Cello|Strings|Pizz",
    "brass": "French Horns|trombone|Brass Section|Tuba|tp",
    "reed": "E's Bassoon|Clarinet|English Horn|Oboe|Soprano|Alto|Tenor|Baritone",
    "flute": "Flute|Piccolo|pan flute|Recorder",
    "mallet": "Vibraphone|Xylophone|Marimba|Celesta|Glocken|Music Box|Kalimba|Steel Drum",
    "guitar": "Jazz Guitar|PalmMuted Guitar|Nylon|Steel|Clean|Muted|Distortion|Harmonics",
    "bass": "Acoustic Bass|Finger Bass|Picked Bass|Slap Bass|Fretless|Bass",
    "plucked": "Harp|dulci|Shamisen|sitar|Banjo|Koto",
    "voice": "Ahh Choir|Ohh Voices|SynthVz|solo_vox",
}
"""What the names of samples begin with, by the family of instruments; the first that fits."""

_SAMPLE = struct.Struct("<20s5IBbHH")  # a sample header of SoundFont 2.04, section 7.10
_RIGHT = 2  # type of the right channel of a stereo sample; the left one is kept

Clip = tuple[str, str, str]
"""Name of a file, label and group."""


def drums(archive: Path, audio: Path) -> Iterator[Clip]:
    """Write the drums whose kind is known from their names."""
    for path, content in members(archive, r".*/drumkits/[^/]+/[^/]+\.(wav|flac|aiff)"):
        for label, pattern in DRUM_NAMES.items():
            if re.search(pattern, path.name, re.IGNORECASE):
                name = f"{path.parent.name}-{path.name}"
                (audio / name).write_bytes(content)
                yield name, label, path.parent.name
                break


def voices(archive: Path, audio: Path) -> Iterator[Clip]:
    """Write the phrases of all voices."""
    for path, content in members(archive, r".*/Sounds/voices/[^/]+/[^/]+\.ogg"):
        name = f"{path.parent.name}-{path.name}"
        (audio / name).write_bytes(content)
        yield name, path.parent.name, path.stem


def instruments(archive: Path, audio: Path) -> Iterator[Clip]:
    """Write the samples of instruments in a SoundFont."""
    ((_, content),) = members(archive, r".*\.sf2")
    places = {name: (start, size) for name, start, size in chunks(content, 12, len(content))}
    start, size = places[b"shdr"]
    samples = np.frombuffer(content, "<i2", places[b"smpl"][1] // 2, places[b"smpl"][0])
    for number in range(size // _SAMPLE.size - 1):  # the last one ends the list
        header = _SAMPLE.unpack_from(content, start + number * _SAMPLE.size)
        title = header[0].partition(b"\0")[0].decode("latin1")
        begin, end, rate, kind = header[1], header[2], header[5], header[-1]
        for label, names in FAMILIES.items():
            found = re.match(f"({names})(?![a-z])", title)
            if found and kind != _RIGHT:
                name = f"{number:04d}.wav"
                soundfile.write(audio / name, samples[begin:end], rate)
                yield name, label, found[1]
                break


def members(archive: Path, pattern: str) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the files of a package whose whole path matches."""
    with open_deb(archive) as package:
        for member in package:
            if member.isfile() and re.fullmatch(pattern, member.name):
                content = package.extractfile(member)
                assert content is not None
                yield PurePosixPath(member.name), content.read()


def chunks(content: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin and size of the chunks of a RIFF file, also of those in lists."""
    while start < end:
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        if content[start : start + 4] == b"LIST":
            yield from chunks(content, start + 12, start + 8 + size)
        else:
            yield content[start : start + 4], start + 8, size
        start += 8 + size + size % 2


TASKS = {
    "unseen_drums": (DRUMS, drums, 1.0),
    "unseen_voices": (VOICES, voices, 2.0),
    "unseen_instruments": (INSTRUMENTS, instruments, 2.0),
}
"""Package, function that writes its recordings, and seconds of a clip, by the name of the task."""


def make(out: Path) -> None:
    """Make all tasks."""
    for task, (package, write, seconds) in TASKS.items():
        audio = out / "audio" / task
        audio.mkdir(parents=True, exist_ok=True)
        labels = audio.with_suffix(".csv")
        clips = sorted(write(fetch(package, out / "packages"), audio))
        with labels.open("w", newline="") as file:
            csv.writer(file).writerows([("file", "label", "group"), *clips])
        options = ["--seconds", str(seconds), "--sample-rate", "16000", "--folds", "4"]
        options += ["--licence", package.licence, "--tasks-dir", str(out / "tasks")]
        code = call(["tasks", "make", str(labels), str(audio), "--name", task, *options])
        if code:
            sys.exit(code)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
