"""Workers that are copies of a server: what they share with it, and what each has for itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support import worker_functions

from harness.core.calls import WorkerDied
from harness.core.workers import Workers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a server")


def call(function: str, *arguments: object, **options: object) -> object:
    """Return what a function returns in a worker of its own."""
    pool = Workers([{}], **options)
    try:
        return pool.submit(getattr(worker_functions, function), *arguments).result(timeout=60)
    finally:
        pool.close()


def test_what_the_server_has_imported_later_workers_have_too() -> None:
    module = "xml.dom.minidom"
    assert module not in call("imported")
    assert module in call("imported", imports=module)
    assert module in call("imported")


def test_a_module_that_cannot_be_imported_is_an_error_of_the_worker(
    capfd: pytest.CaptureFixture,
) -> None:
    with pytest.raises(WorkerDied):
        call("pid", imports="no.such.module")
    assert isinstance(call("pid"), int)


def test_workers_draw_different_random_numbers() -> None:
    call("draw", 0.0, imports="numpy")
    pool = Workers([{}, {}])
    drawn = [pool.submit(worker_functions.draw, 0.3) for _ in range(2)]
    assert len({future.result() for future in drawn}) == 2
    pool.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_libraries_that_are_loaded_take_the_number_of_threads(threads: int) -> None:
    environment = {"OPENBLAS_NUM_THREADS": str(threads)}
    assert call("blas_threads", environment=environment, imports="numpy") == {threads}


def test_a_worker_begins_where_its_parent_is_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call("folder")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEAR_BYOLA_NEW", "set")
    assert call("folder") == os.getcwd() != first
    assert call("environment", "HEAR_BYOLA_NEW") == "set"
    monkeypatch.delenv("HEAR_BYOLA_NEW")
    assert call("environment", "HEAR_BYOLA_NEW") == ""


@pytest.mark.parametrize("_", range(2))
def test_a_worker_prints_to_the_output_of_now(_: int, capfd: pytest.CaptureFixture) -> None:
    assert call("print_and_add", 1, 2) == 3
    assert capfd.readouterr().out == "noise\n"


def test_a_killed_server_ends_its_workers_and_is_replaced(tmp_path: Path) -> None:
    server = call("parent")
    assert server == call("parent")
    pool = Workers([{}])
    running = pool.submit(worker_functions.sleep_after_mark, tmp_path / "mark", 300.0)
    while not (tmp_path / "mark").exists():
        time.sleep(0.02)
    os.kill(server, signal.SIGKILL)
    assert isinstance(running.exception(timeout=30), WorkerDied)
    assert pool.submit(worker_functions.add, 1, 2).result(timeout=60) == 3
    pool.close()
    assert call("parent") != server


SCRIPT = """
import sys, xml.dom.minidom
from harness.core import forkserver
from harness.core.workers import Workers
from support import worker_functions

if {allowed}:
    forkserver.allow_copies()
forkserver.serve_from_here()
print("printed once")
pool = Workers([{{}}])
print("xml.dom.minidom" in pool.submit(worker_functions.imported).result())
pool.close()
"""


@pytest.mark.parametrize("allowed", [True, False])
def test_a_process_is_copied_only_if_it_allows_it(allowed: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(allowed=allowed)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == ["printed once", str(allowed)]
