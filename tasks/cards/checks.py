"""What the fields of a task card must say about each other."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from harness.metrics.registry import find_metric, metrics_of

if TYPE_CHECKING:
    from tasks.cards.card import Card

DOMAINS = ("speech", "voice", "music", "environment", "other", "synthetic")
"""Those in use. A card may name another one, but not one of these misspelt."""

_SPLITS = ("train", "valid", "test")
_MISSPELT = 0.8  # likeness by difflib: a letter or two
_FEWEST_FOLDS = 3  # one tests, one validates, the rest trains
_ENTRY = re.compile(r"@\w+\{[^,\s]+,")


def check_name(card: Card, name: str) -> None:
    """Raise ValueError unless the card is called like its file."""
    if card.name != name:
        raise ValueError(
            f"field 'name' must be '{name}', as the card's file is called, not '{card.name}'."
        )


def check_together(card: Card) -> None:
    """Raise ValueError for the first field that does not fit the others."""
    checks = (_directory, _domain, _types, _folds, _metrics, _sizes, _published, _scores, _citation)
    for check in checks:
        check(card)


def _directory(card: Card) -> None:
    mode = card.directory.rpartition("-")[2]
    task_names = (card.name, card.name.removesuffix(f"_{mode}"))
    if not any(card.directory.startswith(f"{name}-") for name in task_names):
        raise ValueError(
            f"field 'directory' must start with the name '{card.name}', less a mode at its end, "
            f"and a dash; it is {card.directory}."
        )


def _domain(card: Card) -> None:
    check_domain(card.domain)


def check_domain(domain: str) -> None:
    """Raise ValueError for a domain that is a usual one misspelt."""
    near = difflib.get_close_matches(domain.casefold(), DOMAINS, n=1, cutoff=_MISSPELT)
    if near and domain not in DOMAINS:
        raise ValueError(f"field 'domain' must be '{near[0]}', not '{domain}'.")


def _types(card: Card) -> None:
    if card.embedding_type == "event" and card.prediction_type != "multilabel":
        raise ValueError("field 'prediction_type' of an event task must be multilabel.")


def _folds(card: Card) -> None:
    if (card.split_mode == "trainvaltest") != (card.folds is None):
        raise ValueError(
            f"field 'folds' must be null with split_mode trainvaltest, and a number otherwise; "
            f"split_mode is {card.split_mode}, folds is {card.folds}."
        )
    if card.folds is not None and card.folds < _FEWEST_FOLDS:
        raise ValueError(
            f"field 'folds' must be {_FEWEST_FOLDS} or more, not {card.folds}: "
            "one tests and one validates."
        )


def _metrics(card: Card) -> None:
    if len(set(card.metrics)) < len(card.metrics):
        raise ValueError("field 'metrics' names one twice.")
    fitting = metrics_of(card.embedding_type, card.prediction_type)
    for name in card.metrics:
        if name not in fitting:
            raise ValueError(
                f"field 'metrics' of a {card.prediction_type} {card.embedding_type} task may hold "
                f"{', '.join(fitting)}, not {name}."
            )
    convention = find_metric(card.metrics[0]).not_primary(card.prediction_type)
    if convention:
        raise ValueError(
            f"field 'metrics' of a {card.prediction_type} task must not begin with "
            f"{card.metrics[0]}, which {convention}."
        )


def _sizes(card: Card) -> None:
    if card.classes == 1 and card.embedding_type == "scene":
        raise ValueError("field 'classes' must be 2 or more.")
    if card.n_test is not None and card.clips is not None:
        most, fewest = card.clips, card.clips if card.folds else 1
        if not fewest <= card.n_test <= most:
            raise ValueError(
                f"field 'n_test' must be {'equal to' if card.folds else 'at most'} clips, "
                f"which is {card.clips}, not {card.n_test}."
            )
    _split_clips(card)
    if card.clips is not None and card.clip_seconds is not None and card.hours is not None:
        hours = card.clips * card.clip_seconds / 3600
        if abs(card.hours - hours) > max(0.01 * hours, 0.0001):
            raise ValueError(
                f"field 'hours' must be clips × clip_seconds / 3600, {hours:.4g} within a "
                f"hundredth, not {card.hours:g}."
            )


def _split_clips(card: Card) -> None:
    sizes = card.split_clips
    if card.folds is None:
        wrong = [split for split in sizes if split not in _SPLITS]
        if wrong:
            raise ValueError(
                f"field 'split_clips' may name {', '.join(_SPLITS)} with split_mode trainvaltest, "
                f"not {', '.join(wrong)}."
            )
        if card.n_test is not None and sizes.get("test", card.n_test) != card.n_test:
            raise ValueError(
                f"field 'split_clips' must give test as n_test does, {card.n_test}, not "
                f"{sizes['test']}."
            )
    elif len(sizes) > card.folds or set(sizes) & set(_SPLITS):
        raise ValueError(
            f"field 'split_clips' must name folds, {card.folds} at most as 'folds' says; it names "
            f"{', '.join(sizes)}."
        )
    if card.clips is None:
        return
    whole, total = len(sizes) == (card.folds or len(_SPLITS)), sum(sizes.values())
    if total > card.clips or (whole and total < card.clips):
        raise ValueError(
            f"field 'split_clips' must add up to clips, {card.clips}{'' if whole else ', at most'};"
            f" it adds up to {total}."
        )


def _published(card: Card) -> None:
    if card.published is not None and card.directory not in card.published.file:
        raise ValueError(
            f"field 'published.file' must hold the directory's name, {card.directory}; "
            f"it is {card.published.file}."
        )


def _scores(card: Card) -> None:
    if card.published_scores is None:
        return
    low, high = find_metric(card.metrics[0]).range
    for score in card.published_scores:
        if not low <= score <= high:
            raise ValueError(
                f"field 'published_scores' must lie between {low:g} and {high:g} for "
                f"{card.metrics[0]}; it has {score:g}."
            )


def _citation(card: Card) -> None:
    if card.citation is None:
        return
    if not _ENTRY.match(card.citation) or card.citation.count("{") != card.citation.count("}"):
        raise ValueError(
            "field 'citation' must be BibTeX, like @article{key, ...}, with as many { as }."
        )
    for part in ("author", "title", "year"):
        if not re.search(rf"\b{part}\s*=", card.citation):
            raise ValueError(f"field 'citation' lacks the BibTeX field '{part}'.")
