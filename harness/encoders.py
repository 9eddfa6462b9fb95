"""Make a HEAR module of a frame encoder: the public names for modules of your own.

A module subclasses :class:`FrameEncoder`, returns a :class:`FrameModel` of it from ``load_model``,
and imports the other functions of the HEAR API from here. docs/models.md shows examples.
"""

from __future__ import annotations

from harness.models.frame_functions import (
    get_layer_embeddings,
    get_scene_embeddings,
    get_timestamp_embeddings,
)
from harness.models.frames import HOP_MS, FrameEncoder, FrameModel
from harness.models.geometry import Geometry

__all__ = [
    "HOP_MS",
    "FrameEncoder",
    "FrameModel",
    "Geometry",
    "get_layer_embeddings",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
]
