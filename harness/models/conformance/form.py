"""Checks of the form of a module: arguments, attributes, shapes, types and timestamps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from harness.core.errors import UserError
from harness.models.arguments import names_checkpoints
from harness.models.conformance.centres import click_train, measure_lag
from harness.models.conformance.subject import (
    Doubt,
    Failure,
    Subject,
    Unmeasured,
)
from harness.models.layers import OPTION, LayerFunctions, chosen_layers
from harness.models.module import ATTRIBUTES
from harness.models.process_state import restored_random_states
from harness.models.timegrid import likely_unit

SAMPLE_RATES = (16000, 22050, 32000, 44100, 48000)  # HEAR API, "sample_rate"
SUGGESTED_HOP_MS = 50.0  # HEAR API, "get_timestamp_embeddings"

# hearvalidator 2021.0.6 reports an irregular spacing if the deviation is larger than this.
SPACING_MS = 1.0
_LENGTHS = (0.51, 1.07, 2.74, 10.0)  # s; multiples of no usual hop
N_CLICKS = 32
SEGMENT_SECONDS = 1.5


def check_no_path(subject: Subject) -> str:
    """Check that ``load_model()`` works without a path, as the official validator calls it."""
    if names_checkpoints(subject.api):
        raise Unmeasured("the module loads models of a toolkit by name, and has no default")
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
            raise Failure(
                f"a timestamp at {times.max():.2f} ms of a clip of {end:.2f} ms: leave out frames "
                "whose centre is past the end"
            )
        if times.min() < 0:
            raise Failure(
                f"a timestamp at {times.min():.2f} ms: leave out frames whose centre is before 0"
            )
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


def check_layers(subject: Subject) -> str:
    """Check the sizes and the timestamps of the layers that a module offers."""
    if getattr(subject.model, "layer_sizes", None) == []:
        raise Unmeasured("this model of the module has none")
    spec = dataclasses.replace(subject.spec, options={OPTION: "all"}, name="the module")
    try:
        layers = chosen_layers(spec, subject.api, subject.model)
        functions = LayerFunctions(subject.api, layers, spec.label)
        audio = subject.noise(2, 1.07)
        scene = subject.backend.call(functions.get_scene_embeddings, audio.copy())
        found, times = subject.backend.call(functions.get_timestamp_embeddings, audio.copy())
    except UserError as error:
        raise Failure(str(error)) from error
    arrays = [np.asarray(subject.backend.array(each)) for each in (scene, found, times)]
    for name, array in _named(*arrays):
        if array.dtype != np.float32:
            raise Failure(f"{name} of layers are not float32 tensors")
        if not np.isfinite(array).all():
            raise Failure(f"{name} of layers contain NaN or inf")
    if not np.array_equal(arrays[2], subject.timestamps(audio)[1]):
        raise Failure("layers have other timestamps than the embeddings")
    return f"{len(layers)} layers of {', '.join(map(str, layers.values()))} values"


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
