"""Read and write checkpoints: our safetensors format, and other files recognised by shapes.

Our format is one safetensors file: the encoder's state dict under its published names, and these
metadata, all strings:

    format            "hear-byola"
    format_version    "1"
    encoder, d        "2020" or "2022", and the embedding size
    convention        mel filterbank convention of the front end
    mean, std         statistics of the log-mel spectrogram that the weights expect
    training_config   config of the training as JSON ({} for untrained weights)
    data, licence     training data, and licence of the weights
    data_sha256       hash of the training data, as the trainer computes it (absent in early files)

Any other file (for example `.pth`) is read without unpickling code, and searched for an encoder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from hear_byola.core import jsontext
from hear_byola.core.wholefile import replacing
from hear_byola.encoder import ENCODERS, make_encoder

FORMAT = "hear-byola"
FORMAT_VERSION = 1
_ANCHOR = "features.0.weight"
_EXPECTED = (
    "expected is a BYOL-A encoder: a hear_byola .safetensors file, or a state dict with "
    "features.0, 1, 4, 5, 8, 9, fc.0, fc.3 (2020; d = 512, 1024 or 2048) or features.0, 1, 4, 5, "
    "fc.0, fc.3 (2022; d = 2048 or 3072), at any depth and with any prefix"
)


@dataclass(frozen=True)
class Checkpoint:
    """The weights of an encoder, with their metadata.

    Attributes:
        encoder: "2020" or "2022".
        d: embedding size.
        state: state dict with the published names, on the CPU.
        convention: mel filterbank convention; None for a foreign file, which does not record it.
        mean, std: statistics of the log-mel spectrogram; None for a foreign file.
        training_config: config of the training, as JSON can hold it.
        data: training data.
        licence: licence of the weights.
        data_sha256: hash of the training data, as the trainer computes it.
    """

    encoder: str
    d: int
    state: Mapping[str, Tensor]
    convention: str | None = None
    mean: float | None = None
    std: float | None = None
    training_config: Mapping[str, object] = field(default_factory=dict)
    data: str = ""
    licence: str = ""
    data_sha256: str = ""


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint in our format; the file is complete or absent.

    Raises:
        ValueError: the convention or statistics are missing, or the weights are not those of the
            named encoder.
        OSError: the file could not be written, for example because the disk is full; an older file
            is unchanged.
    """
    if checkpoint.convention is None or checkpoint.mean is None or checkpoint.std is None:
        raise ValueError(
            f"a checkpoint must record the front end of its training; found convention="
            f"{checkpoint.convention!r}, mean={checkpoint.mean}, std={checkpoint.std}."
        )
    version, d, state = _recognise(checkpoint.state, "the checkpoint to save")
    if (version, d) != (checkpoint.encoder, checkpoint.d):
        raise ValueError(
            f"the checkpoint to save names encoder {checkpoint.encoder!r}, d={checkpoint.d}, but "
            f"its weights are those of encoder {version!r}, d={d}."
        )
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "encoder": version,
        "d": str(d),
        "convention": checkpoint.convention,
        "mean": repr(float(checkpoint.mean)),
        "std": repr(float(checkpoint.std)),
        "training_config": json.dumps(dict(checkpoint.training_config), sort_keys=True),
        "data": checkpoint.data,
        "licence": checkpoint.licence,
        "data_sha256": checkpoint.data_sha256,
    }
    path = Path(os.path.expanduser(path))
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata)
    except SafetensorError as error:
        raise OSError(f"checkpoint {path}: it could not be written ({error}).") from error


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read our format, a published `.pth` file, or any file that contains such an encoder.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file cannot be read without running code in it, contains no BYOL-A encoder
            or several, or was written by a newer version.
    """
    path = Path(os.path.expanduser(path))
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise FileNotFoundError(f"checkpoint {path}: {found} is there; a file is needed.")
    if path.suffix == ".safetensors":
        content, metadata = _read_safetensors(path)
        version, d, state = _recognise(content, str(path))
    else:
        metadata = {}
        version, d, state = _recognise(_read_torch(path), str(path))
    if metadata.get("format") != FORMAT:
        return Checkpoint(version, d, state)
    try:
        newer = int(metadata["format_version"]) > FORMAT_VERSION
        checkpoint = Checkpoint(
            version,
            d,
            state,
            convention=metadata["convention"],
            mean=float(metadata["mean"]),
            std=float(metadata["std"]),
            training_config=jsontext.load(metadata["training_config"]),
            data=metadata["data"],
            licence=metadata["licence"],
            data_sha256=metadata.get("data_sha256", ""),
        )
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"checkpoint {path}: its metadata are damaged or incomplete ({error}); found are "
            f"{metadata}."
        ) from error
    if newer:
        raise ValueError(
            f"checkpoint {path}: its format version is {metadata['format_version']}, and this "
            f"hear-byola reads up to {FORMAT_VERSION}: update hear-byola."
        )
    return checkpoint


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(
            f"checkpoint {path}: not a readable safetensors file ({error}); {_EXPECTED}."
        ) from error


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    # Other bytes can raise anything in PyTorch's reader. Its messages advise unpickling, so they
    # are not repeated.
    except Exception as error:
        raise ValueError(
            f"checkpoint {path}: PyTorch cannot read it as plain weights ({type(error).__name__}); "
            f"{_EXPECTED}. A file that holds other objects is never unpickled: save its "
            "state_dict() alone."
        ) from error


def _tensors(content: object, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield all tensors in nested mappings with their dotted names."""
    if isinstance(content, Tensor):
        yield prefix, content
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _tensors(value, f"{prefix}.{key}" if prefix else str(key))


def _recognise(content: object, source: str) -> tuple[str, int, dict[str, Tensor]]:
    """Find the encoder in the content of a file.

    Returns:
        Version, embedding size, and the state dict under the published names.
    """
    tensors = dict(_tensors(content))
    prefixes = [
        name.removesuffix(_ANCHOR)
        for name in tensors
        if name == _ANCHOR or name.endswith(f".{_ANCHOR}")
    ]
    if not prefixes:
        raise ValueError(
            f"checkpoint {source}: it holds {_summary(content, tensors)}; {_EXPECTED}."
        )
    found = [_encoder_state(tensors, prefix, source) for prefix in prefixes]
    if any(not _same(state, found[0][2]) for _, _, state in found[1:]):
        raise ValueError(
            f"checkpoint {source}: it holds {len(prefixes)} different encoders, under "
            f"{[prefix or '(no prefix)' for prefix in prefixes]}; save only the one you need."
        )
    return found[0]


def _encoder_state(
    tensors: Mapping[str, Tensor], prefix: str, source: str
) -> tuple[str, int, dict[str, Tensor]]:
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith((f"{prefix}features.", f"{prefix}fc."))
    }
    # BatchNorm's counter is not used in inference, and old files lack it.
    for name in [name for name in state if name.endswith("running_mean")]:
        state.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    candidates = [(version, d) for version, kind in ENCODERS.items() for d in kind.sizes]
    differences = {known: _differences(state, _shapes(*known)) for known in candidates}
    version, d = min(candidates, key=lambda known: len(differences[known]))
    if wrong := differences[version, d]:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"checkpoint {source}: nearest is encoder {version} with d={d}, but "
            f"{'; '.join(wrong[:3])}{more}; {_EXPECTED}."
        )
    return version, d, state


@cache
def _shapes(version: str, d: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        state = make_encoder(version, d).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _differences(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return [
        f"{name} is {found.get(name, 'missing')} and should be {shapes.get(name, 'absent')}"
        for name in sorted(found.keys() | shapes.keys())
        if found.get(name) != shapes.get(name)
    ]


def _summary(content: object, tensors: Mapping[str, Tensor]) -> str:
    if not tensors:
        return f"no tensor, but an object of type {type(content).__name__}"
    name = next(iter(tensors))
    return f"{len(tensors)} tensors, the first {name!r} of shape {tuple(tensors[name].shape)}"


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
