"""Modules that exit or change the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from support.hear_modules import write_module

from harness.core.errors import UserError
from harness.models.conformance.subject import load_subject
from harness.models.conformance.validate import stricter_checks
from harness.models.guest import Guest, ModuleExit
from harness.models.loading import load_module
from harness.models.process_state import changed_environment, settings
from harness.models.spec import ModelSpec

AUDIO = np.random.default_rng(0).uniform(-1, 1, (2, 16000)).astype(np.float32)

EXITS = {
    "sys.exit": "import sys; sys.exit('no GPU')",
    "SystemExit": "raise SystemExit(3)",
    "quit": "import _sitebuiltins; _sitebuiltins.Quitter('quit', '')()",
    "argparse": "import argparse; argparse.ArgumentParser().parse_args()",
    "BaseException": "raise GeneratorExit",
    "os._exit": "import os; os._exit(0)",
}


@pytest.mark.parametrize("how", EXITS)
def test_a_module_that_exits_at_import_is_refused(tmp_path, how):
    path = write_module(tmp_path, "exits", EXITS[how] + "\n")
    with pytest.raises(UserError, match=r"Importing '.*exits\.py' failed: (System|Generator)Exit"):
        load_module(ModelSpec(str(path)), "cpu")


@pytest.mark.parametrize("how", EXITS)
def test_load_model_and_calls_that_exit_are_refused(tmp_path, how):
    body = EXITS[how].replace("; ", "\n    ")
    loads = write_module(tmp_path, "exits_at_load", f"def load_model(path=''):\n    {body}\n")
    with pytest.raises(UserError, match=r"load_model of .* tried to end the process"):
        load_module(ModelSpec(str(loads)), "cpu")
    more = f"def get_scene_embeddings(audio, model):\n    {body}\n"
    calls = load_module(ModelSpec(str(write_module(tmp_path, "exits_at_call", more))), "cpu")
    with pytest.raises(UserError, match="get_scene_embeddings tried to end the process"):
        calls.scene(AUDIO)


def test_validate_reports_a_call_that_exits(tmp_path):
    more = "def get_scene_embeddings(audio, model): raise SystemExit(3)\n"
    spec = ModelSpec(str(write_module(tmp_path, "exits", more)))
    checks = stricter_checks(spec, "cpu", quick=True, announce=lambda _: None)
    (outputs,) = [check for check in checks if check.name == "outputs"]
    assert (outputs.status, "SystemExit: 3" in outputs.detail) == ("FAIL", True)


def test_the_command_ends_in_one_sentence_and_code_2(tmp_path):
    path = write_module(tmp_path, "parses", EXITS["argparse"] + "\n")
    for command in (["run", "-m", path, "--suite", "demo"], ["validate", path]):
        arguments = [sys.executable, "-m", "harness.cli", *map(str, command)]
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 2
        assert "parses.py' failed: SystemExit: 2" in done.stderr
        assert "Traceback" not in done.stderr


def test_the_command_s_arguments_do_not_reach_a_module(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["hear-byola", "run", "--device", "cuda"])
    more = (
        "import argparse\n_parser = argparse.ArgumentParser()\n"
        "_parser.add_argument('--device', default='none')\n"
        "Toy.device_found = _parser.parse_known_args()[0].device\n"
    )
    subject = load_subject(ModelSpec(str(write_module(tmp_path, "parses_known", more))), "cpu")
    assert subject.model.device_found == "none"
    assert sys.argv == ["hear-byola", "run", "--device", "cuda"]


CHANGES = {
    "torch.get_default_dtype()": "torch.set_default_dtype(torch.float64)",
    "torch.is_grad_enabled()": "torch.set_grad_enabled(False)",
    "torch.get_default_device()": "torch.set_default_device('meta')",
    "torch.get_num_threads()": "torch.set_num_threads(torch.get_num_threads() + 1)",
    "numpy.geterr()": "import numpy; numpy.seterr(all='raise')",
    "os.getcwd()": "import os, pathlib; os.chdir(pathlib.Path(__file__).parent)",
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.filterwarnings("ignore:.*changed the working directory")
def test_settings_of_a_module_do_not_leave_it(name):
    before, guest = settings(), Guest("x")
    with guest.called():
        exec(CHANGES[name], {"torch": torch, "__file__": __file__})
        changed = settings()[name]
    assert settings() == before
    with guest.called():
        # The directory is the user's: paths on the command line are relative to it.
        held = settings()[name]
        assert (held == changed) is (name != "os.getcwd()")
    assert settings() == before
    assert guest.changed == [name if name != "os.getcwd()" else "the working directory"]


def test_environment_variables_of_a_module_do_not_leave_it(monkeypatch):
    monkeypatch.setenv("KEPT", "1")
    monkeypatch.setenv("CHANGED", "1")
    monkeypatch.setenv("DELETED", "1")
    before, guest = dict(os.environ), Guest("x")
    with guest.called():
        os.environ.update(NEW="2", CHANGED="2")
        del os.environ["DELETED"]
        within = dict(os.environ)
    assert dict(os.environ) == before
    with guest.called():
        assert dict(os.environ) == within
    with Guest("y").called():
        assert dict(os.environ) == before
    assert dict(os.environ) == before


def test_a_variable_that_torch_sets_is_not_the_module_s(monkeypatch):
    import torch._inductor.runtime.cache_dir_utils as inductor  # it takes a second

    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    before = dict(os.environ)
    with Guest("x").called():
        cache_dir = inductor.cache_dir()
        assert changed_environment(before) == {}
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == cache_dir


def test_settings_of_a_module_hold_while_it_is_called(tmp_path):
    more = (
        "torch.set_default_dtype(torch.float64)\n_scene = get_scene_embeddings\n"
        "def get_scene_embeddings(audio, model):\n"
        "    assert torch.zeros(1).dtype is torch.float64\n"
        "    return _scene(audio, model).float()\n"
    )
    module = load_module(ModelSpec(str(write_module(tmp_path, "doubles", more))), "cpu")
    assert module.scene(AUDIO).shape == (2, 3)
    assert torch.zeros(1).dtype is torch.float32


def test_a_changed_working_directory_is_told_and_changed_back(tmp_path):
    place = os.getcwd()
    path = write_module(tmp_path, "moves", CHANGES["os.getcwd()"] + "\n")
    with pytest.warns(UserWarning, match=r"moves.py' changed the working directory"):
        load_module(ModelSpec(str(path)), "cpu")
    assert os.getcwd() == place


def test_warnings_signals_and_streams_stay_the_harness_s(tmp_path):
    handler, stream = signal.getsignal(signal.SIGTERM), sys.stdout
    more = (
        "import signal, sys, io, warnings\nwarnings.simplefilter('ignore')\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsys.stdout = io.StringIO()\n"
        "_scene = get_scene_embeddings\n"
        "def get_scene_embeddings(audio, model):\n"
        "    warnings.warn('of the module')\n    return _scene(audio, model)\n"
    )
    module = load_module(ModelSpec(str(write_module(tmp_path, "silences", more))), "cpu")
    assert signal.getsignal(signal.SIGTERM) is handler
    assert sys.stdout is stream
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        module.scene(AUDIO)
        warnings.warn("of the harness", stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["of the harness"]


def test_a_child_that_a_module_forks_ends_by_os_exit():
    end = os._exit
    with Guest("x").called():
        child = os.fork()
        if not child:
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert os._exit is end


def test_an_interrupt_passes(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), Guest("x").called():
        raise KeyboardInterrupt
    with pytest.raises(ModuleExit, match=r"^SystemExit$"), Guest("x").called():
        raise SystemExit
