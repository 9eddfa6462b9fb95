"""The official hear-validator, run on any HEAR-API module in a process of its own.

hearvalidator 2021.0.6 imports TensorFlow for one ``isinstance(model, tf.Module)``. Where
TensorFlow is not installed, an empty class stands in for ``tf.Module``, in that one process only.
It also declares Python < 3.9, so that pip silently takes 2021.0.2, whose checks are weaker.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
import traceback
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from harness.models.conformance.child import call_in_child
from harness.models.conformance.subject import said
from harness.models.imports import guest_of, import_hear_module
from harness.models.module import ModelSpec

VERSION = "2021.0.6"
INSTALL = f"pip install --no-deps --ignore-requires-python hearvalidator=={VERSION}"

# Given for every model, whatever it does; the check on 20 minutes of audio answers it.
_STANDING_REMINDER = "rounding errors accumulating over longer audio"


@dataclass(frozen=True)
class Verdict:
    """What the hear-validator said.

    Attributes:
        outcome: ``"passed"``, ``"refused"`` (an error of the validator), ``"crashed"`` (the
            module raised, or the process died) or ``"absent"`` (not installed).
        message: the error, or the version that was found instead.
        warnings: the validator's own, without the reminder that it gives for every model.
        tensorflow: the version it ran with; empty when a stand-in took its place.
        shim: true when the module was wrapped, as its options or its file name need it.
        transcript: everything that it printed.
    """

    outcome: str
    message: str = ""
    warnings: tuple[str, ...] = ()
    tensorflow: str = ""
    shim: bool = False
    transcript: str = ""


def installed_version() -> str:
    """The version of hearvalidator in this environment; empty when there is none."""
    try:
        return importlib.metadata.version("hearvalidator")
    except importlib.metadata.PackageNotFoundError:
        return ""


def run_official(spec: ModelSpec, device: str = "auto") -> Verdict:
    """Run hear-validator 2021.0.6 on a module; never raises for what the module does."""
    found = installed_version()
    if found != VERSION:
        return Verdict("absent", found)
    request = {"spec": asdict(spec), "device": "" if device == "auto" else device}
    answer = call_in_child("harness.models.conformance.official", "validate_here", request)
    transcript = answer.stdout + answer.stderr
    if answer.value is None:
        return Verdict("crashed", answer.death, transcript=transcript)
    said = answer.value
    kept = tuple(text for text in said["warnings"] if _STANDING_REMINDER not in text)
    return Verdict(
        said["outcome"], said["message"], kept, said["tensorflow"], said["shim"], transcript
    )


def validate_here(request: Mapping[str, Any]) -> dict[str, Any]:
    """Run the validator in this process; changes it for good, so only a child should."""
    spec = ModelSpec(**request["spec"])
    tensorflow = _tensorflow()
    module = import_hear_module(spec.module)
    name, shim = _importable(spec, module)
    validator: Any = importlib.import_module("hearvalidator.validate")
    # Its own warnings alone: a warning of the module may name the validator's file as its place.
    warned: list[str] = []
    validator.warnings = types.SimpleNamespace(warn=lambda text: warned.append(_one_line(text)))
    outcome, message = "passed", ""
    with guest_of(module).called():
        try:
            validator.ValidateModel(name, spec.checkpoint, device=request["device"] or None)()
            print("Looks good!")
        except validator.ModelError as error:  # a BaseException
            outcome, message = "refused", _one_line(error)
        except (Exception, SystemExit) as error:
            outcome, message = "crashed", said(error)
            traceback.print_exc()
    for text in warned:
        print(f"Warning: {text}")
    return {
        "outcome": outcome,
        "message": message,
        "warnings": list(dict.fromkeys(warned)),
        "tensorflow": tensorflow,
        "shim": shim,
    }


def _one_line(text: object) -> str:
    return " ".join(str(text).split())


def _tensorflow() -> str:
    """The installed TensorFlow's version; without one, put a stand-in in place and return ""."""
    if importlib.util.find_spec("tensorflow") is not None:
        return str(importlib.import_module("tensorflow").__version__)
    stand_in: Any = types.ModuleType("tensorflow")
    # Whoever asks whether TensorFlow is there looks for a spec, and None is an error.
    stand_in.__spec__ = importlib.machinery.ModuleSpec("tensorflow", None)
    stand_in.Module = type("Module", (), {})
    sys.modules["tensorflow"] = stand_in
    return ""


def _importable(spec: ModelSpec, module: types.ModuleType) -> tuple[str, bool]:
    """A name that the validator can import, and whether it is a shim's.

    The validator imports by name and knows no model options: a module named by its path, or one
    with options, is put under a name of its own, with ``load_model`` given the options.
    """
    if not spec.options and spec.module == module.__name__:
        return spec.module, False
    shim: Any = types.ModuleType("hear_module_with_options")
    shim.__dict__.update(vars(module), __name__=shim.__name__)
    if hasattr(module, "load_model"):
        options = dict(spec.options)
        shim.load_model = lambda *path: module.load_model(*path, **options)
    sys.modules[shim.__name__] = shim
    return shim.__name__, True
