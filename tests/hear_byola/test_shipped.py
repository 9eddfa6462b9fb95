"""The checkpoint in the package, and whether its card says what it holds."""

from __future__ import annotations

import csv
import warnings
from importlib.resources import files
from pathlib import Path

import torch

import hear_byola
from hear_byola.checkpoint import read_checkpoint

WEIGHTS = files("hear_byola") / "weights"
SHIPPED = str(WEIGHTS / "byola-512.safetensors")
CARD = (WEIGHTS / "README.md").read_text("utf-8")


def test_it_is_what_load_model_loads_and_it_needs_no_options() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = hear_byola.load_model()
    assert (model.scene_embedding_size, model.frontend_convention) == (512, "slaney")
    loaded, stored = model.encoder.state_dict(), read_checkpoint(SHIPPED).state
    assert all(torch.equal(loaded[name], tensor) for name, tensor in stored.items())
    untrained = hear_byola.load_model(seed=0).encoder.state_dict()
    assert not torch.equal(loaded["features.0.weight"], untrained["features.0.weight"])


def test_every_one_of_its_dimensions_is_alive() -> None:
    audio = torch.randn(8, 32_000, generator=torch.Generator().manual_seed(0)) * 0.1
    audio = audio * torch.linspace(0.1, 1, 8)[:, None]
    embeddings = hear_byola.get_scene_embeddings(audio, hear_byola.load_model())
    assert embeddings.isfinite().all()
    assert (embeddings.std(0) > 1e-4).float().mean() > 0.9


def test_it_says_how_it_was_made() -> None:
    checkpoint = read_checkpoint(SHIPPED)
    assert checkpoint.licence == "CC-BY-4.0"
    assert "CC-BY-4.0" in CARD
    assert len(checkpoint.data_sha256) == 64
    progress = checkpoint.training_config["progress"]
    assert progress["step"] == progress["steps"]
    assert f"{progress['crops']:,} crops" in CARD
    assert "start" not in checkpoint.training_config


def test_its_card_lists_every_package_with_version_hash_and_licence() -> None:
    recipe = Path(__file__).parents[2] / "tools/audio_pool/packages.csv"
    packages = list(csv.DictReader(recipe.read_text("utf-8").splitlines()))
    assert len(packages) > 30
    for package in packages:
        row = next(line for line in CARD.splitlines() if line.startswith(f"| {package['name']} |"))
        assert all(package[field] in row for field in ("version", "licence", "sha256"))
