"""Models are known by what they compute."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from support import task_directories
from support.hear_modules import write_module

from harness.core.errors import UserError
from harness.models.loading import load_module
from harness.models.reference import (
    TOLERANCE,
    TOLERANCE_OF_DEVICES,
    ReferenceEmbeddings,
    coarse_code,
    difference,
    difference_of_shared,
    embed_reference,
    tolerance,
)
from harness.models.spec import ModelSpec
from harness.run.engines import InlineEngine
from harness.run.execute import execute
from harness.run.models import check_identity, identify
from harness.run.plan import Settings, make_plan
from tasks.format.task import TaskSource


def toy(folder: Path, more: str, name: str = "toy") -> ModelSpec:
    return ModelSpec(str(write_module(folder, name, more)))


def forget(folder: Path) -> None:
    """Forget the modules of a folder, as another process does not know them."""
    sys.path[:] = [place for place in sys.path if not place.startswith(str(folder))]
    for name in list(sys.modules):
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


def scaled(expression: str, setup: str = "") -> str:
    """A module whose scene embeddings are multiplied by what an expression gives."""
    return (
        f"{setup}\n_scene = get_scene_embeddings\n"
        f"def get_scene_embeddings(audio, model): return _scene(audio, model) * {expression}\n"
    )


DRAWN = {
    "attribute": (
        "_load = load_model\n"
        "def load_model(path=''):\n    m = _load()\n    m.w = {draw}\n    return m\n",
        "model.w",
    ),
    "list": (
        "_load = load_model\n"
        "def load_model(path=''):\n    m = _load()\n    m.w = [dict(a={draw})]\n    return m\n",
        "model.w[0]['a']",
    ),
    "global": (
        "_load = load_model\n"
        "def load_model(path=''):\n    global w\n    w = {draw}\n    return _load()\n",
        "w",
    ),
    "closure": (
        "_load = load_model\n"
        "def load_model(path=''):\n    m = _load()\n    w = {draw}\n"
        "    m.f = lambda: w\n    return m\n",
        "model.f()",
    ),
    "other object": (
        "import types\n_load = load_model\n"
        "def load_model(path=''):\n    m = _load()\n"
        "    m.a = types.SimpleNamespace(b=types.SimpleNamespace(c={draw}))\n    return m\n",
        "model.a.b.c",
    ),
}
DRAWS = {
    "torch": "torch.rand(3)",
    "numpy": "__import__('numpy').random.default_rng().random(3, dtype='float32')",
    "python": "__import__('random').random()",
}


@pytest.mark.parametrize("place", DRAWN)
@pytest.mark.parametrize("draw", DRAWS)
def test_weights_drawn_anywhere_are_refused(tmp_path, place, draw):
    setup, value = DRAWN[place]
    value = f"torch.as_tensor({value})"
    spec = toy(tmp_path, scaled(value, setup.format(draw=DRAWS[draw])))
    with pytest.raises(UserError, match=r"other weights each time.*plain tensor attribute"):
        identify(load_module(spec, "cpu"), tmp_path / "out", check_load=True)
    assert not (tmp_path / "out").exists()


def test_seeded_weights_outside_the_state_dict_are_accepted(tmp_path):
    setup, value = DRAWN["attribute"]
    draw = "torch.rand(3, generator=torch.Generator().manual_seed(0))"
    spec = toy(tmp_path, scaled(value, setup.format(draw=draw)))
    first, again = (load_module(spec, "cpu") for _ in range(2))
    for module in (first, again):
        identify(module, tmp_path / "out", check_load=True)
    assert first.fingerprint == again.fingerprint
    assert len(list((tmp_path / "out" / "models").iterdir())) == 1


def test_a_known_model_is_loaded_once(tmp_path):
    log = tmp_path / "loads"
    more = (
        "_load = load_model\n"
        f"def load_model(path=''):\n    open({str(log)!r}, 'a').write('x')\n    return _load()\n"
    )
    spec = toy(tmp_path, more)
    for loads in (2, 3):
        identify(load_module(spec, "cpu"), tmp_path / "out", check_load=True)
        assert len(log.read_text()) == loads


def test_a_data_file_that_changes_what_is_computed_changes_the_fingerprint(tmp_path):
    data = tmp_path / "data.txt"
    spec = toy(tmp_path, scaled(f"float(open({str(data)!r}).read())"))
    prints = []
    for value in ("1", "1.001", "0", "1"):
        data.write_text(value)
        module = load_module(spec, "cpu")
        identify(module, tmp_path / "out", check_load=True)
        prints.append(module.fingerprint)
    assert len(set(prints)) == 3
    assert prints[0] == prints[3]


def test_a_worker_that_computes_something_else_is_refused(tmp_path):
    data = tmp_path / "data.txt"
    data.write_text("1")
    spec = toy(tmp_path, scaled(f"float(open({str(data)!r}).read())"))
    task = task_directories.make_task(tmp_path / "tasks", "scene", n=6, seconds=0.2)
    chosen = Settings((spec,), (TaskSource(task),), ("knn",), out=tmp_path / "out")
    plan = make_plan(chosen)
    data.write_text("2")
    ((_, error),) = execute(plan, InlineEngine("cpu"), chosen.out).failures
    assert "between this process and the plan" in error
    assert not list(chosen.out.glob("embeddings/*/*/*"))


def test_rounding_does_not_change_what_a_model_is_known_by(tmp_path):
    data = tmp_path / "data.txt"
    spec = toy(tmp_path, scaled(f"float(open({str(data)!r}).read())"))
    prints = set()
    # Somewhere between two of these the rounded numbers of the code change.
    for i in range(40):
        data.write_text(str(1 + 2e-6 * i))
        module = load_module(spec, "cpu")
        identify(module, tmp_path / "out", check_load=False)
        prints.add(module.fingerprint)
    assert len(prints) == 1


def test_random_numbers_at_each_call_are_warned_of_and_run(tmp_path):
    spec = toy(tmp_path, scaled("torch.rand(3)"))
    module = load_module(spec, "cpu")
    with pytest.warns(UserWarning, match="draws random numbers when it embeds"):
        identify(module, tmp_path / "out", check_load=True)
    check_identity(load_module(spec, "cpu"), tmp_path / "out", module.fingerprint)


@pytest.mark.parametrize("least", [32000, 100000])
def test_models_that_refuse_short_sounds_work(tmp_path, least):
    more = scaled("1") + (
        "_plain = get_scene_embeddings\n"
        "def get_scene_embeddings(audio, model):\n"
        f"    if audio.numel() < {least}: raise ValueError('too short')\n"
        "    return _plain(audio, model)\n"
        "def get_timestamp_embeddings(audio, model): raise NotImplementedError\n"
    )
    module = load_module(toy(tmp_path, more), "cpu")
    identify(module, tmp_path / "out", check_load=True)
    assert module.reference().scene is not None
    assert module.reference().timestamps is None


def test_what_a_module_raises_on_the_reference_sound_stops_nothing(tmp_path):
    more = "def get_scene_embeddings(audio, model): raise SystemExit(3)\n"
    module = load_module(toy(tmp_path, more), "cpu")
    assert module.reference().scene is None


def test_a_damaged_file_is_written_again(tmp_path):
    spec = toy(tmp_path, "")
    first = load_module(spec, "cpu")
    identify(first, tmp_path / "out", check_load=True)
    (path,) = (tmp_path / "out" / "models").iterdir()
    path.write_bytes(b"PK\x03\x04 damaged")
    again = load_module(spec, "cpu")
    identify(again, tmp_path / "out", check_load=True)
    assert again.fingerprint == first.fingerprint
    assert ReferenceEmbeddings.from_bytes(path.read_bytes())[1]["fingerprint"] == first.fingerprint


def random_embeddings(seed: int, device: str = "cpu", **more) -> ReferenceEmbeddings:
    rng = np.random.default_rng(seed)
    scene = rng.standard_normal((1, 64)).astype(np.float32)
    frames = rng.standard_normal((1, 20, 32)).astype(np.float32)
    times = np.arange(20, dtype=np.float32)[None] * 50
    return ReferenceEmbeddings(scene, frames, times, device, **more)


def test_differences_and_their_tolerances():
    one, other = random_embeddings(0), random_embeddings(1, "cuda")
    assert difference(one, one) == 0.0
    assert difference(one, other) == pytest.approx(2**0.5, rel=0.3)
    assert tolerance(one, one) == TOLERANCE
    assert tolerance(one, other) == TOLERANCE_OF_DEVICES
    assert tolerance(one, random_embeddings(2, spread=0.02)) > 0.02
    part = ReferenceEmbeddings(one.scene, None, None, "cpu")
    assert difference(one, part) == float("inf")
    assert difference_of_shared(one, part) == 0.0


def test_the_code_is_stable_under_rounding_and_changes_with_the_model():
    flips = changed = 0
    for seed in range(200):
        one = random_embeddings(seed)
        assert one.scene is not None
        noise = np.random.default_rng(seed + 1000).standard_normal(one.scene.shape)
        for relative in (1e-6, 0.1):
            scene = (one.scene * (1 + relative * noise)).astype(np.float32)
            other = ReferenceEmbeddings(scene, one.timestamps, one.times, "cpu")
            differs = coarse_code(one) != coarse_code(other)
            flips += differs and relative == 1e-6
            changed += differs and relative == 0.1
    assert flips <= 2
    assert changed >= 198


def test_the_stored_embeddings_come_back(tmp_path):
    found = embed_reference(load_module(toy(tmp_path, ""), "cpu"))
    back, texts = ReferenceEmbeddings.from_bytes(found.to_bytes(fingerprint="f"))
    assert difference(found, back) == 0.0
    assert (back.device, back.sound, back.spread, texts) == ("cpu", 0, None, {"fingerprint": "f"})


def test_code_on_a_path_that_the_module_adds_changes_the_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    source = tmp_path / "src"
    source.mkdir()
    more = f"import sys\nsys.path.insert(0, {str(source)!r})\nfrom far_away import LONG\n"
    path = write_module(tmp_path / "hear", "wrapper", more)
    prints = set()
    for text in ("LONG = 1\n", "LONG = 2\n"):  # what the reference sound does not show
        (source / "far_away.py").write_text(text)
        prints.add(load_module(ModelSpec(str(path)), "cpu").static_fingerprint)
        forget(tmp_path)
        monkeypatch.setattr("harness.models.imports._source_at_import", {})
    assert len(prints) == 2


def test_two_models_whose_helpers_share_a_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    specs = []
    for place in ("a", "b"):
        path = write_module(tmp_path / place, "main", "import shared_helper\n")
        (path.parent / "shared_helper.py").write_text(f"PLACE = '{place}'\n")
        specs.append(ModelSpec(str(path)))
    load_module(specs[0], "cpu")
    with pytest.raises(UserError, match=r"imports 'shared_helper' from .*b.*already uses .*a"):
        load_module(specs[1], "cpu")
    forget(tmp_path)
    load_module(specs[1], "cpu")


def test_the_reference_sound_leaves_random_states_alone(tmp_path):
    module = load_module(toy(tmp_path, scaled("torch.rand(3)")), "cpu")
    from harness.models.process_state import random_states

    before = random_states()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module.reference(spread=True)
    assert random_states() == before
