"""Foreign weights -> our checkpoint format, with what the file does not say said by its user."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hear_byola.checkpoint import read_checkpoint, save_checkpoint
from hear_byola.checkpoint_report import file_sha256
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
    """Write the encoder of a foreign file, a published `.pth` for instance, in our format.

    The file's name and sha256 stand as `converted_from` and `converted_from_sha256` in the new
    one's `training_config`; of its training nothing is known.

    Args:
        source: what `load_model` takes.
        target: a `.safetensors` file.
        convention: mel filterbank that the weights were trained with. Default: "slaney", with which
            the published ones were.
        mean, std: statistics of the log-mel; both or none. Default: what the authors of BYOL-A
            printed with the convention.
        licence: of the weights; what was so far keeps holding, whatever is written here.
        data: what they were trained on.
        force: replace `target` if it is there.

    Returns:
        Sentences that the user should read: what was assumed for want of an option, and what
        became of the licence.

    Raises:
        FileNotFoundError: there is no source.
        FileExistsError: the target is there and `force` is not set.
        ValueError: what cannot be read (see `read_checkpoint`) or is in our format already; an
            unknown convention, unfit statistics, another suffix; the target is the source.
        OSError: the target cannot be written.
    """
    name = DEFAULT_CONVENTION if convention is None else convention
    LogMel(name, mean, std)  # refuses what cannot be used
    _check_target(source, target, force)
    checkpoint = read_checkpoint(source)
    if checkpoint.convention is not None:
        raise ValueError(
            f"{source} is in our format already, with its own convention and statistics: it needs "
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
    notes = []
    if convention is None:
        notes.append(
            f"The file does not say its mel filterbank: {name} is assumed, with which the "
            "published weights were trained. --convention names another."
        )
    if mean is None:
        notes.append(
            f"The file does not say its statistics: mean {complete.mean} and std {complete.std} "
            f"are assumed, which the authors of BYOL-A print with {name}. --mean and --std name "
            "others."
        )
    notes.append(
        "Converting changes nothing of the licence of the weights, which stays what it was"
        + ("." if licence else ". The new file names none; --licence would.")
    )
    return notes


def _check_target(source: Path, target: Path, force: bool) -> None:
    if target.suffix != ".safetensors":
        raise ValueError(f"{target}: the name of a checkpoint in our format ends in .safetensors.")
    if target.is_dir():
        raise ValueError(f"{target} is a folder; name a file.")
    if target.exists() and source.exists() and target.samefile(source):
        raise ValueError(f"{target} is the file to be converted; name another.")
    if target.exists() and not force:
        raise FileExistsError(f"{target} is there already; --force replaces it.")
