from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time

from harness.core.lease import EXPIRES_AFTER, claim_on, lease


def test_one_holder_at_a_time(tmp_path):
    with lease(tmp_path / "unit") as first:
        with lease(tmp_path / "unit") as second:
            assert (first, second) == (True, False)
        with lease(tmp_path / "other") as third:
            assert third
    with lease(tmp_path / "unit") as again:
        assert again
    assert list(tmp_path.iterdir()) == []


def test_a_lease_of_a_dead_process_is_taken_over_at_once(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    holder = {"host": socket.gethostname(), "pid": int(done.stdout)}
    (tmp_path / "unit.lease").write_text(json.dumps(holder))
    with lease(tmp_path / "unit") as mine:
        assert mine


def test_a_lease_of_another_host_stands_until_it_expires(tmp_path):
    path = tmp_path / "unit.lease"
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    with lease(tmp_path / "unit") as mine:
        assert not mine
    past = time.time() - EXPIRES_AFTER - 1
    os.utime(path, (past, past))
    with lease(tmp_path / "unit") as mine:
        assert mine


def test_a_half_written_lease_is_respected_while_fresh(tmp_path):
    (tmp_path / "unit.lease").write_text("{")
    with lease(tmp_path / "unit") as mine:
        assert not mine


def test_an_error_inside_releases_the_lease(tmp_path):
    try:
        with lease(tmp_path / "unit"):
            raise RuntimeError
    except RuntimeError:
        pass
    with lease(tmp_path / "unit") as mine:
        assert mine


def test_a_claim_is_told_with_its_holder_and_its_age(tmp_path):
    unit, path = tmp_path / "unit", tmp_path / "unit.lease"
    assert claim_on(unit) == ""
    path.write_text(json.dumps({"host": "node17", "pid": 99}))
    past = time.time() - 30
    os.utime(path, (past, past))
    assert claim_on(unit) == (
        "claimed by process 99 on node17, last sign of life 30 s ago; "
        "taken over after 120 s without one"
    )
    path.write_text("{")
    assert claim_on(unit).startswith("claimed by a process that has not given its name")
