"""The file of what a model prints while it works on a split."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from harness.run.folder import clean
from harness.run.printed import printed_by

IN_A_LOOP = """
import os, sys, time
from pathlib import Path
from harness.run import printed

printed.is_worker, printed._LOOK_EVERY = lambda: True, 0.1
unit = Path(sys.argv[1])
with printed.printed_to_file(unit):
    for number in range(20):
        os.system("head -c 1000000 /dev/zero")
    size = Path(f"{unit}.log").stat().st_size
    until = time.monotonic() + 60
    while size != 1_000_000 and time.monotonic() < until:
        time.sleep(0.1)
        size = Path(f"{unit}.log").stat().st_size
    # What is printed during a cut is lost, so the rest waits for the last one.
    time.sleep(0.5)
    print("the size was", size)
    sys.exit(3)
"""


MUCH = """
import os, sys
from pathlib import Path
from harness.run import printed

printed.is_worker = lambda: True
with printed.printed_to_file(Path(sys.argv[1])):
    os.system("head -c 3000000 /dev/zero")
    print("the end", end="")
"""


def test_of_a_split_that_succeeds_the_last_megabyte_is_printed(tmp_path):
    done = subprocess.run([sys.executable, "-c", MUCH, str(tmp_path / "unit")], capture_output=True)
    assert done.returncode == 0
    assert len(done.stderr) == 1_000_001
    assert done.stderr.endswith(b"\0the end\n")
    assert list(tmp_path.iterdir()) == []


def test_what_is_printed_in_a_loop_is_cut_while_the_model_runs(tmp_path):
    unit = tmp_path / "train-0123"
    done = subprocess.run([sys.executable, "-c", IN_A_LOOP, str(unit)], capture_output=True)
    assert done.returncode == 3
    assert done.stdout == b""
    path = printed_by(unit)
    assert path is not None
    text = path.read_bytes()
    assert len(text) <= 1_000_000
    assert text.endswith(b"the size was 1000000\n")


def test_a_log_that_is_removed_before_it_is_cut_does_not_come_back(tmp_path):
    class Vanishing(type(tmp_path)):
        def stat(self, **how):
            found = super().stat(**how)
            self.unlink()
            return found

    unit = Vanishing(tmp_path / "unit")
    (tmp_path / "unit.log").write_bytes(bytes(3_000_000))
    assert printed_by(unit) is None
    assert list(tmp_path.iterdir()) == []


def test_old_logs_are_removed_and_files_of_the_user_are_not(tmp_path):
    folder = tmp_path / "embeddings" / "model" / "task"
    names = [folder / "old.log", folder / "old.failed", folder / "new.log", tmp_path / "old.log"]
    folder.mkdir(parents=True)
    for path in names:
        path.touch()
        if "old" in path.name:
            os.utime(path, (time.time() - 31 * 86_400,) * 2)
    clean(tmp_path)
    assert [path for path in names if path.exists()] == [folder / "new.log", tmp_path / "old.log"]
