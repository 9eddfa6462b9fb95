from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch

import hear_byola
from hear_byola.checkpoint import Checkpoint, save_checkpoint
from hear_byola.random_weights import random_encoder


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    path = tmp_path / "byola.safetensors"
    state = random_encoder("2020", 1024, seed=5).state_dict()
    save_checkpoint(path, Checkpoint("2020", 1024, state, "htk", -5.1, 4.2))
    return str(path)


@pytest.fixture
def published(tmp_path: Path) -> str:
    torch.save(random_encoder("2022", 3072, seed=5).state_dict(), tmp_path / "published.pth")
    return str(tmp_path / "published.pth")


@pytest.fixture
def nothing_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("hear_byola.loading.SHIPPED", tmp_path / "absent.safetensors")


@pytest.mark.usefixtures("nothing_shipped")
def test_without_arguments_an_untrained_model_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="the model is untrained .*seed=0") as caught:
        model = hear_byola.load_model()
    assert caught[0].filename == __file__
    asked_for = hear_byola.load_model(seed=0)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, asked_for.state_dict()[name])


def test_a_seed_asks_for_random_weights_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = hear_byola.load_model(seed=1, encoder="2022", d=3072)
    assert model.scene_embedding_size == 3072


def test_the_shipped_checkpoint_is_the_default(
    monkeypatch: pytest.MonkeyPatch, checkpoint: str
) -> None:
    monkeypatch.setattr("hear_byola.loading.SHIPPED", Path(checkpoint))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert hear_byola.load_model().scene_embedding_size == 1024
        assert hear_byola.load_model(seed=0).scene_embedding_size == 512
    with pytest.raises(ValueError, match=r"d=512 was asked for.*give a seed"):
        hear_byola.load_model(d=512)


@pytest.mark.parametrize(
    ("encoder", "d", "size"),
    [("2020", None, 512), (2020, 2048, 2048), ("2022", None, 2048), (2022, 3072, 3072)],
)
def test_attributes(encoder: str | int, d: int | None, size: int) -> None:
    model = hear_byola.load_model(seed=0, encoder=encoder, d=d)
    for value, expected in [
        (model.sample_rate, 16_000),
        (model.scene_embedding_size, size),
        (model.timestamp_embedding_size, size),
    ]:
        assert type(value) is int
        assert value == expected
    assert model.frontend_convention == "slaney"
    assert isinstance(model, torch.nn.Module)
    assert not model.training


def test_our_checkpoint_brings_its_front_end(checkpoint: str) -> None:
    model = hear_byola.load_model(checkpoint)
    assert model.frontend_convention == "htk"
    assert model.frontend.mean.item() == pytest.approx(-5.1)
    assert model.frontend.std.item() == pytest.approx(4.2)
    state = random_encoder("2020", 1024, seed=5).state_dict()
    assert all(torch.equal(model.encoder.state_dict()[name], state[name]) for name in state)
    model = hear_byola.load_model(checkpoint, convention="slaney", mean=-8, std=4)
    assert model.frontend_convention == "slaney"
    assert model.frontend.mean.item() == -8
    with pytest.raises(ValueError, match="statistics were computed with 'htk'"):
        hear_byola.load_model(checkpoint, convention="slaney")
    with pytest.raises(ValueError, match="unknown filterbank convention 'slanei'"):
        hear_byola.load_model(checkpoint, convention="slanei")


def test_a_published_file_takes_the_documented_front_end(published: str) -> None:
    model = hear_byola.load_model(published)
    assert model.frontend_convention == "slaney"
    assert model.frontend.mean.item() == pytest.approx(-9.660292)
    assert model.frontend.std.item() == pytest.approx(4.7219563)
    model = hear_byola.load_model(published, convention="htk")
    assert model.frontend_convention == "htk"
    assert model.frontend.mean.item() == pytest.approx(-5.4919195)
    assert model.frontend.std.item() == pytest.approx(5.0389895)


def test_encoder_and_size_may_be_named_and_are_checked(published: str) -> None:
    model = hear_byola.load_model(published, encoder=2022, d=3072)
    assert model.scene_embedding_size == 3072
    with pytest.raises(ValueError, match=r"holds encoder '2022' with d=3072, but d=2048 was"):
        hear_byola.load_model(published, d=2048)
    with pytest.raises(ValueError, match=r"but encoder='2020' and d=512 was"):
        hear_byola.load_model(published, encoder=2020, d=512)


def test_a_seed_does_not_go_with_a_checkpoint(checkpoint: str) -> None:
    with pytest.raises(ValueError, match="A seed makes random weights"):
        hear_byola.load_model(checkpoint, seed=1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sed": 1}, "unknown option 'sed'.*Did you mean 'seed'"),
        ({"conventions": "htk"}, "Did you mean 'convention'"),
        ({"hop": 20}, "Did you mean 'hop_ms'"),
        (
            {"zzz": 20},
            "the options are encoder, d, convention, mean, std, seed, init, hop_ms, precision",
        ),
        ({"seed": "a"}, "seed='a'"),
        ({"seed": 0, "init": "he"}, "unknown init 'he'.*pytorch.*contrast"),
        ({"init": "contrast"}, "give a seed as well"),
        ({"seed": 0, "d": 500}, "d=500 is no size of the 2020 encoder"),
        ({"seed": 0, "encoder": "2021"}, "unknown encoder '2021'"),
        ({"seed": 0, "convention": "mel"}, "unknown filterbank convention 'mel'"),
        ({"seed": 0, "mean": 1.0}, "give both or none"),
        ({"seed": 0, "precision": "half"}, r"'half'.*\['float32', 'bf16', 'fp16'\]"),
        ({"seed": 0, "hop_ms": 50}, r"hop_ms=50: .* \[80.0, 40.0, 20.0, 10.0\]"),
        ({"seed": 0, "encoder": 2022, "hop_ms": 80}, r"2022 encoder offers \[40.0, 20.0, 10.0\]"),
    ],
)
def test_unfit_options_are_refused(options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        hear_byola.load_model(**options)


def test_a_missing_checkpoint() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.pth: nothing is there"):
        hear_byola.load_model("nowhere.pth")


def test_loading_leaves_the_random_state_alone(checkpoint: str) -> None:
    before = torch.get_rng_state()
    hear_byola.load_model(checkpoint)
    hear_byola.load_model(seed=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_front_door_is_the_hear_api_with_layers_and_what_fits_a_task() -> None:
    assert sorted(hear_byola.__all__) == [
        "get_layer_embeddings",
        "get_scene_embeddings",
        "get_timestamp_embeddings",
        "load_model",
        "task_options",
    ]


def test_a_file_that_does_not_say_its_front_end_is_taken_with_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "published.pth"
    model = hear_byola.load_model(seed=0)
    torch.save(model.encoder.state_dict(), path)
    with pytest.warns(UserWarning, match="does not record the mel filterbank"):
        hear_byola.load_model(str(path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        hear_byola.load_model(str(path), convention="htk", mean=-5.4919195, std=5.0389895)


@pytest.mark.parametrize(
    "module", ["hear_byola", "hear_byola.core.schema", "hear_byola.core.yamltext"]
)
def test_importing_the_package_imports_neither_torch_nor_pydantic(module: str) -> None:
    heavy = {"torch", "numpy"} | ({"pydantic"} if module == "hear_byola" else set())
    code = f"import sys, {module}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
