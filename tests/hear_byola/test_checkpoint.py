from __future__ import annotations

import json
import resource
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

import hear_byola
from hear_byola.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from hear_byola.random_weights import random_encoder

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return random_encoder("2020", 512, seed=5).state_dict()


def ours(state: State, **changes: Any) -> Checkpoint:
    fields: dict[str, Any] = {
        "encoder": "2020",
        "d": 512,
        "state": state,
        "convention": "htk",
        "mean": -5.1,
        "std": 4.2,
        "training_config": {"epochs": 100, "augment": ["mixup", "rrc"]},
        "data": "FSD50K development set",
        "licence": "Apache-2.0",
        "data_sha256": "ab" * 32,
    }
    return Checkpoint(**{**fields, **changes})


def assert_same(found: object, expected: State) -> None:
    assert isinstance(found, dict)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_our_format_round_trips(tmp_path: Path, state: State) -> None:
    path = tmp_path / "new" / "byola.safetensors"
    save_checkpoint(path, ours(state))
    found = read_checkpoint(path)
    assert_same(found.state, state)
    assert (found.encoder, found.d, found.convention) == ("2020", 512, "htk")
    assert (found.mean, found.std) == (-5.1, 4.2)
    assert found.training_config == {"epochs": 100, "augment": ["mixup", "rrc"]}
    assert (found.data, found.licence) == ("FSD50K development set", "Apache-2.0")
    assert found.data_sha256 == "ab" * 32
    assert [entry.name for entry in path.parent.iterdir()] == ["byola.safetensors"]


def test_whoever_may_read_the_folder_may_read_the_checkpoint(tmp_path: Path, state: State) -> None:
    path, usual = tmp_path / "byola.safetensors", tmp_path / "usual"
    save_checkpoint(path, ours(state))
    usual.touch()
    assert path.stat().st_mode == usual.stat().st_mode
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name, usual.name}


def test_where_there_is_no_room_the_file_of_before_stays(tmp_path: Path, state: State) -> None:
    path = tmp_path / "byola.safetensors"
    save_checkpoint(path, ours(state))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match=r"byola.safetensors: it could not be written"):
            save_checkpoint(path, ours(state, mean=0.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["byola.safetensors"]


def test_our_format_is_plain_safetensors(tmp_path: Path, state: State) -> None:
    path = tmp_path / "byola.safetensors"
    save_checkpoint(path, ours(state))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "hear-byola"
    assert metadata["format_version"] == "1"
    assert json.loads(metadata["training_config"])["epochs"] == 100


@pytest.mark.parametrize("changes", [{"convention": None}, {"mean": None}, {"d": 1024}])
def test_an_incomplete_checkpoint_is_not_saved(
    tmp_path: Path, state: State, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        save_checkpoint(tmp_path / "byola.safetensors", ours(state, **changes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("version", "d"),
    [("2020", 512), ("2020", 1024), ("2020", 2048), ("2022", 2048), ("2022", 3072)],
)
def test_published_files_are_recognised_by_their_shapes(
    tmp_path: Path, version: str, d: int
) -> None:
    weights = random_encoder(version, d, seed=1).state_dict()
    torch.save(OrderedDict(weights), tmp_path / "published.pth")
    found = read_checkpoint(tmp_path / "published.pth")
    assert (found.encoder, found.d, found.convention, found.mean) == (version, d, None, None)
    assert_same(found.state, weights)


@pytest.mark.parametrize("prefix", ["model.", "module.", "encoder.net.", "online_encoder.0."])
@pytest.mark.parametrize("nested", [[], ["state_dict"], ["checkpoint", "model"]])
def test_prefixes_and_nesting(tmp_path: Path, state: State, prefix: str, nested: list[str]) -> None:
    content: dict[str, Any] = {prefix + name: tensor for name, tensor in state.items()}
    content[prefix + "projector.0.weight"] = torch.zeros(4, 4)
    for key in nested:
        content = {key: content, "epoch": 7, "optimizer": {"state": [torch.ones(3)]}}
    torch.save(content, tmp_path / "foreign.pth")
    assert_same(read_checkpoint(tmp_path / "foreign.pth").state, state)


def test_a_missing_batch_counter_is_no_obstacle(tmp_path: Path, state: State) -> None:
    old = {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    assert_same(read_checkpoint(tmp_path / "old.pth").state, state)


def test_foreign_safetensors(tmp_path: Path, state: State) -> None:
    save_file({f"model.{name}": t for name, t in state.items()}, tmp_path / "a.safetensors")
    found = read_checkpoint(tmp_path / "a.safetensors")
    assert_same(found.state, state)
    assert found.convention is None


def test_one_encoder_under_two_names_is_one(tmp_path: Path, state: State) -> None:
    content = {p + name: t for p in ("net.", "online.net.") for name, t in state.items()}
    torch.save(content, tmp_path / "learner.pth")
    assert_same(read_checkpoint(tmp_path / "learner.pth").state, state)


def test_two_different_encoders_are_refused(tmp_path: Path, state: State) -> None:
    other = random_encoder("2020", 512, seed=6).state_dict()
    content = {"online": state, "target": other}
    torch.save(content, tmp_path / "learner.pth")
    with pytest.raises(ValueError, match=r"2 different encoders, under \['online.', 'target.'\]"):
        read_checkpoint(tmp_path / "learner.pth")


def without(state: State, name: str) -> State:
    return {key: tensor for key, tensor in state.items() if key != name}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"conv1.weight": torch.zeros(64, 3, 7, 7)},
            r"1 tensors, the first 'conv1.weight' of shape",
        ),
        ({}, "no tensor, but an object of type dict"),
        (7, "no tensor, but an object of type int"),
        ([torch.zeros(3)], "no tensor, but an object of type list"),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "nearest is encoder"),
    ],
)
def test_unknown_content_is_refused(tmp_path: Path, content: object, sentence: str) -> None:
    torch.save(content, tmp_path / "unknown.pth")
    with pytest.raises(ValueError, match=sentence) as refusal:
        read_checkpoint(tmp_path / "unknown.pth")
    assert "expected is a BYOL-A encoder" in str(refusal.value)
    assert "unknown.pth" in str(refusal.value)


def test_a_difference_is_named(tmp_path: Path, state: State) -> None:
    torch.save(without(state, "fc.3.bias"), tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"fc.3.bias is missing and should be \(512,\)"):
        read_checkpoint(tmp_path / "a.pth")
    torch.save({**state, "fc.0.weight": torch.zeros(512, 2048)}, tmp_path / "b.pth")
    with pytest.raises(ValueError, match=r"fc.0.weight is \(512, 2048\) and should be"):
        read_checkpoint(tmp_path / "b.pth")


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


def test_code_in_a_file_is_never_run(tmp_path: Path, state: State) -> None:
    torch.save({**state, "trap": Trap(tmp_path / "sprung")}, tmp_path / "trap.pth")
    with pytest.raises(ValueError, match="never unpickled"):
        read_checkpoint(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("name", ["a.pth", "a.pt", "a.safetensors", "a.bin"])
@pytest.mark.parametrize("content", [b"", b"junk", b"no weights at all", bytes(range(256)) * 8])
def test_unreadable_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"checkpoint .*{name}.*expected is a BYOL-A encoder"):
        read_checkpoint(tmp_path / name)


def test_truncated_files_are_refused(tmp_path: Path, state: State) -> None:
    save_checkpoint(tmp_path / "a.safetensors", ours(state))
    torch.save(state, tmp_path / "a.pth")
    for path in (tmp_path / "a.safetensors", tmp_path / "a.pth"):
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(ValueError, match="expected is a BYOL-A encoder"):
            read_checkpoint(path)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing is there"):
        read_checkpoint(tmp_path / "missing.pth")
    with pytest.raises(FileNotFoundError, match="a folder is there"):
        read_checkpoint(tmp_path)


def rewritten(path: Path, **changes: str) -> Path:
    with safe_open(path, framework="pt") as file:
        metadata = {**file.metadata(), **changes}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, {key: value for key, value in metadata.items() if value})
    return path


def test_a_newer_format_is_refused(tmp_path: Path, state: State) -> None:
    path = tmp_path / "byola.safetensors"
    save_checkpoint(path, ours(state))
    with pytest.raises(ValueError, match=r"format version is 2.*reads up to 1"):
        read_checkpoint(rewritten(path, format_version="2"))


def test_a_file_from_before_the_data_were_hashed_is_read(tmp_path: Path, state: State) -> None:
    path = tmp_path / "byola.safetensors"
    save_checkpoint(path, ours(state))
    found = read_checkpoint(rewritten(path, data_sha256=""))
    assert (found.data, found.data_sha256) == ("FSD50K development set", "")


@pytest.mark.parametrize("changes", [{"mean": "low"}, {"std": ""}, {"training_config": "{"}])
def test_damaged_metadata_are_refused(
    tmp_path: Path, state: State, changes: dict[str, str]
) -> None:
    path = tmp_path / "byola.safetensors"
    save_checkpoint(path, ours(state))
    with pytest.raises(ValueError, match="metadata are damaged or incomplete"):
        read_checkpoint(rewritten(path, **changes))


def test_a_saved_model_loads_again(tmp_path: Path) -> None:
    model = hear_byola.load_model(seed=9)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    assert_same(read_checkpoint(tmp_path / "model.pth").state, model.encoder.state_dict())
