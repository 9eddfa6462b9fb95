from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.core import lease as leases
from harness.core.lease import EXPIRES_AFTER, claim_on, claims_in, lease
from hear_byola.core.owner import owner

ELSEWHERE = "00000000-99-1234"


def make_claim(unit: Path, holder: str, age: float = 0.0, host: str = "node17") -> Path:
    path = unit.with_name(f"{unit.name}.{host}.{holder}.0a1b2c3d.lease")
    path.touch()
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def dead_owner() -> str:
    code = "from hear_byola.core.owner import owner; print(owner())"
    return subprocess.run([sys.executable, "-c", code], stdout=-1, text=True).stdout.strip()


def test_a_claim_tells_its_holder_and_its_beginning(tmp_path):
    before = int(time.time())
    with lease(tmp_path / "unit"):
        (claim,) = claims_in(tmp_path)
        assert claim.process == os.getpid()
        assert before <= claim.since <= time.time()
    make_claim(tmp_path / "unit", "00000000-99-1")
    (older,) = claims_in(tmp_path)
    assert (older.process, older.since) == (99, 0.0)


def test_one_holder_at_a_time(tmp_path):
    with lease(tmp_path / "unit") as first:
        with lease(tmp_path / "unit") as second:
            assert (first, second) == (True, False)
        with lease(tmp_path / "unit.other") as third:
            assert third
    with lease(tmp_path / "unit") as again:
        assert again
    assert list(tmp_path.iterdir()) == []


def test_a_lease_of_a_dead_process_is_taken_over_at_once(tmp_path):
    make_claim(tmp_path / "unit", dead_owner())
    with lease(tmp_path / "unit") as mine:
        assert mine
    assert list(tmp_path.iterdir()) == []


def test_a_process_with_the_number_of_a_dead_one_does_not_hold_its_lease(tmp_path):
    place, pid, started = owner().split("-")
    make_claim(tmp_path / "unit", f"{place}-{pid}-{int(started) + 1}")
    with lease(tmp_path / "unit") as mine:
        assert mine or sys.platform != "linux"


@pytest.mark.parametrize("hidden", [True, False])
def test_a_lease_expires_where_the_number_can_be_that_of_another_process(
    tmp_path, monkeypatch, hidden
):
    place, pid, started = owner().split("-")
    if hidden:
        monkeypatch.setattr("hear_byola.core.owner._started", lambda _: None)
    holder = f"{place}-{pid}-{started if hidden else 0}"
    path = make_claim(tmp_path / "unit", holder)
    with lease(tmp_path / "unit") as mine:
        assert not mine
    assert "last sign of life" in claim_on(tmp_path / "unit")
    os.utime(path, (time.time() - EXPIRES_AFTER - 1,) * 2)
    with lease(tmp_path / "unit") as mine:
        assert mine


@pytest.mark.skipif(sys.platform != "linux", reason="needs the start times of processes")
def test_a_running_process_of_this_machine_holds_its_lease_however_busy_it_is(tmp_path):
    make_claim(tmp_path / "unit", owner(), age=10 * EXPIRES_AFTER)
    with lease(tmp_path / "unit") as mine:
        assert not mine
    assert claim_on(tmp_path / "unit") == (
        f"claimed by process {os.getpid()} on node17; taken over when it ends"
    )


def test_a_lease_of_another_place_stands_until_it_expires(tmp_path):
    """The host name is the same, as it is in containers."""
    path = make_claim(tmp_path / "unit", ELSEWHERE, host=leases._host())
    with lease(tmp_path / "unit") as mine:
        assert not mine
    os.utime(path, (time.time() - EXPIRES_AFTER - 1,) * 2)
    with lease(tmp_path / "unit") as mine:
        assert mine


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs namespaces")
def test_a_process_of_another_pid_namespace_is_not_taken_for_dead(tmp_path):
    code = (
        "import sys; from pathlib import Path; from harness.core.lease import lease\n"
        "with lease(Path(sys.argv[1])) as mine: print(mine, flush=True); sys.stdin.read()"
    )
    unshare = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here")
    command = [*unshare, sys.executable, "-c", code, str(tmp_path / "unit")]
    with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline() == "True\n"
        with lease(tmp_path / "unit") as mine:
            assert not mine
        assert "last sign of life" in claim_on(tmp_path / "unit")
        other.stdin.close()


def test_a_lease_dated_in_the_future_expires_like_any_other(tmp_path):
    path = make_claim(tmp_path / "unit", ELSEWHERE, age=-3600)
    assert claim_on(tmp_path / "unit") == (
        "claimed by process 99 on node17, whose clock is 3600 s ahead of this one"
    )
    with lease(tmp_path / "unit") as mine:
        assert not mine
    assert abs(path.stat().st_mtime - time.time()) < 60


def test_an_error_inside_releases_the_lease(tmp_path):
    with pytest.raises(ZeroDivisionError), lease(tmp_path / "unit"):
        raise ZeroDivisionError
    with lease(tmp_path / "unit") as mine:
        assert mine


def test_a_claim_is_told_with_its_holder_and_its_age(tmp_path):
    unit = tmp_path / "unit"
    assert claim_on(unit) == ""
    make_claim(unit, ELSEWHERE, age=30)
    assert claim_on(unit) == (
        "claimed by process 99 on node17, last sign of life 30 s ago; "
        "taken over after 120 s without one"
    )
    assert [(claim.unit, claim.host) for claim in claims_in(tmp_path)] == [(unit, "node17")]


RACE = """
import os, sys, time
from pathlib import Path
from harness.core.lease import lease
folder = Path(sys.argv[1])
(folder / f"ready-{os.getpid()}").touch()
while len(list(folder.glob("ready-*"))) < 4:
    time.sleep(0.001)
for n in range(int(sys.argv[2])):
    with lease(folder / f"unit{n}") as mine:
        if mine:
            held = folder / f"held{n}"
            os.close(os.open(held, os.O_CREAT | os.O_EXCL))  # fails if another process holds it
            time.sleep(0.0005)
            held.unlink()
            (folder / f"done{n}").touch()
"""


def test_of_many_processes_one_takes_over_a_stale_lease(tmp_path):
    units, holder = 100, dead_owner()
    for n in range(units):
        make_claim(tmp_path / f"unit{n}", holder)
    command = [sys.executable, "-c", RACE, str(tmp_path), str(units)]
    processes = [subprocess.Popen(command, stderr=-1, text=True) for _ in range(4)]
    assert [process.communicate()[1] for process in processes] == [""] * 4
    assert len(list(tmp_path.glob("done*"))) > units / 2
    assert not list(tmp_path.glob("*.lease"))
