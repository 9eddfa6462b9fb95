from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.hear_modules import write_module

import hear_byola
from harness.baselines import logmel
from harness.core.errors import UserError
from harness.models.conformance.checks import LAYERS as LAYERS_CHECK
from harness.models.conformance.checks import checks_of
from harness.models.conformance.form import check_layers
from harness.models.conformance.subject import Failure, load_subject
from harness.models.layers import LayerFunctions
from harness.models.loading import load_module
from harness.models.spec import parse_model

AUDIO = np.random.default_rng(0).uniform(-1, 1, (2, 16000)).astype(np.float32)

LAYERS = """
def load_model(path=''):
    model = Toy(1)
    model.layer_sizes = [3, 2, 5]
    return model

def get_layer_embeddings(audio, model, layers, *, timestamps=False):
    shape = (len(audio), 20) if timestamps else (len(audio),)
    found = [torch.full((*shape, model.layer_sizes[k]), float(k)) for k in layers]
    return found, get_timestamp_embeddings(audio, model)[1] if timestamps else None
"""


@pytest.fixture
def toy(tmp_path: Path) -> str:
    return str(write_module(tmp_path, "toy", LAYERS))


@pytest.mark.parametrize(
    ("option", "layers", "row"),
    [
        ("all", [0, 1, 2], [0, 0, 0, 1, 1, 2, 2, 2, 2, 2]),
        ("1..2", [1, 2], [1, 1, 2, 2, 2, 2, 2]),
        ("1", [1], [1, 1]),
    ],
)
def test_layers_are_embedded_side_by_side(toy, option, layers, row):
    module = load_module(parse_model(f"{toy},layer={option}"), "cpu")
    assert list(module.layers) == layers
    assert module.scene(AUDIO).tolist() == [row] * 2
    embeddings, times = module.timestamps(AUDIO)
    assert embeddings.tolist() == [[row] * 20] * 2
    assert times.shape == (2, 20)
    assert module.scene_embedding_size == module.timestamp_embedding_size == len(row)
    for layer, (begin, end) in module.layers.items():
        assert set(row[begin:end]) == {layer}


@pytest.mark.parametrize("shape", [(2, 7), (1, 1), (3,)])
def test_columns_of_one_tensor_are_joined_without_a_copy(shape):
    """The layers of long audio would take twice their memory."""

    def embed(layers: list[torch.Tensor]) -> torch.Tensor:
        module = SimpleNamespace(get_layer_embeddings=lambda *_, **__: (layers, None))
        sizes = dict(enumerate(layer.shape[-1] for layer in layers))
        functions = LayerFunctions(module, sizes, "toy")
        if len(shape) == 2:
            return functions.get_timestamp_embeddings(None, None)[0]
        return functions.get_scene_embeddings(None, None)

    whole = torch.arange(10.0 * np.prod(shape)).reshape(*shape, 10)
    columns = list(whole.split([3, 2, 5], dim=-1))
    joined = embed(columns)
    assert torch.equal(joined, whole)
    assert joined.data_ptr() == whole.data_ptr()
    for others in (columns[:2][::-1], [columns[0], columns[2]], [columns[0], columns[1] + 1]):
        expected = torch.cat(others, dim=-1)
        assert torch.equal(embed(others), expected)


def test_a_layer_is_a_model_of_its_own(toy):
    module = load_module(parse_model(f"{toy},layer=all"), "cpu")
    infos = [module.layer_info(layer) for layer in module.layers]
    assert [info.label for info in infos] == ["toy@0", "toy@1", "toy@2"]
    assert [info.layer for info in infos] == [0, 1, 2]
    assert len({info.fingerprint for info in infos}) == 3
    assert infos[1].options == '{"layer": 1}'
    named = load_module(parse_model(f"{toy},layer=2,name=mine"), "cpu")
    assert named.layer_info(2).label == "mine@2"
    assert named.layer_info(2).fingerprint == infos[2].fingerprint
    alone = load_module(parse_model(f"{toy},layer=1"), "cpu")
    assert alone.layer_info(1) == infos[1]
    assert alone.info.fingerprint != module.info.fingerprint
    assert load_module(parse_model(toy), "cpu").layers == {}


@pytest.mark.parametrize("option", ["3", "1..3", "2..1", "last", "-1"])
def test_a_layer_that_is_not_there_is_refused(toy, option):
    with pytest.raises(UserError, match=r"names no layer. Its layers are 0 to 2.*0\.\.2"):
        load_module(parse_model(f"{toy},layer={option}"), "cpu")


@pytest.mark.parametrize(
    ("sizes", "said"), [("None", "needs a list"), ("[1, 0]", "needs a list"), ("[]", "offers no")]
)
def test_sizes_that_are_none_are_refused(tmp_path, sizes, said):
    path = write_module(tmp_path, "toy", LAYERS.replace("[3, 2, 5]", sizes))
    with pytest.raises(UserError, match=said):
        load_module(parse_model(f"{path},layer=all"), "cpu")


@pytest.mark.parametrize(
    "returned",
    ["None", "[torch.zeros(2, 3)], None", "[torch.zeros(2, k) for k in (3, 2, 4)], None"],
)
def test_layers_against_the_rules_are_refused(tmp_path, returned):
    more = f"\ndef get_layer_embeddings(audio, model, layers, timestamps): return {returned}\n"
    path = write_module(tmp_path, "toy", LAYERS + more)
    module = load_module(parse_model(f"{path},layer=all"), "cpu")
    with pytest.raises(UserError, match="get_layer_embeddings returned"):
        module.scene(AUDIO)


def test_validate_checks_the_layers_that_a_module_offers(tmp_path, toy):
    assert check_layers(load_subject(parse_model(toy), "cpu")) == "3 layers of 3, 2, 5 values"
    assert LAYERS_CHECK in checks_of(hear_byola)
    assert LAYERS_CHECK not in checks_of(logmel)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[3, 2, 5]", "[3, 2, 6.5]", "layer_sizes is"),
        ("model.layer_sizes[k]), float(k)", "4), float(k)", "returned tensors of the shapes"),
        ("float(k)) for", "float('nan')) for", "contain NaN"),
        ("[1] if timestamps", "[1] + 1 if timestamps", "other timestamps"),
    ],
)
def test_validate_fails_layers_against_the_rules(tmp_path, old, new, said):
    assert old in LAYERS
    path = write_module(tmp_path, "toy", LAYERS.replace(old, new))
    with pytest.raises(Failure, match=said):
        check_layers(load_subject(parse_model(str(path)), "cpu"))


def test_an_option_layer_of_load_model_has_precedence(tmp_path):
    more = LAYERS.replace("path=''", "path='', layer=1").replace("Toy(1)", "Toy(layer)")
    module = load_module(parse_model(f"{write_module(tmp_path, 'toy', more)},layer=3"), "cpu")
    assert module.layers == {}
    assert module.info.label == "toy(layer=3)"
    with pytest.raises(UserError, match="no option 'layer'"):
        load_module(parse_model("harness.baselines.logmel,layer=3"), "cpu")


@pytest.mark.parametrize("options", [{"encoder": "2020"}, {"encoder": "2022"}, {"hop_ms": 10.0}])
def test_the_layers_of_byola(options):
    model = hear_byola.load_model(seed=0, **options)
    audio = torch.from_numpy(AUDIO)[:, :12345]
    numbers = range(len(model.layer_sizes))
    scenes, none = hear_byola.get_layer_embeddings(audio, model, numbers)
    frames, times = hear_byola.get_layer_embeddings(audio, model, numbers, timestamps=True)
    expected, same = hear_byola.get_timestamp_embeddings(audio, model)
    assert none is None
    assert torch.equal(times, same)
    assert [s.shape for s in scenes] == [(2, size) for size in model.layer_sizes]
    assert [f.shape for f in frames] == [(*times.shape, size) for size in model.layer_sizes]
    # The last layer is the embedding itself, the first the log-mel.
    torch.testing.assert_close(frames[-1], expected, rtol=1e-4, atol=1e-4)
    whole = hear_byola.get_scene_embeddings(audio, model)
    torch.testing.assert_close(scenes[-1], whole, rtol=1e-4, atol=1e-4)
    one, _ = hear_byola.get_layer_embeddings(audio, model, [1])
    torch.testing.assert_close(one[0], scenes[1])
    functions = LayerFunctions(hear_byola, dict(enumerate(model.layer_sizes)), "byola")
    assert functions.get_scene_embeddings(audio, model).shape == (2, sum(model.layer_sizes))
    model.frames_per_pass = 64
    passes, _ = hear_byola.get_layer_embeddings(audio, model, numbers)
    for found, undivided in zip(passes, scenes, strict=True):
        torch.testing.assert_close(found, undivided, rtol=1e-4, atol=1e-4)
