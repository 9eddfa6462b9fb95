"""Make the demo task of detecting horns, engines, animals, crashes, tools and liquids.

A clip is 8 s of ambience with two to seven events, which may overlap. Events and ambience of a
split are in no other split; sounds edited from one recording are in the same split.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tasks.format.spec import EmbeddingType, EvaluationParams, PostprocessingGrid, PredictionType
from tools.demo_recipes.layout import DemoClip, DemoTask
from tools.demo_recipes.open_sfx import SoundSet
from tools.demo_recipes.sonic_pi import Samples
from tools.demo_recipes.sound import RATE, Sound, at_level, cut, fade, random_stretch, trim

_EVENTS: dict[str, dict[str, tuple[int, ...]]] = {
    "train": {
        "animal": (36, 37, 66, 68),
        "crash": (16, 17, 19, 58),
        "engine": (8, 9, 25, 27),
        "horn": (4, 5, 6, 35),
        "liquid": (2, 51),
        "tool": (33, 39, 40),
    },
    "valid": {
        "animal": (72,),
        "crash": (54,),
        "engine": (59, 69),
        "horn": (10,),
        "liquid": (49,),
        "tool": (55,),
    },
    "test": {
        "animal": (38, 67),
        "crash": (15, 18, 53),
        "engine": (24, 28, 61),
        "horn": (3, 7),
        "liquid": (46,),
        "tool": (11, 56),
    },
}
"""Numbers of the sounds in the sound set."""
_AMBIENCE = {
    "train": ("ambi_glass_hum", "ambi_lunar_land", "vinyl_hiss"),
    "valid": ("ambi_drone",),
    "test": ("ambi_haunted_hum", "ambi_soft_buzz"),
}
_CLIPS = {"train": 26, "valid": 10, "test": 16}
_SECONDS = 8.0
_LONGEST = 2.0
"""Maximum length of a sound in seconds."""
_N_EVENTS = (2, 7)
_ABOVE_AMBIENCE = (9.0, 24.0)
"""Range of the level of an event above the ambience, in dB."""


def build(work: Path) -> DemoTask:
    """Return the task of events mixed with ambience."""
    rng = np.random.default_rng(104)
    sounds, samples = SoundSet(work), Samples(work)
    return DemoTask(
        task_name="demo_transport_events",
        title="Sounds of transport",
        embedding_type=EmbeddingType.EVENT,
        prediction_type=PredictionType.MULTILABEL,
        evaluation=("event_onset_200ms_fms", "segment_1s_er"),
        sample_duration=_SECONDS,
        labels=tuple(sorted(_EVENTS["train"])),
        splits=tuple(_CLIPS),
        clips={
            split: [
                _clip(f"{split}_{i:02d}", split, labels, sounds, samples, rng)
                for i, labels in enumerate(_deal(n, rng))
            ]
            for split, n in _CLIPS.items()
        },
        licence="CC-BY-SA-3.0",
        changes="Two to seven sounds were trimmed, cut to 2 s at most and laid at random places "
        "and levels over a stretch of ambience.",
        evaluation_params=EvaluationParams(
            event_postprocessing_grid=PostprocessingGrid(
                median_filter_ms=(250,), min_duration=(125, 250)
            )
        ),
    )


def _deal(n_clips: int, rng: np.random.Generator) -> list[list[str]]:
    """Draw the labels of each clip; over all clips every label is drawn equally often."""
    sizes = rng.integers(_N_EVENTS[0], _N_EVENTS[1] + 1, size=n_clips)
    labels = rng.permutation(np.resize(sorted(_EVENTS["train"]), sizes.sum()))
    return [part.tolist() for part in np.split(labels, np.cumsum(sizes)[:-1])]


def _clip(
    name: str,
    split: str,
    labels: list[str],
    sounds: SoundSet,
    samples: Samples,
    rng: np.random.Generator,
) -> DemoClip:
    ambience = str(rng.choice(_AMBIENCE[split]))
    background = samples.sound(ambience)
    mix = at_level(random_stretch(background, _SECONDS, rng), -44.0)
    events: list[dict[str, str | float]] = []
    numbers = []
    for label in labels:
        number = int(rng.choice(_EVENTS[split][label]))
        sound = _excerpt(sounds.sound(number))
        length = len(sound) / RATE
        start = _free_start(label, length, events, rng)
        if start is None:
            continue
        first = round(start * RATE)
        mix[first : first + len(sound)] += at_level(sound, -44.0 + rng.uniform(*_ABOVE_AMBIENCE))
        numbers.append(number)
        events.append(
            {
                "label": label,
                "start": round(1000 * start, 1),
                "end": round(1000 * (start + length), 1),
            }
        )
    events.sort(key=lambda event: (event["start"], event["label"]))
    recordings = [sounds.recording(number) for number in sorted(set(numbers))]
    return DemoClip(name, mix, events, (*recordings, samples.recording(ambience)))


def _excerpt(sound: Sound) -> Sound:
    """Trim a sound and cut it to the maximum length.

    A sound that grows louder begins where its level is 18 dB below its maximum. Softer parts would
    be inaudible in the ambience although they follow the labelled onset.
    """
    trimmed = trim(sound, below_peak=18.0)
    return fade(cut(trimmed, min(_LONGEST, len(trimmed) / RATE)))


def _free_start(
    label: str, length: float, events: list[dict[str, str | float]], rng: np.random.Generator
) -> float | None:
    """Draw a start that is at least 0.5 s away from events of the same label, or return None."""
    for _ in range(20):
        start = float(rng.uniform(0, _SECONDS - length))
        if all(
            event["label"] != label
            or float(event["end"]) / 1000 + 0.5 < start
            or start + length + 0.5 < float(event["start"]) / 1000
            for event in events
        ):
            return start
    return None
