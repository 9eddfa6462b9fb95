"""The record of a model in manifests of embeddings, in result rows and in tables."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from harness.core.cells import ColumnGroup, Count, Name


class ModelInfo(ColumnGroup):
    """Identity of a model.

    Attributes:
        label: the name in tables.
        options: of ``load_model``, as JSON; empty without options.
        fingerprint: hash of source, options, weights, checkpoint and reference embeddings.
        checkpoint, checkpoint_sha256: path as given by the user, and hash; empty without one.
        checkpoint_revision: commit of a checkpoint of a hub, or name of the file; empty otherwise.
        layer: number of the layer, if the embeddings are those of one of several layers.
        frontend_convention: the mel filterbank; empty if the model does not declare it.
        sample_rate: in Hz; None if it is not known.
        module: import name or path of the HEAR module; empty in rows of schema version 1.
    """

    label: Annotated[Name, Field(alias="model")]
    fingerprint: Annotated[str, Field(alias="model_fingerprint")]
    options: Annotated[str, Field(alias="model_options")] = ""
    checkpoint: str = ""
    checkpoint_sha256: str = ""
    frontend_convention: str = ""
    sample_rate: Count | None = None
    module: str = ""
    checkpoint_revision: str = ""
    layer: Count | None = None
