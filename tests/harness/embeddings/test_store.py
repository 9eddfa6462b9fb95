from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.core.errors import UserError
from harness.embeddings.store import FORMAT_VERSION, SplitWriter, read_split, write_split

RNG = np.random.default_rng(0)


def write(directory: Path, dtype: str = "float32", lengths: tuple[int, ...] = (3, 1, 2)) -> None:
    offsets = np.cumsum([0, *lengths])
    write_split(
        directory,
        "train",
        [f"ä{i}.wav" for i in range(len(lengths))],
        RNG.standard_normal((int(offsets[-1]), 5)).astype(dtype),
        offsets,
        np.arange(offsets[-1]) * 50.0,
        {"fingerprint": "f"},
    )


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_was_written_is_read(tmp_path, dtype):
    rows = RNG.standard_normal((4, 7)).astype(dtype)
    offsets = np.array([0, 1, 4])
    times = np.array([0.1, 0.1, 50.1, 100.1])
    directory = tmp_path / "model" / "task" / "fold00-abc"
    write_split(directory, "fold00", ["a.wav", "ß.wav"], rows, offsets, times, {"x": 1})
    back = read_split(directory)
    assert (back.split, back.clips) == ("fold00", ("a.wav", "ß.wav"))
    assert back.embeddings.dtype == dtype
    assert isinstance(back.embeddings, np.memmap)
    np.testing.assert_array_equal(back.embeddings, rows)
    np.testing.assert_array_equal(back.offsets, offsets)
    np.testing.assert_array_equal(back.timestamps, times)
    assert back.manifest == {"x": 1, "split": "fold00", "format_version": FORMAT_VERSION}
    names = {"fold00.npy", "fold00.index.npz", "manifest.json"}
    assert {p.name for p in directory.iterdir()} == names
    assert [p.name for p in directory.parent.iterdir()] == ["fold00-abc"]


def test_scenes_have_no_timestamps(tmp_path):
    write_split(tmp_path / "s", "test", ["a"], np.ones((1, 2), "f4"), np.arange(2), None, {})
    assert read_split(tmp_path / "s").timestamps is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(order=st.permutations(range(5)))
def test_rows_may_come_in_any_order(tmp_path_factory, order):
    rows = RNG.standard_normal((10, 3)).astype(np.float32)
    directory = tmp_path_factory.mktemp("store") / "split"
    with SplitWriter(directory, "train", 3, "float32") as writer:
        for i in order:
            writer.write(2 * i, rows[2 * i : 2 * i + 2])
        writer.finish([str(i) for i in range(10)], np.arange(11), None, {})
    np.testing.assert_array_equal(read_split(directory).embeddings, rows)


def test_what_was_not_finished_is_gone(tmp_path):
    with SplitWriter(tmp_path / "split", "train", 3, "float32") as writer:
        writer.write(0, np.zeros((1, 3)))
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_killed_while_writing_leaves_nothing_under_the_name(tmp_path):
    code = (
        "import sys, time, numpy as np\n"
        "from pathlib import Path\n"
        "from harness.embeddings.store import SplitWriter\n"
        "with SplitWriter(Path(sys.argv[1]), 'train', 3, 'float32') as writer:\n"
        "    writer.write(0, np.zeros((1000, 3)))\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
    )
    directory = tmp_path / "split"
    command = [sys.executable, "-c", code, str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"written"
        os.kill(process.pid, signal.SIGKILL)
    assert not directory.exists()
    write(directory)  # what is left under a temporary name is in nobody's way
    assert len(read_split(directory).clips) == 3


def test_who_comes_second_keeps_what_is_there(tmp_path):
    write(tmp_path / "split")
    first = np.array(read_split(tmp_path / "split").embeddings)
    write(tmp_path / "split")
    np.testing.assert_array_equal(read_split(tmp_path / "split").embeddings, first)
    assert [p.name for p in tmp_path.iterdir()] == ["split"]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: cut(d / "train.npy"),
        lambda d: cut(d / "train.index.npz"),
        lambda d: (d / "train.npy").unlink(),
        lambda d: (d / "manifest.json").write_text("{"),
        lambda d: (d / "manifest.json").write_text("{}"),
        lambda d: (d / "manifest.json").write_text(
            f'{{"format_version": {FORMAT_VERSION}, "split": "train", "hop_ms": "wide"}}'
        ),
        lambda d: np.save(d / "train.npy", np.zeros((5, 5), np.float32)),
        lambda d: np.save(d / "train.npy", np.array([{}], dtype=object), allow_pickle=True),
    ],
)
def test_damage_is_named(tmp_path, damage):
    write(tmp_path / "split")
    damage(tmp_path / "split")
    with pytest.raises(UserError, match=r"split is damaged"):
        read_split(tmp_path / "split")


def test_another_format_version_is_refused(tmp_path):
    write(tmp_path / "split")
    manifest = tmp_path / "split" / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format_version": 99}))
    with pytest.raises(UserError, match="format version 99"):
        read_split(tmp_path / "split")


def test_a_folder_without_embeddings_is_named(tmp_path):
    with pytest.raises(UserError, match="no embeddings"):
        read_split(tmp_path)
