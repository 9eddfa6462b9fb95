"""Checks that embeddings depend on a clip's audio alone, and that calls have no side effects."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from harness.models.conformance.subject import (
    Doubt,
    Failure,
    Subject,
    Unmeasured,
    relative_difference,
)
from harness.models.loading import other_weights
from harness.models.process_state import (
    changed_settings,
    random_states,
    restored_random_states,
    settings,
)

# Relative to the largest component of an embedding; above the error of float32 sums in any order.
TOLERANCE = 1e-5


def check_batch_mates(subject: Subject) -> str:
    """Check that a clip has the same embedding alone and at any position of any batch."""
    clip = 0.3 * subject.noise(1, 2.0)
    loud, quiet = subject.noise(1, 2.0, seed=1), 1e-3 * subject.noise(1, 2.0, seed=2)
    silence = np.zeros_like(clip)
    batches = [([clip, silence], 0), ([loud, loud, clip, quiet, silence], 2), ([quiet, clip], 1)]
    worst = 0.0
    alone = subject.scene(clip)[0], subject.timestamps(clip)[0][0]
    if relative_difference(alone[0], subject.scene(clip)[0]) > TOLERANCE:
        raise Unmeasured("a clip alone has another embedding at each call")
    for clips, place in batches:
        audio = np.concatenate(clips)
        beside = subject.scene(audio)[place], subject.timestamps(audio)[0][place]
        worst = max(worst, *map(relative_difference, alone, beside))
    if not worst <= TOLERANCE:
        raise Failure(
            f"a clip's embedding changes by {worst:.1e} of its size with the other clips of its "
            f"batch (allowed {TOLERANCE:.0e}): the model normalises or pads over the batch"
            + _reduced_precision(subject)
        )
    return f"largest relative difference {worst:.1e}"


def _reduced_precision(subject: Subject) -> str:
    on_cuda = subject.backend.device.startswith("cuda")
    if on_cuda and torch.backends.cudnn.allow_tf32:
        return "; on this device convolutions run in TF32, which alone gives errors of about 1e-3"
    return ""


def check_determinism(subject: Subject) -> str:
    """Check that embeddings of the same audio do not depend on the random generators' state."""
    audio = subject.noise(2, 2.0)

    def embedded(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
        return subject.scene(audio), subject.timestamps(audio)[0]

    first = embedded(subject)
    with restored_random_states():
        torch.rand(7)
        random.random()
        np.random.random()  # noqa: NPY002 (the global generator is what a module may depend on)
        second = embedded(subject)
        again = embedded(subject.loaded_again())
    worst = max(map(relative_difference, first, second))
    if not worst <= TOLERANCE:
        raise Failure(f"two calls with the same audio differ by {worst:.1e} of the embedding")
    of_loads = max(map(relative_difference, first, again))
    if not of_loads <= TOLERANCE:
        raise Failure(
            f"the embeddings of two loads differ by {of_loads:.1e}: {other_weights(subject.spec)}"
        )
    worst = max(worst, of_loads)
    return "two calls and two loads agree" + (f" to {worst:.1e}" if worst else " to the bit")


def check_input_untouched(subject: Subject) -> str:
    """Check that the caller's audio is not changed in place."""
    changed = []
    for function in (subject.api.get_scene_embeddings, subject.api.get_timestamp_embeddings):

        def watched(audio: Any, model: Any, function: Callable = function) -> Any:
            before = subject.backend.array(audio)
            before = None if before is None else before.copy()
            answer = function(audio, model)
            after = subject.backend.array(audio)
            if before is not None and after is not None and not np.array_equal(before, after):
                changed.append(function.__name__)
            return answer

        subject.backend.call(watched, 0.5 * subject.noise(2, 1.0) + 0.25)
    if changed:
        raise Failure(f"the audio given is changed in place by {' and '.join(changed)}")
    return "the audio given is left as it was"


def check_no_gradient(subject: Subject) -> str:
    """Check that embeddings have no gradient graph, which takes memory for every stored clip."""
    if not isinstance(subject.model, torch.nn.Module):
        raise Unmeasured("not a torch module")
    audio = torch.from_numpy(subject.noise(1, 1.0)).to(subject.backend.device)
    with torch.enable_grad():
        scene = subject.api.get_scene_embeddings(audio, subject.model)
        embeddings, _ = subject.api.get_timestamp_embeddings(audio, subject.model)
    answers = {"get_scene_embeddings": scene, "get_timestamp_embeddings": embeddings}
    keeping = [name for name, answer in answers.items() if answer.requires_grad]
    if keeping:
        raise Doubt(
            f"the embeddings of {' and '.join(keeping)} carry a graph for gradients unless the "
            "caller disables gradients; the harness does this, the official validator does not"
        )
    return "no graph for gradients is recorded"


def check_global_state(subject: Subject) -> str:
    """Check that neither loading nor embedding changes the state of the whole process."""
    problems = [f"load_model changes {name}" for name in subject.changed_settings]
    doubts = list(subject.other_side_effects)
    audio = subject.noise(1, 1.0)
    for name, call in {
        "get_scene_embeddings": subject.scene,
        "get_timestamp_embeddings": subject.timestamps,
    }.items():
        before, states = settings(), random_states()
        with restored_random_states():
            call(audio)
            now = random_states()
        problems += [f"{name} changes {setting}" for setting in changed_settings(before)]
        doubts += [
            f"{name} draws from or seeds the global generator of {library}"
            for library in states
            if states[library] != now[library]
        ]
    if problems:
        raise Failure("; ".join(problems + doubts))
    if doubts:
        raise Doubt("; ".join(doubts))
    return "settings of torch, random generators and the environment are left alone"
