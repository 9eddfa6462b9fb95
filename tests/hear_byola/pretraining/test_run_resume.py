"""Whole runs, tiny ones, in this process: how they stop, go on, and what they do not go on from."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
import yaml
from support import pretraining_runs
from support.pretraining_runs import killer, make_audio, tiny
from support.whole_run import assert_same_run, copy_of, rows, run, state

from hear_byola.checkpoint import read_checkpoint
from hear_byola.core.errors import UserError
from hear_byola.pretraining.run import Machines


def test_a_finished_run_returns_at_once(audio: Path, whole: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in whole.glob("*.*")}
    told: list[str] = []
    assert run(audio, whole, say=told.append) == whole / "byola.safetensors"
    assert any("is finished" in text for text in told)
    assert not any("measuring" in text for text in told)
    kept = {"resume.ckpt", "byola.safetensors", "metrics.csv"}
    assert all((whole / name).stat().st_mtime_ns == before[name] for name in kept)


@pytest.mark.parametrize(
    ("number", "at"), [(signal.SIGINT, 2), (signal.SIGTERM, 4), (signal.SIGINT, 5)]
)
def test_a_stopped_run_goes_on_as_if_nothing_had_been(
    audio: Path, whole: Path, tmp_path: Path, number: int, at: int
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        run(audio, tmp_path, tiny(probe_every=1), probe=killer(number, at))
    assert signal.getsignal(number) is before
    assert state(tmp_path)["global_step"] == at  # the step that the signal came in
    assert rows(tmp_path) == rows(whole)[:at]
    assert read_checkpoint(tmp_path / "byola.safetensors").training_config["progress"] == {
        "step": at,
        "steps": 6,
        "crops": 4 * at,
    }
    told: list[str] = []
    run(audio, tmp_path, say=told.append)
    assert f"resuming from step {at} of 6" in told
    assert re.fullmatch(r"step 6/6: loss [\d.]+, \d+ crops/s, \d steps in \d+ s", told[-1])
    assert_same_run(tmp_path, whole)


def test_a_stop_between_logged_steps_and_within_accumulated_batches(
    audio: Path, tmp_path: Path
) -> None:
    fields = {"accumulate": 2, "crops": 40, "log_every": 3, "save_every": 100, "monitor_every": 1}
    run(audio, tmp_path / "whole", tiny(**fields))
    assert [row["step"] for row in rows(tmp_path / "whole") if row["loss"]] == ["3", "5"]
    assert state(tmp_path / "whole")["batches"] == 10
    assert state(tmp_path / "whole")["global_step"] == 5
    config = tiny(**fields, probe_every=1)
    with pytest.raises(KeyboardInterrupt):
        run(audio, tmp_path / "stopped", config, probe=killer(signal.SIGTERM, 2))
    assert state(tmp_path / "stopped")["global_step"] == 2
    run(audio, tmp_path / "stopped", tiny(**fields))
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")


def test_a_killed_run_loses_one_interval_at_most(audio: Path, whole: Path, tmp_path: Path) -> None:
    # Killed in the fifth step, after the state of the fourth was saved.
    command = [sys.executable, "-m", pretraining_runs.__name__, str(audio), str(tmp_path), "5"]
    paths = [str(Path(pretraining_runs.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    ended = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert state(tmp_path)["global_step"] == 4
    assert [row["step"] for row in rows(tmp_path)] == ["1", "2", "3", "4", "5"]
    run(audio, tmp_path)
    assert_same_run(tmp_path, whole)


def test_a_run_killed_before_its_last_checkpoint_still_writes_it(
    audio: Path, whole: Path, tmp_path: Path
) -> None:
    out = copy_of(whole, tmp_path / "run")
    (out / "byola.safetensors").unlink()
    assert run(audio, out).is_file()
    assert_same_run(out, whole)


def test_another_config_is_refused_with_the_fields(audio: Path, whole: Path) -> None:
    before = (whole / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="another config") as caught:
        run(audio, whole, tiny(learning_rate=0.5, d=1024))
    assert "d: 512 -> 1024; learning_rate: 0.001 -> 0.5" in str(caught.value)
    assert (whole / "config.yaml").read_bytes() == before


def test_a_run_of_a_version_without_a_field_goes_on_with_its_default(
    audio: Path, whole: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(audio, tmp_path, tiny(probe_every=1), probe=killer(signal.SIGINT, 2))
    recorded = yaml.safe_load((tmp_path / "config.yaml").read_text())
    older = {name: value for name, value in recorded.items() if name != "init"}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(older))
    with pytest.raises(UserError, match="another config: init: 'pytorch' -> 'contrast'"):
        run(audio, tmp_path, tiny(init="contrast"))
    run(audio, tmp_path)
    assert_same_run(tmp_path, whole)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["init"] == "pytorch"


def test_a_field_that_this_version_does_not_know_is_named(
    audio: Path, whole: Path, tmp_path: Path
) -> None:
    out = copy_of(whole, tmp_path / "run")
    with (out / "config.yaml").open("a") as file:
        file.write("colour: red\n")
    with pytest.raises(UserError, match="another config: colour: 'red' -> None"):
        run(audio, out)


def test_fields_that_change_no_weight_may_change(audio: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(audio, tmp_path, tiny(probe_every=1), probe=killer(signal.SIGINT, 2))
    run(audio, tmp_path, tiny(save_every=3, workers=1, stop_on_collapse=False, licence="CC0-1.0"))
    assert_same_run(tmp_path, whole)
    assert "save_every: 3" in (tmp_path / "config.yaml").read_text()


def test_other_audio_is_refused(whole: Path, tmp_path: Path) -> None:
    other = make_audio(tmp_path / "audio", seconds=1.5)
    before = (whole / "corpus.json").read_bytes()
    with pytest.raises(UserError, match="other audio"):
        run(other, whole)
    assert (whole / "corpus.json").read_bytes() == before


def test_the_same_audio_may_have_moved(whole: Path, tmp_path: Path) -> None:
    moved = make_audio(tmp_path / "elsewhere")
    assert run(moved, whole) == whole / "byola.safetensors"


@pytest.mark.parametrize("name", ["config.yaml", "corpus.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe"])
def test_a_damaged_record_is_told(
    audio: Path, whole: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    out = copy_of(whole, tmp_path / "run")
    (out / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        run(audio, out)


def test_a_curve_with_a_short_row_is_told(audio: Path, whole: Path, tmp_path: Path) -> None:
    out = copy_of(whole, tmp_path / "run")
    (out / "byola.safetensors").unlink()
    (out / "metrics.csv").write_text("a,step\n1\n")
    with pytest.raises(UserError, match=r"metrics\.csv is damaged"):
        run(audio, out)


def test_a_state_that_is_none_is_told(audio: Path, whole: Path, tmp_path: Path) -> None:
    out = copy_of(whole, tmp_path / "run")
    (out / "byola.safetensors").unlink()
    torch.save({"weights": torch.zeros(3)}, out / "resume.ckpt")
    with pytest.raises(UserError, match=r"resume\.ckpt .*not the state of a run"):
        run(audio, out)


@pytest.mark.parametrize(
    ("part", "value"),
    [("state_dict", {}), ("optimizer_states", ...), ("loops", {"fit_loop": 3}), ("batches", ...)],
)
def test_a_state_that_was_changed_is_told(
    audio: Path, whole: Path, tmp_path: Path, part: str, value: object
) -> None:
    out = copy_of(whole, tmp_path / "run")
    (out / "byola.safetensors").unlink()
    kept = state(out)
    if value is ...:
        del kept[part]
    else:
        kept[part] = value
    torch.save(kept, out / "resume.ckpt")
    with pytest.raises(
        UserError, match=r"(?s)resume\.ckpt is not the state of this run .*Delete it"
    ):
        run(audio, out)


def test_a_damaged_checkpoint_is_told(audio: Path, whole: Path, tmp_path: Path) -> None:
    out = copy_of(whole, tmp_path / "run")
    (out / "byola.safetensors").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"byola\.safetensors"):
        run(audio, out)


def test_a_probe_that_was_due_when_the_run_was_stopped_is_logged(
    audio: Path, tmp_path: Path
) -> None:
    kill = killer(signal.SIGTERM, 2)
    with pytest.raises(KeyboardInterrupt):
        run(audio, tmp_path, tiny(probe_every=2), probe=lambda path: {**kill(path), "x": 0.5})
    assert [row["probe/x"] for row in rows(tmp_path)] == ["", "0.5", "", "0.5"]
    run(audio, tmp_path, tiny(probe_every=2), probe=lambda _: {"x": 0.75})
    assert [row["probe/x"] for row in rows(tmp_path)] == ["", "0.5", "", "0.5", "", "0.75"]


def test_the_advice_after_a_bad_loss_can_be_followed(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        poisoned(context, 3, "loss")
        with pytest.raises(UserError, match=r"--start .* to start from its weights") as told:
            run(audio, tmp_path / "a")
    start = tmp_path / "a/byola.safetensors"
    assert f"--start {start}" in str(told.value)
    assert run(audio, tmp_path / "b", tiny(learning_rate=1e-4), start=start).is_file()
    with monkeypatch.context() as context:
        poisoned(context, 1, "loss")
        with pytest.raises(UserError, match=r"No state was saved yet; .* another --out\.$"):
            run(audio, tmp_path / "c")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_run_on_a_gpu_goes_on_between_two_logged_steps(
    audio: Path, tmp_path: Path, precision: str
) -> None:
    config = tiny(precision=precision, log_every=3, probe_every=1)
    gpu = Machines("gpu", 1)
    with pytest.raises(KeyboardInterrupt):
        run(audio, tmp_path, config, machines=gpu, probe=killer(signal.SIGTERM, 2))
    run(audio, tmp_path, config, machines=gpu)
    assert [row["step"] for row in rows(tmp_path) if row["loss"]] == ["3", "6"]
    assert all(0 < float(row["loss"]) < 8 for row in rows(tmp_path) if row["loss"])


def test_two_runs_do_not_share_a_folder(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hear_byola.pretraining.folder._PATIENCE", 0.5)

    def second(_: Path) -> dict[str, float]:
        with pytest.raises(UserError, match="another process is training"):
            run(audio, tmp_path)
        return {"refused": 1.0}

    run(audio, tmp_path, tiny(probe_every=3), probe=second)
    assert float(rows(tmp_path)[2]["probe/refused"]) == 1.0


def test_a_folder_that_is_soon_let_go_is_waited_for(audio: Path, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    lock = (tmp_path / ".run.lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    threading.Timer(1.0, lock.close).start()
    assert run(audio, tmp_path).is_file()


def poisoned(monkeypatch: pytest.MonkeyPatch, at: int, what: str) -> None:
    """Let the loss, or the weights after the step, be no number in a step, from 1."""
    from hear_byola.pretraining.byol import ByolTraining

    plain_step, plain_update = ByolTraining.training_step, ByolTraining.optimizer_step

    def step(self: ByolTraining, audio: torch.Tensor, index: int) -> torch.Tensor:
        poison = audio.new_tensor(float("nan")) if self.batches + 1 == at else 0.0
        return plain_step(self, audio + poison, index)

    def update(self: ByolTraining, *args: object, **kwargs: object) -> None:
        plain_update(self, *args, **kwargs)
        if self.batches == at:
            with torch.no_grad():
                self.online.projector[3].weight[0, 0] = float("inf")

    if what == "loss":
        monkeypatch.setattr(ByolTraining, "training_step", step)
    else:
        monkeypatch.setattr(ByolTraining, "optimizer_step", update)


@pytest.mark.parametrize("log_every", [1, 100])
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(
    audio: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_every: int
) -> None:
    with monkeypatch.context() as context:
        poisoned(context, 3, "loss")
        with pytest.raises(UserError, match="the loss of step 3 is not a finite number"):
            run(audio, tmp_path, tiny(log_every=log_every))
    assert state(tmp_path)["global_step"] == 2
    run(audio, tmp_path)
    found = read_checkpoint(tmp_path / "byola.safetensors").state
    expected = read_checkpoint(whole / "byola.safetensors").state
    assert all(found[name].equal(value) for name, value in expected.items())


@pytest.mark.parametrize("at", [2, 4, 6])
def test_weights_that_are_no_numbers_are_not_saved(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    poisoned(monkeypatch, at, "weights")
    with pytest.raises(UserError, match=f"step {at}|step {at + 1}"):
        run(audio, tmp_path)
    if at == 2:
        assert not (tmp_path / "resume.ckpt").exists()
        assert not (tmp_path / "byola.safetensors").exists()
    else:
        assert state(tmp_path)["global_step"] == at - 2
        checkpoint = read_checkpoint(tmp_path / "byola.safetensors")
        assert checkpoint.training_config["progress"]["step"] == at - 2


def test_a_huge_learning_rate_is_told(audio: Path, tmp_path: Path) -> None:
    config = tiny(learning_rate=1e38, schedule="constant", warmup_steps=0, save_every=1)
    with pytest.raises(UserError, match=r"not (a )?finite number"):
        run(audio, tmp_path, config)
