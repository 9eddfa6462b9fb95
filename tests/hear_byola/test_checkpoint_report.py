from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
import yaml

from hear_byola.checkpoint import Checkpoint, save_checkpoint
from hear_byola.checkpoint_report import describe, format_description
from hear_byola.random_weights import random_encoder

CONFIG = {"batch_size": 64, "augmentations": ["mixup", "random_resize_crop"], "fraction": 0.5}


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    path = tmp_path / "byola.safetensors"
    checkpoint = Checkpoint(
        "2020",
        512,
        random_encoder("2020", 512, seed=5).state_dict(),
        convention="htk",
        mean=-5.1,
        std=4.2,
        training_config=CONFIG,
        data="12 h of speech\n3 h of effects",
        licence="CC-BY-4.0",
        data_sha256="ab" * 32,
    )
    save_checkpoint(path, checkpoint)
    return path


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    path = tmp_path / "published.pth"
    torch.save(random_encoder("2022", 3072, seed=5).state_dict(), path)
    return path


def test_everything_that_our_format_says_is_told(ours: Path) -> None:
    found = describe(ours)
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "path": str(ours),
        "bytes": ours.stat().st_size,
        "sha256": hashlib.sha256(ours.read_bytes()).hexdigest(),
        "format": "hear-byola",
        "encoder": "2020",
        "d": 512,
        "parameters": sum(p.numel() for p in random_encoder("2020", 512, 0).parameters()),
        "convention": "htk",
        "mean": -5.1,
        "std": 4.2,
        "training_config": CONFIG,
        "data": "12 h of speech\n3 h of effects",
        "data_sha256": "ab" * 32,
        "licence": "CC-BY-4.0",
    }


def test_the_text_says_all_of_it_and_ends_in_the_config_as_yaml(ours: Path) -> None:
    found = describe(ours)
    text = format_description(found)
    for value in ("byola.safetensors", found["sha256"], "d = 512", "htk", "-5.1", "4.2", "ab" * 32):
        assert str(value) in text
    assert f"{found['parameters']:,} parameters" in text
    assert "12 h of speech\n             3 h of effects" in text
    assert "CC-BY-4.0" in text
    assert "not recorded" not in text
    config = text.split("training")[1]
    assert yaml.safe_load("\n" + " " * 13 + config.strip()) == CONFIG


def test_what_a_foreign_file_does_not_say_is_none(foreign: Path) -> None:
    found = describe(foreign)
    assert (found["format"], found["encoder"], found["d"]) == ("foreign", "2022", 3072)
    silent = {name for name, value in found.items() if value is None}
    assert silent == {
        "convention", "mean", "std", "training_config", "data", "data_sha256", "licence",
    }  # fmt: skip
    text = format_description(found)
    assert text.count("not recorded") == 5
    assert "load_model is slaney with mean -9.660292 and std 4.7219563" in text
    assert "checkpoint convert" in text


def test_the_published_sizes_have_the_published_numbers_of_parameters(tmp_path: Path) -> None:
    for d, millions in ((512, 0.6), (1024, 1.6), (2048, 5.3)):
        path = tmp_path / f"{d}.pth"
        torch.save(random_encoder("2020", d, seed=0).state_dict(), path)
        assert round(int(describe(path)["parameters"]) / 1e6, 1) == millions  # type: ignore[call-overload]


def test_empty_metadata_are_not_said(tmp_path: Path) -> None:
    path = tmp_path / "bare.safetensors"
    state = random_encoder("2020", 512, seed=5).state_dict()
    save_checkpoint(path, Checkpoint("2020", 512, state, "slaney", -5.1, 4.2))
    found = describe(path)
    assert (found["data"], found["data_sha256"], found["licence"]) == (None, None, None)
    assert found["training_config"] == {}
    assert format_description(found).count("not recorded") == 4


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing is there"):
        describe(tmp_path / "missing.pth")
    (tmp_path / "a.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="expected is a BYOL-A encoder"):
        describe(tmp_path / "a.pth")
