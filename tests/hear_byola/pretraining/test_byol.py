from __future__ import annotations

import copy

import pytest
import torch
from support import plain_byola
from support.given_views import GivenViews
from torch import Tensor, nn

from hear_byola.pretraining import losses
from hear_byola.pretraining.byol import FRAMES, ByolTraining
from hear_byola.pretraining.config import PretrainConfig
from hear_byola.pretraining.crops import CROP_SAMPLES
from hear_byola.pretraining.networks import Branch

TINY = PretrainConfig(batch_size=4, hidden=64, projection=16, mixup_memory=16)
# plain_byola has the paper's sizes.
PAPER = PretrainConfig(batch_size=4, mixup_memory=16, learning_rate=1e-3, ema_decay=0.9)


def training(config: PretrainConfig = TINY) -> ByolTraining:
    return ByolTraining(config, -9.7, 4.7, steps=10)


def audio(seed: int = 0, clips: int = 4) -> Tensor:
    return torch.rand(clips, CROP_SAMPLES, generator=torch.Generator().manual_seed(seed)) - 0.5


def step(module: ByolTraining, optimizer: torch.optim.Optimizer, clips: Tensor) -> float:
    def closure() -> Tensor:
        optimizer.zero_grad()
        value = module.training_step(clips, 0)
        value.backward()
        return value

    module.optimizer_step(0, 0, optimizer, closure)
    return float(module.last_loss)


def without_dropout(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0


def plain_twin(module: ByolTraining) -> plain_byola.PlainByol:
    """The plain networks with the same weights, in double precision."""
    plain = plain_byola.PlainByol(module.config.d)

    def give(branch: Branch, to: nn.Module) -> None:
        to[0].load_state_dict(branch.encoder.state_dict())
        to[1].load_state_dict(branch.projector.state_dict())

    give(module.online, plain.online)
    give(module.target, plain.target)
    plain.predictor.load_state_dict(module.predictor.state_dict())
    without_dropout(plain)
    return plain.double().train()


def pairs(module: ByolTraining, plain: plain_byola.PlainByol, buffers: bool = False) -> list:
    """Parameters, or buffers, of ours and of the plain one that belong together."""
    kind = "named_buffers" if buffers else "named_parameters"
    return [
        (f"{part} {name}", ours, theirs)
        for part, a, b in [
            ("encoder", module.online.encoder, plain.online[0]),
            ("projector", module.online.projector, plain.online[1]),
            ("predictor", module.predictor, plain.predictor),
            ("target encoder", module.target.encoder, plain.target[0]),
            ("target projector", module.target.projector, plain.target[1]),
        ]
        for (name, ours), (_, theirs) in zip(getattr(a, kind)(), getattr(b, kind)(), strict=True)
    ]


def near(ours: Tensor, reference: Tensor, tolerance: float) -> bool:
    difference = (ours.double() - reference).norm()
    return bool(difference <= tolerance * reference.norm().clamp(min=1e-6))


def test_loss_is_the_plain_one() -> None:
    generator = torch.Generator().manual_seed(1)
    vectors = [torch.randn(5, 16, generator=generator) for _ in range(4)]
    p1, p2, t1, t2 = vectors
    ours = losses.byol(p1, t2) + losses.byol(p2, t1)
    torch.testing.assert_close(ours, plain_byola.byol_loss((p1, p2), (t1, t2)))


def test_loss_is_in_full_precision_and_between_0_and_4() -> None:
    x = torch.randn(3, 8)
    assert float(losses.byol(x, 2 * x)) == pytest.approx(0, abs=1e-6)
    assert float(losses.byol(x, -x)) == pytest.approx(4)
    assert losses.byol(x.bfloat16(), x.bfloat16()).dtype == torch.float32


def test_a_whole_step_is_the_plain_one() -> None:
    module = training(PAPER)
    without_dropout(module)
    plain = plain_twin(module)
    # In float64 like the plain one: in float32, rounding decides near ties in pools and ReLUs, and
    # gradients jump.
    for network in (module.online, module.target, module.predictor):
        network.double()
    generator = torch.Generator().manual_seed(2)
    views = [torch.randn(4, 64, FRAMES, generator=generator).double() for _ in range(2)]
    module.augment = GivenViews(*views)
    optimizer = module.configure_optimizers()["optimizer"]
    value = step(module, optimizer, audio())

    expected = plain(*(view[:, None] for view in views))
    expected.backward()
    assert value == pytest.approx(float(expected.detach()), rel=1e-5)  # the loss is in float32
    for name, ours, theirs in pairs(module, plain):
        if name in ("projector 0.bias", "projector 3.bias", "predictor 0.bias"):
            assert ours.grad.abs().max() < 1e-5  # zero, as BatchNorm takes these away again
        elif ours.grad is not None:
            assert near(ours.grad, theirs.grad, 1e-5), name
    for name, ours, theirs in pairs(module, plain, buffers=True):
        assert near(ours, theirs.double(), 1e-9), name

    # Adam's first step is a sign, in which rounding is as good as a gradient: so ours in.
    for _, ours, theirs in pairs(module, plain):
        theirs.grad = None if ours.grad is None else ours.grad.double()
    torch.optim.Adam(plain.parameters(), PAPER.learning_rate).step()
    plain_byola.ema(plain.target, plain.online, PAPER.ema_decay)
    for name, ours, theirs in pairs(module, plain):
        assert near(ours.detach(), theirs.detach(), 1e-9), name


@pytest.mark.parametrize("decay", [0.0, 0.9, 0.99])
def test_target_is_the_moving_average_of_the_online_parameters(decay: float) -> None:
    module = training(PretrainConfig(**{**vars(TINY), "ema_decay": decay}))
    optimizer = module.configure_optimizers()["optimizer"]
    expected = copy.deepcopy(module.target)
    for seed in range(3):
        step(module, optimizer, audio(seed))
        plain_byola.ema(expected, module.online, decay)
    for ours, theirs in zip(module.target.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def test_target_and_the_convolutions_biases_are_not_trained() -> None:
    module = training()
    optimizer = module.configure_optimizers()["optimizer"]
    before = {name: value.clone() for name, value in module.online.named_parameters()}
    step(module, optimizer, audio())
    step(module, optimizer, audio(1))
    assert all(p.grad is None and not p.requires_grad for p in module.target.parameters())
    trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert not trained & {id(p) for p in module.target.parameters()}
    fixed = {
        name for name, value in module.online.named_parameters() if torch.equal(value, before[name])
    }
    assert fixed == {f"encoder.features.{i}.bias" for i in (0, 4, 8)}


def test_each_view_passes_by_itself_in_both_networks() -> None:
    module = training()
    module.training_step(audio(), 0)
    counts = {
        int(value) for name, value in module.named_buffers() if name.endswith("num_batches_tracked")
    }
    assert counts == {2}


def test_augmentation_has_no_gradient_and_sees_normalised_spectrograms() -> None:
    module = training()
    clips = audio()
    mel = module.spectrograms(clips)
    assert mel.shape == (4, 64, FRAMES)
    raw = ByolTraining(PretrainConfig(**{**vars(TINY), "pre_norm": False}), -9.7, 4.7, 10)
    torch.testing.assert_close(mel, (raw.spectrograms(clips) + 9.7) / 4.7)
    seen = []
    module.online.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    module.training_step(clips, 0)
    assert len(seen) == 2
    assert not any(view.requires_grad for view in seen)
    assert not torch.equal(*seen)


def test_draws_depend_on_seed_rank_and_batch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(seed: int, rank: int, batch: int) -> tuple[float, float]:
        monkeypatch.setattr(ByolTraining, "global_rank", rank)
        module = training(PretrainConfig(**{**vars(TINY), "seed": seed}))
        module.batches = batch
        torch.manual_seed(int(torch.randint(1000, ())))
        generator = module._seed(torch.device("cpu"))
        return float(torch.rand(())), float(torch.rand((), generator=generator))

    places = [(s, r, b) for s in (42, 43) for r in (0, 1) for b in (0, 1)]
    draws = [draw(*place) for place in places]
    assert draws == [draw(*place) for place in places]
    numbers = [number for pair in draws for number in pair]
    assert len(set(numbers)) == len(numbers)


def test_making_it_leaves_the_global_random_generator_alone() -> None:
    before = torch.get_rng_state()
    one = training()
    assert torch.get_rng_state().equal(before)
    torch.rand(5)
    assert all(a.equal(b) for a, b in zip(one.parameters(), training().parameters(), strict=True))


def test_learning_rate_warms_up_and_falls() -> None:
    config = PretrainConfig(
        **{**vars(TINY), "schedule": "cosine", "warmup_steps": 2, "learning_rate": 1.0}
    )
    module = training(config)
    rates = [module._rate(step) for step in range(11)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[6] == pytest.approx(0.5)
    assert rates[10] == pytest.approx(0.0)
    assert rates[2:] == sorted(rates[2:], reverse=True)
    constant = training()
    assert {constant._rate(step) for step in range(11)} == {1.0}
