"""Call and hash models of the two frameworks of the HEAR API, torch and TensorFlow."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
import torch

from harness.core.errors import UserError


class Backend(Protocol):
    """The interface of a framework, used by :class:`harness.models.module.HearModule`."""

    device: str

    def call(self, function: Callable, audio: np.ndarray) -> Any:
        """Call an embedding function of the module with ``(n, samples)`` float32 audio."""

    def fit(self, function: Callable, clips: Iterable[np.ndarray]) -> dict[str, object]:
        """Call the module's ``task_options`` with clips ``(samples,)``."""

    def array(self, value: object) -> np.ndarray | None:
        """Return a tensor of the framework as numpy; None for any other value."""

    def weights_sha256(self) -> str:
        """Return a hash of the weights: names, shapes, dtypes and bytes."""


class TorchBackend:
    """A ``torch.nn.Module`` in eval mode, called without gradients.

    Without ``device``, the model is not moved, and audio is moved to the device of its first
    tensor.
    """

    def __init__(self, model: torch.nn.Module, device: str | None) -> None:
        self._weights = _torch_weights_sha256(model)
        if device is None:
            tensors = (*model.parameters(), *model.buffers())
            self._device = tensors[0].device if tensors else torch.device("cpu")
        else:
            self._device = _torch_device(device)
            model.to(self._device)
        self.device = str(self._device)
        self._model = model.eval()

    def call(self, function: Callable, audio: np.ndarray) -> Any:  # noqa: D102
        clips, on_gpu = torch.from_numpy(audio), self._device.type == "cuda"
        if on_gpu:  # it reads page-locked memory directly
            clips = clips.pin_memory()
        with torch.no_grad():
            return function(clips.to(self._device, non_blocking=on_gpu), self._model)

    def fit(self, function: Callable, clips: Iterable[np.ndarray]) -> dict[str, object]:  # noqa: D102
        tensors = (torch.from_numpy(clip).to(self._device) for clip in clips)
        with torch.no_grad():
            return dict(function(tensors, self._model))

    def array(self, value: object) -> np.ndarray | None:  # noqa: D102
        if not isinstance(value, torch.Tensor):
            return None
        value = value.detach().cpu()
        # numpy has no bfloat16. float16 is reported as a wrong dtype, too.
        return (value.half() if value.dtype is torch.bfloat16 else value).numpy()

    def weights_sha256(self) -> str:  # noqa: D102
        return self._weights


class TensorFlowBackend:
    """A ``tf.Module``; TensorFlow chooses the device."""

    def __init__(self, model: Any, tensorflow: Any) -> None:
        self._model = model
        self._tf = tensorflow
        self.device = "gpu" if tensorflow.config.list_physical_devices("GPU") else "cpu"

    def call(self, function: Callable, audio: np.ndarray) -> Any:  # noqa: D102
        return function(self._tf.convert_to_tensor(audio), self._model)

    def fit(self, function: Callable, clips: Iterable[np.ndarray]) -> dict[str, object]:  # noqa: D102
        return dict(function(map(self._tf.convert_to_tensor, clips), self._model))

    def array(self, value: object) -> np.ndarray | None:  # noqa: D102
        return np.asarray(value.numpy()) if hasattr(value, "numpy") else None

    def weights_sha256(self) -> str:  # noqa: D102
        variables = ((f"{i}:{v.name}", v.numpy()) for i, v in enumerate(self._model.variables))
        return _sha256(
            (name, str(a.dtype), a.shape, np.ascontiguousarray(a).tobytes())
            for name, a in variables
        )


def backend_of(model: object, label: str, device: str | None) -> Backend:
    """Return the backend of the model that ``load_model`` returned.

    Without ``device``, the model is not moved.

    Raises:
        UserError: the model is neither a ``torch.nn.Module`` nor a ``tf.Module``, or the device
            does not exist.
    """
    if isinstance(model, torch.nn.Module):
        return TorchBackend(model, device)
    # If the model is a tf.Module, its module has imported TensorFlow.
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and isinstance(model, tensorflow.Module):
        return TensorFlowBackend(model, tensorflow)
    raise UserError(
        f"{label}: load_model returned a {type(model).__name__}; the HEAR API requires a "
        "torch.nn.Module or a tf.Module."
    )


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error of torch (CUDA, MPS) or TensorFlow means that memory ran out."""
    return (
        isinstance(error, torch.OutOfMemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
        or (isinstance(error, RuntimeError) and "out of memory" in str(error))
    )


def _torch_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"The device '{name}' cannot be used ({reason}). "
            "Give auto, cpu, cuda, cuda:N or mps, whichever this machine has."
        ) from error
    return device


def _torch_weights_sha256(model: torch.nn.Module) -> str:
    def parts() -> Iterable[tuple[str, str, tuple[int, ...], bytes]]:
        for name, value in sorted(model.state_dict().items()):
            if isinstance(value, torch.Tensor):
                flat = value.detach().cpu().contiguous().reshape(-1)
                data = flat.view(torch.uint8).numpy().tobytes()
                yield name, str(value.dtype), tuple(value.shape), data
            else:  # "extra state", which a module can define
                yield name, type(value).__name__, (), repr(value).encode()

    return _sha256(parts())


def _sha256(parts: Iterable[tuple[str, str, tuple[int, ...], bytes]]) -> str:
    digest = hashlib.sha256()
    for name, dtype, shape, data in parts:
        digest.update(f"{name}\n{dtype}\n{shape}\n{len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()
