"""Convert foreign weights to our format; options give the metadata that the file lacks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from hear_byola.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from hear_byola.core.filestate import file_sha256
from hear_byola.frontend import CONVENTIONS, DEFAULT_CONVENTION, LogMel


def convert(
    source: Path,
    target: Path,
    *,
    convention: str | None = None,
    mean: float | None = None,
    std: float | None = None,
    licence: str = "",
    data: str = "",
    force: bool = False,
) -> list[str]:
    """Write the encoder of a foreign file, for example a published `.pth`, in our format.

    The new file's `training_config` has the name and sha256 of the old one as `converted_from` and
    `converted_from_sha256`; nothing else is known about the training.

    Args:
        source: a file that `load_model` reads.
        target: a `.safetensors` file.
        convention: mel filterbank of the training. Default: "slaney", as for the published weights.
        mean, std: statistics of the log-mel; both or none. Default: the values that the authors of
            BYOL-A printed with the convention.
        licence: licence of the weights; it does not change their actual licence.
        data: training data.
        force: replace an existing `target`.

    Returns:
        Notes for the user: values that were assumed, and a note on the licence.

    Raises:
        FileNotFoundError: the source does not exist.
        FileExistsError: the target exists and `force` is not set.
        ValueError: the source cannot be read (see `read_checkpoint`) or is in our format already;
            an unknown convention, wrong statistics or another suffix; the target is the source.
        OSError: the target cannot be written.
    """
    name = DEFAULT_CONVENTION if convention is None else convention
    LogMel(name, mean, std)  # raises ValueError for wrong options
    _check_target(source, target, force)
    checkpoint = read_checkpoint(source)
    if checkpoint.convention is not None:
        raise ValueError(
            f"{source} is in our format already, with its own convention and statistics. It needs "
            "no conversion."
        )
    complete = replace(
        checkpoint,
        convention=name,
        mean=CONVENTIONS[name].mean if mean is None else mean,
        std=CONVENTIONS[name].std if std is None else std,
        training_config={
            "converted_from": source.name,
            "converted_from_sha256": file_sha256(source),
        },
        data=data,
        licence=licence,
    )
    save_checkpoint(target, complete)
    return list(_notes(complete, convention is None, mean is None))


def _notes(made: Checkpoint, convention_assumed: bool, statistics_assumed: bool) -> Iterator[str]:
    if convention_assumed:
        yield (
            f"The file does not record its mel filterbank; {made.convention} is assumed, as for "
            "the published weights. --convention sets another."
        )
    if statistics_assumed:
        yield (
            f"The file does not record its statistics; mean {made.mean} and std {made.std} are "
            f"assumed, which the authors of BYOL-A printed with {made.convention}. --mean and "
            "--std set others."
        )
    yield "Conversion does not change the licence of the weights" + (
        "." if made.licence else ". The new file records none; --licence records it."
    )


def _check_target(source: Path, target: Path, force: bool) -> None:
    if target.suffix != ".safetensors":
        raise ValueError(
            f"{target}: the name of a checkpoint in our format must end in .safetensors."
        )
    if target.is_dir():
        raise ValueError(f"{target} is a folder. Give the path of a file.")
    if target.exists() and source.exists() and target.samefile(source):
        raise ValueError(f"{target} is the file to be converted. Give another path.")
    if target.exists() and not force:
        raise FileExistsError(f"{target} exists. --force replaces it.")
