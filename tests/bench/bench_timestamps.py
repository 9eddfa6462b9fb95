"""Time of timestamp embeddings over time of scene embeddings on the same audio.

    python tests/bench/bench_timestamps.py [--seconds 60] [--repeats 5] [--device cpu]

The two are run in turn, and the best of each is compared: CPU time (all threads) on the CPU, so
that other processes on the machine matter little; wall-clock time elsewhere.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

import hear_byola

CONFIGURATIONS: list[tuple[dict, float | None]] = [
    ({"encoder": "2020", "d": 512}, 1.3),
    ({"encoder": "2020", "d": 1024}, None),
    ({"encoder": "2020", "d": 2048}, 1.7),
    ({"encoder": "2022", "d": 2048}, None),
    ({"encoder": "2022", "d": 3072}, None),
    ({"encoder": "2020", "d": 512, "hop_ms": 10}, None),
    ({"encoder": "2020", "d": 2048, "hop_ms": 10}, None),
]


def seconds(function: Callable[[], object], device: str) -> float:
    if device == "cpu":
        start = time.process_time()
        function()
        return time.process_time() - start
    accelerator = torch.get_device_module(device)
    accelerator.synchronize()
    start = time.perf_counter()
    function()
    accelerator.synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    audio = torch.rand(1, int(arguments.seconds * 16_000), generator=generator) * 2 - 1
    audio = audio.to(arguments.device)
    print(f"{'encoder':8} {'d':>5} {'hop ms':>7} {'scene s':>9} {'times s':>9} {'ratio':>6} limit")
    for options, limit in CONFIGURATIONS:
        model = hear_byola.load_model(seed=0, **options).to(arguments.device)
        scene, timestamps = [], []
        for repeat in range(arguments.repeats + 1):
            pair = [
                seconds(lambda f=f, m=model: f(audio, m), arguments.device)
                for f in (hear_byola.get_scene_embeddings, hear_byola.get_timestamp_embeddings)
            ]
            if repeat:  # the first run warms up
                scene.append(pair[0])
                timestamps.append(pair[1])
        ratio = min(timestamps) / min(scene)
        print(
            f"{options['encoder']:8} {options['d']:5} {model.hop_ms:7g} {min(scene):9.3f} "
            f"{min(timestamps):9.3f} {ratio:6.2f} {limit or '-'}",
            flush=True,
        )


if __name__ == "__main__":
    main()
