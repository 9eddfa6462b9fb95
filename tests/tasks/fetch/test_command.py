"""``hear-byola tasks fetch`` as a user meets it, and as it is killed."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import time
from types import MappingProxyType

import pytest
from support.archives import RECORD, Sample, made_sample
from support.changed import changed
from support.command_line import hear_byola
from support.record_server import cut, hang, refuse

import tasks.cards.builtin
from tasks.cards.builtin import card, cards
from tasks.cards.card import Card


@pytest.fixture
def samples(server, monkeypatch) -> list[Sample]:
    """Three published tasks, which are cards of the suite ``made`` beside a demo task."""
    made = [made_sample(name) for name in ("one", "two", "three")]
    for each in made:
        server.publish(RECORD, each.file, each.content)
    demo = card("demo_guitar_chord")
    known = {each.card.name: with_suite(each.card, "made") for each in made}
    known |= {demo.name: demo, "unpublished": unpublished(with_suite(made[0].card, "made"))}
    monkeypatch.setattr(tasks.cards.builtin, "cards", lambda: MappingProxyType(known))
    return made


def with_suite(each: Card, suite: str) -> Card:
    return changed(each, suite=suite)


def unpublished(each: Card) -> Card:
    return changed(each, name="unpublished", published=None)


def test_names_are_fetched_and_their_directories_printed(samples, tmp_path):
    code, out, err = hear_byola("tasks", "fetch", "two", "one", "--tasks-dir", tmp_path / "t")
    assert code == 0, err
    assert out.splitlines() == [f"{tmp_path}/t/two-v1-full", f"{tmp_path}/t/one-v1-full"]
    assert "two: installed" in err
    again = hear_byola("tasks", "fetch", "two", "one", "--tasks-dir", tmp_path / "t")
    assert again[:2] == (0, out)
    assert "unchanged since its installation" in again[2]


def test_a_suite_is_fetched_without_what_is_not_published(samples, tmp_path):
    code, out, err = hear_byola("tasks", "fetch", "--suite", "made", "one", "--tasks-dir", tmp_path)
    assert code == 0, err
    assert len(out.splitlines()) == 3
    assert "left out: unpublished" in err


def test_names_without_an_archive_are_told_of_and_the_others_fetched(samples, tmp_path):
    names = ("one", "unpublished", "demo_guitar_chord")
    code, out, err = hear_byola("tasks", "fetch", *names, "--tasks-dir", tmp_path)
    assert (code, out) == (0, f"{tmp_path}/one-v1-full\n")
    assert "left out: unpublished, demo_guitar_chord" in err
    assert "Comes with the package: demo_guitar_chord." in err
    assert f"Not published, and no command makes it: put one-v1-full into {tmp_path}." in err


def test_failures_are_listed_and_the_others_finished(samples, server, tmp_path):
    server.faults[samples[1].file] = [refuse(404)]
    code, out, err = hear_byola(
        "tasks", "fetch", "--suite", "made", "--tasks-dir", tmp_path, "--jobs", "2"
    )
    assert code == 1
    assert sorted(out.splitlines()) == [f"{tmp_path}/one-v1-full", f"{tmp_path}/three-v1-full"]
    listed = err[err.index("1 failed:") :].splitlines()
    assert len(listed) == 2
    assert listed[1].startswith("  two: ")
    assert "404" in listed[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["oen"], "Did you mean 'one'"),
        (["unpublished"], "left out: unpublished"),
        (["demo_guitar_chord"], "Comes with the package: demo_guitar_chord"),
        (["--suite", "mada"], "Did you mean 'made'"),
        (["--suite", "demo"], "nothing to fetch"),
        ([], "nothing to fetch"),
        (["one", "--jobs", "0"], "0 is not in the range"),
        (["one", "--mirror", "/no/such/folder"], "there is no such folder"),
    ],
)
def test_wrong_use_is_a_sentence_and_exit_code_2(samples, server, tmp_path, arguments, words):
    code, _, err = hear_byola("tasks", "fetch", *arguments, "--tasks-dir", tmp_path)
    assert code == 2
    assert words in err
    assert server.seen == []


def test_without_a_terminal_progress_is_plain_lines(samples, server, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.commands.fetch_progress._LINE_EVERY", 0.0)
    server.faults[samples[0].file] = [cut(2000)]
    code, _, err = hear_byola("tasks", "fetch", "one", "--tasks-dir", tmp_path)
    assert code == 0
    size = len(samples[0].content) / 1000
    assert f"one: downloading, 2.0 kB of {size:.1f} kB" in err
    assert "(100 %)" in err
    assert "one: unpacking, " in err
    assert "\x1b" not in err


def test_every_published_card_can_be_asked_for() -> None:
    """The cards of the package, whose archives nobody fetches in a test."""
    published = [each for each in cards().values() if each.published is not None]
    assert len(published) >= 20
    assert len({each.published for each in published}) == len(published)
    for each in published:
        assert each.published.record.isdecimal(), each.name
        assert each.directory in each.published.file, each.name


COMMAND = """
import pickle, sys, time
from types import MappingProxyType
import tasks.cards.builtin, tasks.fetch.archive
from harness.cli import main
card = pickle.load(open(sys.argv.pop(1), "rb"))
tasks.fetch.archive.API = sys.argv.pop(1)
tasks.cards.builtin.cards = lambda: MappingProxyType({card.name: card})
exec(sys.argv.pop(1))
main()
"""


@pytest.fixture
def start(server, tmp_path):
    """Start ``hear-byola tasks fetch`` of one task in a process of its own."""
    running: list[subprocess.Popen] = []

    def call(sample: Sample, before: str = "") -> subprocess.Popen:
        (tmp_path / "card").write_bytes(pickle.dumps(sample.card))
        words = [str(tmp_path / "card"), server.api, before, "tasks", "fetch", sample.card.name]
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *words],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        return process

    yield call
    for process in running:
        process.kill()
        process.communicate()


def wait_until(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_download_goes_on_where_it_was(server, start, best, tmp_path, how):
    server.publish(RECORD, best.file, best.content)
    half = len(best.content) // 2
    server.faults[best.file] = [hang(half)]
    part = tmp_path / "tasks" / f".{best.card.directory}.fetch" / "archive.part"
    first = start(best)
    wait_until(lambda: part.is_file() and part.stat().st_size == half, first)
    began = time.monotonic()
    first.send_signal(how)
    _, err = first.communicate(timeout=60)
    assert time.monotonic() - began < 30
    if how != signal.SIGKILL:
        assert first.returncode == 130
        assert "the same command resumes" in err
        assert "Traceback" not in err
    assert not (tmp_path / "tasks" / best.card.directory).exists()

    second = start(best)
    out, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert server.seen[-1].range == f"bytes={half}-"
    assert out == f"tasks/{best.card.directory}\n"
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == [best.card.directory]


def test_a_killed_unpacking_leaves_no_part_of_a_task(server, start, best, tmp_path):
    server.publish(RECORD, best.file, best.content)
    unfinished = tmp_path / "tasks" / f".{best.card.directory}.fetch"
    record = unfinished / "unpacked" / best.card.directory / ".fetched"
    first = start(best, "import os; os.sync = lambda: time.sleep(60)")
    wait_until(record.exists, first)
    first.kill()
    first.communicate()
    assert not (tmp_path / "tasks" / best.card.directory).exists()
    second = start(best)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 0, err
    assert len(server.seen) == 1, "the whole archive was there"
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == [best.card.directory]


def test_two_processes_do_not_write_one_download(server, start, made, tmp_path):
    server.publish(RECORD, made.file, made.content)
    server.faults[made.file] = [hang(2000)]
    part = tmp_path / "tasks" / f".{made.card.directory}.fetch" / "archive.part"
    first = start(made)
    wait_until(lambda: part.is_file() and part.stat().st_size == 2000, first)
    second = start(made)
    _, err = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "Another process is fetching this task" in err
    assert part.stat().st_size == 2000
    first.kill()


def test_a_task_that_came_meanwhile_is_verified(server, fetch, made, tmp_path, story):
    """Another process was faster, between the look for the directory and the claim."""
    server.publish(RECORD, made.file, made.content)
    directory = fetch(made).directories["made"]
    directory.rename(tmp_path / "ready")

    def meanwhile(handler, _):
        (tmp_path / "ready").rename(directory)
        handler.whole(json.dumps({"files": server.listings[RECORD]}).encode())

    server.faults[f"record {RECORD}"] = [meanwhile]
    server.seen.clear()
    assert fetch(made).failures == {}
    assert server.seen == []
    assert "unchanged since its installation" in story.said[-1][1]
    assert [path.name for path in (tmp_path / "tasks").iterdir()] == [directory.name]
