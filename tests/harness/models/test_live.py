"""The hash of the code of a model in memory."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from types import ModuleType

import pytest
import torch

from harness.models.live import LiveModel

SOURCE = """
import functools
import torch

SCALE = 2.0
helpers = type(torch)("helpers")
exec("def pool(x): return x.mean(1)", helpers.__dict__)

def louder(function):
    @functools.wraps(function)
    def wrapper(audio, model):
        return function(audio, model) * 1.0
    return wrapper

def helper(x, power=1):
    return x ** power

class Base(torch.nn.Module):
    def front(self, x):
        return x + 0.0

class Net(Base):
    kind = "plain"
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    def forward(self, x):
        return self.layers(self.front(x))
    @property
    def width(self):
        return 2

def made(offset):
    def inner(x):
        return x + offset
    return inner

inner = made(0)

@louder
def get_scene_embeddings(audio, model):
    known = audio.dtype in {"float32", "float16", "bfloat16"}
    return helper(inner(helpers.pool(audio)) * SCALE) + model.width * known

@torch.no_grad()
def get_timestamp_embeddings(audio, model):
    return audio, [part for part in audio if part is not None]
"""


def code(source: str = SOURCE) -> str:
    functions = ModuleType("a_notebook")
    exec(source, functions.__dict__)
    return LiveModel(functions.Net(), functions).code_sha256()


def test_the_same_code_has_the_same_hash():
    moved = "# a comment\n\n" + SOURCE.replace("def helper", "# another\ndef helper")
    assert code() == code() == code(moved)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("SCALE = 2.0", "SCALE = 3.0"),
        ("x.mean(1)", "x.sum(1)"),
        ("* 1.0", "* 1.5"),
        ("x ** power", "x * power"),
        ("power=1", "power=2"),
        ("x + 0.0", "x + 0.1"),
        ('kind = "plain"', 'kind = "other"'),
        ("self.layers(self", "2 * self.layers(self"),
        ("return 2\n", "return 3\n"),
        ("inner = made(0)", "inner = made(1)"),
        ("torch.nn.ReLU()", "torch.nn.GELU()"),
        ("Linear(2, 2)", "Linear(2, 2, bias=False)"),
        ('"bfloat16"}', '"int16"}'),
        ("part is not None", "part is None"),
    ],
)
def test_any_change_of_what_is_used_counts(old, new):
    assert SOURCE.count(old) == 1
    assert code(SOURCE.replace(old, new)) != code()


def test_another_process_gives_the_same_hash(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"{SOURCE}\nfrom harness.models.live import LiveModel\n"
        "print(LiveModel(Net(), sys.modules['__main__']).code_sha256())\n".replace(
            "sys.", "__import__('sys')."
        )
    )
    told = {
        subprocess.run(
            [sys.executable, str(script)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_a_name_that_the_code_itself_assigns_does_not_count():
    counting = SOURCE.replace("    known =", "    global calls\n    calls = calls + 1\n    known =")
    functions = ModuleType("a_notebook")
    exec(f"calls = 0\n{counting}", functions.__dict__)
    live = LiveModel(functions.Net(), functions)
    before = live.code_sha256()
    functions.calls = 5
    assert live.code_sha256() == before


def test_training_modes_are_put_back_layer_by_layer():
    model = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Dropout())
    model[0].eval()
    with contextlib.suppress(KeyError), LiveModel(model, None).borrowed():
        model.eval()
        raise KeyError
    assert [part.training for part in model.modules()] == [True, False, True]
