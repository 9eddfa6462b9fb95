"""Archives from a mirror, which is a folder or a server, with and without the record."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil

import pytest
from support.archives import HURRY, RECORD, Sample, made_sample
from support.record_server import cut, refuse

from harness.core.errors import UserError


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def folder(tmp_path, made):
    """A folder with a copy of the archive."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / made.file).write_bytes(made.content)
    return tmp_path / "mirror"


def test_a_folder_is_checked_against_the_record(server, fetch, made, folder, story, tmp_path):
    server.publish(RECORD, made.file, made.content)
    assert fetch(made, mirror=str(folder)).failures == {}
    assert "md5 as in record 17" in str(story)
    assert server.seen == []
    assert (folder / made.file).read_bytes() == made.content
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == ["made-v1-full"]


def test_a_folder_with_another_file_is_refused(server, fetch, made, folder):
    server.publish(RECORD, made.file, made.content)
    (folder / made.file).write_bytes(made.content[::-1])
    assert md5(made.content) in fetch(made, mirror=str(folder)).failures["made"]
    (folder / made.file).write_bytes(made.content[:-1])
    sentence = fetch(made, mirror=str(folder)).failures["made"]
    assert f"record 17 lists {len(made.content):,}" in sentence


SUMS = {
    "of md5sum": ("{file}.md5", "{md5}  {file}\n"),
    "of md5sum in binary mode": ("{file}.md5", "{md5} *./sub/{file}\n"),
    "alone": ("{file}.md5", "{md5}"),
    "in capitals": ("{file}.md5", "{MD5}  {file}\r\n"),
    "among others": ("md5sums.txt", "{other}  other.tar.gz\n{md5}  {file}\n{other}  {file}2\n"),
    "in MD5SUMS": ("MD5SUMS", "{md5}  {file}\n"),
}


@pytest.mark.parametrize("form", SUMS)
@pytest.mark.parametrize("place", ["folder", "server"])
def test_without_the_record_an_md5_file_beside_is_used(
    server, fetch, made, folder, story, form, place
):
    name, text = (
        part.format(
            file=made.file, md5=md5(made.content), MD5=md5(made.content).upper(), other="0" * 32
        )
        for part in SUMS[form]
    )
    if place == "folder":
        (folder / name).write_text(text)
        mirror = str(folder)
    else:
        server.mirror |= {made.file: made.content, name: text.encode()}
        mirror = f"{server.url}/mirror/"
    assert fetch(made, mirror=mirror).failures == {}
    assert f"md5 as in {name} of the mirror" in str(story)


def test_an_md5_file_that_disagrees_is_an_error(server, fetch, made, folder):
    (folder / "md5sums.txt").write_text(f"{'0' * 32}  {made.file}\n")
    assert "but md5sums.txt of the mirror lists" in fetch(made, mirror=str(folder)).failures["made"]


def test_the_record_counts_more_than_an_md5_file(server, fetch, made, folder):
    server.publish(RECORD, made.file, made.content)
    (folder / "md5sums.txt").write_text(f"{'0' * 32}  {made.file}\n")
    assert fetch(made, mirror=str(folder)).failures == {}


@pytest.mark.parametrize("reason", ["no record", "not listed", "refused"])
@pytest.mark.parametrize("place", ["folder", "server"])
def test_without_any_md5_it_is_said_plainly(server, fetch, made, folder, story, place, reason):
    if reason == "not listed":
        server.publish(RECORD, "other.tar.gz", b"")
    if reason == "refused":
        server.faults[f"record {RECORD}"] = [refuse(503)] * 9
    server.mirror[made.file] = made.content
    mirror = str(folder) if place == "folder" else f"{server.url}/mirror"
    assert fetch(made, mirror=mirror).failures == {}
    assert "the md5 of the archive is unknown, so only its size" in str(story)
    assert {"no record": "404", "not listed": "lists no file", "refused": "503"}[reason] in str(
        story
    )


def test_a_mirror_does_not_need_the_record_to_be_reachable(
    server, fetch, made, folder, story, monkeypatch
):
    monkeypatch.setattr("tasks.fetch.archive.API", "http://127.0.0.1:9")
    assert fetch(made, mirror=str(folder)).failures == {}
    assert "Connection refused" in str(story)


def test_a_mirrors_failure_is_not_told_with_the_records_reason(
    server, fetch, made, story, monkeypatch
):
    monkeypatch.setattr("tasks.fetch.archive.API", "http://nowhere.invalid")
    sentence = fetch(made, mirror="http://127.0.0.1:9").failures["made"]
    assert "the connection to 127.0.0.1:9 failed (Connection refused)" in sentence


def test_without_a_network_an_end_is_soon_made_and_a_mirror_proposed(
    server, fetch, made, story, monkeypatch
):
    monkeypatch.setattr("tasks.fetch.archive.API", "http://nowhere.invalid")
    sentence = fetch(made, patience=dataclasses.replace(HURRY, tries=8)).failures["made"]
    assert "nowhere.invalid failed" in sentence
    assert "(3 times in a row)" in sentence
    assert "--mirror" in sentence


def test_a_server_is_resumed_like_the_record(server, fetch, made):
    server.mirror[made.file] = made.content
    server.faults[made.file] = [cut(2000)]
    assert fetch(made, mirror=f"{server.url}/mirror").failures == {}
    assert [seen.range for seen in server.seen] == [None, "bytes=2000-"]


def test_a_password_in_the_address_is_not_written_down(server, fetch, made, story):
    server.mirror[made.file] = made.content
    server.faults[made.file] = [refuse(503)]
    mirror = server.url.replace("//", "//me:secret@") + "/mirror"
    directory = fetch(made, mirror=mirror).directories["made"]
    assert "secret" not in (directory / ".fetched").read_text()
    assert "secret" not in str(story)


def test_without_an_md5_a_part_from_elsewhere_is_not_gone_on_from(server, fetch, made):
    server.mirror[made.file] = made.content
    server.mirror[f"copy/{made.file}"] = made.content
    server.faults[made.file] = [cut(2000), *[refuse(503)] * 3]
    assert fetch(made, mirror=f"{server.url}/mirror").failures != {}
    assert fetch(made, mirror=f"{server.url}/mirror/copy").failures == {}
    assert server.seen[-1].range is None


def test_a_size_that_nobody_tells_is_no_hindrance_with_an_md5(server, fetch, made, story):
    """Sent in chunks, the end is known by the server's word."""

    def chunked(handler, content):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for at in range(0, len(content), 1000):
            piece = content[at : at + 1000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    server.mirror |= {made.file: made.content, f"{made.file}.md5": md5(made.content).encode()}
    server.whole_answers[made.file] = chunked
    assert fetch(made, mirror=f"{server.url}/mirror").failures == {}
    assert ("downloading", None) in {(stage, total) for _, stage, _, total in story.moves}


@pytest.mark.parametrize("place", ["folder", "server"])
def test_what_the_mirror_does_not_have_is_named(server, fetch, made, folder, place):
    lost = made_sample("lost")
    server.mirror[made.file] = made.content
    mirror = str(folder) if place == "folder" else f"{server.url}/mirror"
    fetched = fetch(made, lost, mirror=mirror)
    assert list(fetched.directories) == ["made"]
    assert lost.file in fetched.failures["lost"]


@pytest.mark.parametrize("mirror", ["/no/such/folder", "ftp://host/files"])
def test_a_mirror_that_is_none_is_refused_at_once(server, fetch, made, mirror):
    with pytest.raises(UserError, match=f"--mirror {mirror}"):
        fetch(made, mirror=mirror)


def test_kept_archives_are_a_mirror(server, fetch, made, tmp_path):
    server.publish(RECORD, made.file, made.content)
    directory = fetch(made, keep_archive=True).directories["made"]
    (directory / "task_metadata.json").unlink()
    directory.rename(tmp_path / "away")
    assert fetch(made, mirror=str(tmp_path / "tasks" / "archives")).failures == {}


@pytest.mark.parametrize("mirror", ["", "archives"])
def test_a_kept_archive_needs_no_network(server, fetch, made, story, tmp_path, monkeypatch, mirror):
    server.publish(RECORD, made.file, made.content)
    directory = fetch(made, keep_archive=True).directories["made"]
    kept = tmp_path / "tasks" / "archives"
    assert (kept / f"{made.file}.md5").read_text() == f"{md5(made.content)}  {made.file}\n"
    monkeypatch.setattr("tasks.fetch.archive.API", "http://127.0.0.1:9")
    story.said.clear()
    shutil.rmtree(directory)
    assert fetch(made, mirror=str(kept) if mirror else None).failures == {}
    assert f"md5 as in {made.file}.md5" in str(story)
    assert "127.0.0.1" not in str(story), "no server was asked"
    (kept / made.file).write_bytes(made.content[:-1] + b"x")
    shutil.rmtree(directory)
    assert "damaged or replaced" in fetch(made).failures["made"]


def test_the_real_archive_comes_from_a_folder(server, fetch, real: Sample, test_data, story):
    found = fetch(real, mirror=str(test_data / "archives"))
    assert found.failures == {}
    assert "107 files" in str(story)
