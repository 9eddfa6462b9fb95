"""Plan and write the directory of a synthetic task of a given kind and size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.core.errors import UserError, did_you_mean
from harness.metrics.registry import find_metric
from tasks.cards.card import Card
from tasks.cards.cardfile import add_card
from tasks.format.newtask import NewClip, NewTask
from tasks.format.spec import FEWEST_FOLDS, EmbeddingType, SplitMode, fold_names
from tasks.format.tables import Event
from tasks.format.task import SYNTHETIC
from tasks.format.writer import write_task
from tasks.make.summary import card_of
from tasks.make.wishes import Wishes
from tasks.synthetic.kinds import KINDS, Kind
from tasks.synthetic.plan import (
    Answer,
    Said,
    label_sets,
    notes_of,
    plan_events,
    plan_scenes,
    shortest_sound_ms,
    slots_of,
)
from tasks.synthetic.tones import Recipe, Tone, decoy_frequency, frequency, render

VERSION = "v2"  # changed whenever the same arguments give different sounds
RATES = (16_000, 48_000)

# Amplitudes. The sum of three labels and their decoys stays below full scale.
_ANSWER_LEVELS = (0.05, 0.15)
_DECOY_LEVELS = (0.02, 0.04)


@dataclass(frozen=True, kw_only=True)
class _SyntheticDesign:
    """The kind of a task, and all its sizes.

    Attributes:
        sizes: number of clips of each split.
        notes: the note of each label.
        seconds: length of every clip.
    """

    kind: Kind
    sizes: Mapping[str, int]
    notes: Sequence[float]
    labels: tuple[str, ...]
    seconds: float
    seed: int


def make_synthetic(
    kind: str,
    tasks_dir: str | Path,
    *,
    rates: Sequence[int] = (),
    jobs: int = 1,
    say: Callable[[str], None] = lambda _: None,
    **wishes: Any,
) -> Path:
    """Write a synthetic task, ``<name>-v2-synthetic``, and return its directory.

    Args:
        kind: a name in ``KINDS``.
        tasks_dir: folder in which the directory is made.
        rates: sample rates in Hz; :data:`RATES` by default.
        jobs: number of worker processes.
        say: called with the progress.
        wishes: the options of :func:`new_task`: name, clips, classes, seconds, folds and seed.

    Raises:
        UserError: as :func:`new_task` and :func:`tasks.format.writer.write_task`.
    """
    task = new_task(kind, **wishes)
    directory = write_task(task, Path(tasks_dir), render, rates=rates or RATES, jobs=jobs, say=say)
    add_card(_card(task, kind), directory)
    return directory


def new_task(
    kind: str,
    *,
    name: str | None = None,
    clips: int | None = None,
    classes: int | None = None,
    seconds: float | None = None,
    folds: int | None = None,
    seed: int = 0,
) -> NewTask:
    """Return the plan of a synthetic task. None selects the default of its kind.

    Args:
        kind: a name in ``KINDS``.
        name: name of the task; by default that of the kind.
        clips: number of clips in all splits together: 60, 20 and 20 % for training, validation and
            test, or equal numbers in all folds.
        classes: number of labels.
        seconds: length of every clip.
        folds: number of folds, 3 or more; also for kinds that have no folds by default.
        seed: random seed.

    Raises:
        UserError: the kind is unknown, or a size is not possible; the message gives possible ones.
    """
    if kind not in KINDS:
        raise UserError(
            f"There is no synthetic task of kind '{kind}'.{did_you_mean(kind, KINDS)} "
            f"There are {', '.join(KINDS)}."
        )
    what = KINDS[kind]
    length = what.seconds if seconds is None else seconds
    n_folds = what.folds if folds is None else folds
    if seed < 0:
        raise UserError(f"--seed must be 0 or more, not {seed}.")
    Wishes(name or kind, seconds=length).check()
    notes = notes_of(what, what.classes if classes is None else classes)
    design = _SyntheticDesign(
        kind=what,
        sizes=_split_sizes(what.clips if clips is None else clips, n_folds),
        notes=notes,
        labels=_names(what, notes),
        seconds=length,
        seed=seed,
    )
    said = _plan(design)
    tested = [_truth(said[split], len(notes)) for split in (said if n_folds else ["test"])]
    return NewTask(
        task_name=name or kind,
        version=VERSION,
        mode=SYNTHETIC,
        embedding_type=what.embedding_type,
        prediction_type=what.prediction_type,
        split_mode=_split_mode(what, n_folds),
        splits=tuple(said),
        evaluation=what.evaluation,
        sample_duration=length,
        labels=design.labels,
        clips=tuple(
            _clip(design, split, i, each)
            for split, clips_of_split in said.items()
            for i, each in enumerate(clips_of_split)
        ),
        evaluation_params=what.evaluation_params,
        use_scoring_for_early_stopping=what.use_scoring_for_early_stopping,
        extra={
            "suite": SYNTHETIC,
            SYNTHETIC: {"kind": kind, "seed": seed, **_scores(what, tested)},
        },
    )


def _scores(kind: Kind, tested: Sequence[np.ndarray]) -> dict[str, dict[str, float]]:
    """Return the score of chance and the best score of each metric, by the truth of the tests."""
    metrics = [find_metric(name) for name in kind.evaluation]
    return {
        "chance": {metric.name: metric.chance(tested) for metric in metrics},
        "best": {metric.name: metric.best(tested) for metric in metrics},
    }


def _card(task: NewTask, kind: str) -> Card:
    wishes = Wishes(task.task_name, title=f"Synthetic {kind}", domain=SYNTHETIC, licence="CC0-1.0")
    card = card_of(task, wishes, [task.sample_duration or 0.0] * len(task.clips))
    oddity = "Its sounds are made up: a score says whether a harness works, nothing else."
    facts_from = ("The arguments that it was made with.",)
    return card.model_copy(
        update={"suite": SYNTHETIC, "oddities": (oddity,), "facts_from": facts_from}
    )


def _split_mode(kind: Kind, folds: int) -> SplitMode:
    if folds and kind.split_mode == SplitMode.TRAINVALTEST:
        return SplitMode.NEW_SPLIT_KFOLD
    return kind.split_mode


def _split_sizes(clips: int, folds: int) -> dict[str, int]:
    if not folds:
        tested = round(clips / 5)
        return {"train": clips - 2 * tested, "valid": tested, "test": tested}
    if folds < FEWEST_FOLDS:
        raise UserError(
            f"--folds must be {FEWEST_FOLDS} or more, not {folds}: one is for testing, one for "
            "validation, and the others are for training."
        )
    return {fold: clips // folds + (i < clips % folds) for i, fold in enumerate(fold_names(folds))}


def _names(kind: Kind, notes: Sequence[float]) -> tuple[str, ...]:
    if kind.pitched:
        return tuple(str(round(note)) for note in notes)
    digits = max(2, len(str(len(notes) - 1)))
    return tuple(f"tone{i:0{digits}d}" for i in range(len(notes)))


def _plan(design: _SyntheticDesign) -> dict[str, list[Said]]:
    kind, sizes, seconds = design.kind, design.sizes, design.seconds
    classes = len(design.notes)
    sets = label_sets(kind, classes)
    shortest = shortest_sound_ms(kind, design.notes, sets)
    generators = {split: _generator(design, i) for i, split in enumerate(sizes)}
    if kind.embedding_type == EmbeddingType.SCENE:
        if 1000 * seconds < shortest:
            raise UserError(
                f"The sounds of {classes} classes differ clearly in clips of "
                f"{shortest / 1000 + 0.0005:.3f} s or more, not of {seconds:g} s. Give longer "
                "--seconds or fewer --classes."
            )
        _check_size(kind, sizes, 2 * len(sets))
        return {s: plan_scenes(n, seconds, sets, generators[s]) for s, n in sizes.items()}
    slots = slots_of(kind, seconds, shortest)
    _check_size(kind, sizes, max(2, -(-len(sets) // slots.count)))
    return {s: plan_events(n, slots, sets, generators[s]) for s, n in sizes.items()}


def _check_size(kind: Kind, sizes: Mapping[str, int], needed: int) -> None:
    """Raise UserError if a split is too small for every answer and a decoy of another clip."""
    split = min(sizes, key=lambda name: sizes[name])
    if sizes[split] < needed:
        share = len(sizes) if "train" not in sizes else 5
        raise UserError(
            f"--clips gives the split '{split}' of this task '{kind.name}' {sizes[split]} clips, "
            f"but it needs {needed} to contain every answer and decoy. Give --clips "
            f"{share * needed} or more, or fewer --classes."
        )


def _generator(design: _SyntheticDesign, stream: int) -> np.random.Generator:
    return np.random.default_rng([design.seed, list(KINDS).index(design.kind.name), stream])


def _clip(design: _SyntheticDesign, split: str, number: int, said: Said) -> NewClip:
    name, labels = f"{split}-{number:05d}.wav", design.labels
    rng = np.random.default_rng([design.seed, *name.encode()])
    tones = [
        *_tones(said.answer, design.notes, frequency, _ANSWER_LEVELS, rng),
        *_tones(said.decoy, design.notes, decoy_frequency, _DECOY_LEVELS, rng),
    ]
    recipe = Recipe(design.seconds, tuple(tones), int(rng.integers(2**31)))
    if design.kind.embedding_type == EmbeddingType.SCENE:
        (sound,) = said.answer
        return NewClip(name, split, recipe, labels=tuple(labels[i] for i in sound.labels))
    events = [
        Event(labels[i], sound.start, sound.end) for sound in said.answer for i in sound.labels
    ]
    return NewClip(name, split, recipe, events=tuple(events))


def _tones(
    answer: Answer,
    notes: Sequence[float],
    hertz: Callable[[float], float],
    levels: tuple[float, float],
    rng: np.random.Generator,
) -> list[Tone]:
    return [
        Tone(
            hertz(notes[label]),
            sound.start,
            sound.end,
            round(float(rng.uniform(*levels)), 6),
            round(float(rng.uniform(0, 2 * np.pi)), 6),
        )
        for sound in answer
        for label in sound.labels
    ]


def _truth(said: Sequence[Said], classes: int) -> np.ndarray:
    """Return the labels of each clip as multi-hot rows: bool (clips, classes)."""
    truth = np.zeros((len(said), classes), dtype=bool)
    for row, each in zip(truth, said, strict=True):
        for sound in each.answer:
            row[list(sound.labels)] = True
    return truth
