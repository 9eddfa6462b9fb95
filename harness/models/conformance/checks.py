"""The checks of a HEAR-API module that the official validator does not make, in their order.

Each check is a function of a :class:`Subject` that returns its measurement in words, or raises
:class:`Failure`, :class:`Doubt` or :class:`Unmeasured`. Each fault is reported by one check and
ignored by the others.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.models.conformance import form, independence, sounds
from harness.models.conformance.subject import Subject
from harness.models.layers import offers_layers

# In this order: a check comes after the checks that it depends on.
CHECKS: dict[str, Callable[[Subject], str]] = {
    "load without a path": form.check_no_path,
    "attributes": form.check_attributes,
    "evaluation mode": form.check_eval_mode,
    "outputs": form.check_outputs,
    "dtypes": form.check_dtypes,
    "timestamp grid": form.check_grid,
    "true centres": form.check_centres,
    "batch mates": independence.check_batch_mates,
    "determinism": independence.check_determinism,
    "input untouched": independence.check_input_untouched,
    "gradients": independence.check_no_gradient,
    "global state": independence.check_global_state,
    "sounds differ": sounds.check_sounds_differ,
    "silence": sounds.check_silence,
    "full scale": sounds.check_full_scale,
    "short clips": sounds.check_short_clips,
}

LAYERS = "layers"


def checks_of(module: object) -> dict[str, Callable[[Subject], str]]:
    """Return the checks of a module; layers are checked if it offers them, which is optional."""
    return {**CHECKS, LAYERS: form.check_layers} if offers_layers(module) else CHECKS


# Checks of clips need valid outputs, and checks of times also need a valid timestamp grid.
_BEFORE_OUTPUTS = ("load without a path", "attributes", "evaluation mode", "outputs")
LONG_AUDIO = "long audio"
STANDS_ON: dict[str, tuple[str, ...]] = {
    **{name: ("outputs",) for name in CHECKS if name not in _BEFORE_OUTPUTS},
    "true centres": ("outputs", "timestamp grid"),
    LAYERS: ("outputs", "timestamp grid"),
    LONG_AUDIO: ("outputs", "timestamp grid"),
}
