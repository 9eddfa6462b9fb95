"""Functions for tiny pretraining runs in tests, importable by other processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.distributed as dist
from support.sound_files import noise, write
from torch import nn

from hear_byola.pretraining.augment import post_norm
from hear_byola.pretraining.config import PretrainConfig, make_config
from hear_byola.pretraining.distributed import batch_moments, synchronise
from hear_byola.pretraining.fused import local_features
from hear_byola.random_weights import random_encoder

FIELDS: Mapping[str, object] = {
    "batch_size": 4,
    "hidden": 64,
    "projection": 16,
    "mixup_memory": 16,
    "crops": 24,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup_steps": 2,
    "save_every": 2,
    "log_every": 1,
    "monitor_every": 2,
    "precision": "32-true",
    "workers": 0,
    "logger": {},
    "licence": "CC0-1.0",
}


def tiny(**fields: object) -> PretrainConfig:
    return make_config({**FIELDS, **fields})


def make_audio(root: Path, seconds: float = 1.2) -> Path:
    """Write seven sounds in two folders, one of them shorter than a crop."""
    for number in range(7):
        length = 0.4 if number == 3 else seconds
        write(root / "ab"[number % 2] / f"{number}.wav", noise(length, seed=number))
    return root


def killer(number: int, at: int) -> Callable[[Path], Mapping[str, float]]:
    """Return a probe that sends its process a signal when it is called for the `at`-th time."""
    calls = 0

    def probe(_: Path) -> Mapping[str, float]:
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), number)
        return {}

    return probe


def joint_work(seed: int) -> dict[str, nn.Module | torch.Tensor]:
    """Return layers and a batch of 8, the same in every process.

    They are in float64: in float32, rounding could decide ties in pooling and change gradients.
    """
    torch.manual_seed(seed)
    heads = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    encoders = {"2020": random_encoder("2020", 512, 1), "2022": random_encoder("2022", 2048, 1)}
    for encoder in encoders.values():
        for layer in encoder.features:
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
    work = {
        "head": heads,
        **encoders,
        "vectors": torch.randn(8, 6) + 2,
        "mel": 2 * torch.randn(8, 1, 64, 16) - 1,
        "direction": torch.randn(8, 3),
        "view": torch.randn(8, 64, 16) * 3 + 1,
    }
    return {name: part.double() for name, part in work.items()}


def results(work: dict, part: slice) -> dict[str, torch.Tensor]:
    """Return outputs, gradients (the mean over processes, as in DDP) and running statistics."""
    share = 1 if not dist.is_initialized() else dist.get_world_size()
    found: dict[str, torch.Tensor] = {}
    vectors = work["vectors"][part].clone().requires_grad_()
    if share > 1:
        synchronise(work["head"], "cpu")
    out = work["head"](vectors)
    (out * work["direction"][part]).square().mean().backward()
    found["head out"] = out.detach()
    found["head input gradient"] = vectors.grad / share
    for version in ("2020", "2022"):
        encoder = work[version]
        if share > 1:
            synchronise(encoder, "cpu")
        local = local_features(encoder.train(), work["mel"][part])
        found[f"{version} out"] = local.detach()
        weight = torch.linspace(-1, 1, local[0].numel(), dtype=local.dtype).view_as(local[0])
        (local * weight).square().mean().backward()
    found["views"] = torch.stack(post_norm((work["view"][part], 2 * work["view"][part])), 1)
    mean, variance, count = batch_moments(work["mel"][part])
    assert count == work["mel"].numel()
    for name in ("head", "2020", "2022"):
        for key, parameter in work[name].named_parameters():
            if parameter.grad is not None:
                if share > 1:
                    dist.all_reduce(parameter.grad)
                found[f"all {name} {key} gradient"] = parameter.grad / share
        for key, buffer in work[name].named_buffers():
            found[f"all {name} {key}"] = buffer
    found["all moments"] = torch.stack([mean, variance])
    return found


def one_of_two(rank: int, folder: str) -> None:
    """Run one process of two, each with half of the batch."""
    torch.set_num_threads(1)
    meeting = f"file://{folder}/meeting"
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
    half = slice(4 * rank, 4 * rank + 4)
    torch.save(results(joint_work(0), half), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


NORM_BATCHES: Mapping[str, tuple[tuple[int, ...], torch.dtype]] = {
    "images": ((8, 5, 6, 4), torch.float32),
    "images in bfloat16": ((8, 5, 6, 4), torch.bfloat16),
    "one vector a process": ((2, 5), torch.float64),
}


def normalised(layers: Mapping[str, nn.Module], rank: int, ranks: int) -> dict[str, torch.Tensor]:
    """Return what BatchNorm layers make of a rank's part of `NORM_BATCHES`, far from zero.

    Of each: outputs, gradients of inputs, parts of gradients of parameters, and statistics.
    """
    found: dict[str, torch.Tensor] = {}
    for name, (shape, dtype) in NORM_BATCHES.items():
        generator = torch.Generator().manual_seed(7)
        whole = (torch.randn(shape, generator=generator) + 30).to(dtype)
        direction = torch.randn(shape, generator=generator).to(dtype)
        x = whole.chunk(ranks)[rank].clone().requires_grad_()
        layer = layers[name]
        out = layer(x)
        (out * direction.chunk(ranks)[rank]).sum().backward()
        assert x.grad is not None
        found |= {f"{name}: output": out.detach(), f"{name}: gradient": x.grad}
        for key, parameter in layer.named_parameters():
            assert parameter.grad is not None
            found[f"sum of {name}: {key}"] = parameter.grad
        found |= {f"all {name}: {key}": value for key, value in layer.named_buffers()}
    return found


def norm_layers() -> dict[str, nn.Module]:
    """Return a BatchNorm layer, with parameters of its own, for each of `NORM_BATCHES`."""
    torch.manual_seed(3)
    found: dict[str, nn.Module] = {}
    for name, (shape, dtype) in NORM_BATCHES.items():
        layer = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(shape[1])
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
        found[name] = layer.to(torch.promote_types(dtype, torch.float32))
    return found


def norms_of_half(rank: int, folder: str) -> None:
    """Save what synchronised layers make of half of the batches."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    layers = nn.ModuleDict(norm_layers())
    synchronise(layers, "cpu")
    torch.save(normalised(layers, rank, 2), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def views(clips: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Return projections (clips, 4) of two views: unequal scales, away from zero."""
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(clips, 4, generator=generator) * torch.tensor([0.2, 1.0, 3.0, 0.5]) + 2
    return first, first + 0.3 * torch.randn(clips, 4, generator=generator)


def losses_of_half(rank: int, folder: str) -> None:
    """Save losses and gradients (the mean over processes, as in DDP) of half of a batch of 8."""
    from hear_byola.pretraining import losses

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {}
    for name in ("barlow_twins", "vicreg"):
        pair = [view[4 * rank : 4 * rank + 4].clone().requires_grad_() for view in views(8)]
        loss = getattr(losses, name)(*pair)
        loss.backward()
        found[name] = loss.detach()
        for number, view in enumerate(pair):
            assert view.grad is not None
            found[f"{name} {number}"] = view.grad / 2
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def run_and_die(audio: str, out: str, at: str) -> None:
    """Run a pretraining that is killed in its `at`-th step."""
    from hear_byola.pretraining.run import pretrain

    probe = killer(signal.SIGKILL, int(at))
    pretrain(Path(audio), tiny(probe_every=1), Path(out), probe=probe)


if __name__ == "__main__":
    run_and_die(*sys.argv[1:])
