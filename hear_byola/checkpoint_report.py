"""Describe a checkpoint file, for people and for programs."""

from __future__ import annotations

import os
from pathlib import Path

import torch
import yaml

from hear_byola.checkpoint import FORMAT, read_checkpoint
from hear_byola.core.filestate import file_sha256
from hear_byola.encoder import make_encoder
from hear_byola.frontend import CONVENTIONS, DEFAULT_CONVENTION

_NOT_SAID = "not recorded"


def describe(path: str | os.PathLike[str]) -> dict[str, object]:
    """Return the description of a checkpoint as JSON can hold it; None for unknown values.

    Returns:
        `path`, `bytes`, `sha256` of the file; `format`: "hear-byola", or "foreign" for any other
        file with the weights of such an encoder; `encoder`, `d`, `parameters` (number of trained
        parameters); `convention`, `mean`, `std`, `training_config`, `data`, `data_sha256`,
        `licence`.

    Raises:
        FileNotFoundError, ValueError: as `read_checkpoint`.
    """
    path = Path(path)
    checkpoint = read_checkpoint(path)
    foreign = checkpoint.convention is None
    with torch.device("meta"):
        encoder = make_encoder(checkpoint.encoder, checkpoint.d)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "format": "foreign" if foreign else FORMAT,
        "encoder": checkpoint.encoder,
        "d": checkpoint.d,
        "parameters": sum(parameter.numel() for parameter in encoder.parameters()),
        "convention": checkpoint.convention,
        "mean": checkpoint.mean,
        "std": checkpoint.std,
        "training_config": None if foreign else dict(checkpoint.training_config),
        "data": checkpoint.data or None,
        "data_sha256": checkpoint.data_sha256 or None,
        "licence": checkpoint.licence or None,
    }


def format_description(description: dict[str, object]) -> str:
    """Return the result of `describe` as text, with the training config as YAML."""
    rows = {
        "checkpoint": f"{description['path']} ({description['bytes']:,} bytes)",
        "sha256": description["sha256"],
        "format": _format(description),
        "encoder": f"{description['encoder']}, d = {description['d']}, "
        f"{description['parameters']:,} parameters",
        "front end": _front_end(description),
        "data": description["data"] or _NOT_SAID,
        "data sha256": description["data_sha256"] or _NOT_SAID,
        "licence": description["licence"] or _NOT_SAID,
    }
    config = description["training_config"]
    rows["training"] = yaml.safe_dump(config, sort_keys=False) if config else _NOT_SAID
    return "\n".join(_row(name, str(text)) for name, text in rows.items())


def _format(description: dict[str, object]) -> str:
    if description["format"] == FORMAT:
        return f"{FORMAT} (safetensors)"
    return "foreign: only weights; `hear-byola checkpoint convert` adds the missing metadata"


def _front_end(description: dict[str, object]) -> str:
    if description["convention"]:
        name, mean, std = (description[key] for key in ("convention", "mean", "std"))
        return f"{name} filterbank; mean {mean} and std {std} of the log-mel"
    default = CONVENTIONS[DEFAULT_CONVENTION]
    return (
        f"{_NOT_SAID}; the default of load_model is {DEFAULT_CONVENTION} with mean {default.mean} "
        f"and std {default.std}"
    )


def _row(name: str, text: str) -> str:
    width = 13
    return f"{name:<{width}}" + text.rstrip().replace("\n", "\n" + " " * width)
