"""Embedding from audio files to the store: ours beside plain PyTorch, one thread, on the CPU.

    python tests/bench/bench_embed.py [--repeats 3] [--audio 60] [--precision bf16] [--json FILE]
    python tests/bench/bench_embed.py --stages

The plain side reads one file, makes torchaudio's mel spectrogram, calls the published layers one
after the other, pools over time and writes one row. Its timestamps are scene embeddings of windows
of 0.95 s, one each 50 ms. Ours is `harness.embeddings.embed.embed_split`, hashes and manifest
included. Both sides have the same weights, and their embeddings are compared.

Each side runs in a process of its own, which embeds every workload once to warm up. Processes
alternate, and each ratio is of two neighbours in time. CPU seconds count all threads of a process,
so other work on the machine disturbs them least.

--stages prints CPU milliseconds for each second of audio, by stage, for both sides.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from child import instructions, machine
from child import measured as measured_in_child
from sides import Row, spread

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

PLAIN, OURS = "plain", "ours"
RATE = 16_000
WINDOW_SECONDS, WINDOW_HOP_SECONDS = 0.95, 0.05
# Options of load_model and the lengths of clips in seconds; None: lengths from 0.5 s to 10 s.
SCENES: list[tuple[dict, float | None]] = [
    ({"d": 512}, 1.0),
    ({"d": 512}, 4.0),
    ({"d": 512}, 10.0),
    ({"d": 512}, None),
    ({"d": 2048}, 1.0),
    ({"d": 2048}, 4.0),
    ({"d": 2048}, 10.0),
    ({"d": 2048}, None),
    ({"encoder": "2022", "d": 3072}, 4.0),
]
EVENTS_SECONDS = 10.0


def lengths(seconds: float | None, audio: float) -> list[int]:
    """Return the lengths of clips in samples, in all `audio` seconds."""
    if seconds is not None:
        return [int(seconds * RATE)] * max(1, round(audio / seconds))
    import numpy as np

    draw = np.random.default_rng(0)
    drawn: list[int] = []
    while sum(drawn) < audio * RATE:
        drawn.append(int(RATE * draw.uniform(0.5, 10)))
    return drawn


def make_task(root: Path, kind: str, samples: Sequence[int]) -> Path:
    """Write a task whose training clips are noise of these lengths."""
    import numpy as np
    from support import task_directories

    directory = task_directories.make_task(root, kind, n=len(samples))
    draw = np.random.default_rng(1)
    for i, count in enumerate(samples):
        audio = draw.uniform(-0.5, 0.5, count) * np.linspace(0.1, 1, count)
        task_directories.write_wav(
            directory / str(RATE) / "train" / f"train-{i:04d}.wav", audio, RATE
        )
    return directory


class Plain:
    """BYOL-A as its equations are commonly written in PyTorch."""

    def __init__(self, options: dict) -> None:
        import torch
        from torchaudio.transforms import MelSpectrogram

        import hear_byola

        model = hear_byola.load_model(seed=0, **options)
        self.mean, self.std = float(model.frontend.mean), float(model.frontend.std)
        self.features, self.perceptron = model.encoder.features, model.encoder.fc
        self.joined = options.get("encoder") == "2022"
        self.eps = torch.finfo(torch.float32).eps
        self.to_mel = MelSpectrogram(
            sample_rate=RATE,
            n_fft=1024,
            hop_length=160,
            f_min=60.0,
            f_max=7_800.0,
            n_mels=64,
            norm="slaney",
            mel_scale="slaney",
        )

    def mel(self, audio: Tensor) -> Tensor:
        return (((self.to_mel(audio) + self.eps).log() - self.mean) / self.std)[:, None]

    def local(self, mel: Tensor) -> Tensor:
        x = self.features(mel).permute(0, 3, 2, 1)
        return x.reshape(*x.shape[:2], -1)

    def scene(self, audio: Tensor) -> Tensor:
        import torch

        local = self.local(self.mel(audio))
        x = self.perceptron(local)
        if self.joined:
            x = torch.cat([local, x], dim=-1)
        return x.amax(1) + x.mean(1)

    def windows(self, audio: Tensor) -> Tensor:
        import torch

        window, hop = int(WINDOW_SECONDS * RATE), int(WINDOW_HOP_SECONDS * RATE)
        padded = torch.nn.functional.pad(audio, (window // 2, window // 2))
        stretches = padded[0].unfold(0, window, hop)
        return torch.cat([self.scene(part) for part in stretches.split(16)])


Embed = "Callable[[Path, Path], np.ndarray]"  # a task and an empty folder to its embeddings


def embed_plainly(options: dict, event: bool) -> Embed:
    import numpy as np
    import soundfile
    import torch

    model = Plain(options)

    def embed(directory: Path, out: Path) -> np.ndarray:
        rows = []
        with torch.no_grad():
            for path in sorted((directory / str(RATE) / "train").glob("*.wav")):
                audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None]
                rows.append((model.windows if event else model.scene)(audio).numpy())
        embeddings = np.concatenate(rows)
        np.save(out / "embeddings.npy", embeddings)
        return embeddings

    return embed


def embed_ours(options: dict) -> Embed:
    from harness.embeddings.embed import embed_split
    from harness.embeddings.store import read_split
    from harness.models.loading import load_module
    from harness.models.spec import ModelSpec
    from tasks.audio import ContentHashes
    from tasks.format.task import read_task

    module = load_module(ModelSpec("hear_byola", options={"seed": 0, **options}), "cpu")
    assert module.fingerprint  # of the model, which a run computes once

    def embed(directory: Path, out: Path) -> np.ndarray:
        task, hashes = read_task(directory), ContentHashes(out / "hashes.json")
        return read_split(embed_split(task, "train", module, out, hashes)).embeddings

    return embed


def measure(options: argparse.Namespace) -> None:
    """Embed every workload with one side, and print JSON as the last line."""
    import numpy as np
    import torch

    sys.path.insert(0, str(Path(__file__).parents[1]))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = []
    for row in workloads():
        more = {"precision": options.precision} if options.child == OURS else {}
        load = row["options"] | more
        event = row["kind"] == "events"
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            samples = lengths(row["seconds"], options.audio / (3 if event else 1))
            directory = make_task(root / "tasks", row["kind"], samples)
            ours = options.child == OURS
            embed = embed_ours(load) if ours else embed_plainly(load, event)
            for attempt in ("warm-up", "timed"):
                out = root / attempt
                out.mkdir()
                wall, cpu = time.perf_counter(), time.process_time()
                embeddings = embed(directory, out)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            # A digest of what was computed: projections that both sides share.
            draw = np.random.default_rng(2).standard_normal((embeddings.shape[1], 4))
            code = [] if event else (np.asarray(embeddings) @ draw).ravel().tolist()
        found.append({"wall": wall, "cpu": cpu, "code": code})
    print(json.dumps(found))


def workloads() -> list[dict]:
    scenes = [{"kind": "scene", "options": o, "seconds": s} for o, s in SCENES]
    return [*scenes, {"kind": "events", "options": {"d": 512}, "seconds": EVENTS_SECONDS}]


def name_of(row: dict) -> str:
    clips = "mixed lengths" if row["seconds"] is None else f"{row['seconds']:g} s"
    kind = "timestamps, 40 ms" if row["kind"] == "events" else "scenes"
    return f"{row['options'].get('encoder', '2020')}, d={row['options']['d']}, {kind}, {clips}"


def measured(options: argparse.Namespace, child: str) -> list[dict]:
    """What `measure` prints in a process of its own."""
    words = ["--audio", str(options.audio), "--precision", options.precision]
    return measured_in_child(__file__, child, words)


def compare(options: argparse.Namespace) -> dict:
    """Print and return the ratios of CPU seconds and of wall-clock seconds, by workload."""
    import numpy as np

    runs: dict[str, list[list[dict]]] = {PLAIN: [], OURS: []}
    for repeat in range(options.repeats):
        for child in list(runs)[:: -1 if repeat % 2 else 1]:
            runs[child].append(measured(options, child))
            print(f"{repeat + 1}/{options.repeats} {child}", file=sys.stderr)
    table = {}
    header = f"{'plain / ours':46} {'CPU':21} {'wall clock':21} {'ours, CPU ms':>12} {'apart':>8}"
    print(header + "\n" + f"{'':46} {'':21} {'':21} {'per s audio':>12}")
    for i, row in enumerate(workloads()):
        audio = sum(lengths(row["seconds"], options.audio / (3 if row["kind"] == "events" else 1)))
        pairs = [(p[i], o[i]) for p, o in zip(runs[PLAIN], runs[OURS], strict=True)]
        ratios = {key: [p[key] / o[key] for p, o in pairs] for key in ("cpu", "wall")}
        ours = statistics.median(o["cpu"] for _, o in pairs) * 1000 * RATE / audio
        plain, code = (np.array(side["code"]) for side in pairs[0])
        apart = f"{np.linalg.norm(plain - code) / np.linalg.norm(plain):.1e}" if len(code) else "-"
        table[name_of(row)] = ratios | {"ours_cpu_ms_per_second": ours, "apart": apart}
        print(
            f"{name_of(row):46} {spread(ratios['cpu']):21} {spread(ratios['wall']):21} "
            f"{ours:12.2f} {apart:>8}"
        )
    return table


def rows(repeats: int, tiny: bool) -> Iterator[Row]:
    """Compare the two in every workload; where the CPU has bf16, also with our side in bf16."""
    precisions = ["float32", *(["bf16"] if instructions() & {"avx512_bf16", "amx_bf16"} else [])]
    for precision in precisions[: 1 if tiny else 2]:
        audio = 1.0 if tiny else 60.0
        options = argparse.Namespace(repeats=repeats, audio=audio, precision=precision)
        for name, found in compare(options).items():
            against = "a window each 50 ms" if "timestamps" in name else "plain PyTorch"
            cost = f"{found['ours_cpu_ms_per_second']:.2f} CPU ms a second of audio"
            what = f"embedding, {name}, {precision}"
            yield Row(what, against, found["cpu"], found["wall"], f"{cost}; apart {found['apart']}")


def best(function: Callable[[], object], repeats: int = 12) -> float:
    """Return the least CPU seconds of this thread, after one call to warm up."""
    function()
    least = float("inf")
    for _ in range(repeats):
        start = time.thread_time()
        function()
        least = min(least, time.thread_time() - start)
    return least


def print_stages(options: dict, seconds: float = 4.0) -> None:
    import soundfile
    import torch

    import hear_byola
    from hear_byola.inference import InferenceForm
    from tasks.audio import read_audio

    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(0)
    audio = torch.rand(1, int(seconds * RATE), generator=draw) - 0.5
    ours, plain = hear_byola.load_model(seed=0, **options), Plain(options)
    form = InferenceForm(ours.encoder, torch.float32)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "clip.wav"
        soundfile.write(path, audio[0].numpy(), RATE)
        mel, plain_mel = ours.frontend(audio), plain.mel(audio)
        local = plain.local(plain_mel)
        stages: dict[str, tuple[Callable, Callable]] = {
            "decode": (lambda: soundfile.read(path), lambda: read_audio(path, RATE)),
            "log-mel": (lambda: plain.mel(audio), lambda: ours.frontend(audio)),
            "blocks": (lambda: plain.local(plain_mel), lambda: form.local_features(mel[:, None])),
            "perceptron": (lambda: plain.perceptron(local), lambda: form.head(local)),
            "whole call": (
                lambda: plain.scene(audio),
                lambda: hear_byola.get_scene_embeddings(audio, ours),
            ),
        }
        print(f"CPU ms for each second of audio, clip of {seconds:g} s, d = {options['d']}")
        for name, sides in stages.items():
            times = [1000 / seconds * best(side) for side in sides]
            print(f"  {name:12} plain {times[0]:6.3f}   ours {times[1]:6.3f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--audio", type=float, default=60.0, help="seconds in each workload")
    parser.add_argument("--precision", default="float32", help="of our side")
    parser.add_argument("--json", type=Path, help="also write the ratios to this file")
    parser.add_argument("--stages", action="store_true", help="where the time goes")
    parser.add_argument("--child", choices=(PLAIN, OURS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        measure(options)
        return
    print(f"{machine()}, one thread, {options.precision}", flush=True)
    if options.stages:
        for model in ({"d": 512}, {"d": 2048}):
            print_stages(model)
        return
    table = compare(options)
    if options.json:
        found = {"machine": machine(), "precision": options.precision, "ratios": table}
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
