"""Run the official hear-validator on a HEAR-API module, in a separate process.

hearvalidator 2021.0.6 imports TensorFlow for one ``isinstance(model, tf.Module)``. If TensorFlow is
not installed, an empty class replaces ``tf.Module`` in that process only. The package also declares
Python < 3.9, so that pip silently installs 2021.0.2, whose checks are weaker.
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

from harness.models.arguments import options_of_load
from harness.models.conformance.child import call_in_child
from harness.models.conformance.subject import said
from harness.models.imports import guest_of, import_hear_module
from harness.models.spec import ModelSpec

VERSION = "2021.0.6"
INSTALL = f"pip install --no-deps --ignore-requires-python hearvalidator=={VERSION}"

# The validator prints this for every model; the check on long audio tests it.
_STANDING_REMINDER = "rounding errors accumulating over longer audio"


@dataclass(frozen=True)
class Verdict:
    """The result of the hear-validator.

    Attributes:
        outcome: ``"passed"``, ``"refused"`` (an error of the validator), ``"crashed"`` (the
            module raised, or the process died) or ``"absent"`` (not installed).
        message: the error, or the version that was found instead.
        warnings: the validator's own, without the reminder that it gives for every model.
        tensorflow: version of TensorFlow; empty if a replacement was used.
        shim: whether the module was wrapped, because it has options or was named by its path.
        transcript: everything that the validator printed.
    """

    outcome: str
    message: str = ""
    warnings: tuple[str, ...] = ()
    tensorflow: str = ""
    shim: bool = False
    transcript: str = ""


def installed_version() -> str:
    """Return the installed version of hearvalidator; empty if it is not installed."""
    try:
        return importlib.metadata.version("hearvalidator")
    except importlib.metadata.PackageNotFoundError:
        return ""


def run_official(spec: ModelSpec, device: str = "auto") -> Verdict:
    """Run hear-validator 2021.0.6 on a module; errors of the module are part of the verdict."""
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
    """Run the validator in this process, which changes it; to be called in a child only."""
    spec = ModelSpec(**request["spec"])
    tensorflow = _tensorflow()
    module = import_hear_module(spec.module)
    name, shim = _importable(spec, module)
    validator: Any = importlib.import_module("hearvalidator.validate")
    # Collect the validator's own warnings: the module's can have the validator's file as location.
    warned: list[str] = []
    validator.warnings = types.SimpleNamespace(warn=lambda text: warned.append(_one_line(text)))
    outcome, message = "passed", ""
    with guest_of(module).called():
        try:
            validator.ValidateModel(name, spec.checkpoint, device=request["device"] or None)()
            print("Looks good!")
        except validator.ModelError as error:  # a BaseException
            outcome, message = "refused", _one_line(error)
        except (Exception, SystemExit) as error:  # a module can raise any exception
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
    """Return TensorFlow's version; if it is not installed, replace it and return ""."""
    if importlib.util.find_spec("tensorflow") is not None:
        return str(importlib.import_module("tensorflow").__version__)
    stand_in: Any = types.ModuleType("tensorflow")
    # importlib.util.find_spec raises an error for a module whose spec is None.
    stand_in.__spec__ = importlib.machinery.ModuleSpec("tensorflow", None)
    stand_in.Module = type("Module", (), {})
    sys.modules["tensorflow"] = stand_in
    return ""


def _importable(spec: ModelSpec, module: types.ModuleType) -> tuple[str, bool]:
    """Return a name that the validator can import, and whether it is that of a wrapper.

    The validator imports modules by name and does not support options. So a module with options, or
    one named by its path, is wrapped in a module whose ``load_model`` adds the options.
    """
    if not spec.options and spec.module == module.__name__:
        return spec.module, False
    shim: Any = types.ModuleType("hear_module_with_options")
    shim.__dict__.update(vars(module), __name__=shim.__name__)
    if hasattr(module, "load_model"):
        options = options_of_load(spec, module)
        shim.load_model = lambda *path: module.load_model(*path, **options)
    sys.modules[shim.__name__] = shim
    return shim.__name__, True
