"""The models that a run's folder knows, by what they are made of and what they compute.

``RUN/models`` holds the reference embeddings (:mod:`harness.models.reference`) of each model. A
model that is loaded again, on another machine or device, is recognised by them up to a tolerance,
which no hash of rounded numbers can do.
"""

from __future__ import annotations

import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UserError
from harness.core.files import write_file
from harness.core.hashing import content_sha256, sha256_of
from harness.models.module import HearModule, load_again, other_weights
from harness.models.reference import (
    ReferenceEmbeddings,
    difference,
    difference_of_shared,
    tolerance,
)
from harness.run.folder import refuse_unwritable

FOLDER = "models"
_VERSION = "1"

# A model whose embeddings depend that much on rounding, or on random numbers, is warned of.
_LARGE_SPREAD = 0.05


@dataclass(frozen=True)
class _Known:
    fingerprint: str
    reference: ReferenceEmbeddings


def identify(module: HearModule, out: Path, *, check_load: bool) -> None:
    """Set a model's fingerprint to the one that a run's folder knows it by.

    A model that the folder does not know is added to it.

    Args:
        module: as loaded.
        out: the run's folder.
        check_load: load a model that is not known a second time, and compare.

    Raises:
        UserError: ``load_model`` gives another model at each call.
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
        # It rounds to the same numbers as another model from which it differs.
        digest = content_sha256(content)
        module.fingerprint = sha256_of([module.fingerprint, digest])
    content = found.to_bytes(
        version=_VERSION, model=module.spec.label, fingerprint=module.fingerprint
    )
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
    """Check that a loaded model is the one that a run was planned with, and set its fingerprint.

    Raises:
        UserError: it is another one.
    """
    known = _read(out, module.static_fingerprint)
    planned = next((model for model in known if model.fingerprint == fingerprint), None)
    label = module.spec.label
    if planned is None:
        raise UserError(
            f"{label}: this is another model than the run began with. Its code, its options or its "
            "checkpoint was changed meanwhile: run again. Or load_model gives other weights in "
            "each process: draw them with a generator of a fixed seed."
        )
    found = module.reference()
    apart = difference_of_shared(planned.reference, found)
    if apart > tolerance(planned.reference, found):
        raise UserError(
            f"{label}: this process computes something else than the plan's: embeddings of one "
            f"sound differ by {apart:.2g} of their size. {other_weights(module.spec)}. Or a file "
            "that the model reads was changed meanwhile: run again."
        )
    module.fingerprint = fingerprint


def _path(out: Path, static_fingerprint: str, fingerprint: str) -> Path:
    return out / FOLDER / f"{static_fingerprint[:16]}-{fingerprint[:16]}.npz"


def _read(out: Path, static_fingerprint: str) -> list[_Known]:
    """The known models of one static fingerprint; damaged files and other versions are none."""
    known = []
    for path in sorted((out / FOLDER).glob(f"{static_fingerprint[:16]}-*.npz")):
        try:
            reference, texts = ReferenceEmbeddings.from_bytes(path.read_bytes())
            if texts["version"] == _VERSION:
                known.append(_Known(texts["fingerprint"], reference))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            continue
    return known
