"""Samples per second of pretraining: ours beside a plain pipeline, d = 512, on the CPU.

    python tests/bench/bench_pretrain.py [--steps 6] [--repeats 5] [--batch 256] [--threads 2]
        [--workers 2] [--json FILE]
    python tests/bench/bench_pretrain.py --phases [--steps 6] [--batch 256] [--threads 2]

The plain pipeline (tests/plain_byola.py) augments each sample alone, in data-loader workers; ours
is the LightningModule of hear_byola.pretraining, fed by a Lightning Trainer. Both get the same
waveforms from memory, in the same order, and make whole steps: front end, both views, loss,
gradients, Adam, moving average.

Ours sets the allocator up as `hear-byola pretrain` does. The plain pipeline is measured twice: as
it finds the allocator, and set up in the same way. Every measurement is a process of its own that
warms up first; repetitions are interleaved, and each ratio is of two neighbours in time.
Data-loader workers run ahead: the warm-up has to fill their queues (two batches each), so that a
timed step also pays for making one batch.

--phases prints where the time of a step goes instead; the plain pipeline then has no workers.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from child import machine
from child import measured as measured_in_child
from sides import Row

if TYPE_CHECKING:
    from torch import Tensor

PLAIN, OURS, PLAIN_KEPT = "plain", "ours", "plain, memory kept"
COMPARED = {
    "allocator as each finds it": (PLAIN, 2.3),
    "equal allocator settings": (PLAIN_KEPT, 1.5),
}
NUMBERS = ("batch", "threads", "workers", "warmup", "steps")


class Stopwatch:
    """Seconds spent in functions, by phase; what a timed function calls counts only once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inner = [0.0]

    def around(self, owner: object, attribute: str, phase: str) -> None:
        function = getattr(owner, attribute)

        def timed(*args: object, **kwargs: object) -> object:
            start = time.perf_counter()
            self._inner.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                whole = time.perf_counter() - start
                own = whole - self._inner.pop()
                self._inner[-1] += whole
                self.seconds[phase] = self.seconds.get(phase, 0.0) + own

        setattr(owner, attribute, timed)


class Steps:
    """Times a training's steps after its warm-up; the training reports the end of each."""

    def __init__(self, warmup: int, timed: int, stopwatch: Stopwatch | None) -> None:
        self.warmup, self.timed, self.stopwatch = warmup, timed, stopwatch
        self.total = warmup + timed
        self.done = 0
        self.start = self.seconds = 0.0

    def end_of_step(self) -> None:
        self.done += 1
        if self.done == self.warmup:
            if self.stopwatch:
                self.stopwatch.seconds.clear()
            self.start = time.perf_counter()
        elif self.done == self.total:
            self.seconds = (time.perf_counter() - self.start) / self.timed

    def phases(self) -> dict[str, float]:
        """Seconds of a step by phase."""
        known = self.stopwatch.seconds if self.stopwatch else {}
        each = {phase: seconds / self.timed for phase, seconds in known.items()}
        return {**each, "other": self.seconds - sum(each.values())}


def train_plainly(waveforms: Tensor, batch: int, workers: int, steps: Steps) -> None:
    import torch
    from support import plain_byola

    trainer = plain_byola.PlainTrainer(waveforms, batch, workers, shuffle=False)
    if steps.stopwatch:
        around = steps.stopwatch.around
        around(trainer.dataset, "log_mel", "front end")
        around(trainer.dataset, "view", "augmentation")
        around(trainer.model, "forward", "forward")
        around(torch.Tensor, "backward", "backward")
        around(trainer.optimizer, "step", "optimiser")
        around(plain_byola, "ema", "moving average")
    batches = trainer.batches()
    for _ in range(steps.total):
        trainer.step(*next(batches))
        steps.end_of_step()


def train_ours(waveforms: Tensor, batch: int, steps: Steps) -> None:
    import pytorch_lightning as pl
    import torch

    from hear_byola.frontend import CONVENTIONS
    from hear_byola.pretraining.byol import ByolTraining
    from hear_byola.pretraining.config import PretrainConfig

    class EndOfStep(pl.Callback):
        def on_train_batch_end(self, *_: object) -> None:
            steps.end_of_step()

    config = PretrainConfig(batch_size=batch)
    corpus = CONVENTIONS[config.convention]
    module = ByolTraining(config, corpus.mean, corpus.std, steps.total)
    if steps.stopwatch:
        around = steps.stopwatch.around
        around(module, "spectrograms", "front end")
        around(module.augment, "forward", "augmentation")
        for network in (module.online, module.predictor, module.target):
            around(network, "forward", "forward")
        around(torch.Tensor, "backward", "backward")
        around(torch.optim.Adam, "step", "optimiser")
        around(torch, "_foreach_lerp_", "moving average")
    sampler = torch.arange(len(waveforms)).split(batch)
    loader: torch.utils.data.DataLoader = torch.utils.data.DataLoader(
        waveforms,  # type: ignore[arg-type]
        batch_size=None,
        sampler=sampler,
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=steps.total,
        callbacks=[EndOfStep()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)


def measure(options: argparse.Namespace) -> None:
    """Train, and print the result as the last line, in JSON."""
    import torch

    from hear_byola.frontend import SAMPLE_RATE
    from hear_byola.pretraining.allocator import keep_freed_memory

    sys.path.insert(0, str(Path(__file__).parents[1]))
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.child != PLAIN and not keep_freed_memory():
        print("the allocator of this machine has no such settings", file=sys.stderr)
    steps = Steps(options.warmup, options.steps, Stopwatch() if options.phases else None)
    # More than is trained on, so that loader workers do not run dry before the end.
    clips = (steps.total + 2 * options.workers + 1) * options.batch
    waveforms = torch.rand(clips, SAMPLE_RATE * 95 // 100).sub_(0.5).mul_(torch.rand(clips, 1))
    if options.child == OURS:
        train_ours(waveforms, options.batch, steps)
    else:
        workers = 0 if options.phases else options.workers
        train_plainly(waveforms, options.batch, workers, steps)
    result = {"samples_per_second": options.batch / steps.seconds}
    print(json.dumps({**result, **({"phases": steps.phases()} if options.phases else {})}))


def measured(options: argparse.Namespace, child: str) -> dict:
    """What `measure` finds in a process of its own."""
    words = [word for name in NUMBERS for word in (f"--{name}", str(getattr(options, name)))]
    words += ["--phases"] if options.phases else []
    return measured_in_child(__file__, child, words, options.threads)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):8.2f}   {min(values):.2f} to {max(values):.2f}"


def compare(options: argparse.Namespace) -> dict:
    """Rates of all repetitions, and the ratios that are asked for."""
    rates: dict[str, list[float]] = {PLAIN: [], OURS: [], PLAIN_KEPT: []}
    for repeat in range(options.repeats):
        # Ours in the middle, beside both; the others change places.
        for child in list(rates)[:: -1 if repeat % 2 else 1]:
            rate = measured(options, child)["samples_per_second"]
            rates[child].append(rate)
            print(f"{repeat + 1}/{options.repeats} {child}: {rate:.1f}", file=sys.stderr)
    print(f"\n{'samples per second':28}   median   range")
    for child, values in rates.items():
        print(f"{child:28} {spread(values)}")
    print(f"\n{'ours / plain':28}   median   range")
    ratios = {}
    for name, (plain, needed) in COMPARED.items():
        ratios[name] = [ours / other for ours, other in zip(rates[OURS], rates[plain])]
        print(f"{name:28} {spread(ratios[name])}   (needed: {needed})")
    return {"samples_per_second": rates, "ratios": ratios}


def rows(repeats: int, tiny: bool) -> Iterator[Row]:
    """Compare the two by samples per second of wall-clock time, with two threads."""
    numbers = dict(zip(NUMBERS, (8, 1, 0, 1, 1) if tiny else (256, 2, 2, 1, 3), strict=True))
    found = compare(argparse.Namespace(repeats=repeats, phases=False, **numbers))
    ours = f"{statistics.median(found['samples_per_second'][OURS]):.1f} samples a second"
    for name, ratios in found["ratios"].items():
        what = f"pretraining, d = 512, {numbers['threads']} threads"
        yield Row(what, f"plain PyTorch, {name}", [], ratios, ours)


def compare_phases(options: argparse.Namespace) -> dict:
    """Seconds of a step by phase, in both pipelines."""
    phases = {child: measured(options, child)["phases"] for child in (PLAIN, OURS, PLAIN_KEPT)}
    print(f"{'ms in a step':16}" + "".join(f"{child:>20}" for child in phases))
    for phase in [*dict.fromkeys(name for each in phases.values() for name in each)]:
        times = [1000 * each.get(phase, 0.0) for each in phases.values()]
        print(f"{phase:16}" + "".join(f"{each:20.1f}" for each in times))
    totals = [1000 * sum(each.values()) for each in phases.values()]
    print(f"{'together':16}" + "".join(f"{total:20.1f}" for total in totals))
    return {"phases": phases}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a measurement")
    parser.add_argument("--warmup", type=int, default=3, help="steps before them, at least 1")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2, help="of the training process")
    parser.add_argument("--workers", type=int, default=2, help="of the plain pipeline's loader")
    parser.add_argument("--json", type=Path, help="also write what was measured to this file")
    parser.add_argument("--phases", action="store_true", help="where the time of a step goes")
    parser.add_argument("--child", choices=(PLAIN, OURS, PLAIN_KEPT), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.steps, options.warmup, options.repeats) < 1:
        parser.error("--steps, --warmup and --repeats must be 1 or more")
    if options.child:
        measure(options)
        return
    about = {"machine": machine(), **{name: getattr(options, name) for name in NUMBERS}}
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    found = compare_phases(options) if options.phases else compare(options)
    if options.json:
        options.json.write_text(json.dumps({**about, **found}, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
