"""Cost of HEAR's 19 tasks, and a simulation of the schedule on 1 to 100 workers.

    OMP_NUM_THREADS=1 PYTHONPATH=tests:. python tests/bench/schedule.py [--models 5]

It measures on this machine, in CPU seconds of one thread: embedding a second of audio, and training
a `hear2021` probe on one embedding for one epoch. The sizes of the tasks are those of their cards.
The plan, its chunks, the number of probes and the order of units are made by the project's own
code; the tasks' audio is not needed. It prints the tables of docs/cost.md and draws
docs/schedule.svg.

What is assumed: a probe is trained for 113 epochs (the mean of 40 `hear2021` probes of
demo_pipe_pitch, demo_voice_count and demo_transport_events is 112; at most 500 are possible). All
clips of a task have the mean length. A worker needs 5 s to start and to load a model.
"""

from __future__ import annotations

import argparse
import heapq
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from support.probe_data import class_task

from harness.embeddings.chunks import plan_chunks
from harness.models.loading import load_module
from harness.models.spec import ModelSpec
from harness.probe import PROTOCOLS, ProbeUnit, number_of_units
from harness.probe.grid import grid_points
from harness.probe.run import run_unit
from harness.run.estimate import Estimate, Rates, WorkPart
from harness.run.order import longest_first
from harness.run.planned import Planned, PlannedEvaluation, PlannedSplit
from tasks.cards.builtin import cards
from tasks.cards.card import Card

EPOCHS = 113
START = 5.0  # seconds
SCORE = 2.0  # seconds
HOP = 0.05  # seconds between two timestamps
RATE = 16_000
WORKERS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 100)
OUT = Path("run")


@dataclass(frozen=True)
class Speed:
    """CPU seconds of one thread.

    Attributes:
        embed: for each second of audio.
        probe: for each embedding and epoch of a `hear2021` probe.
    """

    embed: float
    probe: float


@dataclass
class Chain:
    """A model on a task: chunks to embed, then two rounds of probes, then the scores.

    Attributes:
        rounds: durations of the units of each round; a round starts when the one before has ended.
    """

    model: str
    rounds: list[list[float]]
    at: int = 0
    waiting: list[float] = field(default_factory=list)
    running: int = 0

    @property
    def work(self) -> float:
        """Seconds of all units."""
        return sum(map(sum, self.rounds))

    @property
    def longest(self) -> float:
        """Seconds that it takes on any number of workers."""
        return sum(map(max, self.rounds))


def measure(model: str) -> Speed:
    """Return the speed of this machine."""
    module = load_module(ModelSpec(model), "cpu")
    audio = np.random.default_rng(0).standard_normal((50, 4 * RATE)).astype(np.float32) / 10
    module.scene(audio[:2])
    began = time.process_time()
    module.scene(audio)
    embed = (time.process_time() - began) / (audio.size / RATE)
    protocol = PROTOCOLS["hear2021"]
    classes = {"train": [i % 50 for i in range(2000)], "valid": [i % 50 for i in range(500)]}
    task, embeddings = class_task(
        {**classes, "test": classes["valid"]}, 50, 512, noise=2.0,
        task_specific_param_grid={"max_epochs": (30,)},
    )  # fmt: skip
    points = grid_points(protocol, task)
    spent = []
    for layers in (1, 2):
        point = next(p for p in points if dict(p)["hidden_layers"] == layers)
        began = time.process_time()
        result = run_unit(protocol, ProbeUnit(0, point), task, embeddings, 0)
        epochs = result.curve[-1][0] + 1
        spent.append((time.process_time() - began) / epochs / len(classes["train"]))
    share = np.mean([dict(point)["hidden_layers"] == 2 for point in points])
    return Speed(embed, float(np.interp(share, [0, 1], spent)))


def the_cards() -> list[Card]:
    """Return the cards of HEAR's tasks."""
    return [card for card in cards().values() if card.suite == "hear2021"]


def chain(card: Card, model: str, speed: Speed) -> tuple[Chain, PlannedSplit, PlannedEvaluation]:
    """Return a model on a task: its units, and the entries of its plan."""
    folds = card.folds or 1
    seconds, event = card.hours * 3600, card.embedding_type == "event"
    length = round(seconds / card.clips * RATE)
    folder = OUT / "embeddings" / model / card.name / "all"
    chunks = plan_chunks(
        folder, [length] * card.clips, [str(i) for i in range(card.clips)], RATE, event=event
    )
    embed = [speed.embed * chunk.seconds for chunk in chunks] or [speed.embed * seconds]
    protocol = PROTOCOLS["hear2021"]
    task: Any = SimpleNamespace(
        folds=range(folds), task_name=card.name, task_specific_param_grid={}
    )
    points = len(grid_points(protocol, task))
    most = number_of_units(protocol, task)
    rows = seconds / HOP if event else card.clips
    # Of k folds, k - 2 are for training; otherwise four fifths of what is not for testing.
    test = card.n_test / card.clips
    rows = int(rows * ((folds - 2) / folds if folds > 2 else 0.8 * (1 - test)))
    probe = rows * EPOCHS * speed.probe
    rounds = [embed, [probe] * points, [probe] * (most - points), [SCORE]]
    split = PlannedSplit(
        model=model, task=card.directory, split="all", seconds=seconds, bytes=0,
        folder=folder.relative_to(OUT).as_posix(),
    )  # fmt: skip
    evaluation = PlannedEvaluation(
        model=model, task=card.directory, protocol=protocol.name, seed=0,
        folder=f"results/{model}/{card.name}/0", failure=f"results/{model}/{card.name}/0-failed",
        splits=(split.folder,), probes=(), most=most, rows=rows, bytes=0,
    )  # fmt: skip
    return Chain(model, [each for each in rounds if each]), split, evaluation


def ordered(models: Sequence[str], speed: Speed) -> tuple[list[Chain], list[Chain]]:
    """Return all chains in the order of the plan, and the longest first."""
    made = [chain(card, model, speed) for model in models for card in the_cards()]
    planned = Planned(
        command="", embed_only=False,
        splits=tuple(split for _, split, _ in made),
        evaluations=tuple(evaluation for _, _, evaluation in made),
    )  # fmt: skip
    rates, parts = Rates(), {}
    for _, split, evaluation in made:
        rates.add(split.kind, speed.embed, 1.0)
        rates.add(evaluation.kind, evaluation.rows * EPOCHS * speed.probe, 1.0)
        parts[OUT / split.folder] = WorkPart(split.kind, split.seconds, 1.0)
        parts[OUT / evaluation.folder] = WorkPart(evaluation.kind, evaluation.most, 1.0)
    by_folder = {evaluation.folder: each for each, _, evaluation in made}
    order = longest_first(planned, Estimate(parts, 1, rates), OUT)
    return [each for each, _, _ in made], [by_folder[e.folder] for e in order]


def makespan(chains: Sequence[Chain], workers: int) -> float:
    """Return the seconds until all chains are done, if free workers take the first ready unit."""
    for each in chains:
        each.at, each.running, each.waiting = 0, 0, list(each.rounds[0])
    left = len(chains)
    free: list[tuple[float, int]] = [(0.0, n) for n in range(workers)]
    loaded: dict[int, str] = {}
    ends: list[tuple[float, int, int]] = []  # (time, worker, chain)
    now = 0.0
    while left:
        started = _start(chains, free, ends, loaded, now)
        if started:
            continue
        now, worker, number = heapq.heappop(ends)
        heapq.heappush(free, (now, worker))
        each = chains[number]
        each.running -= 1
        if not each.running and not each.waiting:
            each.at += 1
            if each.at < len(each.rounds):
                each.waiting = list(each.rounds[each.at])
            else:
                left -= 1
    return now


def _start(
    chains: Sequence[Chain],
    free: list[tuple[float, int]],
    ends: list[tuple[float, int, int]],
    loaded: dict[int, str],
    now: float,
) -> bool:
    """Give the first ready unit to a free worker, if there are both."""
    if not free:
        return False
    for number, each in enumerate(chains):
        if not each.waiting:
            continue
        _, worker = heapq.heappop(free)
        seconds = each.waiting.pop()
        if each.at == 0 and loaded.get(worker) != each.model:
            loaded[worker] = each.model
            seconds += START
        each.running += 1
        heapq.heappush(ends, (now + seconds, worker, number))
        return True
    return False


def by_shards(chains: Sequence[Chain], shards: int) -> float:
    """Return the seconds of the longest shard, if each shard has one worker."""
    return max(sum(each.work for each in chains[n::shards]) for n in range(shards))


def bound(chains: Sequence[Chain], workers: int) -> float:
    """Return the seconds that no schedule can beat: the work divided, or the longest chain."""
    return max(sum(each.work for each in chains) / workers, max(e.longest for e in chains))


def cost_table(speed: Speed) -> Iterator[str]:
    """Yield the table of the tasks."""
    yield "| task | audio | embedding | probes | longest chain | two workers |"
    yield "| --- | --- | --- | --- | --- | --- |"
    total = [0.0, 0.0, 0.0]
    for card in sorted(the_cards(), key=lambda card: -chain(card, "m", speed)[0].work):
        each, *_ = chain(card, "m", speed)
        embed = sum(each.rounds[0])
        numbers = [card.hours, embed / 3600, (each.work - embed) / 3600]
        total = [a + b for a, b in zip(total, numbers, strict=True)]
        audio, *cells = numbers
        yield (
            f"| {card.name} | {audio:.1f} h | " + " | ".join(f"{n:.2f} h" for n in cells)
            + f" | {each.longest / 3600:.2f} h | {makespan([each], 1) / makespan([each], 2):.2f} |"
        )  # fmt: skip
    yield f"| all | {total[0]:.0f} h | {total[1]:.1f} h | {total[2]:.1f} h | | |"


def main() -> None:
    """Measure, simulate, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--embed", type=float, help="seconds for a second of audio; not measured")
    parser.add_argument("--probe", type=float, help="seconds for an embedding and epoch")
    parser.add_argument("--plot", type=Path, default=Path("docs/schedule.svg"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.embed and chosen.probe:
        speed = Speed(chosen.embed, chosen.probe)
    else:
        speed = measure("hear_byola")
    print(f"--embed {speed.embed:.3g} --probe {speed.probe:.3g}\n")
    print("\n".join(cost_table(speed)), "\n")
    plain, longest = ordered([f"model{n}" for n in range(chosen.models)], speed)
    print("| workers | bound | longest first | in the order of the plan | shards |")
    print("| --- | --- | --- | --- | --- |")
    found = []
    for n in WORKERS:
        row = (bound(plain, n), makespan(longest, n), makespan(plain, n), by_shards(plain, n))
        found.append(row)
        print(f"| {n} | " + " | ".join(f"{seconds / 3600:.2f} h" for seconds in row) + " |")
    draw(found, chosen.plot)


def draw(found: Sequence[Sequence[float]], path: Path) -> None:
    """Draw hours against workers."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "schedule", "svg.fonttype": "none"})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    names = ("lower bound", "longest first", "in the order of the plan", "shards")
    styles = ("k--", "o-", "s-", "^-")
    for name, style, seconds in zip(names, styles, zip(*found, strict=True), strict=True):
        axes.plot(WORKERS, np.array(seconds) / 3600, style, label=name, markersize=4)
    axes.set(xscale="log", yscale="log", xlabel="workers", ylabel="hours")
    axes.set_xticks(WORKERS, [str(n) for n in WORKERS], fontsize=7)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
