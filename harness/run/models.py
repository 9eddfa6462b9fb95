"""Recognise the models of a run by their reference embeddings.

``RUN/models`` contains the reference embeddings (:mod:`harness.models.reference`) of each model. A
model that is loaded again, on another machine or device, is recognised by comparing them with a
tolerance. A hash of rounded numbers could not do this.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UserError
from harness.core.files import write_file
from harness.core.hashing import content_sha256, sha256_of
from harness.models.loading import load_again, other_weights
from harness.models.module import HearModule
from harness.models.reference import (
    ReferenceEmbeddings,
    difference,
    difference_of_shared,
    tolerance,
)
from harness.run.folder import refuse_unwritable

FOLDER = "models"
_VERSION = "1"

# A warning is given if rounding or random numbers change embeddings by more than this.
_LARGE_SPREAD = 0.05


@dataclass(frozen=True)
class _Known:
    fingerprint: str
    reference: ReferenceEmbeddings


def identify(module: HearModule, out: Path, *, check_load: bool, save: bool = True) -> None:
    """Set a model's fingerprint to the one stored for it in a run's folder.

    An unknown model is added to the folder if ``save`` is set.

    Args:
        module: the loaded model.
        out: the run's folder.
        check_load: load an unknown model a second time and compare the two.
        save: whether to write.

    Raises:
        UserError: ``load_model`` returns another model at each call.
        UnwritableError: the folder cannot be written.

    Warns:
        UserWarning: the embeddings of one sound differ much between two calls.
    """
    known = _read(out, module.static_fingerprint)
    found = module.reference()
    for model in known:
        if difference(model.reference, found) <= tolerance(model.reference, found):
            module.fingerprint = model.fingerprint
            return
    if check_load:
        load_again(module)
    found = module.reference(spread=True)
    content = found.to_bytes(version=_VERSION, model=module.spec.label)
    if module.fingerprint in {model.fingerprint for model in known}:
        # Another model has the same rounded numbers, so the fingerprint needs the exact ones.
        digest = content_sha256(content)
        module.fingerprint = sha256_of([module.fingerprint, digest])
    content = found.to_bytes(
        version=_VERSION, model=module.spec.label, fingerprint=module.fingerprint
    )
    if save:
        refuse_unwritable(out)
        write_file(_path(out, module.static_fingerprint, module.fingerprint), content)
    if (found.spread or 0.0) > _LARGE_SPREAD:
        warnings.warn(
            f"{module.spec.label}: two embeddings of one sound differ by {found.spread:.2g} of "
            "their size. The model draws random numbers when it embeds, or amplifies rounding: "
            "its scores depend on chance.",
            stacklevel=2,
        )


def check_identity(module: HearModule, out: Path, fingerprint: str) -> None:
    """Check that a loaded model is the one of the plan, and set its fingerprint.

    Raises:
        UserError: it is another model.
    """
    known = _read(out, module.static_fingerprint)
    planned = next((model for model in known if model.fingerprint == fingerprint), None)
    label = module.spec.label
    if planned is None:
        raise UserError(
            f"{label}: this is not the model that the run began with. If its code, options or "
            "checkpoint were changed during the run, run again. If load_model gives other weights "
            "in each process, draw them with a generator of a fixed seed."
        )
    found = module.reference()
    apart = difference_of_shared(planned.reference, found)
    if apart > tolerance(planned.reference, found):
        raise UserError(
            f"{label}: the embeddings of one sound differ by {apart:.2g} of their size between "
            f"this process and the plan. {other_weights(module.spec)}. Or a file that the model "
            "reads was changed during the run: run again."
        )
    module.fingerprint = fingerprint


def _path(out: Path, static_fingerprint: str, fingerprint: str) -> Path:
    return out / FOLDER / f"{static_fingerprint[:16]}-{fingerprint[:16]}.npz"


def _read(out: Path, static_fingerprint: str) -> list[_Known]:
    """Return the known models of a static fingerprint; skip damaged files and other versions."""
    known = []
    for path in sorted((out / FOLDER).glob(f"{static_fingerprint[:16]}-*.npz")):
        try:
            reference, texts = ReferenceEmbeddings.from_bytes(path.read_bytes())
            if texts["version"] == _VERSION:
                known.append(_Known(texts["fingerprint"], reference))
        except Exception:  # damaged files raise all kinds
            continue
    return known
