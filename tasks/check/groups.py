"""Check a task's groups: few test groups, and groups in several splits."""

from __future__ import annotations

from collections.abc import Iterator

from harness.core.counts import plural
from harness.core.spelling import alike, difference, quoted
from harness.metrics.units import FEW_UNITS, FEWEST_UNITS
from tasks.check.finding import Finding, listing, warning
from tasks.format.directory import Contents
from tasks.format.groups import GROUPS, misfit
from tasks.format.task import folds_of


def groups_of(contents: Contents) -> dict[str, set[str]]:
    """Return the groups of each split, or {} for a task without groups."""
    found = {
        split: {clip.group for clip in listed if clip.group}
        for split, listed in contents.clips.items()
    }
    return found if any(found.values()) else {}


def count_groups(contents: Contents) -> str:
    """Return the number of groups of each split as text, or "" for a task without groups."""
    return ", ".join(f"{split} {len(groups)}" for split, groups in groups_of(contents).items())


def check_groups(contents: Contents) -> Iterator[Finding]:
    """Yield warnings for few test groups, shared groups and a pattern that does not match."""
    if contents.ungrouped:
        yield warning("", misfit(contents.ungrouped))
    groups = groups_of(contents)
    if not groups or not {"split_mode", "splits"} <= contents.fields.keys():
        return
    yield from _alike(set[str]().union(*groups.values()))
    folds = folds_of(contents.fields["split_mode"], contents.fields["splits"])
    test_splits = {fold.test for fold in folds}
    yield from _few(set[str]().union(*(groups.get(split, set()) for split in test_splits)))
    yield from _shared(groups, test_splits)


def _alike(names: set[str]) -> Iterator[Finding]:
    for same in alike(sorted(names)):
        yield warning(
            GROUPS,
            f"the groups {' and '.join(map(quoted, same))} read the same and differ in "
            f"{difference(*same[:2])}: they count as {len(same)} groups.",
        )


def _few(tested: set[str]) -> Iterator[Finding]:
    if len(tested) >= FEW_UNITS:
        return
    count = f"the test has {plural(len(tested), 'group')}."
    if len(tested) < FEWEST_UNITS:
        yield warning(
            GROUPS,
            f"{count} Below {FEWEST_UNITS}, no confidence interval and no verdict is reported. "
            "Test on more groups: `tasks make --folds` tests on each group once. More clips of the "
            "same groups do not help.",
        )
    else:
        yield warning(
            GROUPS,
            f"{count} Below about {FEW_UNITS}, confidence intervals are wide and their coverage is "
            "approximate.",
        )


def _shared(groups: dict[str, set[str]], test_splits: set[str]) -> Iterator[Finding]:
    splits_of: dict[str, list[str]] = {}
    for split, found in groups.items():
        for group in found:
            splits_of.setdefault(group, []).append(split)
    shared = sorted(group for group, splits in splits_of.items() if len(splits) > 1)
    tested = [group for group in shared if test_splits & set(splits_of[group])]
    others = [group for group in shared if group not in tested]
    for named, harm in (
        (tested, "tested on groups that are also in training or validation"),
        (others, "validated on groups that are also in training"),
    ):
        if named:
            yield warning(
                GROUPS,
                f"{len(named)} of {len(splits_of)} groups {'is' if len(named) == 1 else 'are'} in "
                f"several splits ({listing(named)}; the first in "
                f"{' and '.join(splits_of[named[0]])}). Probes are {harm}. Scores on new groups "
                "may be lower.",
            )
