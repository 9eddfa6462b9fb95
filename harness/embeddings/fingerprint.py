"""What identifies the embeddings of a split: their fingerprint, their folder, their record."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from harness.core.hashing import sha256_of
from harness.embeddings.store import FORMAT_VERSION
from harness.models.module import HearModule
from harness.models.spec import ModelSpec, folder_name
from tasks.audio import ContentHashes, audio_paths, source_rate
from tasks.format.task import Task

_OF_MODEL = {"label", "module", "checkpoint", "checkpoint_sha256", "fingerprint"}


def embedding_fingerprint(
    task: Task, split: str, module: HearModule, hashes: ContentHashes, *, dtype: str = "float32"
) -> str:
    """Return a hash of everything that the embeddings of a split depend on.

    These are the module's fingerprint, the task's version and split file, the clips' names and
    audio contents in order, the model's sample rate and that of the files, the stored dtype and the
    store's format.
    """
    rate = source_rate(task, module.sample_rate)
    audio = audio_sha256s(task, split, rate, hashes)
    return fingerprint_of_audio(task, split, module, audio, dtype=dtype, layers=module.layers)


def fingerprint_of_audio(
    task: Task,
    split: str,
    module: HearModule,
    audio: Sequence[str],
    *,
    dtype: str,
    layers: Collection[int],
) -> str:
    """Return :func:`embedding_fingerprint` of some layers, given the hashes of the audio."""
    return sha256_of(
        {
            "format_version": FORMAT_VERSION,
            "module": module.fingerprint_of(layers),
            "task_version": task.version,
            "embedding_type": task.embedding_type,
            "split_file": task.split_sha256(split),
            "clips": [clip.name for clip in task.clips[split]],
            "audio": audio,
            "sample_rate": module.sample_rate,
            "source_rate": source_rate(task, module.sample_rate),
            "dtype": dtype,
        }
    )


def audio_sha256s(task: Task, split: str, rate: int, hashes: ContentHashes) -> list[str]:
    """Return the hash of each clip's file at ``rate``, in order."""
    return [hashes.sha256(path) for path in audio_paths(task, split, rate)]


def embedding_directory(
    out: Path, spec: ModelSpec, task: Task, split: str, fingerprint: str
) -> Path:
    """Return the folder of a split's embeddings; it exists if and only if they are complete.

    ``spec`` is the model without a choice of layers.
    """
    return out / "embeddings" / folder_name(spec.label) / task.name / f"{split}-{fingerprint[:16]}"


def manifest(
    task: Task, split: str, module: HearModule, hashes: ContentHashes, *, dtype: str
) -> dict[str, Any]:
    """Return the fields of a manifest that are known before the work."""
    rate = source_rate(task, module.sample_rate)
    names = [clip.name for clip in task.clips[split]]
    audio = audio_sha256s(task, split, rate, hashes)
    skipped = list(task.skipped.get(split, ()))
    return {
        "fingerprint": fingerprint_of_audio(
            task, split, module, audio, dtype=dtype, layers=module.layers
        ),
        "model": {
            **module.info.model_dump(include=_OF_MODEL),
            "options": {key: _plain(value) for key, value in module.spec.options.items()},
        },
        "frontend_convention": module.frontend_convention,
        "task": {"name": task.name, "version": task.version, "sha256": task.sha256},
        "sample_rate": module.sample_rate,
        "resampled_from": None if rate == module.sample_rate else rate,
        "n_clips": len(task.clips[split]),
        "n_skipped": len(skipped),
        "skipped": skipped,
        "dtype": dtype,
        # This hash of the recordings does not depend on their order.
        "audio": {"rate": rate, "sha256": sha256_of(dict(zip(names, audio, strict=True)))},
        "device": module.device,
        "layers": {str(layer): columns for layer, columns in module.layers.items()},
        "harness_version": metadata.version("hear-byola"),
        "torch_version": torch.__version__,
    }


def _plain(value: object) -> object:
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)
