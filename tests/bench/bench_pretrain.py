"""Crops per CPU second, and memory, of pretraining: ours beside eager layers, d = 512, on the CPU.

    python tests/bench/bench_pretrain.py [--steps 6] [--repeats 3] [--batch 64]
    python tests/bench/bench_pretrain.py --profile "ours bfloat16" [--steps 6] [--batch 64]

All variants are the LightningModule of hear_byola.pretraining in a Lightning Trainer, with the same
waveforms from memory, and whole steps: front end, both views, loss, gradients, Adam, moving
average. "Eager" replaces the convolution blocks of `fused.py` by the encoder's own layers, channels
last. Every variant keeps freed memory, as `hear-byola pretrain` does.

Every measurement is a process of its own with one thread, after a warm-up. Variants alternate, and
each ratio is of two measurements of one repetition. CPU seconds are those of the process.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterator

from child import machine
from child import measured as measured_in_child
from sides import Row

BASE = "eager float32"
VARIANTS = {
    BASE: "32-true",
    "ours float32": "32-true",
    "eager bfloat16": "bf16-mixed",
    "ours bfloat16": "bf16-mixed",
}
NUMBERS = ("batch", "warmup", "steps")


def train(variant: str, batch: int, warmup: int, steps: int) -> float:
    """Train, and return the CPU seconds of the steps after the warm-up."""
    import pytorch_lightning as pl
    import torch

    from hear_byola.frontend import CONVENTIONS
    from hear_byola.pretraining import byol, networks
    from hear_byola.pretraining.config import PretrainConfig
    from hear_byola.pretraining.crops import CROP_SAMPLES

    if variant.startswith("eager"):
        networks._over_time = lambda encoder, mel: encoder(
            mel.contiguous(memory_format=torch.channels_last)
        )
    clock: list[float] = []

    class EndOfStep(pl.Callback):
        def on_train_batch_end(self, *_: object) -> None:
            clock.append(time.process_time())

    total = warmup + steps
    config = PretrainConfig(batch_size=batch, precision=VARIANTS[variant])
    corpus = CONVENTIONS[config.convention]
    module = byol.ByolTraining(config, corpus.mean, corpus.std, total)
    waveforms = torch.rand(total * batch, CROP_SAMPLES).sub_(0.5).mul_(torch.rand(total * batch, 1))
    loader: torch.utils.data.DataLoader = torch.utils.data.DataLoader(
        waveforms,  # type: ignore[arg-type]
        batch_size=None,
        sampler=torch.arange(len(waveforms)).split(batch),
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_steps=total,
        precision=config.precision,
        callbacks=[EndOfStep()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    return clock[-1] - clock[warmup - 1]


def measure(options: argparse.Namespace) -> None:
    """Train, and print the result as the last line, in JSON; or print a profile."""
    import torch

    from hear_byola.pretraining.allocator import keep_freed_memory

    torch.set_num_threads(1)
    torch.manual_seed(0)
    if not keep_freed_memory():
        print("the allocator of this machine has no such settings", file=sys.stderr)
    numbers = {name: getattr(options, name) for name in NUMBERS}
    if options.profile:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            train(options.profile, **numbers)
        print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))
        return
    seconds = train(options.child, **numbers)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = options.batch * options.steps / seconds
    print(json.dumps({"crops_per_cpu_second": rate, "peak_megabytes": memory}))


def measured(options: argparse.Namespace, variant: str) -> dict[str, float]:
    """Return what `measure` finds in a process of its own."""
    words = [word for name in NUMBERS for word in (f"--{name}", str(getattr(options, name)))]
    return measured_in_child(__file__, variant, words)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):9.2f}   {min(values):.2f} to {max(values):.2f}"


def compare(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Measure all variants in turn, and print medians, ranges and ratios."""
    found: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    for repeat in range(options.repeats):
        for variant in list(found)[:: -1 if repeat % 2 else 1]:
            found[variant].append(measured(options, variant))
            print(
                f"{repeat + 1}/{options.repeats} {variant}: {found[variant][-1]}", file=sys.stderr
            )
    values = {
        quantity: {variant: [each[quantity] for each in found[variant]] for variant in found}
        for quantity in ("crops_per_cpu_second", "peak_megabytes")
    }
    for quantity, by_variant in values.items():
        print(f"\n{quantity:20}    median   range                 ratio to {BASE}")
        for variant, numbers in by_variant.items():
            ratios = [one / base for one, base in zip(numbers, by_variant[BASE])]
            print(f"{variant:20} {spread(numbers):34} {spread(ratios)}")
    return values


def rows(repeats: int, tiny: bool) -> Iterator[Row]:
    """Compare the other variants with eager layers in float32, by crops per CPU second."""
    numbers = dict(zip(NUMBERS, (8, 1, 1) if tiny else (64, 1, 3), strict=True))
    found = compare(argparse.Namespace(repeats=repeats, **numbers))
    rates, memory = found["crops_per_cpu_second"], found["peak_megabytes"]
    for variant in list(VARIANTS)[1:]:
        ratios = [one / base for one, base in zip(rates[variant], rates[BASE])]
        rate, megabytes = (statistics.median(each[variant]) for each in (rates, memory))
        ours = f"{rate:.0f} crops a CPU second, {megabytes:.0f} MB"
        yield Row(
            f"pretraining, d = 512, batch {numbers['batch']}, {variant}", BASE, ratios, [], ours
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a measurement")
    parser.add_argument("--warmup", type=int, default=2, help="steps before them, at least 1")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--profile", choices=VARIANTS, help="print the operators of one variant")
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if min(options.steps, options.warmup, options.repeats) < 1:
        parser.error("--steps, --warmup and --repeats must be 1 or more")
    if options.child or options.profile:
        measure(options)
        return
    about = {"machine": machine(), **{name: getattr(options, name) for name in NUMBERS}}
    print(", ".join(f"{name} {value}" for name, value in about.items()), flush=True)
    compare(options)


if __name__ == "__main__":
    main()
