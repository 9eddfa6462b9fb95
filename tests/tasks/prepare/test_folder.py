"""The folder that a user names as a corpus."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import corpora, sound_files

from harness.core.errors import UserError
from tasks.prepare.archive import close_archives
from tasks.prepare.folder import SourceFolder


@pytest.fixture(autouse=True)
def _closed() -> None:
    close_archives()


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    return folder


def opened(folder: Path) -> SourceFolder:
    return SourceFolder(folder, folder / "room", lambda _: None)


def found(folder: SourceFolder, pattern: str, *archives: str) -> list[str]:
    return [match.string for match, _ in folder.find(pattern, archives)]


def test_a_corpus_is_found_at_any_depth(tmp_path: Path) -> None:
    fill(tmp_path, "a/b/corpus/meta/table.csv")
    assert opened(tmp_path).root("meta/table.csv", (), "it") == "a/b/corpus/"
    assert opened(tmp_path / "a/b/corpus").root("meta/table.csv", (), "it") == ""


def test_what_is_unpacked_comes_before_an_archive_and_shallow_before_deep(tmp_path: Path) -> None:
    corpora.zipped(fill(tmp_path / "x", "meta/table.csv"), tmp_path / "in" / "corpus.zip")
    folder = fill(tmp_path / "in", "old/deep/corpus/meta/table.csv", "corpus/meta/table.csv")
    assert opened(folder).root("meta/table.csv", ("corpus*",), "it") == "corpus/"


def test_archives_are_opened_only_when_they_are_called_so(tmp_path: Path) -> None:
    packed = fill(tmp_path / "x", "meta/table.csv")
    for name in ("corpus-1.0.zip", "holiday.zip", "corpus.txt"):
        corpora.zipped(packed, tmp_path / "in" / name)
    folder = opened(tmp_path / "in")
    assert found(folder, ".*table.csv", "corpus*") == ["corpus-1.0.zip/meta/table.csv"]
    assert folder.text("corpus-1.0.zip/meta/table.csv") == "content of meta/table.csv"


def test_a_wrong_source_says_what_was_looked_for_and_found(tmp_path: Path) -> None:
    folder = opened(fill(tmp_path, "holiday/1.jpg", "holiday/2.jpg", "notes.txt"))
    with pytest.raises(UserError) as caught:
        folder.root("meta/table.csv", ("corpus*", "master.zip"), "the Corpus")
    message = str(caught.value)
    for part in ("the Corpus", "meta/table.csv", "corpus* or master.zip", "3 files", "holiday"):
        assert part in message
    with pytest.raises(UserError, match="found no file"):
        opened(fill(tmp_path / "empty", ".hidden")).root("meta/table.csv", (), "the Corpus")


def test_a_source_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "corpus.zip")
    with pytest.raises(UserError, match=r"corpus\.zip is a file\. Name the folder"):
        opened(tmp_path / "corpus.zip")
    with pytest.raises(UserError, match="nowhere does not exist"):
        opened(tmp_path / "nowhere")


def test_hidden_files_and_those_that_lead_out_of_an_archive_do_not_count(tmp_path: Path) -> None:
    fill(tmp_path / "in", "a.wav", "._a.wav", ".cache/b.wav", "__MACOSX/c.wav")
    sound_files.pack(
        tmp_path / "in" / "corpus.tar",
        {"d.wav": b"d", "../e.wav": b"e", "x/../../f.wav": b"f", "y/../g.wav": b"g"},
    )
    folder = opened(tmp_path / "in")
    assert folder.open_archives(["corpus*"])
    assert found(folder, r".*\.wav") == ["a.wav", "corpus.tar/d.wav", "corpus.tar/g.wav"]


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    fill(tmp_path / "far", "a.wav")
    fill(tmp_path / "in", "b.wav")
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "broken.wav").symlink_to(tmp_path / "gone.wav")
    assert found(opened(tmp_path / "in"), r".*\.wav") == ["b.wav", "linked/a.wav"]


def test_an_empty_file_is_there_but_has_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    folder = opened(tmp_path)
    assert folder.get("a.csv") is not None
    assert found(folder, r".*\.csv") == ["a.csv"]
    with pytest.raises(UserError, match=r"a\.csv is missing or empty"):
        folder.text("a.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,class\na.wav,dog\n", "lacks fold"),
        (b"name,fold,class\na.wav,,dog\n", "line 2: a value is missing"),
        (b"name,fold,class\na.wav,1,dog\nb.wav\n", "line 3: a value is missing"),
        pytest.param(
            b"name,fold,class\na.wav,1," + b"d" * 200_000, "larger than field limit", id="endless"
        ),
        (b"name,fold,class\n\xff\xfe,1,dog\n", "not UTF-8"),
    ],
)
def test_a_broken_table_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        list(opened(tmp_path).table("table.csv", ("name", "fold", "class")))
    assert "table.csv" in str(caught.value)
