"""Load and call any module that follows the HEAR API, given by import name or path.

The HEAR API (https://hearbenchmark.com/hear-api.html) has three functions, ``load_model``,
``get_scene_embeddings`` and ``get_timestamp_embeddings``, and three plain-int attributes of the
model. :class:`HearModule` is the only place that calls them. It takes and returns numpy arrays, and
raises a :class:`~harness.core.errors.UserError` if a module violates the API.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from harness.core.errors import UserError, did_you_mean, did_you_mean_path
from harness.core.files import expand_home
from harness.core.yamltext import option_value, unquoted
from harness.models.backends import Backend, backend_of
from harness.models.guest import Guest, ModuleExit
from harness.models.imports import (
    checkpoint_sha256,
    guest_of,
    import_hear_module,
    sha256_of,
    source_sha256,
)
from harness.models.info import ModelInfo
from harness.models.live import LiveModel
from harness.models.reference import (
    ReferenceEmbeddings,
    coarse_code,
    difference,
    embed_reference,
    tolerance,
    with_spread,
)
from harness.models.timegrid import timestamp_fault

FUNCTIONS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
ATTRIBUTES = ("sample_rate", "scene_embedding_size", "timestamp_embedding_size")


@dataclass(frozen=True)
class ModelSpec:
    """A model as the user gives it: HEAR-API module, checkpoint and options of ``load_model``.

    ``module`` is an import name, the path of a ``.py`` file or that of a package's folder.
    ``name``, if given, replaces the label in tables. ``live`` is a model in memory; the other
    fields except ``name`` are then not used.
    """

    module: str
    checkpoint: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    name: str = ""
    live: LiveModel | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """The name in tables: ``module/checkpoint-stem(key=value,...)``, or ``name``."""
        if self.name:
            return self.name
        label = _short_name(self.module)
        if self.checkpoint:
            label += f"/{Path(self.checkpoint).stem}"
        if self.options:
            label += "(" + ",".join(f"{k}={v}" for k, v in sorted(self.options.items())) + ")"
        return label


def folder_name(label: str) -> str:
    """Return a folder's name for a model's label; different labels give different names."""
    safe = re.sub(r"[^\w.+=-]", "_", label).lstrip(".")
    return safe if safe == label else f"{safe[:80]}-{sha256_of(label)[:6]}"


def parse_model(text: str) -> ModelSpec:
    """Read ``MODULE[=CHECKPOINT][,KEY=VALUE...]``.

    The key ``name`` is the model's label, as typed. Every other key is an option of ``load_model``,
    whose value :func:`harness.core.yamltext.option_value` reads. A comma starts a new option only
    before ``KEY=``, so checkpoint paths may contain commas. ``~`` is the home folder in the module,
    in the checkpoint and at the beginning of values.

    Raises:
        UserError: the module is missing, an option occurs twice, a value is missing, ambiguous or
            not a single one, or the name cannot be printed.
    """
    head, *pairs = re.split(r",(?=\s*[A-Za-z_]\w*\s*=)", text)
    module, _, checkpoint = (part.strip() for part in head.partition("="))
    if not module:
        raise UserError(
            f"No module in the model '{text}': write MODULE[=CHECKPOINT][,KEY=VALUE...], "
            "for example hear_byola=weights.safetensors,d=512."
        )
    options: dict[str, object] = {}
    for pair in pairs:
        key, _, value = (part.strip() for part in pair.partition("="))
        if key in options:
            raise UserError(f"The option '{key}' occurs twice in the model '{text}'.")
        options[key] = _option_value(key, value)
    name = checked_name(str(options.pop("name", "")))
    return ModelSpec(expand_home(module), expand_home(checkpoint), options, name)


def checked_name(name: str) -> str:
    """Return the name of a model if it is printable.

    Raises:
        UserError: it is not.
    """
    if not name.isprintable():
        raise UserError(f"The name {name!r} of a model must be printable.")
    return name


def _option_value(key: str, text: str) -> object:
    if key == "name" and text:
        return unquoted(text)
    try:
        return option_value(text, _path_or_text)
    except UserError as error:
        raise UserError(f"The option '{key}' has the value '{text}': {error}.") from error


def _path_or_text(text: str) -> str:
    return expand_home(text) if re.match("~[^/]*/", text) else text


def _short_name(module: str) -> str:
    path = Path(module).absolute()
    if path.name == "__init__.py":
        return path.parent.name
    if path.suffix == ".py":
        return path.stem
    return path.name if os.sep in module else module


class HearModule:
    """A loaded HEAR-API module: audio in, checked numpy embeddings out.

    Attributes:
        spec: the model as specified by the user.
        sample_rate: in Hz, of the model's input.
        scene_embedding_size, timestamp_embedding_size: widths of the two kinds of embedding.
        device: the model's device, for example ``"cpu"`` or ``"cuda:0"``.
        checkpoint_sha256: of the checkpoint's content, empty without one.
        frontend_convention: the model's attribute of that name, empty if it has none.
        static_fingerprint: sha256 over the module's name, its source, the options, the content of
            the state dict and the checkpoint's content. It is the same in every process.
    """

    def __init__(
        self, spec: ModelSpec, module: ModuleType | Any, model: object, device: str | None
    ) -> None:
        self.spec = spec
        self._backend: Backend = backend_of(model, spec.label, device)
        self._guest = Guest(spec.label) if spec.live else guest_of(module)
        self.device = self._backend.device
        self._scene: Callable = module.get_scene_embeddings
        self._timestamps: Callable = module.get_timestamp_embeddings
        self._task_options: Callable | None = None
        if not spec.live:  # the options are for load_model
            self._task_options = getattr(module, "task_options", None)
        sizes = [_plain_int(model, name, spec.label) for name in ATTRIBUTES]
        self.sample_rate, self.scene_embedding_size, self.timestamp_embedding_size = sizes
        self.frontend_convention = str(getattr(model, "frontend_convention", ""))
        self.checkpoint_sha256 = checkpoint_sha256(spec.checkpoint)
        self._fingerprint = ""
        self._reference: ReferenceEmbeddings | None = None
        self.static_fingerprint = sha256_of(
            {
                "module": _short_name(spec.module),
                "source": spec.live.code_sha256() if spec.live else source_sha256(module),
                "options": json.loads(json.dumps(dict(spec.options), default=str)),
                "weights": self._backend.weights_sha256(),
                "checkpoint": self.checkpoint_sha256,
            }
        )

    @property
    def fingerprint(self) -> str:
        """Sha256 over ``static_fingerprint`` and the rounded reference embeddings.

        A value near the border of two rounding steps can be rounded differently on another machine.
        If a run's folder contains the model, its fingerprint there is set instead
        (:mod:`harness.run.models`).
        """
        if not self._fingerprint:
            self._fingerprint = sha256_of([self.static_fingerprint, coarse_code(self.reference())])
        return self._fingerprint

    @fingerprint.setter
    def fingerprint(self, known: str) -> None:
        self._fingerprint = known

    @property
    def info(self) -> ModelInfo:
        """The record of the model."""
        options = dict(self.spec.options)
        return ModelInfo(
            label=self.spec.label,
            fingerprint=self.fingerprint,
            options=json.dumps(options, sort_keys=True, default=str) if options else "",
            checkpoint=self.spec.checkpoint,
            checkpoint_sha256=self.checkpoint_sha256,
            frontend_convention=self.frontend_convention,
            sample_rate=self.sample_rate,
            module=self.spec.module,
        )

    def reference(self, *, spread: bool = False) -> ReferenceEmbeddings:
        """Return the embeddings of the reference sound, computed once.

        Args:
            spread: also measure how much they depend on rounding (:mod:`harness.models.reference`).
        """
        if self._reference is None:
            self._reference = embed_reference(self)
        if spread and self._reference.spread is None:
            self._reference = with_spread(self, self._reference)
        return self._reference

    def scene(self, audio: np.ndarray) -> np.ndarray:
        """Return the scene embeddings of clips of equal length.

        Args:
            audio: ``(n, samples)`` float32, mono, in [-1, 1], at ``sample_rate``.

        Returns:
            ``(n, scene_embedding_size)`` float32.

        Raises:
            UserError: the module's output has another type, shape or dtype.
        """
        answer = self._call(self._scene, audio)
        return self._embeddings(
            "get_scene_embeddings", answer, (len(audio), self.scene_embedding_size)
        )

    def timestamps(self, audio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the timestamp embeddings of clips of equal length, and their times.

        Args:
            audio: as for :meth:`scene`.

        Returns:
            ``(n, t, timestamp_embedding_size)`` float32 and ``(n, t)`` float32: the centres in ms,
            rising, at regular spacing.

        Raises:
            UserError: the module's output has another type, shape or dtype, or no timestamp; the
                spacing deviates from its mean by more than 1 ms; times are outside the clip or in
                another unit.
        """
        function = "get_timestamp_embeddings"
        answer = self._call(self._timestamps, audio)
        if not isinstance(answer, (tuple, list)) or len(answer) != 2:
            raise self._against(function, f"a {type(answer).__name__}", "two tensors")
        times = self._backend.array(answer[1])
        if times is None or times.ndim != 2 or len(times) != len(audio) or not times.size:
            raise self._against(
                function,
                f"timestamps that are {_found(answer[1])}",
                f"({len(audio)}, t) with t > 0",
            )
        if times.dtype.kind not in "fiu":
            raise self._against(function, f"timestamps of dtype {times.dtype}", "float32")
        times = times.astype(np.float32)
        embeddings = self._embeddings(
            function, answer[0], (*times.shape, self.timestamp_embedding_size)
        )
        milliseconds = 1000 * audio.shape[1] / self.sample_rate
        if fault := timestamp_fault(times, milliseconds, self.sample_rate):
            raise self._against(function, *fault)
        return embeddings, times

    def task_options(self, clips: Iterable[np.ndarray]) -> Mapping[str, object]:
        """Return the options of ``load_model`` that the module derives from training clips.

        Raises:
            UserError: the module has no function ``task_options``, which is not in the HEAR API.
        """
        if self._task_options is None:
            raise UserError(
                f"{self.spec.label} has no function task_options(clips, model), so it cannot be "
                "fitted to a task: leave --task-statistics out."
            )
        with self._guest.called():
            return self._backend.fit(self._task_options, clips)

    def _call(self, function: Callable, audio: np.ndarray) -> object:
        if audio.ndim != 2:
            raise ValueError(f"audio must be (n, samples), not of shape {audio.shape}")
        try:
            with self._guest.called():
                return self._backend.call(function, np.ascontiguousarray(audio, dtype=np.float32))
        except ModuleExit as error:
            raise UserError(
                f"{self.spec.label}: {function.__name__} tried to end the process ({error})."
            ) from error

    def _embeddings(self, function: str, answer: object, shape: tuple[int, ...]) -> np.ndarray:
        array = self._backend.array(answer)
        if array is None or array.shape != shape or array.dtype != np.float32:
            raise self._against(function, _found(answer), f"float32 {shape}")
        return array

    def _against(self, function: str, found: str, expected: str) -> UserError:
        return UserError(
            f"{self.spec.label}: {function} returned {found}; the HEAR API requires {expected}."
        )


def _found(answer: object) -> str:
    shape, dtype = getattr(answer, "shape", None), getattr(answer, "dtype", None)
    if isinstance(answer, np.ndarray):
        return f"a numpy array {answer.shape}, which is not a tensor"
    if shape is None:
        return f"a {type(answer).__name__}"
    return f"{dtype} {tuple(shape)}"


def _plain_int(model: object, name: str, label: str) -> int:
    value = getattr(model, name, None)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        found = "missing" if value is None else f"{value!r} ({type(value).__name__})"
        raise UserError(
            f"{label}: the model's attribute '{name}' is {found}; the HEAR API requires a "
            "positive int, set in load_model or in the model's class."
        )
    return value


def load_module(spec: ModelSpec, device: str = "auto") -> HearModule:
    """Import the module, call its ``load_model`` and put the model on a device in eval mode.

    ``load_model`` gets the checkpoint, if there is one, as its first argument, and the options by
    name. Eval mode is set because with dropout or batch statistics an embedding would depend on
    chance or on other clips of the batch.

    Args:
        spec: the model.
        device: ``"auto"`` selects CUDA if available and the CPU otherwise (never Apple's ``"mps"``,
            which lacks operators); otherwise a torch device such as ``"cuda:1"``.

    Raises:
        UserError: the module does not exist (the nearest name is given), something that it imports
            is missing, a function or attribute of the API is missing or wrong, an option or
            checkpoint does not exist, ``load_model`` fails, or the device does not exist.
    """
    if spec.live:
        return HearModule(spec, spec.live.functions, spec.live.model, device=None)
    module = import_hear_module(spec.module)
    missing = [name for name in FUNCTIONS if not callable(getattr(module, name, None))]
    if missing:
        raise UserError(
            f"The module '{spec.module}' is not a HEAR-API module: it lacks {', '.join(missing)}."
        )
    check_arguments(spec, module.load_model)
    lacking = lacking_arguments(
        spec, module.load_model, f"-m {spec.module}=FILE", f"-m {spec.module},"
    )
    if lacking:
        raise UserError(f"load_model of '{spec.module}' {lacking}.")
    try:
        arguments = (spec.checkpoint,) if spec.checkpoint else ()
        with guest_of(module).called():
            model = module.load_model(*arguments, **spec.options)
    except ModuleExit as error:
        raise UserError(
            f"load_model of '{spec.module}' tried to end the process ({error})."
        ) from error
    except Exception as error:
        raise UserError(
            f"load_model of '{spec.module}' failed: {type(error).__name__}: {error}"
        ) from error
    return HearModule(spec, module, model, device)


def load_again(module: HearModule) -> None:
    """Load a model again and check that both are the same.

    Worker processes and later runs load the model again, and must get the same one.

    Raises:
        UserError: ``load_model`` returns another model at each call, or :func:`load_module` fails.
    """
    if module.spec.live:
        return  # it is never loaded again
    # Compute this before the second load, which may overwrite a global that the first model reads.
    first = module.reference(spread=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first load showed them
        again = load_module(module.spec, module.device)
        if again.static_fingerprint != module.static_fingerprint:
            raise UserError(f"{module.spec.label}: {other_weights(module.spec)}.")
        second = again.reference()
        apart = difference(first, second)
    if apart > tolerance(first, second):
        raise UserError(
            f"{module.spec.label}: {other_weights(module.spec)}. The state dict is the same at "
            f"each load, but embeddings of one sound differ by {apart:.2g} of their size: the "
            "cause may be a plain tensor attribute, a list, an array or a global."
        )


def other_weights(spec: ModelSpec) -> str:
    """Return the error on a model whose weights differ at each load, with the remedy."""
    what = "load_model gives other weights each time it is called"
    how = "draw the weights with a generator of a fixed seed"
    if spec.checkpoint:
        return f"{what} (layers that the checkpoint does not fill?): fill all from it, or {how}"
    return f"{what} (random initialisation?): name a checkpoint, or {how}"


def check_arguments(spec: ModelSpec, load_model: Callable) -> None:
    """Refuse a checkpoint that does not exist and options that ``load_model`` does not have.

    Raises:
        UserError: the nearest file or option is named.
    """
    _check_checkpoint(spec)
    _check_options(spec, load_model)


def lacking_arguments(spec: ModelSpec, load_model: Callable, checkpoint: str, option: str) -> str:
    """Return which required arguments of ``load_model`` are missing; empty if none are.

    Args:
        spec: the model.
        load_model: the module's function.
        checkpoint: how the command line takes a checkpoint, for the message.
        option: the text before an option on the command line, for the message.
    """
    lacking = []
    for i, p in enumerate(inspect.signature(load_model).parameters.values()):
        given = p.name in spec.options or (i == 0 and spec.checkpoint)
        if given or p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        how = f"an option ({option}{p.name}=VALUE)" if i else f"a checkpoint ({checkpoint})"
        lacking.append(f"'{p.name}', {how}")
    if not lacking:
        return ""
    return (
        f"needs {'; '.join(lacking)}. Give it, or give the parameter a default value, as the HEAR "
        "API requires"
    )


def _check_options(spec: ModelSpec, load_model: Callable) -> None:
    parameters = list(inspect.signature(load_model).parameters.values())
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    # The first parameter is the checkpoint's path, whatever its name.
    allowed = [name for name in named if name != parameters[0].name]
    for key in spec.options:
        if key not in allowed:
            raise UserError(
                f"load_model of '{spec.module}' has no option '{key}'."
                f"{did_you_mean(key, allowed)} Its options: {', '.join(allowed) or 'none'}."
            )


def _check_checkpoint(spec: ModelSpec) -> None:
    path = Path(spec.checkpoint)
    if spec.checkpoint and not path.exists():
        raise UserError(
            f"The checkpoint '{spec.checkpoint}' of '{spec.module}' does not exist."
            f"{did_you_mean_path(path)}"
        )
