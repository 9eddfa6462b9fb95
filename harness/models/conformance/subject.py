"""A HEAR-API module under examination, called as the API defines and without corrections."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch

from harness.core.errors import UserError
from harness.models.arguments import check_arguments, lacking_arguments, options_of_load
from harness.models.backends import Backend, backend_of
from harness.models.guest import ModuleExit, exits_refused
from harness.models.imports import guest_of, import_hear_module
from harness.models.module import ATTRIBUTES, FUNCTIONS
from harness.models.process_state import (
    changed_environment,
    changed_settings,
    restored_random_states,
    settings,
)
from harness.models.spec import ModelSpec

# If the global generator still has this seed after a call, the call did not seed it.
_ODD_SEED = 0x5EED_0DD


class Failure(Exception):
    """The module violates the API; the message is a clause that describes how."""


class Doubt(Exception):
    """The module obeys the API, but has a weakness; the message is a clause that describes it."""


class Unmeasured(Exception):
    """The check cannot be made on this module; the message is a clause with the reason."""


@dataclass
class Subject:
    """A module under examination. Each call gets a copy of the audio, which it may change.

    Attributes:
        spec: the module as specified by the user.
        api: the imported module.
        model: the return value of its ``load_model``.
        was_training: names of layers found in training mode, which were then put in eval mode.
        changed_settings: settings of the process that loading changed.
        other_side_effects: effects of loading on random generators and the environment.
        backend: the model's framework and device.
    """

    spec: ModelSpec
    api: ModuleType
    model: Any
    was_training: list[str]
    changed_settings: list[str]
    other_side_effects: list[str]
    backend: Backend

    def loaded_again(self) -> Subject:
        """Return a copy with a model from another call of ``load_model``."""
        model = _load(self.api, self.spec)
        backend = backend_of(model, self.spec.label, self.backend.device)
        return replace(self, model=model, backend=backend)

    @property
    def sample_rate(self) -> int:
        """In Hz, as an int even if the attribute has another type."""
        return int(self.model.sample_rate)

    def scene(self, audio: np.ndarray) -> np.ndarray:
        """Return the output of ``get_scene_embeddings`` for ``(n, samples)``, unchecked."""
        answer = self.backend.call(self.api.get_scene_embeddings, audio.copy())
        return self._array(answer, "scene")

    def timestamps(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the embeddings and times of ``get_timestamp_embeddings``, unchecked."""
        answer = self.backend.call(self.api.get_timestamp_embeddings, audio.copy())
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise Failure(f"get_timestamp_embeddings returns a {type(answer).__name__}, not a pair")
        return self._array(answer[0], "timestamp"), self._array(answer[1], "timestamps of the")

    def _array(self, answer: object, kind: str) -> np.ndarray:
        array = self.backend.array(answer)
        if array is None:
            raise Failure(f"the {kind} embeddings are a {type(answer).__name__}, not a tensor")
        return array

    def seconds(self, seconds: float) -> int:
        """Return the number of samples in a number of seconds."""
        return int(seconds * self.sample_rate)

    def noise(self, n_sounds: int, seconds: float, seed: int = 0) -> np.ndarray:
        """Return white noise ``(n_sounds, samples)`` float32, uniform in [-1, 1)."""
        rng = np.random.default_rng(seed)
        shape = (n_sounds, self.seconds(seconds))
        return rng.uniform(-1, 1, shape).astype(np.float32)


def load_subject(spec: ModelSpec, device: str = "auto") -> Subject:
    """Import a module and load its model without corrections, recording side effects of loading.

    Raises:
        UserError: the module, checkpoint, option or device does not exist, also if ``load_model``
            finds this.
        Failure: the module lacks a function or a usable attribute, or its ``load_model`` fails.
    """
    api = import_hear_module(spec.module)
    guest = guest_of(api)
    of_import = [f"importing the module changes {name}" for name in guest.changed_by_import]
    missing = [name for name in FUNCTIONS if not callable(getattr(api, name, None))]
    if missing:
        raise Failure(f"the module lacks {', '.join(missing)}")
    check_arguments(spec, api)
    if lacking := lacking_arguments(spec, api.load_model, "-m FILE", "-o "):
        raise Failure(f"load_model {lacking}")
    with guest.called():
        before, environment = settings(), dict(os.environ)
        with restored_random_states():
            torch.default_generator.manual_seed(_ODD_SEED)
            try:
                with exits_refused():
                    model = _load(api, spec)
            except UserError as error:  # a checkpoint or option that does not exist
                raise UserError(f"{spec.module}: {error}") from error
            except Exception as error:  # a module can raise any exception
                raise Failure(f"load_model raises {said(error)}") from error
            seeded = torch.initial_seed() != _ODD_SEED
        changed = changed_settings(before)
    others = [*of_import, *["load_model seeds the global generator of torch"] * seeded]
    others += [f"load_model changes the variable {n}" for n in changed_environment(environment)]
    for name in ATTRIBUTES:
        value = getattr(model, name, None)
        if not np.isscalar(value) or not isinstance(value, (int, float, np.number)) or value < 1:
            raise Failure(f"the model's attribute {name} is {value!r}")
    with guest.called():
        training = _training_layers(api, model)
    try:
        backend = backend_of(model, spec.label, device)
    except UserError as error:
        if isinstance(model, torch.nn.Module):
            raise  # the device
        raise Failure(str(error)) from error
    return Subject(
        spec=spec,
        api=api,
        model=model,
        was_training=training,
        changed_settings=changed,
        other_side_effects=others,
        backend=backend,
    )


def _load(api: ModuleType, spec: ModelSpec) -> Any:
    path = (spec.checkpoint,) if spec.checkpoint else ()
    return api.load_model(*path, **options_of_load(spec, api))


def _training_layers(api: ModuleType, model: object) -> list[str]:
    """Return the names of layers in training mode when an embedding is computed."""
    if not isinstance(model, torch.nn.Module):
        return []
    if any(layer.training for layer in model.modules()):
        # A module may set eval mode at each call instead of in load_model. Errors of this call are
        # reported by the other checks.
        with restored_random_states(), torch.no_grad(), suppress(Exception), exits_refused():
            second = torch.zeros(1, int(model.sample_rate))  # type: ignore[arg-type]
            api.get_scene_embeddings(second, model.cpu())
    return [name or type(model).__name__ for name, m in model.named_modules() if m.training]


def said(error: BaseException) -> str:
    """Return an exception in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, ModuleExit):
        return f"{text}: it tries to end the process"
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__


def relative_difference(a: np.ndarray, b: np.ndarray) -> float:
    """Return the largest difference relative to the largest value; inf if shapes differ."""
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    a, b = a.astype(np.float64), b.astype(np.float64)
    scale = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
    return float(np.abs(a - b).max(initial=0.0) / scale) if scale else 0.0
