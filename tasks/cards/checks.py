"""Check that the fields of a task card do not contradict each other."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.core.errors import did_you_mean
from harness.core.kinds import EmbeddingType, SplitMode
from harness.metrics.registry import METRICS, metrics_of
from tasks.cards.card import Card
from tasks.format import spec
from tasks.format.spec import FEWEST_FOLDS, SPLITS

_ENTRY = re.compile(r"@\w+\{[^,\s]+,")


def disagreements(card: Card) -> Iterator[str]:
    """Yield a sentence for each field that does not fit the others."""
    yield from spec.disagreements(dict(card))
    for check in (
        _directory,
        _folds,
        _metrics,
        _sizes,
        _split_clips,
        _published,
        _scores,
        _citation,
    ):
        yield from check(card)


def _directory(card: Card) -> Iterator[str]:
    mode = card.directory.rpartition("-")[2]
    task_names = (card.name, card.name.removesuffix(f"_{mode}"))
    if not any(card.directory.startswith(f"{name}-") for name in task_names):
        yield (
            f"directory must start with the name '{card.name}', without a mode at its end, "
            f"and a dash; it is {card.directory}."
        )


def _folds(card: Card) -> Iterator[str]:
    if (card.split_mode == SplitMode.TRAINVALTEST) != (card.folds is None):
        yield (
            f"folds must be null with split_mode trainvaltest, and a number otherwise; "
            f"split_mode is {card.split_mode}, folds is {card.folds}."
        )
    if card.folds is not None and card.folds < FEWEST_FOLDS:
        yield (
            f"folds must be {FEWEST_FOLDS} or more, not {card.folds}: one is for testing, one for "
            "validation, and the others are for training."
        )


def _metrics(card: Card) -> Iterator[str]:
    fitting = metrics_of(card.embedding_type, card.prediction_type)
    for name in card.metrics:
        if name not in fitting:
            yield (
                f"metrics of a {card.prediction_type} {card.embedding_type} task may be "
                f"{', '.join(fitting)}, not {name}.{did_you_mean(name, fitting)}"
            )
    first = METRICS.get(card.metrics[0])
    if first and (convention := first.not_primary(card.prediction_type)):
        yield (
            f"metrics of a {card.prediction_type} task must not begin with {card.metrics[0]}, "
            f"which {convention}."
        )


def _sizes(card: Card) -> Iterator[str]:
    if card.classes == 1 and card.embedding_type == EmbeddingType.SCENE:
        yield "classes must be 2 or more."
    if card.n_test is not None and card.clips is not None:
        most, fewest = card.clips, card.clips if card.folds else 1
        if not fewest <= card.n_test <= most:
            yield (
                f"n_test must be {'equal to' if card.folds else 'at most'} clips, "
                f"which is {card.clips}, not {card.n_test}."
            )
    if card.clips is not None and card.clip_seconds is not None and card.hours is not None:
        hours = card.clips * card.clip_seconds / 3600
        if abs(card.hours - hours) > max(0.01 * hours, 0.0001):
            yield (
                f"hours must be clips × clip_seconds / 3600, which is {hours:.4g}, within 1 %, "
                f"not {card.hours:g}."
            )


def _split_clips(card: Card) -> Iterator[str]:
    sizes = card.split_clips
    if card.folds is None:
        wrong = [split for split in sizes if split not in SPLITS]
        if wrong:
            yield (
                f"split_clips may name {', '.join(SPLITS)} with split_mode trainvaltest, "
                f"not {', '.join(wrong)}."
            )
        if card.n_test is not None and sizes.get("test", card.n_test) != card.n_test:
            yield (
                f"test in split_clips must be equal to n_test, which is {card.n_test}, not "
                f"{sizes['test']}."
            )
    elif len(sizes) > card.folds or set(sizes) & set(SPLITS):
        yield (
            f"split_clips must name folds, at most {card.folds} (the value of folds); it names "
            f"{', '.join(sizes)}."
        )
    if card.clips is None:
        return
    whole, total = len(sizes) == (card.folds or len(SPLITS)), sum(sizes.values())
    if total > card.clips or (whole and total < card.clips):
        yield (
            f"split_clips must add up to {'' if whole else 'at most '}clips, which is "
            f"{card.clips}; it adds up to {total}."
        )


def _published(card: Card) -> Iterator[str]:
    if card.published is not None and card.directory not in card.published.file:
        yield (
            f"published.file must contain the directory's name, {card.directory}; "
            f"it is {card.published.file}."
        )


def _scores(card: Card) -> Iterator[str]:
    if card.metrics[0] not in METRICS:
        return
    low, high = METRICS[card.metrics[0]].range
    for score in card.published_scores or ():
        if not low <= score <= high:
            yield (
                f"published_scores must be between {low:g} and {high:g} for {card.metrics[0]}; "
                f"it has {score:g}."
            )


def _citation(card: Card) -> Iterator[str]:
    if card.citation is None:
        return
    if not _ENTRY.match(card.citation) or card.citation.count("{") != card.citation.count("}"):
        yield "citation must be BibTeX, such as @article{key, ...}, with balanced braces."
        return
    for part in ("author", "title", "year"):
        if not re.search(rf"\b{part}\s*=", card.citation):
            yield f"citation lacks the BibTeX field '{part}'."
