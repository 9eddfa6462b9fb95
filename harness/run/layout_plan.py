"""Plan the probes of folders that the original kit embedded; see :mod:`harness.run.plan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from harness.core.errors import UserError
from harness.core.hashing import sha256_of
from harness.embeddings.heareval_reader import read_layout
from harness.models.info import ModelInfo
from harness.probe import Protocol
from harness.run.plan import Plan
from harness.run.preflight import (
    Say,
    check_names,
    check_protocols,
    find_protocols,
    seeds_of,
    tell_ungrouped,
)
from harness.run.units import Evaluation, HearevalEmbeddings, evaluations_of


def plan_probes(
    directories: Sequence[Path],
    protocols: Sequence[str],
    seeds: int,
    out: Path,
    group_pattern: Callable[[Path], str] = lambda _: "",
    say: Say = lambda _: None,
    *,
    draws: int = 10,
) -> Plan:
    """Plan the probes of embeddings in the original kit's layout, one directory per task.

    Args:
        directories: the directories of the embeddings.
        protocols: names of the protocols.
        seeds: number of seeds with which every probe is trained.
        out: the run's folder.
        group_pattern: returns the pattern that derives groups from clip names, for a directory
            without ``groups.csv``.
        say: see :data:`harness.run.preflight.Say`.
        draws: number of draws of training clips, which are the seeds of few-shot probes.

    Raises:
        UserError: a directory does not have that layout, or no protocol supports any of the tasks.
    """
    chosen = _without_layers(find_protocols(protocols))
    seeds_by_protocol = seeds_of(chosen, seeds, draws)
    sources = [HearevalEmbeddings(path, group_pattern(path)) for path in directories]
    loaded = [read_layout(each.directory, each.group_pattern) for each in sources]
    tasks = [task for task, _ in loaded]
    tell_ungrouped(tasks)
    labels = [path.resolve().parent.name for path in directories]
    check_names([(label, task.name) for label, task in zip(labels, tasks, strict=True)])
    unsupported = check_protocols(chosen, tasks, say)
    evaluations: list[Evaluation] = []
    for label, source, (task, embeddings) in zip(labels, sources, loaded, strict=True):
        content = [embeddings[split].manifest["fingerprint"] for split in task.splits]
        model = ModelInfo(label=label, fingerprint=sha256_of(content))
        evaluations += evaluations_of(
            model,
            source,
            task,
            chosen,
            read=[model.fingerprint],
            suite="",
            seeds=seeds_by_protocol,
            out=out,
        )
    return Plan(evaluations, unsupported)


def _without_layers(protocols: Sequence[Protocol]) -> list[Protocol]:
    """Refuse protocols that need layers, which the original kit's layout cannot contain."""
    if lacking := [protocol.name for protocol in protocols if protocol.needs_layers]:
        raise UserError(
            f"{', '.join(lacking)}: folders of the original kit contain one embedding per clip, "
            "and this protocol needs several layers. Leave it out."
        )
    return list(protocols)
