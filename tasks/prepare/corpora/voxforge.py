"""Prepare VoxForge with six languages as classes and a split by speaker that this project defines.

The corpus has a folder of sessions per language; a session is an archive named
``{user}-{date}-{code}.tgz``. Sessions from 2020 on are left out, so that the task does not change.
The user determines the split:

- All sessions of ``anonymous`` are for training, because their speakers are unknown.
- Users with 500 clips or more are for training. Otherwise one voice could dominate the score of a
  language.
- A hash of the user's name assigns one fifth of the other users to validation, one fifth to the
  test and the rest to training. Equal names count as one speaker in all languages.

So a user's split does not depend on other users' sessions. A clip's group is its user, or its
session if the user is ``anonymous``.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping

from harness.core.counts import plural
from harness.core.errors import UserError
from harness.core.progress import Pace
from tasks.format.newtask import NewClip
from tasks.prepare.archive import File, Say
from tasks.prepare.corpus import Corpus
from tasks.prepare.folder import SourceFolder
from tasks.prepare.sound import read_sound

ARCHIVES = ("*-????????-*.tgz", "*-????????-*.tar.gz")
FOLDERS = {name: name for name in ("de", "en", "es", "fr", "it", "ru")} | {"SpeechCorpus": "en"}
_SESSION = re.compile(r"(?P<name>(?P<user>.+)-(?P<date>\d{8})-[^-]+?)(?:\.tgz|\.tar\.gz)?")
_BEFORE = "20200101"
_UNNAMED = "anonymous"
_PROLIFIC = 500
_LINE_EVERY = 5.0  # seconds


def clips(folder: SourceFolder, say: Say) -> list[NewClip]:
    """Return the clips of the sessions in folders named de, en, es, fr, it, ru or SpeechCorpus.

    Sessions may be packed or unpacked. SpeechCorpus is the publisher's name of the English part. If
    a session exists at several sample rates, the folder that is first by name is used
    (``16kHz_16bit``).
    """
    folder.open_archives(ARCHIVES)
    found = folder.find(r".*/(?:wav|flac)/[^/]+\.(?:wav|flac)")
    found.sort(key=lambda each: each[0].string)
    sounds: dict[str, tuple[str, str, str, File]] = {}
    left_out: Counter[str] = Counter()
    pace = Pace(_LINE_EVERY)
    for number, (match, file) in enumerate(found):
        if pace.due():
            say(f"checked {number:,} of {plural(len(found), 'sound')}")
        *above, _, sound = match.string.split("/")
        session = next(filter(None, map(_SESSION.fullmatch, above)), None)
        language = _language(above, session)
        if session is None or language is None:
            left_out["outside the sessions of a language"] += 1
        elif session["date"] >= _BEFORE:
            left_out["recorded in 2020 or later"] += 1
        elif not _is_sound(file):
            left_out["empty or undecodable"] += 1
        else:
            name = f"{language}-{session['name']}-{sound.rpartition('.')[0]}.wav"
            user = session["user"].casefold()
            voice = session["name"].casefold() if user == _UNNAMED else user
            sounds.setdefault(name, (language, user, voice, file))
    for reason, count in left_out.items():
        say(f"left out: {plural(count, 'sound')} {reason}")
    if not sounds:
        folder.refuse("de/*/{user}-{date}-{code}/wav/*.wav", ARCHIVES, "sessions of VoxForge")
    splits = _splits(Counter(user for _, user, _, _ in sounds.values()))
    return [
        NewClip(name, splits[user], file, (language,), group=voice)
        for name, (language, user, voice, file) in sounds.items()
    ]


def _is_sound(file: File) -> bool:
    # The corpus is not curated: an undecodable sound would stop the writer after hours. A header
    # does not show this, so the whole sound is decoded.
    try:
        return len(read_sound(file)[0]) > 0
    except (UserError, OSError):
        return False


def _language(above: list[str], session: re.Match[str] | None) -> str | None:
    before = above[: above.index(session.string)] if session else []
    return next((FOLDERS[part] for part in reversed(before) if part in FOLDERS), None)


def _splits(counts: Mapping[str, int]) -> dict[str, str]:
    """Return the split of each user, given the number of clips of each."""
    splits = {}
    for user, count in counts.items():
        fifth = int(hashlib.sha256(user.encode()).hexdigest(), 16) % 5
        free = user != _UNNAMED and count < _PROLIFIC
        splits[user] = {0: "test", 1: "valid"}.get(fifth, "train") if free else "train"
    return splits


CORPUS = Corpus("voxforge", clips, tuple(FOLDERS))
