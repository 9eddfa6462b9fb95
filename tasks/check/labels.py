"""Find faults in a task's tables: metrics, labels, events, and labels that folds lack."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.core.counts import plural
from harness.core.errors import did_you_mean
from harness.core.spelling import alike, difference, quoted, reading
from harness.metrics.registry import METRICS, metrics_of
from tasks.check.finding import Finding, clips, error, listing, warning
from tasks.format.directory import Contents
from tasks.format.files import METADATA, VOCABULARY
from tasks.format.spec import FEWEST_FOLDS, EmbeddingType, PredictionType, SplitMode
from tasks.format.tables import Clip, labels_of
from tasks.format.task import folds_of


def check_labels(directory: Path, contents: Contents) -> Iterator[Finding]:
    """Yield all findings on the readable tables, without audio."""
    fields = contents.fields
    yield from _check_names(directory, contents)
    if {"evaluation", "embedding_type", "prediction_type"} <= fields.keys():
        yield from _check_metrics(contents)
    for split, listed in contents.clips.items():
        file = f"{split}.json"
        if not listed:
            yield error(file, "lists no clip.")
        if contents.labels:
            yield from _check_known(file, listed, contents.labels)
        if fields["embedding_type"] == EmbeddingType.EVENT:
            yield from _check_times(file, listed)
        elif fields.get("prediction_type"):
            yield from _check_counts(file, listed, fields["prediction_type"])
    if contents.labels and contents.clips and set(contents.clips) == set(fields["splits"]):
        yield from _check_coverage(contents)


def _check_names(directory: Path, contents: Contents) -> Iterator[Finding]:
    fields = contents.fields
    if {"task_name", "version", "mode"} <= fields.keys():
        name = f"{fields['task_name']}-{fields['version']}-{fields['mode']}"
        if name != directory.resolve().name:
            yield warning(METADATA, f"names the task {name}, but the folder has another name.")
    known = {METADATA, *(f"{split}.json" for split in fields.get("splits", ()))}
    if "splits" in fields:
        for path in sorted(directory.glob("*.json")):
            if path.name not in known:
                yield warning(path.name, f"is not used: splits in {METADATA} does not list it.")


def _check_metrics(contents: Contents) -> Iterator[Finding]:
    kind, prediction = contents.fields["embedding_type"], contents.fields["prediction_type"]
    ours = metrics_of(kind)
    for name in contents.fields["evaluation"]:
        metric = METRICS.get(name)
        if metric is None:
            near = did_you_mean(name, ours) or f" There are {', '.join(ours)}."
            yield error(METADATA, f"the metric '{name}' is unknown.{near}")
        elif name not in ours:
            reason = f"the metric '{name}' is not for {kind} tasks. They have {', '.join(ours)}."
            yield error(METADATA, reason)
        elif not metric.is_for(kind, prediction):
            yield error(METADATA, f"the metric '{name}' is not defined for {prediction} tasks.")
        elif contents.labels and (fault := metric.vocabulary_fault(contents.labels)):
            yield warning(VOCABULARY, fault)


def check_spellings(contents: Contents) -> Iterator[Finding]:
    """Yield warnings for labels of the vocabulary that look the same but are different classes."""
    index = {label: i for i, label in enumerate(contents.labels)}
    for names in alike(contents.labels):
        listed = " and ".join(f"{quoted(name)} (idx {index[name]})" for name in names)
        yield warning(
            VOCABULARY,
            f"the labels {listed} read the same and differ in {difference(*names[:2])}: they count "
            f"as {len(names)} classes. If they are one class, use one spelling.",
        )


def _check_known(file: str, listed: Sequence[Clip], labels: Sequence[str]) -> Iterator[Finding]:
    known = set(labels)
    read_as = {reading(label): label for label in reversed(labels)}
    unknown: dict[str, list[str]] = defaultdict(list)
    for clip in listed:
        if not known.issuperset(labels_of(clip)):
            for label in set(labels_of(clip)) - known:
                unknown[label].append(clip.name)
    for label, names in unknown.items():
        hint = did_you_mean(label, labels)
        if (meant := read_as.get(reading(label))) is not None:
            hint = f" {quoted(meant)} is in it; they differ in {difference(label, meant)}."
        shown = quoted(label) if meant is not None else f"'{label}'"
        yield error(file, f"the label {shown} of {clips(names)} is not in {VOCABULARY}.{hint}")


def _check_counts(
    file: str, listed: Sequence[Clip], prediction_type: PredictionType
) -> Iterator[Finding]:
    if prediction_type == PredictionType.MULTICLASS:
        for count in sorted({len(clip.labels) for clip in listed} - {1}):
            names = [clip.name for clip in listed if len(clip.labels) == count]
            yield error(file, f"{clips(names)}: {count} labels; multiclass tasks need exactly one.")
        return
    names = [clip.name for clip in listed if len(set(clip.labels)) < len(clip.labels)]
    if names:
        yield warning(file, f"{clips(names)}: a label occurs twice.")


def _check_times(file: str, listed: Sequence[Clip]) -> Iterator[Finding]:
    twice = [clip.name for clip in listed if len(set(clip.events)) < len(clip.events)]
    if twice:
        yield warning(file, f"{clips(twice)}: an event occurs twice.")
    for clip in listed:
        for event in clip.events:
            if 0 <= event.start < event.end:
                continue
            times = f"{event.start:g} to {event.end:g} ms"
            what = f"clip '{clip.name}': the event '{event.label}' ({times})"
            if event.end < event.start:
                yield error(file, f"{what} ends before it starts.")
            elif event.start < 0:
                yield error(file, f"{what} starts before the clip.")
            else:
                yield warning(file, f"{what} has no length.")


def check_unit(contents: Contents, heard: Mapping[str, Mapping[str, float]]) -> Iterator[Finding]:
    """Yield a warning for each split whose event times look like seconds, given the clip lengths.

    Args:
        contents: the task.
        heard: split -> clip name -> length in seconds of the decoded clips; ``sample_duration`` is
            used for the others.
    """
    usual = contents.fields.get("sample_duration")
    for split, listed in contents.clips.items():
        lengths = heard.get(split, {})
        known = [
            (event.end, seconds)
            for clip in listed
            if (seconds := lengths.get(clip.name, usual)) is not None
            for event in clip.events
        ]
        if known and all(end <= seconds for end, seconds in known):
            end, seconds = max(known)
            yield warning(
                f"{split}.json",
                f"no event ends after {end:g} ms, in a clip of {seconds:g} s: the times look like "
                "seconds, but HEAR's are milliseconds.",
            )


def _check_coverage(contents: Contents) -> Iterator[Finding]:
    """Yield warnings for labels without clips in a split or in the training splits of a fold.

    Macro means leave such labels out.
    """
    present = {
        split: set().union(*map(labels_of, listed)) for split, listed in contents.clips.items()
    }
    everywhere = set().union(*present.values())
    unused = [label for label in contents.labels if label not in everywhere]
    if unused:
        yield warning(VOCABULARY, f"{_lack(unused, contents)} no clip in any split.")
    kind = contents.fields.get("prediction_type")
    if len(contents.labels) == 1 and kind == PredictionType.MULTICLASS:
        yield warning(VOCABULARY, "there is only one label, so every prediction is correct.")

    def lacking(found: set[str]) -> list[str]:
        return [label for label in contents.labels if label in everywhere - found]

    for split, found in present.items():
        if contents.clips[split] and (absent := lacking(found)):
            yield warning(f"{split}.json", f"{_lack(absent, contents)} no clip in this split.")
    mode, splits = contents.fields.get("split_mode"), contents.fields["splits"]
    if mode is None or mode == SplitMode.TRAINVALTEST or len(splits) < FEWEST_FOLDS:
        return
    for fold in folds_of(mode, splits):
        if absent := lacking(set().union(*(present[split] for split in fold.train))):
            yield warning(
                f"{fold.test}.json",
                f"{_lack(absent, contents)} no training clip when this fold is the test fold.",
            )


def _lack(absent: Sequence[str], contents: Contents) -> str:
    have = "has" if len(absent) == 1 else "have"
    return f"{len(absent)} of {plural(len(contents.labels), 'label')} ({listing(absent)}) {have}"
