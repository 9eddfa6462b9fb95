"""The built wheel, used outside the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", folder, CHECKOUT], check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_packages_data_and_licence_and_no_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == {"hear_byola", "harness", "tasks"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    for kind in ("*.ogg", "*.yaml"):
        stored = {p.relative_to(CHECKOUT).as_posix() for p in (CHECKOUT / "tasks").rglob(kind)}
        assert stored
        assert stored <= set(names)
    assert {f"hear_byola/weights/byola-512{end}" for end in (".safetensors", ".png")} <= set(names)
    assert "hear_byola/weights/README.md" in names
    published = {p.name for p in (CHECKOUT / "results" / "published").iterdir()}
    assert len(published) > 3
    assert {f"harness/published_data/{name}" for name in published} <= set(names)
    assert {f"{package}/py.typed" for package in tops} <= set(names)


def test_the_installed_wheel_runs_a_demo_task_elsewhere(wheel, tmp_path):
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "-q", "--target", site, wheel]
    subprocess.run(command, check=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    environment = os.environ | {
        "PYTHONPATH": str(site),
        "HEAR_BYOLA_CACHE": str(tmp_path / "cache"),
    }
    where = "import harness, tasks, hear_byola; print(harness.__file__, tasks.__file__)"
    found = subprocess.check_output(
        [sys.executable, "-c", where], env=environment, cwd=elsewhere, text=True
    )
    assert found.count(str(site)) == 2
    boards = (
        "from harness.analysis.board.published import BOARDS, read_published;"
        "print([len(read_published(name).scores) for name in BOARDS])"
    )
    rows = subprocess.check_output(
        [sys.executable, "-c", boards], env=environment, cwd=elsewhere, text=True
    )
    assert rows.strip() == "[34, 81, 10]"
    done = subprocess.run(
        [
            sys.executable, site / "bin" / "hear-byola", "run", "-m", "harness.baselines.logmel",
            "-t", "demo_sample_mix", "--protocol", "knn", "--jobs", "1",
        ],
        env=environment, cwd=elsewhere, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "demo_sample_mix" in done.stdout
    assert (elsewhere / "runs" / "results.csv").is_file()
