"""``hear-byola checkpoint`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from harness.cli import call
from harness.commands.checkpoint import convert
from hear_byola.checkpoint import read_checkpoint
from hear_byola.frontend import CONVENTIONS, DEFAULT_CONVENTION
from hear_byola.random_weights import random_encoder


@pytest.fixture
def published(tmp_path: Path) -> Path:
    torch.save(random_encoder("2020", 512, seed=5).state_dict(), tmp_path / "published.pth")
    return tmp_path / "published.pth"


def test_show_and_convert_end_to_end(published, tmp_path, capsys):
    target = tmp_path / "ours.safetensors"
    assert call(["checkpoint", "show", str(published)]) == 0
    assert "not recorded" in capsys.readouterr().out
    assert call(["checkpoint", "convert", str(published), str(target), "--licence", "MIT"]) == 0
    told = capsys.readouterr()
    assert told.out == f"wrote {target}\n"
    assert "slaney is assumed" in told.err
    assert "mean -9.660292 and std 4.7219563 are assumed" in told.err
    assert "does not change the licence" in told.err
    assert call(["checkpoint", "show", str(target)]) == 0
    text = capsys.readouterr().out
    assert "slaney" in text
    assert "MIT" in text
    assert call(["checkpoint", "show", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["licence"] == "MIT"


def test_options_reach_the_file(published, tmp_path):
    target = tmp_path / "ours.safetensors"
    options = ("--convention", "htk", "--mean", "-5", "--std", "4.5", "--data", "AudioSet")
    assert call(["checkpoint", "convert", str(published), str(target), *options]) == 0
    found = read_checkpoint(target)
    assert (found.convention, found.mean, found.std, found.data) == ("htk", -5, 4.5, "AudioSet")
    assert call(["checkpoint", "convert", str(published), str(target)]) == 2
    assert call(["checkpoint", "convert", str(published), str(target), "--force"]) == 0
    assert read_checkpoint(target).convention == "slaney"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "publishd.pth"], "'publishd.pth' does not exist. Did you mean 'published.pth"),
        (["show", "."], "a folder is there"),
        (["convert", "published.pth", "ours.pth"], "must end in .safetensors"),
        (["convert", "published.pth", "a.safetensors", "--mean", "1"], "give both or none"),
        (["convert", "published.pth", "a.safetensors", "--convention", "mel"], "'mel' is not one"),
        (["convert", "published.pth", "published.pth/a.safetensors"], "published.pth"),
    ],
)
def test_a_mistake_is_one_sentence(published, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(published.parent)
    assert call(["checkpoint", *arguments]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert "Traceback" not in told.err


def test_the_help_knows_the_conventions_and_their_statistics():
    options = {option.name: option for option in convert.params}
    assert set(options["convention"].type.choices) == set(CONVENTIONS)
    assert f"[default: {DEFAULT_CONVENTION}]" in options["convention"].help
    for name, convention in CONVENTIONS.items():
        assert f"{convention.mean} for {name}" in options["mean"].help
        assert f"{convention.std} for {name}" in options["std"].help
