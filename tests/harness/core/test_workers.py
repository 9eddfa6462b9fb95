from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import worker_functions

from harness.core.calls import WorkerDied, WorkerStuck
from harness.core.workers import Workers

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="processes are looked up in /proc"
)


@pytest.fixture
def workers() -> Iterator[Workers]:
    pool = Workers([{}, {}])
    yield pool
    pool.close(grace=0)


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def descendants_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for path in tasks for child in path.read_text().split()]
    return [*children, *(each for child in children for each in descendants_of(child))]


def test_results_belong_to_their_calls(workers: Workers) -> None:
    futures = [workers.submit(worker_functions.add, i, 100) for i in range(20)]
    assert [future.result() for future in futures] == [i + 100 for i in range(20)]


def test_each_worker_adds_its_own_arguments() -> None:
    pool = Workers([{"extra": 10}])
    assert pool.submit(worker_functions.add, 1, 2).result() == 13
    pool.close()


def test_the_environment_is_set_before_anything_is_imported() -> None:
    pool = Workers([{}], {"OMP_NUM_THREADS": "7"})
    assert pool.submit(worker_functions.environment, "OMP_NUM_THREADS").result() == "7"
    pool.close()


@needs_proc
def test_one_call_starts_one_process_and_the_next_call_uses_it() -> None:
    pool = Workers([{}])
    pids = {pool.submit(worker_functions.pid).result() for _ in range(3)}
    assert len(pids) == 1
    assert os.getpid() not in pids
    pool.close()
    assert not runs(pids.pop())


@pytest.mark.parametrize(
    ("function", "arguments", "code", "said"),
    [
        ("end", (7,), 7, "ended with exit code 7"),
        ("end", (0,), 0, "ended with exit code 0"),
        ("kill", (signal.SIGKILL,), -9, "was killed by signal 9 (Killed)"),
        ("segfault", (), -11, "was killed by signal 11 (Segmentation fault)"),
    ],
)
def test_a_death_is_reported_with_its_code(
    workers: Workers, function: str, arguments: tuple, code: int, said: str
) -> None:
    with pytest.raises(WorkerDied) as died:
        workers.submit(getattr(worker_functions, function), *arguments).result()
    assert died.value.code == code
    assert str(died.value) == said
    assert ("memory" in died.value.advice) == (code == -9)


def test_a_death_costs_one_call_and_the_worker_is_replaced(workers: Workers) -> None:
    futures = [workers.submit(worker_functions.add, i) for i in range(4)]
    dead = workers.submit(worker_functions.kill, signal.SIGKILL)
    futures += [workers.submit(worker_functions.add, i) for i in range(4, 8)]
    assert [future.result() for future in futures] == list(range(8))
    assert isinstance(dead.exception(), WorkerDied)


def test_a_death_is_noticed_although_a_child_holds_the_connection(workers: Workers) -> None:
    began = time.monotonic()
    error = workers.submit(worker_functions.fork_and_die, 60.0).exception(timeout=30)
    assert isinstance(error, WorkerDied)
    assert time.monotonic() - began < 30


def test_errors_come_with_the_traceback_of_the_worker(workers: Workers) -> None:
    error = workers.submit(worker_functions.fail, "value").exception()
    assert isinstance(error, ValueError)
    assert str(error) == "no"
    assert 'raise ValueError("no")' in "".join(traceback.format_exception(error))


def test_an_error_that_cannot_travel_is_told_in_words(workers: Workers) -> None:
    error = workers.submit(worker_functions.fail, "stubborn").exception()
    assert isinstance(error, RuntimeError)
    assert str(error) == "Stubborn: 1 and 2"


def test_a_function_that_exits_ends_its_call_alone(workers: Workers) -> None:
    assert isinstance(workers.submit(worker_functions.fail, "exit").exception(), SystemExit)
    assert workers.submit(worker_functions.add, 1).result() == 1


def test_what_cannot_be_pickled_is_an_error_of_its_call(workers: Workers) -> None:
    assert workers.submit(worker_functions.unpicklable).exception() is not None
    assert workers.submit(worker_functions.add, 1).result() == 1
    with pytest.raises((pickle.PicklingError, AttributeError)):
        workers.submit(lambda: 0)


def test_a_module_that_the_worker_lacks_is_an_error_of_its_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Workers([{}])
    assert pool.submit(worker_functions.add, 1).result() == 1  # the worker has its path now
    (tmp_path / "only_here.py").write_text("def one(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import only_here

    assert isinstance(pool.submit(only_here.one).exception(), ModuleNotFoundError)
    assert pool.submit(worker_functions.add, 1).result() == 1
    pool.close()


def test_prints_do_not_disturb_the_results(workers: Workers) -> None:
    assert workers.submit(worker_functions.print_and_add, 1, 2).result() == 3


def test_a_large_call_and_a_large_result_pass(workers: Workers) -> None:
    data = os.urandom(5_000_000)
    assert workers.submit(bytes, data).result() == data


@needs_proc
def test_closing_waits_for_what_runs_and_cancels_what_waits(tmp_path: Path) -> None:
    pool = Workers([{}])
    running = pool.submit(worker_functions.sleep_after_mark, tmp_path / "mark", 0.5)
    queued = pool.submit(worker_functions.add, 1)
    wait_for((tmp_path / "mark").exists)
    pool.close()
    assert queued.cancelled()
    assert not runs(running.result())
    with pytest.raises(RuntimeError):
        pool.submit(worker_functions.add, 1)


@pytest.mark.parametrize("grace", [0, 0.3])
def test_closing_kills_what_outlasts_the_grace(tmp_path: Path, grace: float) -> None:
    pool = Workers([{}, {}])
    marks = [tmp_path / "one", tmp_path / "other"]
    running = [pool.submit(worker_functions.sleep_after_mark, mark, 300.0) for mark in marks]
    wait_for(lambda: all(mark.exists() for mark in marks))
    began = time.monotonic()
    pool.close(grace=grace)
    assert grace <= time.monotonic() - began < 20
    assert all(isinstance(future.exception(), WorkerDied) for future in running)


def test_closing_ends_although_an_interrupt_has_left_a_future_locked(tmp_path: Path) -> None:
    pool = Workers([{}])
    future = pool.submit(worker_functions.sleep_after_mark, tmp_path / "mark", 0.5)
    wait_for((tmp_path / "mark").exists)
    with future._condition:  # an interrupt within concurrent.futures.wait can leave it so
        began = time.monotonic()
        pool.close(grace=1)
        assert time.monotonic() - began < 20
    assert future.exception(timeout=60) is None


SCRIPT = """
import sys, time
from pathlib import Path
from harness.core.workers import Workers
from support import worker_functions

pool = Workers([{}, {}])
for mark in sys.argv[1:]:
    pool.submit(worker_functions.sleep_after_mark, Path(mark), 300.0)
time.sleep(300)
"""


@needs_proc
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, how: signal.Signals) -> None:
    """The script has no ``if __name__ == "__main__"``: workers do not import it."""
    (tmp_path / "script.py").write_text(SCRIPT)
    marks = [tmp_path / "one", tmp_path / "other"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py"), *map(str, marks)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: all(mark.exists() for mark in marks))
    descendants = descendants_of(parent.pid)
    assert len(descendants) == 3  # the server and its copies
    parent.send_signal(how)
    parent.wait(timeout=30)
    wait_for(lambda: not any(runs(each) for each in descendants))


def test_files_of_the_working_directory_are_not_taken_for_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("harness.py", "pickle.py", "socket.py"):
        (tmp_path / name).write_text("raise ImportError('the user\\'s own')\n")
    monkeypatch.chdir(tmp_path)
    pool = Workers([{}])
    assert pool.submit(worker_functions.add, 1).result() == 1
    pool.close()


def test_foreign_code_has_a_process_of_its_own() -> None:
    pool = Workers([{}])
    own = pool.submit(worker_functions.state).result()
    pool.submit(worker_functions.change_state, isolate="one").result()
    one = pool.submit(worker_functions.state, isolate="one").result()
    assert pool.submit(worker_functions.state).result()[:2] == own[:2]
    other = pool.submit(worker_functions.state, isolate="other").result()
    pool.close(grace=5)
    assert (one[1:], other[1]) == (("yes", 0.5), "")
    assert other[2] != 0.5
    assert len({own[0], one[0], other[0]}) == 3


def test_a_call_without_sign_of_life_is_stopped_at_its_limit(workers: Workers) -> None:
    def limit(work: float) -> float:
        return 3.0 + work

    slow = workers.submit(worker_functions.work_slowly, 5, 1.0, False, limit=limit)
    stuck = workers.submit(worker_functions.work_slowly, 2, 0.1, True, limit=limit)
    error = stuck.exception(timeout=60)
    assert isinstance(error, WorkerStuck)
    assert str(error) == "no progress for 3 s at step 1; it was stopped"
    assert slow.result() == "done"  # in all it took longer than its limit
    assert workers.submit(worker_functions.add, 1).result() == 1


def test_a_death_is_reported_with_what_was_being_done(workers: Workers) -> None:
    error = workers.submit(worker_functions.die_at, "clip 'a.wav'").exception()
    assert str(error) == "ended with exit code 3 at clip 'a.wav'"


@pytest.mark.skipif(sys.platform != "linux", reason="needs the server of workers")
def test_what_a_worker_leaves_behind_ends_with_it() -> None:
    pool = Workers([{}])
    child = pool.submit(worker_functions.leave_child).result()
    pool.submit(worker_functions.leave_thread).result()
    assert runs(child)
    began = time.monotonic()
    pool.close(grace=5)
    assert time.monotonic() - began < 20
    wait_for(lambda: not runs(child))
