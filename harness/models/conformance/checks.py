"""Checks of a HEAR-API module that the official validator does not make.

Each check is a function of a :class:`Subject` that returns its measurement in words, or raises
:class:`Failure`, :class:`Doubt` or :class:`Unmeasured`. Each fault is reported by one check and
ignored by the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from harness.models.conformance.centres import click_train, measure_lag
from harness.models.conformance.subject import (
    Doubt,
    Failure,
    Subject,
    Unmeasured,
    relative_difference,
    said,
)
from harness.models.module import ATTRIBUTES, other_weights
from harness.models.process_state import (
    changed_settings,
    random_states,
    restored_random_states,
    settings,
)
from harness.models.timegrid import likely_unit

SAMPLE_RATES = (16000, 22050, 32000, 44100, 48000)  # HEAR API, "sample_rate"
SUGGESTED_HOP_MS = 50.0  # HEAR API, "get_timestamp_embeddings"

# Relative to the largest component of an embedding; above the error of float32 sums in any order.
TOLERANCE = 1e-5
# No probe in float32 can distinguish two sounds whose embeddings differ by less than this.
_LEAST_DIFFERENCE = 1e-4
# hearvalidator 2021.0.6 reports an irregular spacing if the deviation is larger than this.
SPACING_MS = 1.0
_LENGTHS = (0.51, 1.07, 2.74, 10.0)  # s; multiples of no usual hop
N_CLICKS = 32
SEGMENT_SECONDS = 1.5


def check_no_path(subject: Subject) -> str:
    """Check that ``load_model()`` works without a path, as the official validator calls it."""
    if subject.spec.checkpoint or subject.spec.options:
        with restored_random_states():
            subject.api.load_model()
    return "load_model() works without a path"


def check_attributes(subject: Subject) -> str:
    """Check that the attributes are plain ints and the sample rate is one of HEAR's."""
    values = {name: getattr(subject.model, name) for name in ATTRIBUTES}
    for name, value in values.items():
        if type(value) is not int:
            raise Failure(f"{name} is {value!r}, of type {type(value).__name__}, not a plain int")
    if values["sample_rate"] not in SAMPLE_RATES:
        raise Failure(
            f"sample_rate is {values['sample_rate']}; HEAR audio has "
            f"{', '.join(map(str, SAMPLE_RATES))} Hz"
        )
    return ", ".join(f"{name} {value}" for name, value in values.items())


def check_eval_mode(subject: Subject) -> str:
    """Check that no layer is in training mode."""
    if not subject.was_training:
        return "no layer is in training mode"
    names = subject.was_training
    kinds = {type(m).__name__ for m in subject.model.modules()}
    active = sorted(k for k in kinds if "Dropout" in k or "BatchNorm" in k or "DropPath" in k)
    what = f"in training mode after load_model: {names[0]}"
    what += f" and {len(names) - 1} more" * (len(names) > 1)
    if not active:
        raise Doubt(f"{what}; no dropout or batch normalisation among them")
    raise Failure(
        f"{what}, with {', '.join(active)} among them: call model.eval() in load_model. The other "
        "checks were made in eval mode"
    )


def check_outputs(subject: Subject) -> str:
    """Check that outputs are finite tensors of the right shapes, for several clips and batches."""
    for n_sounds, seconds in zip((1, 2, 3, 2), _LENGTHS, strict=True):
        audio = subject.noise(n_sounds, seconds)
        scene = subject.scene(audio)
        expected = (n_sounds, int(subject.model.scene_embedding_size))
        if scene.shape != expected:
            raise Failure(f"scene embeddings of shape {scene.shape}, not {expected}")
        embeddings, times = subject.timestamps(audio)
        size = int(subject.model.timestamp_embedding_size)
        if embeddings.ndim != 3 or embeddings.shape[::2] != (n_sounds, size):
            raise Failure(
                f"timestamp embeddings of shape {embeddings.shape}, not ({n_sounds}, t, {size})"
            )
        if times.shape != embeddings.shape[:2]:
            raise Failure(f"timestamps of shape {times.shape}, not {embeddings.shape[:2]}")
        if not times.size:
            raise Failure(f"no timestamp in {seconds} s of audio")
        for name, array in _named(scene, embeddings, times):
            if not np.isfinite(array).all():
                raise Failure(f"{name} with NaN or inf, on {seconds} s of white noise")
    return "tensors of the right shapes on 1 to 3 clips of 0.51 to 10 s"


def _named(*outputs: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    return zip(("scene embeddings", "timestamp embeddings", "timestamps"), outputs, strict=True)


def check_dtypes(subject: Subject) -> str:
    """Check that embeddings and timestamps are float32."""
    audio = subject.noise(2, 1.0)
    for name, array in _named(subject.scene(audio), *subject.timestamps(audio)):
        if array.dtype != np.float32:
            raise Failure(f"{name} of dtype {array.dtype}, not float32")
    return "embeddings and timestamps are float32"


def check_grid(subject: Subject) -> str:
    """Check that timestamps are regular, cover the clip, and are the same for every clip."""
    doubts = []
    hops = []
    for seconds in _LENGTHS:
        times = subject.timestamps(subject.noise(2, seconds))[1].astype(np.float64)
        if np.abs(times[0] - times[1]).max() > 0:
            raise Failure("two clips of one length have different timestamps")
        end = 1000 * subject.seconds(seconds) / subject.sample_rate
        if unit := likely_unit(times, end, subject.sample_rate):
            raise Failure(
                f"timestamps up to {times.max():.6g} for {end:.0f} ms of audio: these look like "
                f"{unit}; the API requires milliseconds"
            )
        times = times[0]
        if times.max() > end:
            raise Failure(f"a timestamp at {times.max():.2f} ms of a clip of {end:.2f} ms")
        if times.min() < 0:
            raise Failure(f"a timestamp at {times.min():.2f} ms")
        if len(times) < 2:
            continue
        steps = np.diff(times)
        hop = steps.mean()
        if steps.min() <= 0 or np.abs(steps - hop).max() > SPACING_MS:
            raise Failure(
                f"irregular spacing, {steps.min():.3f} to {steps.max():.3f} ms, in {seconds} s"
            )
        if times[0] > hop or times[-1] < end - min(hop, SUGGESTED_HOP_MS):
            doubts.append(
                f"timestamps from {times[0]:.1f} to {times[-1]:.1f} ms leave an end of a clip of "
                f"{end:.0f} ms without embeddings"
            )
        hops.append((hop, len(times)))
    return _judge_hops(hops, doubts)


def _judge_hops(hops: list[tuple[float, int]], doubts: list[str]) -> str:
    if not hops:
        raise Unmeasured("one timestamp in 10 s")
    hop, _ = hops[-1]
    if hop > SUGGESTED_HOP_MS + 1e-3:
        doubts.append(f"{hop:.1f} ms apart; HEAR suggests {SUGGESTED_HOP_MS:.0f} ms or less")
    if any(abs(other - hop) * n > SPACING_MS for other, n in hops):
        spacings = ", ".join(f"{other:.3f}" for other, _ in hops)
        doubts.append(f"the spacing depends on the clip's length: {spacings} ms")
    if doubts:
        raise Doubt("; ".join(doubts))
    return f"every {hop:.3f} ms, regular, the same for every clip, from end to end"


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
            f"{' and '.join(keeping)} records a graph for gradients unless the caller disables "
            "gradients; the harness does this, the official validator does not"
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


def check_sounds_differ(subject: Subject) -> str:
    """Check that different sounds have different embeddings."""
    time = np.arange(subject.seconds(2.0)) / subject.sample_rate
    low, high = (0.5 * np.sin(2 * np.pi * f * time) for f in (300.0, 3000.0))
    noise = subject.noise(1, 2.0)
    halves = np.where(time < 1.0, low, high)
    audio = np.stack([low, high, halves]).astype(np.float32)
    a, b, _ = scene = subject.scene(audio)
    c = subject.scene(noise)[0]
    steady, changing = subject.timestamps(audio)[0][[0, 2]]
    differences = {
        "two tones": relative_difference(a, b),
        "a tone and noise": relative_difference(a, c),
        "the halves of a clip with two tones": relative_difference(steady, changing),
    }
    alike = [name for name, value in differences.items() if not value > _LEAST_DIFFERENCE]
    if alike and np.isfinite(scene).all():
        raise Failure(f"the same embedding for {', for '.join(alike)}")
    return "tones and noise differ by " + ", ".join(f"{v:.2g}" for v in differences.values())


def _check_finite(subject: Subject, audio: np.ndarray, what: str) -> None:
    if not np.isfinite(subject.scene(audio)).all():
        raise Failure(f"the scene embedding of {what} contains NaN or inf")
    embeddings, times = subject.timestamps(audio)
    if not (np.isfinite(embeddings).all() and np.isfinite(times).all()):
        raise Failure(f"the timestamp embeddings of {what} contain NaN or inf")
    if not times.size:
        raise Failure(f"no timestamp for {what}")


def check_silence(subject: Subject) -> str:
    """Check that digital silence has finite embeddings."""
    silence = np.zeros((1, subject.seconds(2.0)), np.float32)
    _check_finite(subject, silence, "2 s of digital silence")
    return "digital silence has finite embeddings"


def check_full_scale(subject: Subject) -> str:
    """Check that audio at full scale has finite embeddings."""
    square = np.sign(subject.noise(1, 2.0))
    _check_finite(subject, square, "noise clipped to -1 and 1")
    _check_finite(subject, np.ones_like(square), "a constant at full scale")
    return "finite at full scale"


def check_short_clips(subject: Subject) -> str:
    """Check clips shorter than an analysis window: 10 ms must work, one sample should."""
    noise = subject.noise(2, 0.1)
    for milliseconds in (100, 25, 10):
        audio = noise[:, : subject.sample_rate * milliseconds // 1000]
        try:
            _check_finite(subject, audio, f"a clip of {milliseconds} ms")
        except Failure:
            raise
        except Exception as error:
            raise Failure(f"a clip of {milliseconds} ms raises {said(error)}") from error
    try:
        _check_finite(subject, noise[:, :1], "a clip of one sample")
    except Exception as error:
        raise Doubt(f"10 ms works, but a clip of one sample does not: {said(error)}") from error
    return "100, 25 and 10 ms and one sample work"


def check_centres(subject: Subject) -> str:
    """Check with clicks in silence that timestamps are the centres of their windows."""
    times = subject.timestamps(subject.noise(1, 10.0))[1][0]
    hop = float(np.diff(times).mean()) / 1000 if len(times) > 1 else 10.0
    if hop > 2.0:
        raise Unmeasured(f"timestamps {hop:.1f} s apart are too coarse")
    audio, clicks = click_train(subject.sample_rate, max(SEGMENT_SECONDS, 8 * hop), N_CLICKS)
    embeddings, times = subject.timestamps(audio[None])
    if not np.isfinite(embeddings).all():
        raise Unmeasured("the embeddings of clicks in silence contain NaN or inf")
    lag = measure_lag(embeddings[0], times[0], clicks)
    if lag is None:
        raise Unmeasured("a click in silence changes no embedding, or embeddings all over the clip")
    if abs(lag.offset) > lag.allowed:
        where = "before" if lag.offset < 0 else "after"
        raise Failure(
            f"timestamps are {abs(lag.offset):.1f} ms {where} the sound that their embeddings "
            f"respond to (allowed {lag.allowed:.1f} ms); a timestamp must be the centre of its "
            "window, not its start"
        )
    return (
        f"the response to {N_CLICKS} clicks is {lag.offset:+.1f} ms from the clicks "
        f"(allowed {lag.allowed:.1f} ms)"
    )


# In this order: a check comes after the checks that it depends on.
CHECKS: dict[str, Callable[[Subject], str]] = {
    "load without a path": check_no_path,
    "attributes": check_attributes,
    "evaluation mode": check_eval_mode,
    "outputs": check_outputs,
    "dtypes": check_dtypes,
    "timestamp grid": check_grid,
    "true centres": check_centres,
    "batch mates": check_batch_mates,
    "determinism": check_determinism,
    "input untouched": check_input_untouched,
    "gradients": check_no_gradient,
    "global state": check_global_state,
    "sounds differ": check_sounds_differ,
    "silence": check_silence,
    "full scale": check_full_scale,
    "short clips": check_short_clips,
}

# Checks of clips need valid outputs, and checks of times also need a valid timestamp grid.
_BEFORE_OUTPUTS = ("load without a path", "attributes", "evaluation mode", "outputs")
LONG_AUDIO = "long audio"
STANDS_ON: dict[str, tuple[str, ...]] = {
    **{name: ("outputs",) for name in CHECKS if name not in _BEFORE_OUTPUTS},
    "true centres": ("outputs", "timestamp grid"),
    LONG_AUDIO: ("outputs", "timestamp grid"),
}
