"""The comparison of views frame by frame, against losses of single frames in double precision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from support.given_views import GivenViews
from support.plain_losses import plain_barlow_twins, plain_vicreg
from support.pretraining_runs import tiny
from support.whole_run import rows, run
from torch import Tensor, nn

from hear_byola.core.errors import UserError
from hear_byola.encoder import Encoder
from hear_byola.pretraining.byol import FRAMES, ByolTraining
from hear_byola.pretraining.crops import CROP_SAMPLES
from hear_byola.pretraining.networks import Branch

SHARE = 0.3
CLIPS = 3
FRAMES_2020 = FRAMES // 8


def module(loss: str) -> ByolTraining:
    """A module in double precision, without dropout, with given views."""
    frames = {"share": SHARE, "hidden": 8}
    made = ByolTraining(
        tiny(loss=loss, augmentations=["mixup"], frames=frames, projection=3), -9.7, 4.7, 10
    )
    for layer in made.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    networks = (made.online, made.target, made.predictor, made.frame_predictor)
    for network in filter(None, networks):
        network.double()
    generator = torch.Generator().manual_seed(2)
    views = [torch.randn(CLIPS, 64, FRAMES, generator=generator).double() for _ in range(2)]
    made.augment = GivenViews(*views)
    return made


def plain_frames(encoder: Encoder, view: Tensor) -> list[list[Tensor]]:
    """The frames of each clip, by plain layers on the batch."""
    x = view[:, None]
    for layer in encoder.features:
        x = layer(x)
    clips = []
    for clip in x:
        columns = [clip[:, :, t].T.flatten() for t in range(clip.shape[2])]
        clips.append([encoder.fc(column) for column in columns])
    return clips


@torch.no_grad()
def plain_projections(branch: Branch, view: Tensor) -> tuple[Tensor, Tensor]:
    """Projections of clips and of frames, each frame by itself until the head's BatchNorm."""
    clips = plain_frames(branch.encoder, view)
    pooled = [torch.stack(frames).amax(0) + torch.stack(frames).mean(0) for frames in clips]
    every = [frame for frames in clips for frame in frames]
    assert branch.frame_projector is not None
    return branch.projector(torch.stack(pooled)), branch.frame_projector(torch.stack(every))


def cosine_distance(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    pairs = [2 - 2 * float(p @ t / (p.norm() * t.norm())) for p, t in zip(one, other, strict=True)]
    return sum(pairs) / len(pairs)


@pytest.mark.parametrize(
    ("loss", "plain"), [("vicreg", plain_vicreg), ("barlow_twins", plain_barlow_twins)]
)
def test_the_loss_is_shared_between_clips_and_frames(loss: str, plain: object) -> None:
    trained = module(loss)
    trained.training_step(torch.rand(CLIPS, CROP_SAMPLES), 0)
    first, second = (plain_projections(trained.online, view) for view in trained.augment.views)
    assert first[0].shape == (CLIPS, 3)
    assert first[1].shape == (CLIPS * FRAMES_2020, 3)
    clips, frames = (plain(one, other) for one, other in zip(first, second, strict=True))  # type: ignore[operator]
    assert float(trained.last_loss) == pytest.approx((1 - SHARE) * clips + SHARE * frames, rel=1e-4)
    logged = trained.take_mean_losses()
    assert logged["clips"] == pytest.approx(clips, rel=1e-4)
    assert logged["frames"] == pytest.approx(frames, rel=1e-4)


def test_the_curves_show_frames_apart_and_a_collapse_of_their_head(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, told = Branch.__init__, []

    def collapsed(self: Branch, *sizes: object) -> None:
        plain(self, *sizes)  # type: ignore[arg-type]
        assert self.frame_projector is not None
        nn.init.zeros_(self.frame_projector[3].weight)
        nn.init.ones_(self.frame_projector[3].bias)

    monkeypatch.setattr(Branch, "__init__", collapsed)
    config = tiny(augmentations=["mixup"], frames={}, learning_rate=1e-9, log_every=2)
    run(audio, tmp_path, config, say=told.append)
    (warning,) = [line for line in told if "WARNING" in line and "collapsed" in line]
    assert "collapsed: frame_projection (std 0.000" in warning
    assert "embeddings" not in warning  # they differ
    for row in rows(tmp_path):
        assert {"clips", "frames", "frame_projection_std", "frame_projection_rank"} <= row.keys()
        mixed = 0.5 * float(row["clips"]) + 0.5 * float(row["frames"])
        assert float(row["loss"]) == pytest.approx(mixed, rel=1e-4)


@torch.no_grad()
def test_byol_predicts_the_target_networks_frames() -> None:
    trained = module("byol")
    trained.training_step(torch.rand(CLIPS, CROP_SAMPLES), 0)
    first, second = trained.augment.views
    assert trained.target is not None
    parts = []
    for level, predictor in enumerate((trained.predictor, trained.frame_predictor)):
        assert predictor is not None
        parts.append(
            sum(
                cosine_distance(
                    predictor(plain_projections(trained.online, one)[level]),
                    plain_projections(trained.target, other)[level],
                )
                for one, other in ((first, second), (second, first))
            )
        )
    expected = (1 - SHARE) * parts[0] + SHARE * parts[1]
    assert float(trained.last_loss) == pytest.approx(expected, rel=1e-4)


def test_frames_train_heads_of_their_own() -> None:
    trained = module("byol")
    trained.training_step(torch.rand(CLIPS, CROP_SAMPLES), 0).backward()
    for head in (trained.online.frame_projector, trained.frame_predictor):
        assert head is not None
        assert head[0].out_features == 8
        assert float(head[0].weight.grad.abs().max()) > 0
    assert trained.target is not None
    assert trained.target.frame_projector is not None
    assert not any(p.requires_grad for p in trained.target.parameters())


@pytest.mark.parametrize("fields", [{}, {"crop_time": [1, 1]}, {"crop_canvas": [1, 1]}])
def test_views_must_show_the_same_times(fields: dict[str, object]) -> None:
    with pytest.raises(UserError, match="random_resize_crop moves them in time"):
        tiny(frames={}, **fields)


def test_crops_in_frequency_alone_may_be_compared_by_frames() -> None:
    config = tiny(frames={}, crop_time=[1, 1], crop_canvas=[1, 1])
    assert config.frames is not None
    assert config.frames.share == 0.5


@pytest.mark.parametrize("share", [0, 1, 1.5])
def test_both_kinds_of_comparison_have_a_share(share: float) -> None:
    with pytest.raises(UserError, match="share"):
        tiny(augmentations=["mixup"], frames={"share": share})
