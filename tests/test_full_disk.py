"""Commands whose disk becomes full in the middle of their work, and that continue with room."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import task_directories
from support.kill_commands import Job, snapshot
from support.kill_jobs import all_jobs

LONG = 900.0  # seconds after which a command hangs, also on a busy machine
SHARES = (0.02, 0.4, 0.8)
"""Sizes of the disk, as shares of what the command writes."""

TEMPORARY = ("*.part", "*.lock", "*.lease", "*.partial", "*.progress")
NAMES = ("tasks make", "tasks prepare", "tasks fetch", "pretrain", "ablate", "embed")


@contextmanager
def disk_of(size: int, folder: Path) -> Iterator[Path]:
    """Mount a file system of so many bytes, or skip the test."""
    folder.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def embed_job(root: Path) -> Job:
    task = task_directories.make_task(root, "scene", n=40, seconds=0.3)
    words = ("embed", "-m", "logmel", "-t", task, "--jobs", "1")

    def result(out: Path) -> object:  # manifests have times
        return snapshot(out / "run" / "embeddings", but=("manifest.json",))

    return Job("embed", lambda out: (*words, "--out", out / "run"), "", result)


def done(job: Job, out: Path) -> subprocess.CompletedProcess[str]:
    words = [*job.program, *map(str, job.words(out))]
    return subprocess.run(words, capture_output=True, text=True, timeout=LONG)


def temporary(out: Path) -> list[Path]:
    return [path for pattern in TEMPORARY for path in out.rglob(pattern)]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NAMES)
def test_a_command_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, name: str
) -> None:
    with all_jobs(tmp_path / "input") as jobs:
        (job,) = [each for each in (*jobs, embed_job(tmp_path)) if each.name == name]
        whole = tmp_path / "whole"
        whole.mkdir()
        assert done(job, whole).returncode == 0
        expected = job.result(whole)
        size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
        for number, share in enumerate(SHARES):
            with disk_of(max(8192, int(share * size)), tmp_path / f"disk{number}") as disk:
                full = done(job, disk)
                said = full.stdout + full.stderr
                assert full.returncode in (1, 2), said
                assert re.search(r"No space left on device.*[Mm]ake room|\bfree\b", said), said
                assert "Traceback" not in said
                assert temporary(disk) == []
                subprocess.run(["mount", "-o", "remount,size=1g", str(disk)], check=True)
                again = done(job, disk)
                assert again.returncode == 0, again.stdout + again.stderr
                assert job.result(disk) == expected
                assert temporary(disk) == []
