"""Fetching over HTTP from a server that works, and from servers that do not."""

from __future__ import annotations

import dataclasses
import email.utils
import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
import time
from pathlib import Path

import pytest
from support.archives import HURRY, REAL, RECORD, Sample, made_sample, make_card
from support.record_server import cut, hang, ignore_range, misplace, refuse, send

from harness.core.errors import UserError
from tasks.check import check_task
from tasks.fetch import Patience
from tasks.fetch import fetch as fetch_tasks


def publish(server, *samples: Sample, **listing: object) -> None:
    for each in samples:
        server.publish(RECORD, each.file, each.content, **listing)


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_whole(tasks_dir: Path, sample: Sample) -> None:
    """The task is there as the archive has it, and nothing else is."""
    directory = tasks_dir / sample.card.directory
    with tarfile.open(fileobj=io.BytesIO(sample.content)) as tar:
        packed = {
            member.name.partition(f"{directory.name}/")[2]: tar.extractfile(member).read()
            for member in tar
            if member.isfile()
        }
    unpacked = files_below(directory)
    unpacked.pop(".fetched")
    assert unpacked == packed
    assert [path.name for path in tasks_dir.iterdir()] == [directory.name]


def test_a_task_is_fetched_whole_and_passes_the_check(server, fetch, sample, tmp_path, story):
    publish(server, sample)
    fetched = fetch(sample)
    assert fetched.failures == {}
    assert fetched.directories == {sample.card.name: tmp_path / "tasks" / sample.card.directory}
    assert_whole(tmp_path / "tasks", sample)
    assert [f for f in check_task(*fetched.directories.values()) if f.severity == "error"] == []
    assert "md5 as in record 17" in str(story)


def test_after_a_cut_only_the_rest_is_asked_for(server, fetch, sample, tmp_path):
    publish(server, sample)
    half = len(sample.content) // 2
    server.faults[sample.file] = [cut(half), cut(half + 100, rudely=True)]
    assert fetch(sample).failures == {}
    first, second, third = server.seen
    assert first.range is None
    assert second.range == f"bytes={half}-"
    assert second.if_range == f'"{hashlib.md5(sample.content).hexdigest()}"'
    # A reset may throw away what was on its way, never more than that.
    assert half <= int(third.range.removeprefix("bytes=").removesuffix("-")) <= half + 100
    assert_whole(tmp_path / "tasks", sample)


def test_a_server_that_names_no_version_is_asked_for_the_rest_all_the_same(
    server, fetch, made, tmp_path
):
    publish(server, made)

    def cut_without_etag(handler, content):
        handler.head(200, len(content))
        handler.wfile.write(content[:1000])
        handler.hang_up()

    server.faults[made.file] = [cut_without_etag]
    assert fetch(made).failures == {}
    assert [(seen.range, seen.if_range) for seen in server.seen] == [
        (None, None),
        ("bytes=1000-", None),
    ]
    assert_whole(tmp_path / "tasks", made)


def test_a_download_that_was_given_up_goes_on_with_the_next_call(
    server, fetch, made, tmp_path, story
):
    publish(server, made)
    server.faults[made.file] = [cut(2000), *[refuse(503)] * HURRY.tries]
    failed = fetch(made)
    assert "503" in failed.failures["made"]
    assert "3 times in a row" in failed.failures["made"]
    assert "run the same command to resume" in failed.failures["made"]
    assert not (tmp_path / "tasks" / made.card.directory).exists()
    assert fetch(made).failures == {}
    assert server.seen[-1].range == "bytes=2000-"
    assert "resuming after 2.0 kB" in str(story)
    assert_whole(tmp_path / "tasks", made)


def test_tries_are_counted_anew_with_every_byte_gained(server, fetch, made, tmp_path):
    publish(server, made)
    server.faults[made.file] = [cut(1000 + 10 * i) for i in range(3 * HURRY.tries)]
    assert fetch(made).failures == {}
    assert_whole(tmp_path / "tasks", made)


def test_a_server_that_ignores_ranges_is_asked_for_the_whole(server, fetch, made, tmp_path, story):
    publish(server, made)
    server.faults[made.file] = [cut(3000), ignore_range]
    assert fetch(made).failures == {}
    assert "downloading from the beginning" in str(story)
    assert "resuming after" not in str(story)
    assert server.seen[-1].range == "bytes=3000-"
    assert_whole(tmp_path / "tasks", made)


def test_a_server_that_ignores_ranges_and_breaks_off_is_given_up(server, fetch, made):
    def whole_but_cut(handler, content):
        handler.head(200, len(content))
        handler.wfile.write(content[:3000])
        handler.hang_up()

    publish(server, made)
    server.faults[made.file] = [whole_but_cut] * 10
    assert "times in a row" in fetch(made).failures["made"]
    assert len(server.seen) == HURRY.tries


def test_what_is_there_is_forgotten_when_a_server_starts_anew(server, fetch, made, tmp_path):
    def anew_but_cut(handler, content):
        handler.head(200, len(content))
        handler.wfile.write(content[:1000])
        handler.hang_up()

    publish(server, made)
    server.faults[made.file] = [cut(3000), anew_but_cut]
    assert fetch(made).failures == {}
    assert [seen.range for seen in server.seen] == [None, "bytes=3000-", "bytes=1000-"]
    assert_whole(tmp_path / "tasks", made)


@pytest.mark.parametrize("start", [0, 1000, 3000])
def test_a_range_may_begin_before_the_asked_byte(server, fetch, made, tmp_path, start):
    publish(server, made)
    server.faults[made.file] = [cut(3000), misplace(start)]
    assert fetch(made).failures == {}
    assert len(server.seen) == 2
    assert_whole(tmp_path / "tasks", made)


def test_a_range_that_leaves_a_gap_is_not_taken(server, fetch, made, tmp_path, story):
    publish(server, made)
    server.faults[made.file] = [cut(3000), misplace(3001)]
    assert fetch(made).failures == {}
    assert [seen.range for seen in server.seen] == [None, "bytes=3000-", None]
    assert "another part of the file" in str(story)
    assert "have a wrong md5" not in str(story)
    assert_whole(tmp_path / "tasks", made)


def test_pieces_of_two_versions_are_not_joined(server, fetch, made, tmp_path):
    """The ETag tells them apart; the one with the md5 of the listing is taken."""
    publish(server, made)
    other = bytes(len(made.content))

    def cut_other(handler, _):
        handler.answer(other, other[:3000])
        handler.hang_up()

    server.faults[made.file] = [cut_other]
    assert fetch(made).failures == {}
    assert server.seen[1].if_range == f'"{hashlib.md5(other).hexdigest()}"'
    assert_whole(tmp_path / "tasks", made)


def test_pieces_that_do_not_fit_are_fetched_once_more(server, fetch, made, tmp_path, story):
    publish(server, made)

    def other_cut_without_etag(handler, content):
        handler.head(200, len(content))
        handler.wfile.write(bytes(3000))
        handler.hang_up()

    server.faults[made.file] = [other_cut_without_etag]
    assert fetch(made).failures == {}
    assert [seen.range for seen in server.seen] == [None, "bytes=3000-", None]
    assert "have a wrong md5" in str(story)
    assert_whole(tmp_path / "tasks", made)


def test_pieces_that_never_fit_are_given_up(server, fetch, made, tmp_path):
    def other_cut_without_etag(handler, content):
        handler.head(200, len(content))
        handler.wfile.write(bytes(3000))
        handler.hang_up()

    def rest(handler, content):
        handler.answer(content, content)

    publish(server, made)
    server.faults[made.file] = [other_cut_without_etag, rest] * 5
    assert hashlib.md5(made.content).hexdigest() in fetch(made).failures["made"]
    assert [seen.range for seen in server.seen] == [None, "bytes=3000-"] * 2
    assert list((tmp_path / "tasks").iterdir()) == []


def test_a_wrong_md5_is_an_error_that_names_both(server, fetch, made, tmp_path):
    publish(server, made)
    damaged = bytes([made.content[0] ^ 1]) + made.content[1:]
    server.faults[made.file] = [send(damaged)]
    sentence = fetch(made).failures["made"]
    assert hashlib.md5(damaged).hexdigest() in sentence
    assert hashlib.md5(made.content).hexdigest() in sentence
    assert "record 17" in sentence
    assert list((tmp_path / "tasks").iterdir()) == []
    assert fetch(made).failures == {}
    assert_whole(tmp_path / "tasks", made)


def test_a_file_that_is_truncated_on_the_server_is_an_error_with_both_sizes(server, fetch, made):
    publish(server, made)
    server.faults[made.file] = [send(made.content[:-500])]
    sentence = fetch(made).failures["made"]
    assert f"{len(made.content) - 500:,} bytes" in sentence
    assert f"{len(made.content):,}" in sentence
    assert len(server.seen) == 1


def test_a_file_that_is_truncated_on_the_server_meanwhile_is_an_error_too(server, fetch, made):
    publish(server, made)
    server.faults[made.file] = [cut(3000), send(made.content[:2000])]
    assert "has 2,000 bytes on the server" in fetch(made).failures["made"]


def test_a_file_without_a_length_that_does_not_end_is_not_stored(server, fetch, made, tmp_path):
    def endless(handler, content):
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1000):
            handler.wfile.write(content)
        handler.hang_up()

    publish(server, made)
    server.faults[made.file] = [endless]
    assert "is longer than" in fetch(made).failures["made"]
    assert list((tmp_path / "tasks").iterdir()) == []


def test_a_hanging_server_is_left_and_asked_again(server, fetch, made, tmp_path, story):
    publish(server, made)
    server.faults[made.file] = [hang(2500)]
    assert fetch(made, patience=dataclasses.replace(HURRY, read=1)).failures == {}
    assert [seen.range for seen in server.seen] == [None, "bytes=2500-"]
    assert "did not answer in time; try 2 of 3" in str(story)
    assert_whole(tmp_path / "tasks", made)


def test_retry_after_is_obeyed(server, fetch, made, tmp_path, story):
    publish(server, made)
    server.faults[made.file] = [refuse(429, "1")]
    began = time.monotonic()
    assert fetch(made).failures == {}
    assert time.monotonic() - began >= 1
    assert "429 Too Many Requests; try 2 of 3 in 1 s, as the server asks" in str(story)
    assert_whole(tmp_path / "tasks", made)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_too_long_a_wait_is_told_instead_of_waited(server, fetch, made, form):
    publish(server, made)
    date = email.utils.formatdate(time.time() + 7200, usegmt=True)
    server.faults[made.file] = [refuse(429, "7200" if form == "seconds" else date)]
    assert "asks for a wait of 120 min" in fetch(made).failures["made"]


def test_other_refusals_are_not_tried_again(server, fetch, made):
    publish(server, made)
    server.faults[made.file] = [refuse(403)]
    assert "403 Forbidden" in fetch(made).failures["made"]
    assert len(server.seen) == 1


def test_the_listing_is_asked_for_again_too_and_once_for_all_tasks(server, fetch, made):
    other = made_sample("other")
    publish(server, made, other)
    server.faults[f"record {RECORD}"] = [refuse(502), refuse(429, "0")]
    assert fetch(made, other).failures == {}
    assert server.listed == 3


def test_a_listing_that_is_not_there_is_asked_for_once(server, fetch, made):
    fetched = fetch(made, made_sample("other"))
    assert "404" in fetched.failures["made"]
    assert "404" in fetched.failures["other"]
    assert server.listed == 1


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>", "is not the listing of a record"),
        (b'{"files": [{"key": "a", "size": 1, "checksum": "sha1:00"}]}', "not an md5"),
        (b'{"files": []}', "lists no file"),
        (b"[" * 9_000_000, "is longer than"),
        (b"[" * 100_000, "is not the listing of a record"),
        (
            b'{"files": [{"key": "a", "size": 1e999, "checksum": "md5:%b"}]}' % (b"0" * 32),
            "is not the listing of a record",
        ),
    ],
    ids=["a page", "another checksum", "nothing", "endless", "deep", "infinite"],
)
def test_a_listing_that_does_not_help_is_told(server, fetch, made, answer, words):
    publish(server, made)
    server.faults[f"record {RECORD}"] = [lambda handler, _: handler.whole(answer)]
    assert words in fetch(made).failures["made"]


def test_requests_name_the_program(server, fetch, made):
    publish(server, made)
    fetch(made)
    assert server.seen[0].agent.startswith("hear-byola/")


def test_the_archives_own_compression_is_not_undone(server, fetch, made, tmp_path):
    def declared(handler, content):
        handler.head(200, len(content), Content_Encoding="gzip")
        handler.wfile.write(content)

    publish(server, made)
    server.faults[made.file] = [declared]
    assert fetch(made).failures == {}
    assert_whole(tmp_path / "tasks", made)


def test_a_second_call_verifies_and_asks_nobody(server, fetch, made, tmp_path, story):
    publish(server, made)
    fetch(made)
    server.seen.clear()
    server.listed = 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = fetch(made)
    assert again.failures == {}
    assert list(again.directories) == ["made"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert (server.seen, server.listed) == ([], 0)
    assert "unchanged since its installation (20 files" in str(story)


def test_what_a_kill_left_beside_a_finished_task_is_removed(server, fetch, made, tmp_path):
    publish(server, made)
    fetch(made)
    left = tmp_path / "tasks" / f".{made.card.directory}.fetch"
    left.mkdir()
    (left / "archive.part").write_bytes(made.content)
    assert fetch(made).failures == {}
    assert_whole(tmp_path / "tasks", made)


def test_what_a_killed_unpacking_left_does_not_get_into_the_task(server, fetch, made, tmp_path):
    publish(server, made)
    left = tmp_path / "tasks" / f".{made.card.directory}.fetch" / "unpacked"
    (left / made.card.directory).mkdir(parents=True)
    (left / made.card.directory / "stale.json").write_text("{}")
    assert fetch(made).failures == {}
    assert_whole(tmp_path / "tasks", made)


@pytest.mark.parametrize("change", ["truncate", "remove", "edit"])
def test_a_second_call_names_what_has_changed(server, fetch, made, tmp_path, change):
    publish(server, made)
    directory = fetch(made).directories["made"]
    clip = next((directory / "16000" / "fold01").iterdir())
    if change == "truncate":
        os.truncate(clip, 100)
        words = f"1 of another size (16000/fold01/{clip.name})"
    elif change == "remove":
        clip.unlink()
        words = f"1 missing (16000/fold01/{clip.name})"
    else:
        table = directory / "fold00.json"
        table.write_bytes(table.read_bytes().swapcase())
        words = "1 changed (fold00.json)"
    sentence = fetch(made).failures["made"]
    assert words in sentence
    assert "Remove the folder" in sentence


def test_audio_at_further_rates_may_be_added(server, fetch, made):
    publish(server, made)
    directory = fetch(made).directories["made"]
    shutil.copytree(directory / "16000", directory / "8000")
    assert fetch(made).failures == {}


def test_a_directory_from_elsewhere_is_left_alone_and_so_said(server, fetch, made, tmp_path, story):
    publish(server, made)
    directory = fetch(made).directories["made"]
    (directory / ".fetched").unlink()
    assert fetch(made).directories == {"made": directory}
    assert "was not fetched by this command" in str(story)
    shutil.rmtree(directory)
    directory.mkdir()
    assert "no task_metadata.json" in fetch(made).failures["made"]


def test_another_archive_than_the_cards_is_told(server, fetch, made):
    publish(server, made)
    fetch(made)
    newer = Sample(make_card("made", made.card.directory, "newer.tar.gz"), made.content)
    assert "the card names newer.tar.gz" in fetch(newer).failures["made"]


def test_one_that_fails_stops_no_other(server, fetch, tmp_path):
    good = [made_sample(name) for name in ("one", "two", "three")]
    bad, lost = made_sample("bad"), made_sample("lost")
    publish(server, *good, bad)
    server.faults[bad.file] = [refuse(404)]
    fetched = fetch(bad, good[0], lost, good[1], good[2])
    assert set(fetched.failures) == {"bad", "lost"}
    assert "404" in fetched.failures["bad"]
    assert "lists no file" in fetched.failures["lost"]
    assert set(fetched.directories) == {"one", "two", "three"}


def test_files_come_side_by_side(server, fetch):
    """Each waits for the other to be under way."""
    samples = [made_sample("one"), made_sample("two")]
    publish(server, *samples)

    def when_both_are_here(handler, content):
        deadline = time.monotonic() + 5
        while handler.site.most_in_flight < 2 and time.monotonic() < deadline:
            time.sleep(0.005)
        handler.answer(content, content)

    for each in samples:
        server.faults[each.file] = [when_both_are_here]
    patient = Patience(read=10, tries=1)
    assert fetch(*samples, jobs=2, patience=patient).failures == {}
    assert server.most_in_flight == 2


def test_a_fault_of_the_program_is_not_hidden(server, fetch, made, monkeypatch):
    publish(server, made)

    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("tasks.fetch.place.unpack", broken)
    with pytest.raises(ZeroDivisionError):
        fetch(made)


def test_archives_are_kept_when_asked_and_used_again(server, fetch, made, tmp_path):
    publish(server, made)
    directory = fetch(made, keep_archive=True).directories["made"]
    kept = tmp_path / "tasks" / "archives" / made.file
    assert kept.read_bytes() == made.content
    shutil.rmtree(directory)
    server.seen.clear()
    assert fetch(made).failures == {}
    assert server.seen == []
    assert kept.read_bytes() == made.content
    assert sorted(path.name for path in kept.parents[1].iterdir()) == ["archives", directory.name]


def test_progress_rises_to_the_whole_in_every_stage(server, fetch, made, story):
    publish(server, made)
    server.faults[made.file] = [cut(3000)]
    fetch(made)
    for stage in ("downloading", "checking", "unpacking"):
        done = [d for _, s, d, total in story.moves if s == stage and total == len(made.content)]
        assert done == sorted(done), stage
        assert done[-1] == len(made.content), stage


def test_a_full_disk_is_told_before_anything_is_fetched(server, fetch, made, monkeypatch):
    publish(server, made)
    hours = make_card("made", made.card.directory, made.file, hours=100.0)
    big = Sample(hours, made.content)
    usage = shutil.disk_usage("/")._replace(free=30_000_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"34\.6 GB unpacked\), but .* has 30\.0 GB free"):
        fetch(big)
    assert server.seen == []
    assert fetch(made).failures == {}


def test_of_archives_that_are_not_kept_only_those_side_by_side_need_room(
    server, fetch, monkeypatch
):
    samples = [made_sample(name) for name in ("one", "two", "three", "four")]
    publish(server, *samples)
    asked = []
    monkeypatch.setattr("tasks.fetch.check_space", lambda _, archives, __: asked.append(archives))
    sizes = sorted(len(each.content) for each in samples)
    fetch(*samples, jobs=2)
    shutil.rmtree(fetch(samples[0]).directories["one"].parent)
    fetch(*samples, jobs=2, keep_archive=True)
    assert asked[0] == sum(sizes[-2:])
    assert asked[-1] == sum(sizes)


def test_what_is_there_of_a_download_needs_no_room(server, fetch, made, monkeypatch):
    publish(server, made)
    server.faults[made.file] = [cut(2000), *[refuse(503)] * HURRY.tries]
    fetch(made)
    asked = []
    monkeypatch.setattr("tasks.fetch.check_space", lambda _, archives, __: asked.append(archives))
    fetch(made)
    assert asked == [len(made.content) - 2000]


def test_a_disk_that_fills_up_meanwhile_is_told(server, fetch, made, monkeypatch, tmp_path):
    publish(server, made)

    def full(*_, **__):
        raise OSError(28, "No space left on device", str(tmp_path / "tasks" / "x" / "y.wav"))

    monkeypatch.setattr("tasks.fetch.place.unpack", full)
    sentence = fetch(made).failures["made"]
    assert f"{tmp_path / 'tasks' / 'x' / 'y.wav'}: No space left on device. Make room" in sentence
    monkeypatch.undo()


def test_an_archive_that_is_no_task_leaves_nothing_behind(server, fetch, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        entry = tarfile.TarInfo("tasks/made-v1-full/notes.txt")
        tar.addfile(entry)
    empty = Sample(made_sample().card, buffer.getvalue())
    publish(server, empty)
    assert "contains no task_metadata.json" in fetch(empty).failures["made"]
    assert list((tmp_path / "tasks").iterdir()) == []


def test_a_card_decides_how_much_may_be_unpacked(server, fetch, tmp_path):
    content = gzip.compress(gzip.decompress(made_sample().content) + bytes(30_000_000))
    seconds = make_card("made", "made-v1-full", made_sample().file, clips=15, clip_seconds=0.3)
    bomb = Sample(seconds, content)
    publish(server, bomb)
    assert "far more than this task needs" in fetch(bomb).failures["made"]
    assert list((tmp_path / "tasks").iterdir()) == []


def test_a_partial_download_of_another_file_is_not_gone_on_from(server, fetch, made, tmp_path):
    old = Sample(made.card, made.content[:-1] + b"\0\0")
    publish(server, old)
    server.faults[old.file] = [cut(2000), *[refuse(503)] * HURRY.tries]
    fetch(old)
    server.listings.clear()
    publish(server, made)
    assert fetch(made).failures == {}
    assert server.seen[-1].range is None
    assert_whole(tmp_path / "tasks", made)


def test_the_record_says_where_a_task_came_from(server, fetch, made):
    publish(server, made)
    record = json.loads((fetch(made).directories["made"] / ".fetched").read_text())
    assert record["archive"] == {
        "record": RECORD,
        "file": made.file,
        "size": len(made.content),
        "md5": hashlib.md5(made.content).hexdigest(),
        "md5_from": "record 17",
        "place": f"{server.api}/records/17/files/{made.file}/content",
    }


def test_a_tasks_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "tasks").write_text("")
    with pytest.raises(UserError, match="cannot be made: File exists"):
        fetch_tasks([made_sample().card], tmp_path / "tasks")


def test_the_real_archive_is_what_its_readme_says(real):
    assert hashlib.md5(real.content).hexdigest() == "a54f91fffed6ac916673148e5b1913a0"
    assert real.file == REAL
