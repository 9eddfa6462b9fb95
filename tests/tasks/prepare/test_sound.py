"""Decoding a corpus's sounds, on disk and inside archives."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import corpora, sound_files

from harness.core.errors import UserError
from tasks.prepare.archive import close_archives
from tasks.prepare.folder import SourceFolder
from tasks.prepare.sound import Stretch, read_sound

RATE = 48000


@pytest.mark.parametrize("packed", [False, True])
def test_a_sound_that_ends_before_its_header_says_is_none(tmp_path: Path, packed: bool) -> None:
    mp3 = sound_files.write(tmp_path / "x" / "a.mp3", sound_files.noise(1.0, RATE), RATE)
    whole = mp3.read_bytes()
    mp3.write_bytes(whole[: len(whole) // 2])
    (tmp_path / "x" / "b.mp3").write_bytes(whole)
    source = tmp_path / "x"
    if packed:
        source = corpora.zipped(source, tmp_path / "y" / "x.zip").parent
    folder = SourceFolder(source, tmp_path, [].append)
    cut, sound = (file for _, file in folder.find(r"(.*/)?[ab]\.mp3", ("x.zip",)))
    assert len(read_sound(sound)[0]) == RATE
    assert len(read_sound(Stretch(sound, RATE // 2, RATE))[0]) == RATE // 2
    for asked in (cut, Stretch(cut, 100, 100), Stretch(cut, RATE // 4, RATE // 2)):
        with pytest.raises(UserError, match=r"a\.mp3 is truncated: \d+ of \d+ frames are present"):
            read_sound(asked)
    close_archives()
