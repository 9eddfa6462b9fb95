from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import hear_byola
from hear_byola.checkpoint import read_checkpoint
from hear_byola.conversion import convert
from hear_byola.frontend import CONVENTIONS
from hear_byola.random_weights import random_encoder

SIZES = [("2020", 512), ("2020", 1024), ("2020", 2048), ("2022", 2048), ("2022", 3072)]
AUDIO = torch.rand(2, 8000, generator=torch.Generator().manual_seed(0)) - 0.5


@pytest.fixture
def published(tmp_path: Path) -> Path:
    path = tmp_path / "published.pth"
    torch.save(random_encoder("2020", 512, seed=5).state_dict(), path)
    return path


@pytest.mark.parametrize(("version", "d"), SIZES)
def test_converted_weights_embed_as_the_file_did(tmp_path: Path, version: str, d: int) -> None:
    source, target = tmp_path / "published.pth", tmp_path / "new" / "ours.safetensors"
    state = random_encoder(version, d, seed=1).state_dict()
    torch.save({"state_dict": {f"model.{name}": value for name, value in state.items()}}, source)
    front_end: dict[str, Any] = {"convention": "htk", "mean": -5.0, "std": 4.5}
    convert(source, target, **front_end)
    found = read_checkpoint(target)
    assert (found.encoder, found.d) == (version, d)
    assert (found.convention, found.mean, found.std) == ("htk", -5.0, 4.5)
    assert found.state.keys() == state.keys()
    assert all(torch.equal(found.state[name], state[name]) for name in state)
    before = hear_byola.load_model(str(source), **front_end)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is left to be taken for granted
        after = hear_byola.load_model(str(target))
    assert torch.equal(
        hear_byola.get_scene_embeddings(AUDIO, before),
        hear_byola.get_scene_embeddings(AUDIO, after),
    )


def test_origin_data_and_licence_are_written(tmp_path: Path, published: Path) -> None:
    target = tmp_path / "ours.safetensors"
    convert(published, target, data="AudioSet", licence="evaluation only")
    found = read_checkpoint(target)
    assert (found.data, found.licence) == ("AudioSet", "evaluation only")
    assert found.training_config == {
        "converted_from": "published.pth",
        "converted_from_sha256": hashlib.sha256(published.read_bytes()).hexdigest(),
    }


@pytest.mark.parametrize("convention", ["slaney", "htk"])
def test_statistics_that_are_not_given_are_the_conventions_and_told(
    tmp_path: Path, published: Path, convention: str
) -> None:
    notes = convert(published, tmp_path / "ours.safetensors", convention=convention)
    found = read_checkpoint(tmp_path / "ours.safetensors")
    default = CONVENTIONS[convention]
    assert (found.convention, found.mean, found.std) == (convention, default.mean, default.std)
    (statistics, licence) = notes
    assert f"mean {default.mean} and std {default.std} are assumed" in statistics
    assert "does not change the licence" in licence
    assert "records none" in licence


def test_nothing_is_assumed_silently(tmp_path: Path, published: Path) -> None:
    notes = convert(published, tmp_path / "a.safetensors")
    assert read_checkpoint(tmp_path / "a.safetensors").convention == "slaney"
    assert len(notes) == 3
    assert "slaney is assumed" in notes[0]
    complete = convert(
        published,
        tmp_path / "b.safetensors",
        convention="htk",
        mean=-5.0,
        std=4.5,
        licence="MIT",
    )
    (licence,) = complete
    assert licence == "Conversion does not change the licence of the weights."


def test_a_file_that_is_there_is_replaced_by_force_alone(tmp_path: Path, published: Path) -> None:
    target = tmp_path / "ours.safetensors"
    target.write_text("precious")
    with pytest.raises(FileExistsError, match=r"ours.safetensors exists. --force"):
        convert(published, target)
    assert target.read_text() == "precious"
    convert(published, target, force=True)
    assert read_checkpoint(target).d == 512


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"convention": "mel"}, "unknown filterbank convention 'mel'"),
        ({"mean": 1.0}, "give both or none"),
        ({"std": 1.0}, "give both or none"),
        ({"mean": 0.0, "std": 0.0}, "std greater than 0"),
        ({"mean": float("nan"), "std": 1.0}, "finite"),
    ],
)
def test_an_unfit_front_end_is_refused(
    tmp_path: Path, published: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        convert(published, tmp_path / "ours.safetensors", **options)
    assert not (tmp_path / "ours.safetensors").exists()


def test_places_and_sources_that_make_no_sense_are_refused(tmp_path: Path, published: Path) -> None:
    ours = tmp_path / "ours.safetensors"
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        convert(published, tmp_path / "ours.pth")
    with pytest.raises(FileNotFoundError, match=r"missing\.pth: nothing is there"):
        convert(tmp_path / "missing.pth", ours)
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        convert(published, tmp_path / "folder.safetensors", force=True)
    convert(published, ours)
    with pytest.raises(ValueError, match="in our format already"):
        convert(ours, tmp_path / "again.safetensors")
    with pytest.raises(ValueError, match="is the file to be converted"):
        convert(ours, ours, force=True)
    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(ValueError, match="expected is a BYOL-A encoder"):
        convert(tmp_path / "junk.pth", ours, force=True)
    assert read_checkpoint(ours).d == 512
