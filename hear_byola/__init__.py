"""BYOL-A (arXiv 2103.06695, arXiv 2204.07402) as a module with the HEAR API.

Example:
    model = hear_byola.load_model()
    embeddings = hear_byola.get_scene_embeddings(audio, model)
    embeddings, timestamps = hear_byola.get_timestamp_embeddings(audio, model)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor

from hear_byola.checkpoint import Checkpoint, read_checkpoint
from hear_byola.encoder import random_encoder, restore_encoder
from hear_byola.frontend import DEFAULT_CONVENTION, LogMel
from hear_byola.model import DEFAULT_HOP_MS, ByolA

__all__ = ["get_scene_embeddings", "get_timestamp_embeddings", "load_model", "task_options"]

_SHIPPED = Path(__file__).parent / "weights" / "byola-512.safetensors"
_OPTIONS = ("encoder", "d", "convention", "mean", "std", "seed", "init", "hop_ms")


def load_model(
    model_file_path: str = "",
    *,
    encoder: str | int | None = None,
    d: int | None = None,
    convention: str | None = None,
    mean: float | None = None,
    std: float | None = None,
    seed: int | None = None,
    init: str | None = None,
    hop_ms: float | None = None,
    **unknown: object,
) -> ByolA:
    """Load a checkpoint, or make an untrained model.

    Args:
        model_file_path: a hear_byola `.safetensors` file; a published `.pth` file of BYOL-A, 2020
            or 2022; or any file with the state dict of such an encoder, at any depth, with any
            prefix. Without a path: the checkpoint shipped with the package, or random weights
            where a seed is given or none is shipped.
        encoder: "2020" or "2022". With a checkpoint: what it must hold. Else default "2020".
        d: embedding size: 512, 1024 or 2048 (2020), 2048 or 3072 (2022). With a checkpoint: what it
            must hold. Else default 512 (2020) or 2048 (2022).
        convention: mel filterbank, "slaney" or "htk". Default: the checkpoint's own; "slaney" for
            random weights and for a file that does not say, because the published weights were
            trained on it.
        mean, std: statistics of the log-mel spectrogram; both or none. Default: the checkpoint's
            own; else -9.660292 and 4.7219563 for "slaney", -5.4919195 and 5.0389895 for "htk", the
            values that the authors of BYOL-A printed with either.
        seed: seed of random weights; the same on every machine.
        init: how random weights are drawn, with a seed: "pytorch" (default), or "contrast" (see
            `hear_byola.encoder.random_encoder`).
        hop_ms: time between timestamp embeddings: 40 (default), 20, 10; 80 with encoder 2020.
        **unknown: no other option exists; refused with the nearest name.

    Returns:
        The model on the CPU, in eval mode.

    Raises:
        FileNotFoundError: there is no file at the path.
        ValueError: an unknown or unfit option; a file that is no BYOL-A encoder, or another one
            than was asked for.

    Warns:
        UserWarning: neither path nor seed is given and no checkpoint is shipped, so that the model
            is untrained; a file does not say its convention and statistics and no option does.
    """
    for name in unknown:
        nearest = get_close_matches(name, _OPTIONS, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(f"unknown option {name!r}: the options are {', '.join(_OPTIONS)}.{hint}")
    if model_file_path and seed is not None:
        raise ValueError(
            f"seed={seed} with the checkpoint {model_file_path}: a seed makes random weights; give "
            "one or the other."
        )
    if init is not None and seed is None:
        raise ValueError(f"init={init!r} says how random weights are drawn: give a seed, too.")
    version = None if encoder is None else str(encoder)
    source = model_file_path or (str(_SHIPPED) if seed is None and _SHIPPED.is_file() else "")
    if source:
        checkpoint = _fitting(read_checkpoint(source), source, version, d)
        _warn_of_what_is_taken_for_granted(checkpoint, source, convention, mean)
    else:
        checkpoint = _untrained(version or "2020", d, seed, init or "pytorch")
    frontend = _frontend(checkpoint, convention, mean, std)
    weights = restore_encoder(checkpoint.encoder, checkpoint.d, checkpoint.state)
    return ByolA(frontend, weights, DEFAULT_HOP_MS if hop_ms is None else hop_ms).eval()


def _fitting(checkpoint: Checkpoint, source: str, version: str | None, d: int | None) -> Checkpoint:
    """The checkpoint, if it is the encoder that was asked for."""
    if version not in (None, checkpoint.encoder) or d not in (None, checkpoint.d):
        asked = [f"encoder={version!r}"] * (version is not None) + [f"d={d}"] * (d is not None)
        raise ValueError(
            f"checkpoint {source} holds encoder {checkpoint.encoder!r} with d={checkpoint.d}, but "
            f"{' and '.join(asked)} was asked for: leave the option out, or, for random weights, "
            "give a seed and no path."
        )
    return checkpoint


def _warn_of_what_is_taken_for_granted(
    checkpoint: Checkpoint, source: str, convention: str | None, mean: float | None
) -> None:
    if checkpoint.convention is None and None in (convention, mean):
        warnings.warn(
            f"checkpoint {source} does not say which mel filterbank and statistics it was "
            f"trained with: convention={convention or DEFAULT_CONVENTION} and "
            f"{'its default' if mean is None else 'the given'} statistics are taken. Say "
            "convention=, mean= and std= to be sure.",
            UserWarning,
            stacklevel=3,
        )


def _untrained(version: str, d: int | None, seed: int | None, init: str) -> Checkpoint:
    """Random weights; with a warning where no seed shows that they are wanted."""
    weights = random_encoder(version, d, 0 if seed is None else seed, init)
    if seed is None:
        warnings.warn(
            f"no checkpoint is given and none is shipped: the model is untrained (encoder "
            f"{version}, d={weights.d}, random weights of seed 0). Give the path of a checkpoint, "
            "or seed=0 to ask for random weights.",
            UserWarning,
            stacklevel=3,
        )
    return Checkpoint(version, weights.d, weights.state_dict())


def _frontend(
    checkpoint: Checkpoint, convention: str | None, mean: float | None, std: float | None
) -> LogMel:
    """The front end that the options ask for, else the checkpoint's, else the default."""
    convention = convention or checkpoint.convention or DEFAULT_CONVENTION
    if mean is None and std is None and checkpoint.convention is not None:
        if convention != checkpoint.convention:
            raise ValueError(
                f"convention={convention!r}: the checkpoint's statistics belong to its own "
                f"convention, {checkpoint.convention!r}; give mean and std with another one."
            )
        mean, std = checkpoint.mean, checkpoint.std
    return LogMel(convention, mean, std)


def get_scene_embeddings(audio: Tensor, model: ByolA) -> Tensor:
    """One embedding for each clip: maximum plus mean over time.

    Args:
        audio: floating point (n_sounds, n_samples), mono, in [-1, 1], at 16 kHz, on the model's
            device. Any length from one sample on; nothing is padded or normalised by the batch.
        model: what `load_model` returned, in eval mode.

    Returns:
        float32 (n_sounds, model.scene_embedding_size), on the same device, without gradient.

    Raises:
        ValueError: audio of another type, shape or device; a model in training mode.
    """
    with torch.no_grad():
        return model.scene_embeddings(audio)


def get_timestamp_embeddings(audio: Tensor, model: ByolA) -> tuple[Tensor, Tensor]:
    """Embeddings on a regular grid, 40 ms apart unless `load_model` was given another `hop_ms`.

    Timestamp k is the centre of what embedding k describes. On the default grid it is
    (4 k + 3.5) 10 ms with the 2020 encoder and (4 k + 1.5) 10 ms with 2022, because output k pools
    the mel frames 4k to 4k+7 (4k to 4k+3), frame j is centred at 10 j ms, and everything before
    the pools reaches equally far to both sides. Where this grid would leave more than half a hop
    of the clip's end uncovered, it is moved to have equal margins at both ends. `hear_byola.model`
    has the formula for every hop.

    Args:
        audio: as for `get_scene_embeddings`.
        model: what `load_model` returned, in eval mode.

    Returns:
        Embeddings, float32 (n_sounds, n_timestamps, model.timestamp_embedding_size), and
        timestamps, float32 (n_sounds, n_timestamps), in milliseconds: regular, none past the clip's
        end, the last within half a hop of it. Both on the same device, without gradient.

    Raises:
        ValueError: as `get_scene_embeddings`.
    """
    with torch.no_grad():
        return model.timestamp_embeddings(audio)


def task_options(clips: Iterable[Tensor], model: ByolA) -> dict[str, float]:
    """Options `mean` and `std` of `load_model` that fit a task: statistics of its training clips.

    The paper's downstream protocol normalises by the log-mel statistics of each task's training
    split (arXiv 2103.06695, section IV-A).

    Args:
        clips: floating point (n_samples,) each, as for `get_scene_embeddings`.
        model: what `load_model` returned.

    Returns:
        Mean and standard deviation over all bins of all clips, to seven digits.

    Raises:
        ValueError: no clips, or clips that are all the same silence.
    """
    count, total, squares = 0, 0.0, 0.0
    with torch.no_grad():
        for clip in clips:
            bins = model.frontend.log_mel(clip[None]).double()
            count += bins.numel()
            total += float(bins.sum())
            squares += float(bins.square().sum())
    variance = squares / count - (total / count) ** 2 if count else 0.0
    if variance <= 0:
        raise ValueError("no clips, or nothing but silence: they have no statistics.")
    return {"mean": float(f"{total / count:.7g}"), "std": float(f"{variance**0.5:.7g}")}
