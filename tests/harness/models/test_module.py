from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.hear_modules import write_module

import hear_byola
from harness.core.errors import UserError
from harness.models.arguments import options_of_load
from harness.models.imports import checkpoint_sha256, import_hear_module, source_sha256
from harness.models.loading import load_again, load_module
from harness.models.names import built_in_modules
from harness.models.spec import ModelSpec, folder_name, parse_model

AUDIO = np.random.default_rng(0).uniform(-1, 1, (2, 16000)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    new_process(tmp_path)


def new_process(folder: Path) -> None:
    """Forget what was imported from a folder, as another process does not know it."""
    sys.path[:] = [place for place in sys.path if not place.startswith(str(folder))]
    for name in list(sys.modules):
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


# What a console script does: its own folder, not the working directory, is first on sys.path.
LAUNCHER = """
import sys
from harness.models.loading import load_module
from harness.models.spec import parse_model
print(load_module(parse_model(sys.argv[1]), "cpu").fingerprint)
"""


def load(text: str, device: str = "cpu"):
    return load_module(parse_model(text), device)


# Names and options


@pytest.mark.parametrize(
    ("text", "module", "checkpoint", "options"),
    [
        ("hear_byola", "hear_byola", "", {}),
        ("hear_byola=w.pt", "hear_byola", "w.pt", {}),
        ("m,d=512,norm=true,kind=slaney", "m", "", {"d": 512, "norm": True, "kind": "slaney"}),
        ("m,a=1e-3,b=0.5,c=null,e=-2E4", "m", "", {"a": 1e-3, "b": 0.5, "c": None, "e": -2e4}),
        ("./my.py=a,b/c,d.pt,day=2022-01-01", "./my.py", "a,b/c,d.pt", {"day": "2022-01-01"}),
        ("m, d = 512", "m", "", {"d": 512}),
        ("m,path=a=b", "m", "", {"path": "a=b"}),
        (
            "m,a=+5,b=.5,c=5.,d=1.10,e=007a",
            "m",
            "",
            {"a": 5, "b": 0.5, "c": 5.0, "d": 1.1, "e": "007a"},
        ),
        (
            "m,a='010',b=\"yes\",c=a: b,d=- x,e=x #y",
            "m",
            "",
            {"a": "010", "b": "yes", "c": "a: b", "d": "- x", "e": "x #y"},
        ),
        (
            "m,a=True,b=y,c=!x,d=*x,e=1:2:3:4x",
            "m",
            "",
            {"a": True, "b": "y", "c": "!x", "d": "*x", "e": "1:2:3:4x"},
        ),
    ],
)
def test_a_model_is_read(text, module, checkpoint, options):
    assert parse_model(text) == ModelSpec(module, checkpoint, options)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda key: key != "name"),
        st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
        max_size=4,
    )
)
def test_options_come_back_as_they_were_written(options):
    text = "".join(f",{key}={str(v).lower()}" for key, v in options.items())
    assert parse_model("module=weights.pt" + text).options == options


@pytest.mark.parametrize(
    ("value", "instead"),
    [
        ("010", "write 10 for the number"),
        ("-007.5", "write -7.5 for the number"),
        ("1_000", "write 1000 for the number"),
        ("0x10", "write a decimal number"),
        ("0b11", "write a decimal number"),
        ("0o17", "write a decimal number"),
        ("1:30", "write a decimal number"),
        ("yes", "write true"),
        ("Off", "write false"),
        ("None", "write null"),
        ("~", "write null"),
        (".inf", "write a decimal number"),
        ("NaN", "write a decimal number"),
    ],
)
def test_a_value_that_readers_disagree_on_is_refused_with_what_to_write(value, instead):
    with pytest.raises(UserError, match=f"The option 'd' has the value '{value}'.*{instead}"):
        parse_model(f"m,d={value}")
    quoted = parse_model(f"m,d='{value}'")
    assert quoted.options == {"d": value}


@pytest.mark.parametrize(
    "name", ["010", "1_000", "1:30", "yes", "~", "null", "1.10", "1e-3", "2022-01-01"]
)
def test_a_name_stays_as_it_was_typed(name):
    assert parse_model(f"m,name={name}").label == name


def test_the_home_folder_is_found_in_every_path_of_a_model(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    spec = parse_model("~/m.py=~/w.pt,x=~/a,y='~/a',z=~a,w=b~/c")
    assert (spec.module, spec.checkpoint) == (f"{tmp_path}/m.py", f"{tmp_path}/w.pt")
    assert spec.options == {"x": f"{tmp_path}/a", "y": "~/a", "z": "~a", "w": "b~/c"}
    with pytest.raises(UserError, match="no home folder ~nobody-of-this-name"):
        parse_model("~nobody-of-this-name/m.py")


@pytest.mark.parametrize("text", ["", "=w.pt", "m,d=", "m,d=1,d=2", "m,d=[1]", "m,d={a: 1}"])
def test_a_model_that_makes_no_sense_is_refused(text):
    with pytest.raises(UserError):
        parse_model(text)


def test_labels_tell_models_apart():
    texts = ["m", "n", "m=a.pt", "m=b.pt", "m,d=1", "m,d=2", "m=a.pt,d=1", "m,d=1,name=own"]
    labels = [parse_model(text).label for text in texts]
    assert len(set(labels)) == len(texts)
    assert labels[-1] == "own"
    assert parse_model("./sub/my_module.py=x/best.ckpt,d=1").label == "my_module/best(d=1)"


@given(st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True))
def test_folder_names_are_plain_and_tell_labels_apart(labels):
    first, second = map(folder_name, labels)
    assert first != second
    assert "/" not in first
    assert not first.startswith(".")


# Finding the module


def test_a_module_in_the_working_directory_by_name_and_by_path(folder):
    write_module(folder, "toy_by_name")
    by_name = load("toy_by_name")
    by_path = load("./toy_by_name.py")
    assert by_name.fingerprint == by_path.fingerprint
    assert (by_name.sample_rate, by_name.scene_embedding_size) == (16000, 3)
    np.testing.assert_array_equal(by_name.scene(AUDIO), by_path.scene(AUDIO))


def test_a_file_may_be_called_like_an_installed_module(folder):
    assert load(str(write_module(folder, "torch"))).scene(AUDIO).shape == (2, 3)
    assert sys.modules["torch"] is torch


def test_another_process_whose_folder_hides_nothing_of_ours_gives_the_same_fingerprint(tmp_path):
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    write_module(here, "my_module", "import harness.core.errors, tasks\n")
    (here / "harness.py").write_text("raise RuntimeError('the wrong one')\n")
    (here / "tasks").mkdir()
    (here / "tasks" / "__init__.py").write_text("raise RuntimeError('the wrong one')\n")
    write_module(elsewhere, "command", source=LAUNCHER)
    command = [sys.executable, str(elsewhere / "command.py"), "my_module,scale=3"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == load(f"{here / 'my_module.py'},scale=3").fingerprint


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("hear-byola", "hear_byola"),
        ("hearbyola", "hear_byola"),
        ("logmell", "logmel"),
        ("torchaudo", "torchaudio"),
        ("harness.baselines.logmell", "harness.baselines.logmel"),
        ("my_modul", "my_module"),
        ("json.decodr", "json.decoder"),
    ],
)
def test_an_unknown_module_gets_the_nearest_name(folder, wrong, right):
    write_module(folder, "my_module")
    with pytest.raises(UserError, match=rf"no module '{wrong}'.*'{right}'"):
        load(wrong)


def test_built_in_modules_have_short_names(folder):
    named = {"hear_byola", "logmel", "oracle", "random", "torchaudio", "transformers"}
    assert set(built_in_modules()) == named
    short, full = load("logmel"), load("harness.baselines.logmel")
    assert (short.spec.label, full.spec.label) == ("logmel", "harness.baselines.logmel")
    assert short.info.module == full.info.module == "harness.baselines.logmel"
    assert short.fingerprint == full.fingerprint
    seeds = [load(text) for text in ("random", "random,seed=2")]
    same = load("hear_byola,seed=1")
    np.testing.assert_array_equal(seeds[0].scene(AUDIO), same.scene(AUDIO))
    assert not np.array_equal(seeds[0].scene(AUDIO), seeds[1].scene(AUDIO))


@pytest.mark.parametrize(
    ("place", "name", "own"), [("", "logmel", "./logmel.py"), ("logmel", "__init__", "./logmel")]
)
def test_a_short_name_that_is_a_module_of_the_user_too_is_refused(folder, place, name, own):
    write_module(folder / place, name)
    with pytest.raises(UserError, match=f"'logmel' is a built-in module.*Give {own} for"):
        load("logmel")
    assert load(own).scene_embedding_size == 3
    assert load("harness.baselines.logmel").scene_embedding_size != 3


@pytest.mark.parametrize(("place", "name"), [("", "hear_byola"), ("hear_byola", "__init__")])
def test_hear_byola_is_a_short_name_too(folder, place, name):
    write_module(folder / place, name)
    own = f"./{place or 'hear_byola.py'}"
    with pytest.raises(UserError, match=f"'hear_byola' is a built-in.*Give {own} for.*directory"):
        load("hear_byola")
    assert load(own).scene_embedding_size == 3
    # What the harness itself gives, for example a checkpoint of a pretraining, is never ambiguous.
    assert load_module(ModelSpec("hear_byola"), "cpu").scene_embedding_size != 3


def test_the_built_in_module_in_a_checkout_is_meant(folder, monkeypatch):
    expected = load("hear_byola").fingerprint
    shutil.copytree(Path(hear_byola.__file__).parent, folder / "hear_byola")
    assert load("hear_byola").fingerprint == expected
    monkeypatch.chdir(Path(hear_byola.__file__).parents[1])
    assert load("hear_byola").fingerprint == expected


@pytest.mark.parametrize("name", ["my_encoder", "codecs_kr", "jsonn"])
def test_no_module_is_suggested_that_cannot_be_meant(folder, name):
    with pytest.raises(UserError, match=rf"no module '{name}'") as refused:
        load(name)
    assert "Did you mean" not in str(refused.value)


@pytest.mark.parametrize(
    "path", ["./sub/my_encoder", "sub/my_encoder/", "./sub/my_encoder/__init__.py"]
)
def test_a_package_by_the_path_of_its_folder(folder, path):
    package = folder / "sub" / "my_encoder"
    write_module(package, "net")
    (package / "__init__.py").write_text(
        "from my_encoder.net import load_model\n"
        "from .net import get_scene_embeddings, get_timestamp_embeddings\n"
    )
    module = load(path)
    assert module.spec.label == "my_encoder"
    assert module.scene(AUDIO).shape == (2, 3)
    assert counts(package / "net.py", module_at(package / "__init__.py", "any_name"))


def test_a_file_that_is_not_there_gets_the_nearest_name(folder):
    write_module(folder, "my_module")
    with pytest.raises(UserError, match=r"my_modle\.py'.*'my_module\.py'"):
        load("./my_modle.py")


@pytest.mark.parametrize("name", ["needs_other", "./needs_other.py"])
def test_a_missing_import_inside_is_not_a_missing_module(folder, name):
    write_module(folder, "needs_other", "import not_installed_anywhere\n")
    with pytest.raises(UserError, match="was found, but it imports 'not_installed_anywhere'"):
        load(name)


@pytest.mark.parametrize("name", ["bad_code", "./bad_code.py"])
def test_code_that_fails_is_named(folder, name):
    write_module(folder, "bad_code", "this is no python\n")
    with pytest.raises(UserError, match=r"bad_code.*SyntaxError"):
        load(name)


# What load_model must give


def test_missing_functions_are_named(folder):
    (folder / "half.py").write_text("def load_model(path=''): ...\n")
    with pytest.raises(UserError, match="get_scene_embeddings, get_timestamp_embeddings"):
        load("half")


@pytest.mark.parametrize("value", ["16000.0", "None", "'16000'", "True", "0"])
def test_attributes_must_be_positive_ints(folder, value):
    write_module(folder, "odd_rate", f"Toy.sample_rate = {value}\n")
    with pytest.raises(UserError, match="sample_rate"):
        load("./odd_rate.py")


def test_a_model_that_is_no_module_is_refused(folder):
    write_module(folder, "odd_model", "def load_model(path=''): return 3\n")
    with pytest.raises(UserError, match="returned a int"):
        load("odd_model")


def test_options_and_checkpoint_are_checked_before_loading(folder):
    write_module(folder, "opts")
    (folder / "weights.txt").write_text("2")
    with pytest.raises(UserError, match=r"no option 'scal'.*'scale'"):
        load("opts,scal=2")
    with pytest.raises(UserError, match=r"weight\.txt' .*does not exist.*'weights\.txt'"):
        load("opts=weight.txt")
    for forgotten in ("opts,2", "./opts.py,2", "opts=weights.txt,2", "opts,"):
        with pytest.raises(UserError, match="after a comma as KEY=VALUE"):
            load(forgotten)
    np.testing.assert_allclose(load("opts=weights.txt").scene(AUDIO), 2 * load("opts").scene(AUDIO))


TYPED = """
def load_model(
    path: str = "", own: bool = False, n: "int | None" = None, rate: float = 1.0, tag: str = "",
    mode: str | int = 0, free=None, shape: tuple[int, ...] = (),
):
    return Toy(1)
"""


@pytest.mark.parametrize("text", ["own=never", "own='no'", "own=1", "own=null", "own='true'"])
def test_an_option_for_true_or_false_takes_nothing_else(folder, text):
    write_module(folder, "typed", TYPED)
    with pytest.raises(
        UserError, match=r"option 'own' of 'typed' has .*: it must be true or false"
    ):
        load(f"typed,{text}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n=abc", "'n' of 'typed' has the value 'abc': it must be a whole number or null"),
        ("n=1.5", "'1.5': it must be a whole number or null"),
        ("n=true", "'true': it must be a whole number or null"),
        ("rate=abc", "'rate' of 'typed' has the value 'abc': it must be a number"),
        ("rate=null", "'null': it must be a number"),
        ("rate=1e999", "'1e999': it must be a number"),
    ],
)
def test_a_value_of_another_type_is_refused_with_the_option_and_the_type(folder, text, said):
    write_module(folder, "typed", TYPED)
    with pytest.raises(UserError, match=said):
        load(f"typed,{text}")


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("own=true", True),
        ("n=null", None),
        ("rate=2", 2),
        ("tag=2024", "2024"),
        ("tag=1.50", "1.50"),
        ("tag=12e4567", "12e4567"),
        ("tag=null", "null"),
        ("mode=2020", 2020),
        ("free=2020", 2020),
        ("shape=abc", "abc"),
    ],
)
def test_an_option_that_takes_text_gets_it_as_it_was_written(folder, text, given):
    write_module(folder, "typed", TYPED)
    (found,) = options_of_load(parse_model(f"typed,{text}"), import_hear_module("typed")).values()
    assert found == given
    assert type(found) is type(given)
    load(f"typed,{text}")


def test_a_failing_load_model_says_why(folder):
    write_module(folder, "failing", "def load_model(path=''): raise ValueError('wrong shape 3')\n")
    with pytest.raises(UserError, match=r"failing.*ValueError: wrong shape 3"):
        load("failing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("needs", r"'file', a checkpoint \(-m needs=FILE\); 'size', an option \(-m needs,size="),
        ("needs=w.txt", r"needs 'size', an option"),
        ("needs,size=3", r"needs 'file', a checkpoint .*default value"),
    ],
)
def test_what_load_model_asks_for_is_named_with_the_way_to_give_it(folder, text, said):
    write_module(folder, "needs", "def load_model(file, size, *, more=1): return Toy(size)\n")
    (folder / "w.txt").write_text("2")
    with pytest.raises(UserError, match=said):
        load(text)
    assert load("needs=w.txt,size=3").scene(AUDIO).shape == (2, 3)


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("drawn", r"random initialisation\?\): name a checkpoint"),
        ("drawn=w.txt", "fill all from it"),
    ],
)
def test_weights_that_are_drawn_at_each_load_are_refused(folder, text, cure):
    write_module(folder, "drawn", "def load_model(path=''): return Toy(torch.rand(()))\n")
    (folder / "w.txt").write_text("2")
    with pytest.raises(UserError, match=f"other weights each time it is called.*{cure}"):
        load_again(load(text))


def test_a_model_that_stays_the_same_is_loaded(folder):
    write_module(folder, "steady")
    first = load("steady")
    load_again(first)
    assert first.fingerprint == load("steady").fingerprint


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta:x"])
def test_a_device_that_is_not_there_is_refused(folder, device):
    write_module(folder, "on_device")
    with pytest.raises(UserError, match=device):
        load("on_device", device)


# Calls


def test_calls_are_in_eval_mode_without_gradients(folder):
    write_module(folder, "plain")
    module = load("plain", "auto")
    embeddings = module.scene(AUDIO)
    assert embeddings.dtype == np.float32
    np.testing.assert_array_equal(embeddings, module.scene(AUDIO))
    vectors, times = module.timestamps(AUDIO)
    assert vectors.shape == (2, 20, 2)
    np.testing.assert_array_equal(times, np.tile(np.arange(20, dtype=np.float32) * 50 + 25, (2, 1)))
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        ("torch.zeros(len(audio), 3).double()", r"torch.float64 \(2, 3\).*float32 \(2, 3\)"),
        ("torch.zeros(len(audio), 3).half()", "float16"),
        ("torch.zeros(len(audio), 3).bfloat16()", "bfloat16"),
        ("torch.zeros(len(audio), 4)", r"\(2, 4\)"),
        ("torch.zeros(3)", r"\(3,\)"),
        ("torch.zeros(len(audio), 5, 3)", r"\(2, 5, 3\)"),
        ("torch.zeros(len(audio), 3).numpy()", "float32"),
        ("None", "a NoneType"),
    ],
)
def test_scene_embeddings_against_the_api_are_named(folder, returned, found):
    write_module(folder, "odd", f"def get_scene_embeddings(audio, model): return {returned}\n")
    with pytest.raises(UserError, match=rf"get_scene_embeddings returned .*{found}"):
        load("./odd.py").scene(AUDIO)


@pytest.mark.parametrize(
    ("embeddings", "times", "found"),
    [
        ("torch.zeros(2, 4, 2)", "torch.arange(4.) * 50", r"timestamps that are .*\(4,\)"),
        ("torch.zeros(2, 4, 2)", "(torch.arange(5.) * 50).expand(2, -1)", r"\(2, 4, 2\)"),
        ("torch.zeros(2, 4, 2).half()", "(torch.arange(4.) * 50).expand(2, -1)", "float16"),
        ("torch.zeros(2, 0, 2)", "torch.zeros(2, 0)", "timestamps"),
        ("torch.zeros(2, 3, 2)", "torch.tensor([[0., 50., 104.]]).expand(2, -1)", "spacing"),
        ("torch.zeros(2, 3, 2)", "torch.tensor([[50., 0., -50.]]).expand(2, -1)", "do not rise"),
        ("torch.zeros(2, 3, 2)", "torch.tensor([[0., 50., float('nan')]]).expand(2, -1)", "NaN"),
        ("torch.zeros(2, 3, 2)", "torch.ones(2, 3).bool()", "bool"),
    ],
)
def test_timestamps_against_the_api_are_named(folder, embeddings, times, found):
    more = f"def get_timestamp_embeddings(audio, model): return {embeddings}, {times}\n"
    write_module(folder, "odd", more)
    with pytest.raises(UserError, match=rf"get_timestamp_embeddings returned .*{found}"):
        load("./odd.py").timestamps(AUDIO)


@pytest.mark.parametrize("returned", ["torch.zeros(2, 3, 2)", "(1, 2, 3)", "None"])
def test_timestamp_embeddings_must_be_a_pair(folder, returned):
    write_module(folder, "odd", f"def get_timestamp_embeddings(audio, model): return {returned}\n")
    with pytest.raises(UserError, match="two tensors"):
        load("./odd.py").timestamps(AUDIO)


# Fingerprints


def test_a_fingerprint_follows_everything_that_decides_an_embedding(folder):
    path = write_module(folder / "a", "toy_print")
    seen = {load(str(path)).fingerprint}

    def differs(text: str) -> None:
        fingerprint = load(text).fingerprint
        assert fingerprint not in seen
        seen.add(fingerprint)

    differs(f"{path},scale=2")
    (folder / "w.txt").write_text("2")
    differs(f"{path}={folder / 'w.txt'}")
    (folder / "w.txt").write_text("2.0 ")  # the same weights of another file
    differs(f"{path}={folder / 'w.txt'}")
    differs(str(write_module(folder / "b", "toy_print", "# another comment\n")))
    differs(str(write_module(folder / "c", "toy_other")))
    more = "_load = load_model\ndef load_model(path=''): return _load(scale={}(9))\n"
    differs(str(write_module(folder / "d", "toy_print", more.format("float"))))


def test_a_fingerprint_does_not_follow_where_the_module_lies_or_what_it_is_called(folder):
    first = load(str(write_module(folder / "a", "toy_move")) + ",name=one")
    second = load(str(write_module(folder / "b", "toy_move")) + ",name=two")
    assert first.fingerprint == second.fingerprint


def test_of_a_checkpoint_folder_only_what_a_model_reads_counts(tmp_path):
    folder = tmp_path / ".cache" / "model"
    (folder / ".git/objects").mkdir(parents=True)
    (folder / "weights.bin").write_text("1")
    first = checkpoint_sha256(str(folder))
    for name in (".git/FETCH_HEAD", ".git/objects/1.bin", ".gitattributes", "README.md"):
        (folder / name).write_text("new")
        assert checkpoint_sha256(str(folder)) == first, name
    for name in ("weights.bin", "own.py", "part/config.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("2")
        first, last = checkpoint_sha256(str(folder)), first
        assert first != last, name


def test_weights_alone_change_a_fingerprint(folder):
    more = (
        "import random\n_seed = random.Random(open('seed').read()).random()\n"
        "def load_model(path=''): return Toy(_seed)\n"
    )
    fingerprints = set()
    for seed in ("1", "2"):
        (folder / "seed").write_text(seed)
        fingerprints.add(load(str(write_module(folder / seed, "toy_seed", more))).fingerprint)
    assert len(fingerprints) == 2


def test_code_that_the_module_imports_from_beside_it_counts(folder):
    def fingerprint(place: str, inner: str, unrelated: str) -> str:
        path = write_module(folder / place, "toy_main", "import side_code.inner, side\n")
        (path.parent / "side.py").write_text("x = 1\n")
        (path.parent / "side_code").mkdir()
        (path.parent / "side_code" / "__init__.py").write_text("")
        (path.parent / "side_code" / "inner.py").write_text(inner)
        (path.parent / "unrelated.py").write_text(unrelated)
        new_process(folder)
        return load(str(path)).fingerprint

    first = fingerprint("a", "y = 1", "z = 1")
    assert fingerprint("b", "y = 1", "z = 2") == first
    assert fingerprint("c", "y = 2", "z = 1") != first


@pytest.fixture
def pack(tmp_path):
    """A package: its model imports layers, those import base, and nothing imports the trainer."""
    root = tmp_path / "pack"
    for folder in (root, root / "parts", root / "training"):
        folder.mkdir()
        (folder / "__init__.py").write_text("")
    (root / "model.py").write_text("import torch\nfrom pack import layers\n")
    (root / "layers.py").write_text("def forward():\n    from .parts.base import x\n")
    (root / "parts" / "base.py").write_text("x = 1\n")
    (root / "training" / "loop.py").write_text("from pack import model\n")
    return root


def module_at(file: Path, name: str) -> ModuleType:
    """What an import makes, without running the code."""
    return module_from_spec(spec_from_file_location(name, file))


def counts(file: Path, module: ModuleType) -> bool:
    """Whether an edit of a file changes the hash of a module's source."""
    before = source_sha256(module)
    file.write_text(f"{file.read_text()}# edited\n")
    return source_sha256(module) != before


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("__init__.py", True),
        ("model.py", True),
        ("layers.py", True),
        ("parts/__init__.py", True),
        ("parts/base.py", True),
        ("training/__init__.py", False),
        ("training/loop.py", False),
    ],
)
def test_the_files_of_a_package_count_that_its_imports_lead_to(pack, file, expected):
    assert counts(pack / file, module_at(pack / "model.py", "pack.model")) is expected
    (pack / "__init__.py").write_text("from pack.model import *\n")
    assert counts(pack / file, module_at(pack / "__init__.py", "pack")) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import importlib", True),
        ("from importlib import import_module", True),
        ("import importlib.util as u", True),
        ("def f(name): return __import__(name)", True),
        ("from importlib import resources\nimport importlib.metadata", False),
        ("model.eval()", False),
    ],
)
def test_a_package_counts_whole_where_it_may_import_by_computed_names(pack, line, expected):
    (pack / "layers.py").write_text(f"{line}\n")
    model = module_at(pack / "model.py", "pack.model")
    assert counts(pack / "training" / "loop.py", model) is expected


@pytest.mark.parametrize(
    "line",
    ["from pack.training import *", "from .training import loop", "import pack.training.loop"],
)
def test_imports_of_a_package_are_followed_however_they_are_spelt(pack, line):
    (pack / "layers.py").write_text(f"{line}\n")
    assert counts(pack / "training" / "loop.py", module_at(pack / "model.py", "pack.model"))


def test_relative_imports_are_followed_upwards(pack):
    (pack / "parts" / "base.py").write_text("from ..training.loop import x\n")
    module = module_at(pack / "parts" / "base.py", "pack.parts.base")
    assert counts(pack / "training" / "loop.py", module)
    assert counts(pack / "__init__.py", module)


@pytest.mark.parametrize(("file", "expected"), [("encoder.py", True), ("pretraining", False)])
def test_the_trainer_has_no_part_in_embeddings(tmp_path, file, expected):
    copy = shutil.copytree(Path(hear_byola.__file__).parent, tmp_path / "hear_byola")
    module = module_at(copy / "__init__.py", "hear_byola")
    edited = [copy / file] if expected else list((copy / file).glob("*.py"))
    assert [counts(path, module) for path in edited] == [expected] * len(edited)


def test_odd_states_can_be_hashed(folder):
    more = (
        "def load_model(path=''):\n"
        "    m = Toy(1)\n"
        "    m.register_buffer('b', torch.zeros(2, 3, dtype=torch.bfloat16))\n"
        "    m.register_buffer('c', torch.zeros(2, dtype=torch.complex64))\n"
        "    m.register_buffer('d', torch.zeros(0, 5))\n"
        "    m.register_buffer('e', torch.tensor(True))\n"
        "    m.register_buffer('f', torch.arange(6).reshape(2, 3).t())\n"
        "    return m\n"
    )
    assert len(load(str(write_module(folder, "toy_state", more))).fingerprint) == 64


# TensorFlow


TENSORFLOW = """
import tensorflow as tf


class Toy(tf.Module):
    sample_rate = 16000
    scene_embedding_size = 2
    timestamp_embedding_size = 1

    def __init__(self):
        super().__init__()
        self.scale = tf.Variable(2.0, name="scale")


def load_model(model_file_path=""):
    return Toy()


def get_scene_embeddings(audio, model):
    assert tf.is_tensor(audio)
    mean = tf.reduce_mean(tf.abs(audio), axis=1)
    return tf.stack([mean, mean * model.scale], axis=1)


def get_timestamp_embeddings(audio, model):
    frames = tf.reshape(audio, (audio.shape[0], -1, 800))
    times = tf.range(frames.shape[1], dtype=tf.float32) * 50.0 + 25.0
    return tf.reduce_mean(frames, axis=2, keepdims=True), tf.stack([times] * audio.shape[0])
"""


def test_a_tensorflow_module(folder):
    pytest.importorskip("tensorflow")
    module = load(str(write_module(folder, "toy_tf", source=TENSORFLOW)))
    mean = np.abs(AUDIO).mean(1)
    np.testing.assert_allclose(module.scene(AUDIO), np.stack([mean, 2 * mean], 1), rtol=1e-5)
    vectors, times = module.timestamps(AUDIO)
    assert vectors.shape == (2, 20, 1)
    assert times[0, 1] == 75.0
    assert len(module.fingerprint) == 64


def test_a_copy_of_hear_byola_is_no_other_module_until_a_file_of_it_is_edited(folder):
    package = Path(hear_byola.__file__).parent
    shutil.copytree(package, folder / "hear_byola", ignore=shutil.ignore_patterns("weights"))
    assert parse_model("hear_byola").module == "hear_byola"
    edited = folder / "hear_byola" / "encoder.py"
    with edited.open("a") as file:
        file.write("# edited\n")
    with pytest.raises(UserError, match="'hear_byola' is a built-in module"):
        parse_model("hear_byola")
    edited.unlink()
    edited.symlink_to("gone")
    with pytest.raises(UserError, match="'hear_byola' is a built-in module"):
        parse_model("hear_byola")
