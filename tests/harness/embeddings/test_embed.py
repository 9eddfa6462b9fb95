from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import task_directories
from support.hear_modules import write_module

from harness.core.errors import UserError
from harness.embeddings import batches as batches_module
from harness.embeddings.batches import Limits, batches
from harness.embeddings.embed import embed_split
from harness.embeddings.fingerprint import embedding_fingerprint
from harness.embeddings.store import read_split
from harness.models.loading import load_module
from harness.models.spec import ModelSpec
from tasks.audio import ContentHashes, audio_path, read_audio
from tasks.format.task import Task, read_task, without_clips

LENGTHS = (16000, 8000, 16000, 4001, 8000, 16000, 16000, 8000)


def make(root: Path, kind: str = "scene", lengths: tuple[int, ...] = LENGTHS, **more) -> Task:
    """A task whose training clips have these lengths in samples at 16 kHz."""
    directory = task_directories.make_task(root / "tasks", kind, n=len(lengths), **more)
    rng = np.random.default_rng(1)
    for i, samples in enumerate(lengths):
        path = directory / "16000" / "train" / f"train-{i:04d}.wav"
        task_directories.write_wav(path, rng.uniform(-0.9, 0.9, samples), 16000)
    return read_task(directory)


def toy(root: Path, more: str = "", **options):
    name = f"toy_{abs(hash(more))}"
    spec = ModelSpec(str(write_module(root / "modules", name, more)), options=options)
    return load_module(spec, "cpu")


def run(task: Task, module, out: Path, split: str = "train", **options):
    hashes = ContentHashes(out / "hashes.json")
    return read_split(embed_split(task, split, module, out, hashes, **options))


def clip_audio(task: Task, name: str) -> np.ndarray:
    return read_audio(audio_path(task, "train", name, 16000), 16000)[None]


# Batches


@given(st.lists(st.integers(1, 6), max_size=40), st.integers(1, 30), st.integers(0, 40))
def test_batches_hold_every_clip_once_with_its_likes(lengths, call_samples, waiting_samples):
    made = list(batches((np.full(n, n) for n in lengths), Limits(call_samples, waiting_samples)))
    order = [i for batch in made for i in batch.clips]
    assert sorted(order) == list(range(len(lengths)))
    for batch in made:
        assert [len(clip) for clip in batch.audio] == [lengths[i] for i in batch.clips]
        assert len({len(clip) for clip in batch.audio}) == 1
        assert batch.samples <= call_samples or len(batch.clips) == 1
        assert batch.clips == sorted(batch.clips)
    if waiting_samples == 0:
        assert order == list(range(len(lengths)))


@given(st.lists(st.integers(1, 6), max_size=40), st.integers(1, 30), st.integers(6, 40))
def test_few_samples_wait(lengths, call_samples, waiting_samples):
    given_out, taken_in = [0], [0]

    def audio():
        for n in lengths:
            taken_in[0] += n
            yield np.zeros(n)

    for batch in batches(audio(), Limits(call_samples, waiting_samples)):
        assert taken_in[0] - given_out[0] <= max(waiting_samples, call_samples) + call_samples + 6
        given_out[0] += batch.samples


def test_clips_of_one_length_fill_a_call():
    made = list(batches(iter([np.zeros(4)] * 7), Limits(12, 100)))
    assert [len(batch.clips) for batch in made] == [3, 3, 1]


# Scenes


def test_each_clip_gets_its_own_embedding_whatever_its_neighbours(tmp_path):
    task, module = make(tmp_path), toy(tmp_path)
    done: list[int] = []
    embedded = run(task, module, tmp_path / "out", progress=done.append)
    expected = [module.scene(clip_audio(task, name))[0] for name in embedded.clips]
    np.testing.assert_allclose(embedded.embeddings, expected, rtol=1e-5)
    assert embedded.clips == tuple(clip.name for clip in task.clips["train"])
    np.testing.assert_array_equal(embedded.offsets, np.arange(len(LENGTHS) + 1))
    assert embedded.timestamps is None
    assert sum(done) == len(LENGTHS)


def test_the_manifest_says_how_it_was_made(tmp_path):
    task, module = make(tmp_path), toy(tmp_path, scale=2)
    manifest = run(task, module, tmp_path / "out").manifest
    assert manifest["model"]["fingerprint"] == module.fingerprint
    assert manifest["model"]["options"] == {"scale": 2}
    assert manifest["task"] == {"name": task.name, "version": "v1", "sha256": task.sha256}
    assert (manifest["n_clips"], manifest["rows"], manifest["embedding_size"]) == (8, 8, 3)
    assert (manifest["sample_rate"], manifest["resampled_from"]) == (16000, None)
    assert manifest["audio_seconds"] == pytest.approx(sum(LENGTHS) / 16000, abs=1e-3)
    assert (manifest["batch_halvings"], manifest["n_skipped"]) == (0, 0)
    assert manifest["hop_ms"] is None
    assert manifest["device"] == "cpu"
    assert manifest["embed_seconds"] >= 0


def test_clips_of_unlike_length_never_share_a_call_and_equal_ones_do(tmp_path):
    log = tmp_path / "calls"
    more = (
        "_scene = get_scene_embeddings\n"
        "def get_scene_embeddings(audio, model):\n"
        f"    open({str(log)!r}, 'a').write(f'{{audio.shape[0]}}x{{audio.shape[1]}} ')\n"
        "    return _scene(audio, model)\n"
    )
    module = toy(tmp_path, more)
    module.reference()
    log.unlink()
    run(make(tmp_path), module, tmp_path / "out")
    assert sorted(log.read_text().split()) == ["1x4001", "3x8000", "4x16000"]


def test_audio_is_resampled_where_the_rate_is_not_there(tmp_path):
    directory = task_directories.make_task(tmp_path, "scene", n=2, rates=(22050, 48000))
    embedded = run(read_task(directory), toy(tmp_path), tmp_path / "out")
    assert embedded.manifest["resampled_from"] == 22050
    np.testing.assert_allclose(embedded.embeddings[:, 2], 1.0)


def test_a_clip_over_20_minutes_is_refused_by_name(tmp_path):
    directory = task_directories.make_task(tmp_path, "scene", n=2, rates=(1000,))
    long = directory / "1000" / "train" / "train-0001.wav"
    task_directories.write_wav(long, np.zeros(1_200_001), 1000)
    with pytest.raises(UserError, match=r"train-0001\.wav"):
        run(read_task(directory), toy(tmp_path), tmp_path / "out")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise ValueError('a bad clip')", r"failed: ValueError: a bad clip \(clip '{}', "),
        ("return audio[:, :2, None]", r"\(clip '{}', "),  # of another shape
    ],
)
def test_the_clip_of_a_call_that_fails_alone_is_named(tmp_path, fault, said):
    task = make(tmp_path)
    name = task.clips["train"][5].name
    first = float(clip_audio(task, name)[0, 0])
    more = (
        "_scene = get_scene_embeddings\n"
        "def get_scene_embeddings(audio, model):\n"
        f"    if (audio[:, 0] == {first!r}).any():\n"
        f"        {fault}\n"
        "    return _scene(audio, model)\n"
    )
    with pytest.raises(UserError, match=said.format(re.escape(name))):
        run(task, toy(tmp_path, more), tmp_path / "out")


def test_a_call_whose_clips_do_not_fail_alone_names_the_first_and_their_number(tmp_path):
    more = (
        "_scene = get_scene_embeddings\n"
        "def get_scene_embeddings(audio, model):\n"
        "    if len(audio) == 4:\n"
        "        raise ValueError('four')\n"
        "    return _scene(audio, model)\n"
    )
    with pytest.raises(UserError, match=r"four \(clip 'train-0000\.wav' and 3 more of its length"):
        run(make(tmp_path), toy(tmp_path, more), tmp_path / "out")


def test_no_clip_is_blamed_if_all_calls_fail_after_the_first(tmp_path):
    more = (
        "_scene, broken = get_scene_embeddings, []\n"
        "def get_scene_embeddings(audio, model):\n"
        "    if broken or len(audio) == 4:\n"
        "        broken.append(1)\n"
        "        raise RuntimeError('the device is lost')\n"
        "    return _scene(audio, model)\n"
    )
    with pytest.raises(UserError, match=r"device is lost \(clip 'train-0000\.wav' and 3 more"):
        run(make(tmp_path), toy(tmp_path, more), tmp_path / "out")


def test_a_split_without_clips_is_refused(tmp_path):
    task = read_task(
        task_directories.make_task(tmp_path, "scene", n={"train": 0, "valid": 1, "test": 1})
    )
    with pytest.raises(UserError, match="train of tiny_scene-v1-full has no clip"):
        run(task, toy(tmp_path), tmp_path / "out")


def test_float16_is_stored_and_what_does_not_fit_is_refused(tmp_path):
    task = make(tmp_path)
    small = run(task, toy(tmp_path), tmp_path / "out", dtype="float16")
    assert small.embeddings.dtype == np.float16
    with pytest.raises(UserError, match=r"infinite values \(float16 is limited to 65504\)"):
        run(task, toy(tmp_path, scale=1e6), tmp_path / "out", dtype="float16")
    with pytest.raises(UserError, match="'int8'"):
        run(task, toy(tmp_path), tmp_path / "out", dtype="int8")


# Events


def test_events_keep_their_clips_timestamps(tmp_path):
    task, module = make(tmp_path, "events"), toy(tmp_path)
    embedded = run(task, module, tmp_path / "out")
    assert embedded.timestamps is not None
    assert embedded.timestamps.dtype == np.float64
    for i, name in enumerate(embedded.clips):
        vectors, times = module.timestamps(clip_audio(task, name))
        rows = slice(embedded.offsets[i], embedded.offsets[i + 1])
        np.testing.assert_allclose(embedded.embeddings[rows], vectors[0], rtol=1e-5)
        np.testing.assert_array_equal(embedded.timestamps[rows], times[0])
    assert embedded.manifest["hop_ms"] == 50.0
    assert embedded.manifest["rows"] == sum(n // 800 for n in LENGTHS)


# Memory, failures, resuming

OUT_OF_MEMORY = """
_scene = get_scene_embeddings
def get_scene_embeddings(audio, model):
    if audio.numel() > {}:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return _scene(audio, model)
"""


def test_out_of_memory_halves_the_call(tmp_path):
    task = make(tmp_path, lengths=(1600,) * 11)
    plain = run(task, toy(tmp_path), tmp_path / "out")
    tight = run(task, toy(tmp_path, OUT_OF_MEMORY.format(5000)), tmp_path / "out")
    np.testing.assert_allclose(tight.embeddings, plain.embeddings, rtol=1e-6)
    assert tight.manifest["batch_halvings"] == 2  # 11 to 5 to 2


def test_out_of_memory_on_one_clip_names_it(tmp_path):
    task = make(tmp_path, lengths=(1600, 1600, 16000))
    with pytest.raises(UserError, match=r"out of memory on one clip of 1\.0 s.*train-0002\.wav"):
        run(task, toy(tmp_path, OUT_OF_MEMORY.format(5000)), tmp_path / "out")


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')"])
@pytest.mark.parametrize("kind", ["scene", "events"])
def test_nan_and_inf_name_the_clip_and_leave_nothing(tmp_path, kind, value):
    more = (
        "_frames = get_timestamp_embeddings\n"
        "def get_scene_embeddings(audio, model):\n"
        f"    return torch.where(audio[:, :1] > 0.95, {value}, 1.0).expand(-1, 3).clone()\n"
        "def get_timestamp_embeddings(audio, model):\n"
        "    vectors, times = _frames(audio, model)\n"
        f"    vectors[audio[:, 0] > 0.95, 2, 1] = {value}\n"
        "    return vectors, times\n"
    )
    task = make(tmp_path, kind, lengths=(4000,) * 6)
    loud = np.zeros(4000)
    loud[0] = 1.0
    task_directories.write_wav(task.directory / "16000" / "train" / "train-0003.wav", loud, 16000)
    with pytest.raises(UserError, match=r"NaN or infinite.*'train-0003\.wav', tiny_.*split train"):
        run(task, toy(tmp_path, more), tmp_path / "out")
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_a_failing_model_names_the_clip(tmp_path):
    more = (
        "def get_scene_embeddings(audio, model):\n"
        "    if audio.shape[1] < 5000: raise RuntimeError('kernel larger than input')\n"
        "    return torch.zeros(len(audio), 3)\n"
    )
    with pytest.raises(UserError, match=r"kernel larger than input.*'train-0003\.wav'"):
        run(make(tmp_path), toy(tmp_path, more), tmp_path / "out")


def test_a_wrong_answer_names_the_clip(tmp_path):
    more = "def get_scene_embeddings(audio, model): return torch.zeros(len(audio), 7)\n"
    with pytest.raises(UserError, match=r"\(4, 7\).*'train-0000\.wav' and 3 more"):
        run(make(tmp_path), toy(tmp_path, more), tmp_path / "out")


def test_audio_that_changes_meanwhile_is_refused_and_leaves_nothing(tmp_path):
    task = make(tmp_path)
    module = toy(tmp_path)
    path = audio_path(task, "train", "train-0003.wav", 16000)

    def change(_: int) -> None:
        content = path.read_bytes()
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1, content[-1]]))

    hashes = ContentHashes(tmp_path / "hashes.json")
    with pytest.raises(UserError, match="split train, changed while it was embedded: run again"):
        embed_split(task, "train", module, tmp_path / "out", hashes, progress=change)
    assert not list(tmp_path.glob("out/embeddings/*/*/*"))


def test_what_is_done_is_not_done_again(tmp_path):
    task, module, hashes = make(tmp_path), toy(tmp_path), ContentHashes(tmp_path / "h.json")
    first = embed_split(task, "train", module, tmp_path / "out", hashes)
    before = (first / "manifest.json").stat()
    assert embed_split(task, "train", module, tmp_path / "out", hashes) == first
    assert (first / "manifest.json").stat() == before


def test_the_result_does_not_depend_on_the_size_of_a_call(tmp_path, monkeypatch):
    task, module = make(tmp_path), toy(tmp_path)
    whole = run(task, module, tmp_path / "a")
    monkeypatch.setattr(batches_module, "CPU_CALL_SECONDS", 0.1)
    monkeypatch.setattr(batches_module, "WAITING_SECONDS", 0.6)
    single = run(task, module, tmp_path / "b")
    np.testing.assert_allclose(whole.embeddings, single.embeddings, rtol=1e-6)


# Fingerprints


def test_a_fingerprint_follows_all_that_is_read(tmp_path):
    task, module = make(tmp_path), toy(tmp_path)
    seen: set[str] = set()

    def differs(task=task, module=module, split="train", **options) -> None:
        hashes = ContentHashes(tmp_path / "h.json")
        fingerprint = embedding_fingerprint(task, split, module, hashes, **options)
        assert fingerprint not in seen
        seen.add(fingerprint)

    differs()
    differs(split="valid")
    differs(dtype="float16")
    differs(module=toy(tmp_path, scale=2))
    differs(task=without_clips(task, {"train": ["train-0000.wav"]}))
    task_directories.edit_metadata(task.directory, version="v2")
    differs(task=read_task(task.directory))
    task_directories.edit_metadata(task.directory, version="v1")
    path = task.directory / "train.json"
    labels = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(labels.items()))))
    differs(task=read_task(task.directory))
    path.write_text(json.dumps(labels))
    (task.directory / "48000").mkdir()
    task_directories.write_wav(
        task.directory / "16000" / "train" / "train-0001.wav", np.zeros(8000), 16000
    )
    differs(task=read_task(task.directory))


def test_a_fingerprint_does_not_follow_where_the_task_lies(tmp_path):
    prints = set()
    for place in ("a", "b"):
        task = make(tmp_path / place)
        hashes = ContentHashes(tmp_path / place / "h.json")
        prints.add(embedding_fingerprint(task, "train", toy(tmp_path), hashes))
    assert len(prints) == 1


def test_clips_left_out_are_recorded(tmp_path):
    task = without_clips(make(tmp_path), {"train": ["train-0001.wav", "train-0003.wav"]})
    embedded = run(task, toy(tmp_path), tmp_path / "out")
    assert len(embedded.clips) == len(embedded.embeddings) == 6
    assert embedded.manifest["n_skipped"] == 2
    assert embedded.manifest["skipped"] == ["train-0001.wav", "train-0003.wav"]


def test_relative_paths_hold_while_a_model_is_in_another_directory(tmp_path, monkeypatch):
    make(tmp_path, lengths=(16000,) * 40)  # ten clips a call
    monkeypatch.chdir(tmp_path)
    task = read_task(next(Path("tasks").iterdir()))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    more = (
        "import os, time\n"
        "def get_scene_embeddings(audio, model):\n"
        f"    os.chdir({str(elsewhere)!r})\n"
        "    time.sleep(0.1)\n"
        "    return audio[:, :3]\n"
    )
    read_elsewhere = []

    def read_while_the_model_runs(path: Path, rate: int) -> np.ndarray:
        until = time.monotonic() + 5
        while path.stem >= "train-0020" and time.monotonic() < until:
            if Path.cwd() == elsewhere:
                read_elsewhere.append(path.name)
                break
            time.sleep(0.001)
        return read_audio(path, rate)

    with pytest.warns(UserWarning, match="changed the working directory"):
        stored = run(task, toy(tmp_path, more), Path("out"), read=read_while_the_model_runs)
    assert len(stored.embeddings) == 40
    assert read_elsewhere
