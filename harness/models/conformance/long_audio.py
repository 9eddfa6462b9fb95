"""Check the memory and the drift of timestamps on a long clip, in a separate process.

HEAR's longest clip lasts 20 minutes. For a slow module a shorter clip and its half are embedded,
and the memory for 20 minutes is estimated from the difference.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.models.conformance.centres import Lag, click_train, measure_lag
from harness.models.conformance.child import call_in_child
from harness.models.conformance.form import N_CLICKS, SEGMENT_SECONDS, SPACING_MS
from harness.models.conformance.subject import Doubt, Failure, Subject, load_subject, said
from harness.models.imports import guest_of
from harness.models.spec import ModelSpec
from tasks.audio import MAX_SECONDS

# HEAR API: "any length up to 20 minutes", embedded "within 16 GB of GPU memory".
MEMORY_LIMIT = 16 * 2**30

SHORT_SECONDS = 100.0
"""Length of the shorter clip, which has clicks at both ends and a gap between them."""


def embedded_seconds(seconds: float) -> float:
    """Return the seconds of audio that the check embeds for a clip of this length."""
    return 2 * seconds if seconds == MAX_SECONDS else 1.5 * seconds


def check_long_audio(spec: ModelSpec, device: str, seconds: float = MAX_SECONDS) -> str:
    """Embed a long clip, with clicks at its beginning and its end.

    For a clip of 20 minutes, scene and timestamp embeddings are computed. For a shorter clip only
    timestamp embeddings are computed, first of its half. The process may use 16 GB of GPU memory
    or, for a model on the CPU, of main memory.

    Args:
        spec: the module.
        device: as for :func:`harness.models.loading.load_module`.
        seconds: length of the clip, at least 100.

    Raises:
        Doubt: the memory for 20 minutes, estimated from a shorter clip, is above the limit.
        Failure: the call runs out of memory or fails, embeddings contain NaN, or timestamps are
            irregular, exceed the clip, or drift against the sound.
    """
    request = {"spec": asdict(spec), "device": device, "seconds": seconds}
    answer = call_in_child("harness.models.conformance.long_audio", "examine_here", request)
    if answer.value is None:
        raise Failure(answer.death)
    if "failure" in answer.value:
        raise Failure(answer.value["failure"])
    if "doubt" in answer.value:
        raise Doubt(answer.value["doubt"])
    return str(answer.value["measured"])


def examine_here(request: Mapping[str, Any]) -> dict[str, str]:
    """Make the check in this process and limit its memory; to be called in a child only."""
    try:
        subject = load_subject(ModelSpec(**request["spec"]), request["device"])
        with guest_of(subject.api).called():
            return {"measured": _examine(subject, float(request["seconds"]))}
    except Failure as failure:
        return {"failure": str(failure)}
    except Doubt as doubt:
        return {"doubt": str(doubt)}
    except Exception as error:  # a module can raise any exception
        return {"failure": said(error)}


def _examine(subject: Subject, seconds: float) -> str:
    _limit_memory(subject)
    before = _peak_memory(subject)
    n_samples = subject.seconds(seconds)
    train, clicks = click_train(subject.sample_rate, SEGMENT_SECONDS, N_CLICKS)
    audio = np.zeros((1, n_samples), np.float32)
    audio[0, : len(train)] = audio[0, -len(train) :] = train
    shorter = seconds < MAX_SECONDS
    if shorter:
        subject.timestamps(audio[:, : n_samples // 2])
    half = _peak_memory(subject)
    began = time.perf_counter()
    embeddings, times = (a[0] for a in subject.timestamps(audio))
    spent = f"timestamps in {time.perf_counter() - began:.1f} s"
    finite = np.isfinite(embeddings).all()
    if not shorter:
        began = time.perf_counter()
        finite &= np.isfinite(subject.scene(audio)).all()
        spent += f", scene in {time.perf_counter() - began:.1f} s"
    if not finite:
        raise Failure("NaN or inf in the embeddings")
    duration = 1000 * n_samples / subject.sample_rate
    times = times.astype(np.float64)
    check_grid(times, duration)
    tail_start = 1000 * (n_samples - len(train)) / subject.sample_rate
    head = measure_lag(*_between(embeddings, times, 0, 1000 * SEGMENT_SECONDS * N_CLICKS), clicks)
    tail = measure_lag(*_between(embeddings, times, tail_start, duration), clicks + tail_start)
    peak = _peak_memory(subject)
    used = f"{max(0, peak - before) / 2**30:.1f} GB beyond the loaded model"
    told = f"{spent}, {used}; {_drift(head, tail)}"
    if not shorter:
        return told
    # Memory that grows faster than the length is underestimated.
    grown = (peak - half) / (seconds / 2) * (MAX_SECONDS - seconds)
    needed = f"{(peak - before + grown) / 2**30:.1f} GB"
    if peak + grown > MEMORY_LIMIT:
        raise Doubt(
            f"for a clip of {seconds:g} s: {told}. 20 minutes would take {needed} or more, but "
            f"HEAR allows {MEMORY_LIMIT / 2**30:g} GB; --long tests it"
        )
    return (
        f"{told}. This was a clip of {seconds:g} s; 20 minutes would take about {needed}, and "
        "--long embeds them"
    )


def _between(
    embeddings: np.ndarray, times: np.ndarray, start: float, end: float
) -> tuple[np.ndarray, np.ndarray]:
    chosen = (times >= start) & (times < end)
    return embeddings[chosen], times[chosen]


def check_grid(times: np.ndarray, duration: float) -> None:
    """Check that timestamps (ms) are a regular grid inside the clip, to 1 ms.

    Raises:
        Failure: they are not.
    """
    if len(times) < 2:
        raise Failure("fewer than two timestamps")
    if times[-1] > duration:
        raise Failure(f"the last timestamp is {times[-1] - duration:.1f} ms past the clip's end")
    regular = np.linspace(times[0], times[-1], len(times))
    off = np.abs(times - regular).max()
    if off > SPACING_MS:
        raise Failure(f"timestamps deviate by {off:.1f} ms from a regular grid")
    hop = (times[-1] - times[0]) / (len(times) - 1)
    if times[-1] < duration - 2 * hop:
        raise Failure(
            f"the last timestamp is {duration - times[-1]:.1f} ms before the clip's end, at "
            f"{hop:.1f} ms a step: the end has no embeddings, or timestamps drift"
        )


def _drift(head: Lag | None, tail: Lag | None) -> str:
    if head is None or tail is None:
        return "embeddings do not respond to clicks where they are, so drift is not measured"
    drift = tail.offset - head.offset
    if abs(drift) > head.allowed:
        raise Failure(
            f"timestamps drift by {drift:+.1f} ms against the sound from the first clicks to the "
            f"last (allowed {head.allowed:.1f} ms): a rounded hop adds up"
        )
    return f"{drift:+.1f} ms of drift (allowed {head.allowed:.1f} ms)"


def _limit_memory(subject: Subject) -> None:
    if subject.backend.device.startswith("cuda"):
        device = torch.device(subject.backend.device)
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, MEMORY_LIMIT / total), device)
    elif subject.backend.device == "cpu":
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        allowed = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))


def _peak_memory(subject: Subject) -> int:
    """Return the peak memory in bytes so far, of the GPU or, for other models, this process."""
    if subject.backend.device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(subject.backend.device))
    status = Path("/proc/self/status")
    if status.exists():  # in a child, the peak of getrusage includes the parent's at the fork
        return 1024 * int(status.read_text().split("VmHWM:")[1].split()[0])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
