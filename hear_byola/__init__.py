"""BYOL-A (arXiv 2103.06695, arXiv 2204.07402) as a module with the HEAR API.

torch is imported by the first call, not by `import hear_byola`.

Example:
    model = hear_byola.load_model()
    embeddings = hear_byola.get_scene_embeddings(audio, model)
    embeddings, timestamps = hear_byola.get_timestamp_embeddings(audio, model)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from hear_byola.model import ByolA

__all__ = [
    "get_layer_embeddings",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load_model",
    "task_options",
]


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
    precision: str | None = None,
    **unknown: object,
) -> ByolA:
    """Load a checkpoint, or make an untrained model.

    Args:
        model_file_path: a hear_byola `.safetensors` file; a published `.pth` file of BYOL-A, 2020
            or 2022; or any file with the state dict of such an encoder, at any depth, with any
            prefix. Default: the checkpoint shipped with the package; random weights if a seed is
            given or no checkpoint is shipped.
        encoder: "2020" or "2022". A checkpoint must hold this encoder. Default for random weights:
            "2020".
        d: embedding size: 512, 1024 or 2048 (2020), 2048 or 3072 (2022). A checkpoint must hold
            this size. Default for random weights: 512 (2020) or 2048 (2022).
        convention: mel filterbank, "slaney" or "htk". Default: the checkpoint's own; "slaney" for
            random weights and for a file that does not record it, because the published weights
            were trained with it.
        mean, std: statistics of the log-mel spectrogram; both or none. Default: the checkpoint's
            own; else -9.660292 and 4.7219563 for "slaney", -5.4919195 and 5.0389895 for "htk", the
            values that the authors of BYOL-A printed with each.
        seed: seed of random weights; they are the same on every machine.
        init: initialisation of random weights, "pytorch" (default) or "contrast" (see
            `hear_byola.random_weights.random_encoder`); requires a seed.
        hop_ms: time between timestamp embeddings: 40 (default), 20, 10; 80 with encoder 2020.
        precision: of the encoder's arithmetic: "float32" (default), or half precision, "bf16" or
            "fp16", which changes embeddings by about 0.7 % ("fp16": 0.08 %). It is meant for GPUs
            and, "bf16", for CPUs with AVX512-BF16 or AMX; other CPUs only imitate its rounding and
            are not faster. The front end and the pooling over time stay in float32.
        **unknown: no other option exists; the error names the nearest one.

    Returns:
        The model on the CPU, in eval mode.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: an unknown or contradictory option; a file that is not a BYOL-A encoder, or
            another one than was asked for.

    Warns:
        UserWarning: neither path nor seed is given and no checkpoint is shipped, so the model is
            untrained; or neither the file nor an option gives the convention and statistics; or
            half precision is asked for, and this machine has neither a GPU nor a CPU with it.
    """
    from hear_byola.loading import load, unknown_option

    for name in unknown:
        raise ValueError(unknown_option(name))
    return load(
        model_file_path,
        version=None if encoder is None else str(encoder),
        d=d,
        convention=convention,
        mean=mean,
        std=std,
        seed=seed,
        init=init,
        hop_ms=hop_ms,
        precision=precision,
    )


def get_scene_embeddings(audio: Tensor, model: ByolA) -> Tensor:
    """Return one embedding for each clip: maximum plus mean over time.

    Args:
        audio: floating point (n_sounds, n_samples), mono, in [-1, 1], at 16 kHz, on the model's
            device. Any length from one sample on; nothing is padded or normalised by the batch.
        model: result of `load_model`, in eval mode.

    Returns:
        float32 (n_sounds, model.scene_embedding_size), on the same device, without gradient.

    Raises:
        ValueError: audio of another type, shape or device; a model in training mode.
    """
    from torch import no_grad

    with no_grad():
        return model.scene_embeddings(audio)


def get_timestamp_embeddings(audio: Tensor, model: ByolA) -> tuple[Tensor, Tensor]:
    """Return embeddings on a regular grid, 40 ms apart unless `load_model` got another `hop_ms`.

    Timestamp k is the centre of the audio that embedding k describes. On the default grid it is
    (4 k + 3.5) 10 ms with the 2020 encoder and (4 k + 1.5) 10 ms with 2022: output k pools the mel
    frames 4k to 4k+7 (4k to 4k+3), frame j is centred at 10 j ms, and all layers before the pools
    are symmetric in time. If this grid leaves more than half a hop of the clip's end uncovered, it
    is shifted to have equal margins at both ends. `hear_byola.model` has the formula for every hop.

    Args:
        audio: as for `get_scene_embeddings`.
        model: result of `load_model`, in eval mode.

    Returns:
        Embeddings, float32 (n_sounds, n_timestamps, model.timestamp_embedding_size), and
        timestamps, float32 (n_sounds, n_timestamps), in milliseconds: regular, none past the clip's
        end, the last within half a hop of it. Both on the same device, without gradient.

    Raises:
        ValueError: as `get_scene_embeddings`.
    """
    from torch import no_grad

    with no_grad():
        return model.timestamp_embeddings(audio)


def get_layer_embeddings(
    audio: Tensor, model: ByolA, layers: Sequence[int], *, timestamps: bool = False
) -> tuple[list[Tensor], Tensor | None]:
    """Return the embeddings of several layers, computed together in float32.

    Layer 0 is the log-mel spectrogram, layers 1 to b are the outputs of the b convolution blocks,
    and the last is the embedding. Their frames are averaged to the times of the embeddings.

    Args:
        audio: as for `get_scene_embeddings`.
        model: result of `load_model`, in eval mode; `model.layer_sizes` has the width of each
            layer.
        layers: numbers of layers.
        timestamps: whether to return timestamp embeddings instead of scene embeddings.

    Returns:
        For each layer, float32 (n_sounds, size) or (n_sounds, n_timestamps, size); and the
        timestamps in milliseconds, float32 (n_sounds, n_timestamps), or None.

    Raises:
        ValueError: as `get_scene_embeddings`.
    """
    from torch import no_grad

    with no_grad():
        if timestamps:
            return model.timestamp_layers(audio, layers)
        return model.scene_layers(audio, layers), None


def task_options(clips: Iterable[Tensor], model: ByolA) -> dict[str, float]:
    """Return the options `mean` and `std` of `load_model` for a task, from its training clips.

    The paper's downstream protocol normalises by the log-mel statistics of each task's training
    split (arXiv 2103.06695, section IV-A).

    Args:
        clips: floating point (n_samples,) each, as for `get_scene_embeddings`.
        model: result of `load_model`.

    Returns:
        Mean and standard deviation over all bins of all clips, to seven digits.

    Raises:
        ValueError: no clips, or only silence.
    """
    from torch import no_grad

    count, total, squares = 0, 0.0, 0.0
    with no_grad():
        for clip in clips:
            bins = model.frontend.log_mel(clip[None]).double()
            count += bins.numel()
            total += float(bins.sum())
            squares += float(bins.square().sum())
    variance = squares / count - (total / count) ** 2 if count else 0.0
    if variance <= 0:
        raise ValueError("the clips have no statistics: there are none, or all are silent.")
    return {"mean": float(f"{total / count:.7g}"), "std": float(f"{variance**0.5:.7g}")}
