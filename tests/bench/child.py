"""Run one side of a measurement in a process of its own, and name the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def measured(script: str, child: str, words: Sequence[str], threads: int = 1) -> Any:
    """Return what `script --child CHILD WORDS...` prints as JSON on its last line."""
    command = [sys.executable, script, "--child", child, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{child} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def processor() -> str:
    """Return the name of the processor."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc") else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return model


def instructions() -> set[str]:
    """Return the flags of the processor; none where the system does not list them."""
    info = Path("/proc/cpuinfo")
    return set(info.read_text().split()) if info.is_file() else set()


def machine() -> str:
    """Return the processor and its number of cores."""
    return f"{processor()}, {os.cpu_count()} cores"
