"""Runs on Ray clusters on this machine, and what ends them at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import torch
from support import task_directories, worker_functions
from support.command_line import hear_byola
from support.hear_modules import write_module
from support.kills import (
    LEFTOVERS,
    descendants,
    is_busy_ray_worker,
    is_ray_worker,
    runs,
    title_of,
)
from support.ray_clusters import assert_same_results, call, cluster_of, make_mistake, rows_of

from harness.core.calls import WorkerDied, WorkerStuck
from harness.core.errors import UserError
from harness.core.ray.cluster import Capacity, _fault, import_ray
from harness.run.engines import CallLimit, Wanted, start_engine

BAD = """
def get_scene_embeddings(audio, model):
    raise ValueError("no ears")
"""


@pytest.fixture(scope="module")
def task(tmp_path_factory) -> Path:
    return task_directories.make_task(tmp_path_factory.mktemp("tasks"), "scene", n=6, seconds=0.3)


def command(task: Path, out: Path, *more: str) -> list[str]:
    models = ("-m", "harness.baselines.logmel,name=logmel", "-m", "./own.py", "-m", "bad.py")
    protocols = ("--protocol", "knn", "--protocol", "linear")
    return ["run", *models, "-t", str(task), *protocols, "--out", str(out), "--jobs", "2", *more]


def test_a_run_on_ray_is_that_of_the_local_engine(ray_address, task, tmp_path, monkeypatch):
    write_module(tmp_path, "own")
    write_module(tmp_path, "bad", BAD)
    monkeypatch.chdir(tmp_path)
    local = hear_byola(*command(task, tmp_path / "local"))
    on_ray = hear_byola(
        *command(task, tmp_path / "ray", "--engine", "ray", "--ray-address", ray_address)
    )
    assert (local.returncode, on_ray.returncode) == (1, 1), on_ray.stderr
    assert "no ears" in on_ray.stderr
    assert on_ray.stdout.replace("/ray", "/local") == local.stdout
    assert_same_results(tmp_path / "local", tmp_path / "ray")
    assert [path for pattern in LEFTOVERS for path in (tmp_path / "ray").rglob(pattern)] == []
    # A resource that the cluster does not have is an error at once.
    wanted = ("--engine", "ray", "--ray-address", ray_address, "--device", "cuda")
    none = hear_byola(*command(task, tmp_path / "none", *wanted))
    assert none.returncode == 2
    assert "no GPU. It has 1 node, 1 CPU, 0 GPUs." in none.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("device", "address", "said"),
    [
        ("cuda:1", "", "not 'cuda:1': Ray assigns the GPUs"),
        ("mps", "", "takes --device auto, cpu or cuda"),
        ("cpu", "ray://host:10001", "Ray's clients are not supported"),
    ],
)
def test_what_ray_does_not_take_is_refused(tmp_path, device, address, said):
    pytest.importorskip("ray")
    with pytest.raises(UserError, match=said):
        start_engine("ray", Wanted(tmp_path / "out", device, address=address))
    assert not (tmp_path / "out").exists()


def test_without_ray_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'hear-byola\[ray\]'"):
        start_engine("ray", Wanted(tmp_path))


def test_ray_may_lack_what_is_private(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setitem(sys.modules, "ray._private.worker", None)
    assert import_ray() is ray


@pytest.mark.parametrize(
    ("gpu", "jobs", "actors", "tasks"),
    [
        (True, None, 4, 12),
        (True, 2, 2, 2),
        (True, 8, 4, 8),
        (False, None, 16, 16),
        (False, 2, 2, 2),
    ],
)
def test_jobs_bounds_the_models_and_the_probes(gpu, jobs, actors, tasks):
    capacity = Capacity(nodes=1, cpus=16, gpus=4, smallest=16)
    assert capacity.actors(gpu=gpu, jobs=jobs) == actors
    assert capacity.tasks(gpu=gpu, jobs=jobs) == tasks


def test_a_run_that_waits_for_a_busy_cluster_says_so(ray_address, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.core.ray.work._SAY_AFTER", 3.0)
    monkeypatch.setattr("harness.core.ray.pool._LOOK_EVERY", 0.5)
    said: list[str] = []
    wanted = Wanted(tmp_path / "out", address=ray_address, say=said.append)
    with closing(start_engine("ray", wanted)) as engine:
        engine.submit(call, time.sleep, 0).result(timeout=200)  # starts a process, which takes time
        said.clear()
        engine.submit(call, time.sleep, 6).result(timeout=200)
        assert said == []  # the cluster was busy with this call
        other = engine.cluster.task(lambda: time.sleep(10), num_cpus=1).remote()
        until = time.monotonic() + 60
        while not engine.cluster.free().startswith("0 CPUs") and time.monotonic() < until:
            time.sleep(0.1)
        assert engine.submit(call, time.sleep, 0).result(timeout=200) == "cpu"
        engine.cluster.ray.get(other)
    assert said == [
        "waiting for the Ray cluster: nothing could start for 3 s. It has 1 node, 1 CPU, 0 GPUs; "
        "0 CPUs and 0 GPUs are free."
    ]


def test_an_engine_that_does_not_exist_or_an_address_without_ray_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"No engine 'rya'\. Did you mean 'ray'\?"):
        start_engine("rya", Wanted(tmp_path))
    with pytest.raises(UserError, match="--ray-address needs --engine ray"):
        start_engine("local", Wanted(tmp_path, address="auto"))


def test_versions_of_a_node_that_differ_are_named():
    ours = {"Python": "3.11", "hear-byola": "0.1.0 (code 12345678)", "torch": "2.6.0"}
    assert _fault(ours, ours) == ""
    theirs = {**ours, "hear-byola": "0.2.0 (code 9abcdef0)"}
    assert _fault(theirs, ours) == (
        "it has hear-byola 0.2.0 (code 9abcdef0), and the driver 0.1.0 (code 12345678)"
    )


def test_a_dry_run_without_an_address_starts_no_cluster(task, tmp_path):
    ray = pytest.importorskip("ray")
    words = ["run", "-m", "logmel", "-t", str(task), "--out", str(tmp_path / "out")]
    words += ["--engine", "ray", "--dry-run", "--json"]
    seven = hear_byola(*words, "--device", "cpu", "--jobs", "7")
    assert json.loads(seven.stdout)["workers"] == 7
    no_gpu = hear_byola(*words, "--device", "cuda")
    if not torch.cuda.is_available():
        assert "the Ray cluster has no GPU" in no_gpu.stderr
    assert not ray.is_initialized()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_dry_run_counts_the_workers_of_the_cluster(ray_address, task, tmp_path):
    wanted = ("--engine", "ray", "--ray-address", ray_address, "--dry-run", "--json")
    words = ["run", "-m", "logmel", "-t", str(task), "--out", str(tmp_path / "new" / "out")]
    dry = hear_byola(*words, *wanted, "--jobs", "7")
    assert json.loads(dry.stdout)["workers"] == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_deaths_and_errors_of_calls_are_those_of_local_workers(ray_address, tmp_path):
    with closing(start_engine("ray", Wanted(tmp_path / "out", address=ray_address))) as engine:
        assert (engine.slots, engine.cluster.capacity().cpus) == (1, 1)
        with pytest.raises(WorkerDied, match="ended with exit code 7"):
            engine.submit(call, worker_functions.end, 7, isolate="model").result()
        with pytest.raises(WorkerStuck, match="no progress for 2 s"):
            engine.submit(call, time.sleep, 60, isolate="model", limit=CallLimit(2.0)).result()
        with pytest.raises(WorkerDied, match="was killed by signal 9"):
            engine.submit(call, worker_functions.kill, signal.SIGKILL).result()
        with pytest.raises(UserError, match="a mistake"):
            engine.submit(call, make_mistake).result()
        with pytest.raises(UserError, match="a mistake"):
            engine.submit(call, make_mistake, isolate="model").result()
        # Plain calls do not wait for idle actors, and actors do not wait for plain calls.
        mixed = [
            engine.submit(call, time.sleep, 0.1, isolate=name) for name in ("", "a", "b", "c", "")
        ]
        assert [future.result(timeout=200) for future in mixed] == ["cpu"] * 5


def start(words: list[str], folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


SLOW = """
import time

def get_scene_embeddings(audio, model):
    time.sleep(0.2)
    return torch.stack([audio.abs().mean(1), audio.std(1), audio.std(1)], 1)
"""


def await_units(out: Path, number: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + 200
    while len([*out.glob("*/*/*/*/manifest.json"), *out.glob("*/*/*/*/unit.json")]) < number:
        assert time.monotonic() < until
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


@pytest.mark.slow
def test_nodes_workers_and_drivers_may_die(task, tmp_path):
    """Remove a node and kill workers and the driver; the end is that of an undisturbed run."""
    write_module(tmp_path, "own", SLOW)
    words = [
        "run", "-m", "./own.py", "-m", "harness.baselines.logmel,name=logmel", "-t", str(task),
        "--protocol", "knn", "--protocol", "linear", "--protocol", "byola", "--jobs", "2",
    ]  # fmt: skip
    with start([*words, "--out", "local"], tmp_path) as local:
        assert local.wait(timeout=300) == 0
    with cluster_of(0, 1, 1) as cluster:
        node = next(each for each in cluster.list_all_nodes() if each != cluster.head_node)
        on_ray = [*words, "--out", "out", "--engine", "ray", "--ray-address", cluster.address]
        out = tmp_path / "out"
        with start(on_ray, tmp_path) as driver:
            await_units(out, 2, driver)
            driver.kill()
        made = {path: path.stat().st_ino for path in out.glob("*/*/*/*/*.json")}
        with start(on_ray, tmp_path) as driver:
            await_units(out, 5, driver)
            cluster.remove_node(node)
            await_units(out, 8, driver)
            for worker in [pid for pid in descendants(os.getpid()) if is_ray_worker(pid)]:
                os.kill(worker, signal.SIGKILL)
            assert driver.wait(timeout=300) == 0, driver.stderr.read()
    assert_same_results(tmp_path / "local", out)
    assert {path: path.stat().st_ino for path in made} == made
    assert [path for pattern in LEFTOVERS for path in out.rglob(pattern)] == []


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGKILL"])
@pytest.mark.parametrize("shared", [False, True])
def test_a_stopped_driver_ends_soon_and_leaves_no_process(task, tmp_path, how, shared, request):
    write_module(tmp_path, "own", SLOW)
    words = ["run", "-m", "./own.py", "-t", str(task), "--out", "out", "--engine", "ray"]
    if shared:
        words += ["--ray-address", request.getfixturevalue("ray_address")]
    with start(words, tmp_path) as driver:
        await_units(tmp_path / "out", 1, driver)
        ours = {pid for pid in descendants(os.getpid()) if is_busy_ray_worker(pid)}
        ours |= {child for pid in (*ours, driver.pid) for child in descendants(pid)}
        # After a SIGKILL, Ray's agents try for half a minute to report it.
        ours -= {pid for pid in ours if b"Agent" in title_of(pid)}
        assert ours
        began = time.monotonic()
        driver.send_signal(signal.Signals[how])
        code = driver.wait(timeout=60)
        assert time.monotonic() - began < 5
    assert code == (-9 if how == "SIGKILL" else 130)
    while time.monotonic() < began + 10 and any(map(runs, ours)):
        time.sleep(0.1)
    assert [title_of(pid) for pid in ours if runs(pid)] == []
    with start(words, tmp_path) as driver:
        assert driver.wait(timeout=300) == 0
    assert (rows_of(tmp_path / "out").status == "done").all()
