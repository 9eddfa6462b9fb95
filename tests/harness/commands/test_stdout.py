"""Standard output is for results, whatever a module prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import task_directories
from support.hear_modules import write_module

# The C library writes the line of printf only at the end of the process.
LOUD = """
import ctypes, os, sys

def say(text):
    print("print " + text)
    print("stream " + text, file=sys.__stdout__, flush=True)
    os.write(1, f"write {text}\\n".encode())
    ctypes.CDLL(None).printf(b"printf %s\\n", text.encode())
    os.system("echo child " + text)

say("at import")
_load_model, _scene = load_model, get_scene_embeddings

def load_model(*arguments):
    say("at load")
    return _load_model(*arguments)

def get_scene_embeddings(audio, model):
    say("at call")
    return _scene(audio, model)
"""
WAYS = ("print", "stream", "write", "printf", "child")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_module(tmp_path, "loud", LOUD)
    return tmp_path


def command(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, "-m", "harness.cli", *map(str, words)]
    return subprocess.run(arguments, capture_output=True, text=True, cwd=folder)


@pytest.mark.skipif(sys.platform == "win32", reason="calls the C library of POSIX")
def test_output_of_a_module_in_the_first_process_goes_to_standard_error(folder: Path) -> None:
    task = task_directories.make_task(folder, "scene", n=6, seconds=0.3)
    words = ("run", "-m", "./loud.py", "-t", task, "--protocol", "knn", "--out", "out")
    dry = command(folder, *words, "--dry-run", "--json")
    assert json.loads(dry.stdout)["failures"] == []
    checked = command(folder, "validate", "./loud.py", "--quick")
    assert "loud (device: auto)" in checked.stdout
    for done, when in [(dry, "import"), (dry, "load"), (checked, "call")]:
        for way in WAYS:
            assert f"{way} at {when}" in done.stderr
            assert f"{way} at {when}" not in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs worker processes")
def test_output_of_a_module_in_a_worker_goes_to_standard_error(folder: Path) -> None:
    task = task_directories.make_task(folder, "scene", n=6, seconds=0.3)
    words = ("run", "-m", "./loud.py", "-t", task, "--protocol", "knn", "--out", "out")
    done = command(folder, *words, "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "| knn " in done.stdout
    for way in WAYS:
        assert f"{way} at call" in done.stderr
        assert f"{way} at" not in done.stdout
