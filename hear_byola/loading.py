"""Make the model that the options of `hear_byola.load_model` describe."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from hear_byola.checkpoint import Checkpoint, read_checkpoint
from hear_byola.core.errors import did_you_mean
from hear_byola.core.precision import PRECISIONS
from hear_byola.encoder import restore_encoder
from hear_byola.frontend import CONVENTIONS, DEFAULT_CONVENTION, LogMel
from hear_byola.inference import has_arithmetic
from hear_byola.model import DEFAULT_HOP_MS, ByolA
from hear_byola.random_weights import random_encoder

SHIPPED = Path(__file__).parent / "weights" / "byola-512.safetensors"
_OPTIONS = ("encoder", "d", "convention", "mean", "std", "seed", "init", "hop_ms", "precision")
_CALLER = 4  # warnings name the line that calls `hear_byola.load_model`


def load(
    path: str,
    *,
    version: str | None,
    d: int | None,
    convention: str | None,
    mean: float | None,
    std: float | None,
    seed: int | None,
    init: str | None,
    hop_ms: float | None,
    precision: str | None,
) -> ByolA:
    """Return the model, as documented in `hear_byola.load_model`."""
    if path and seed is not None:
        raise ValueError(
            f"seed={seed} is given with the checkpoint {path}. A seed makes random weights; give "
            "one or the other."
        )
    if init is not None and seed is None:
        raise ValueError(f"init={init!r} is for random weights: give a seed as well.")
    source = path or (str(SHIPPED) if seed is None and SHIPPED.is_file() else "")
    if source:
        checkpoint = read_checkpoint(source)
        _check_asked(checkpoint, source, version, d)
        _warn_of_assumptions(checkpoint, source, convention, mean)
    else:
        checkpoint = _untrained(version or "2020", d, seed, init or "pytorch")
    frontend = _frontend(checkpoint, convention, mean, std)
    weights = restore_encoder(checkpoint.encoder, checkpoint.d, checkpoint.state)
    precision = "float32" if precision is None else precision
    model = ByolA(frontend, weights, DEFAULT_HOP_MS if hop_ms is None else hop_ms, precision)
    _warn_of_slow_precision(precision)
    return model.eval()


def unknown_option(name: str) -> str:
    """Return the error for an option that does not exist, with the nearest one that does."""
    hint = did_you_mean(name, _OPTIONS)
    return f"unknown option {name!r}: the options are {', '.join(_OPTIONS)}.{hint}"


def _check_asked(checkpoint: Checkpoint, source: str, version: str | None, d: int | None) -> None:
    if version not in (None, checkpoint.encoder) or d not in (None, checkpoint.d):
        asked = [f"encoder={version!r}"] * (version is not None) + [f"d={d}"] * (d is not None)
        raise ValueError(
            f"checkpoint {source} holds encoder {checkpoint.encoder!r} with d={checkpoint.d}, but "
            f"{' and '.join(asked)} was asked for. Leave the option out, or, for random weights, "
            "give a seed and no path."
        )


def _warn_of_assumptions(
    checkpoint: Checkpoint, source: str, convention: str | None, mean: float | None
) -> None:
    if checkpoint.convention is None and None in (convention, mean):
        warnings.warn(
            f"checkpoint {source} does not record the mel filterbank and statistics of its "
            f"training. convention={convention or DEFAULT_CONVENTION} and "
            f"{'its default' if mean is None else 'the given'} statistics are used; give "
            "convention=, mean= and std= to be sure.",
            UserWarning,
            stacklevel=_CALLER,
        )


def _warn_of_slow_precision(precision: str) -> None:
    cpu_has_it = has_arithmetic(PRECISIONS[precision], torch.device("cpu"))
    if not (cpu_has_it or torch.cuda.is_available() or torch.backends.mps.is_available()):
        warnings.warn(
            f"precision={precision!r}: this CPU has no such arithmetic. Results are rounded to it, "
            "but computing them takes as long as in float32.",
            UserWarning,
            stacklevel=_CALLER,
        )


def _untrained(version: str, d: int | None, seed: int | None, init: str) -> Checkpoint:
    """Return random weights, with a warning if no seed asks for them."""
    weights = random_encoder(version, d, 0 if seed is None else seed, init)
    if seed is None:
        warnings.warn(
            f"no checkpoint is given and none is shipped: the model is untrained (encoder "
            f"{version}, d={weights.d}, random weights of seed 0). Give the path of a checkpoint, "
            "or seed=0 to ask for random weights.",
            UserWarning,
            stacklevel=_CALLER,
        )
    return Checkpoint(version, weights.d, weights.state_dict())


def _frontend(
    checkpoint: Checkpoint, convention: str | None, mean: float | None, std: float | None
) -> LogMel:
    """Return the front end of the options, else of the checkpoint, else the default."""
    convention = convention or checkpoint.convention or DEFAULT_CONVENTION
    if mean is None and std is None and checkpoint.convention is not None:
        if convention in CONVENTIONS and convention != checkpoint.convention:
            raise ValueError(
                f"convention={convention!r}: the checkpoint's statistics were computed with "
                f"{checkpoint.convention!r}. Give mean and std with another convention."
            )
        mean, std = checkpoint.mean, checkpoint.std
    return LogMel(convention, mean, std)
