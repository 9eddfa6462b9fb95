"""Call any module that follows the HEAR API.

The HEAR API (https://hearbenchmark.com/hear-api.html) has three functions, ``load_model``,
``get_scene_embeddings`` and ``get_timestamp_embeddings``, and three plain-int attributes of the
model. :class:`HearModule` is the only place that calls them. It takes and returns numpy arrays, and
raises a :class:`~harness.core.errors.UserError` if a module violates the API.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from harness.core.errors import UserError
from harness.core.hashing import sha256_of
from harness.models.backends import Backend, backend_of
from harness.models.guest import Guest, ModuleExit
from harness.models.imports import checkpoint_sha256, guest_of, source_sha256
from harness.models.info import ModelInfo
from harness.models.layers import OPTION, LayerFunctions, chosen_layers, columns
from harness.models.names import import_name, short_name
from harness.models.reference import (
    ReferenceEmbeddings,
    coarse_code,
    embed_reference,
    with_spread,
)
from harness.models.spec import ModelSpec
from harness.models.timegrid import timestamp_fault

FUNCTIONS = ("load_model", "get_scene_embeddings", "get_timestamp_embeddings")
ATTRIBUTES = ("sample_rate", "scene_embedding_size", "timestamp_embedding_size")


class HearModule:
    """A loaded HEAR-API module: audio in, checked numpy embeddings out.

    Attributes:
        spec: the model as specified by the user.
        sample_rate: in Hz, of the model's input.
        scene_embedding_size, timestamp_embedding_size: widths of the two kinds of embedding.
        device: the model's device, for example ``"cpu"`` or ``"cuda:0"``.
        checkpoint_sha256: of the checkpoint's content, empty without one. If the module names an
            option as its ``CHECKPOINT_OPTION``, the value of that option is the checkpoint.
        checkpoint_revision: the model's attribute of that name, empty if it has none: the commit of
            a checkpoint of a hub, or the name of a toolkit's file of weights.
        frontend_convention: the model's attribute of that name, empty if it has none.
        layers: first column of each layer that the model embeds, and the one after its last; empty
            unless the option ``layer`` chooses some.
        n_layers: number of layers that the model has; 0 unless the option ``layer`` chooses some.
        whole: the model as specified by the user, without a choice of layers.
        static_fingerprint: sha256 over the module's name, its source, the options of ``whole``, the
            content of the state dict and the checkpoint's content. It is the same in every process.
    """

    def __init__(
        self, spec: ModelSpec, module: ModuleType | Any, model: object, device: str | None
    ) -> None:
        self.spec = spec
        self._backend: Backend = backend_of(model, spec.label, device)
        self._guest = Guest(spec.label) if spec.live else guest_of(module)
        self.device = self._backend.device
        self.layers: dict[int, tuple[int, int]] = {}
        self.n_layers = 0
        self.whole = spec
        self._scene: Callable = module.get_scene_embeddings
        self._timestamps: Callable = module.get_timestamp_embeddings
        self._task_options: Callable | None = None
        if not spec.live:  # the options are for load_model
            self._task_options = getattr(module, "task_options", None)
        sizes = [_plain_int(model, name, spec.label) for name in ATTRIBUTES]
        self.sample_rate, self.scene_embedding_size, self.timestamp_embedding_size = sizes
        # Its own embeddings identify a model, whichever layers are chosen.
        self._plain = copy.copy(self)
        if layers := chosen_layers(spec, module, model):
            functions = LayerFunctions(module, layers, spec.label)
            self._scene = functions.get_scene_embeddings
            self._timestamps = functions.get_timestamp_embeddings
            self.scene_embedding_size = self.timestamp_embedding_size = sum(layers.values())
            self.layers, self.n_layers = columns(layers), len(model.layer_sizes)  # type: ignore[attr-defined]
            options = {name: value for name, value in spec.options.items() if name != OPTION}
            self.whole = dataclasses.replace(spec, options=options)
        self.frontend_convention = str(getattr(model, "frontend_convention", ""))
        of_checkpoint = getattr(module, "CHECKPOINT_OPTION", "")
        self.checkpoint_sha256 = checkpoint_sha256(
            str(spec.options.get(of_checkpoint) or spec.checkpoint)
        )
        # The content of a checkpoint identifies the model, and its place does not.
        options = {k: v for k, v in self.whole.options.items() if k != of_checkpoint}
        self.checkpoint_revision = str(getattr(model, "checkpoint_revision", ""))
        self._fingerprint = ""
        self._reference: ReferenceEmbeddings | None = None
        self.static_fingerprint = sha256_of(
            {
                "module": short_name(import_name(spec.module)),
                "source": spec.live.code_sha256() if spec.live else source_sha256(module),
                "options": json.loads(json.dumps(options, default=str)),
                "weights": self._backend.weights_sha256(),
                "checkpoint": self.checkpoint_sha256,
            }
        )

    @property
    def fingerprint(self) -> str:
        """Sha256 over ``static_fingerprint`` and the rounded reference embeddings.

        It does not depend on the choice of layers, which :meth:`fingerprint_of` adds.
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

    def fingerprint_of(self, layers: Collection[int]) -> str:
        """Return the fingerprint of some layers of the model, or of the model if there are none."""
        return sha256_of([self.fingerprint, list(layers)]) if layers else self.fingerprint

    @property
    def info(self) -> ModelInfo:
        """The record of the model."""
        return ModelInfo(
            label=self.spec.label,
            fingerprint=self.fingerprint_of(self.layers),
            options=_json(self.spec.options),
            checkpoint=self.spec.checkpoint,
            checkpoint_sha256=self.checkpoint_sha256,
            frontend_convention=self.frontend_convention,
            sample_rate=self.sample_rate,
            module=import_name(self.spec.module),
            checkpoint_revision=self.checkpoint_revision,
        )

    def layer_info(self, layer: int) -> ModelInfo:
        """Return the record of a layer as a model of its own, ``NAME@LAYER``."""
        return self.info.model_copy(
            update={
                "label": f"{self.whole.label}@{layer}",
                "fingerprint": self.fingerprint_of([layer]),
                "options": _json({**self.whole.options, OPTION: layer}),
                "layer": layer,
            }
        )

    def reference(self, *, spread: bool = False) -> ReferenceEmbeddings:
        """Return the model's own embeddings of the reference sound, computed once.

        Args:
            spread: also measure how much they depend on rounding (:mod:`harness.models.reference`).
        """
        if self._reference is None:
            self._reference = embed_reference(self._plain)
        if spread and self._reference.spread is None:
            self._reference = with_spread(self._plain, self._reference)
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
                spacing deviates from its mean by more than 1 ms; times are outside the clip, do
                not cover it, or are in another unit.
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


def _json(options: Mapping[str, object]) -> str:
    return json.dumps(dict(options), sort_keys=True, default=str) if options else ""


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
