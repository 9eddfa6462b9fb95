"""A plain reference implementation of BYOL-A's pretraining, one sample at a time.

It is written from the two papers (arXiv 2103.06695, arXiv 2204.07402), independently of
hear_byola.pretraining, whose results (tests) and speed (tests/bench) are compared with it. The
first half contains the equations, each a function of one sample and its random draws. The second
half is a training pipeline in the usual form.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset
from torchaudio.transforms import MelSpectrogram

EPS = torch.finfo(torch.float32).eps


# The equations. x and z are normalised log-mel spectrograms, (F, T); random draws are arguments.


def pre_norm(x: Tensor, mean: float, std: float) -> Tensor:
    return (x - mean) / std


def mixup(x: Tensor, z: Tensor, mix: float) -> Tensor:
    return torch.log((1 - mix) * torch.exp(x) + mix * torch.exp(z) + EPS)


def linear_mixup(x: Tensor, z: Tensor, mix: float) -> Tensor:
    """Mix linearly: the ablation "w/o log-mix-exp"."""
    return (1 - mix) * x + mix * z


def gaussian(x: Tensor, mix: float, noise: Tensor) -> Tensor:
    """Mix with noise instead of another clip (an ablation); noise (F, T) ~ Normal(0, mix)."""
    return torch.log((1 - mix) * torch.exp(x) + torch.exp(noise) + EPS)


@dataclass(frozen=True)
class PlainCrop:
    top: int
    left: int
    height: int
    width: int


def canvas_size(bands: int, frames: int, canvas: tuple[float, float]) -> tuple[int, int]:
    return round(bands * canvas[0]), round(frames * canvas[1])


def random_resize_crop(x: Tensor, crop: PlainCrop, canvas: tuple[float, float]) -> Tensor:
    bands, frames = x.shape
    canvas_bands, canvas_frames = canvas_size(bands, frames, canvas)
    top, left = (canvas_bands - bands) // 2, (canvas_frames - frames) // 2
    drawn_on = torch.zeros(canvas_bands, canvas_frames)
    drawn_on[top : top + bands, left : left + frames] = x
    cut = drawn_on[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    resized = interpolate(cut[None, None], size=(bands, frames), mode="bicubic", align_corners=True)
    return resized[0, 0]


def crop_side(scale: float, side: int, canvas_side: int) -> int:
    """Return the height (from F) or width (from T) of a crop: int(scale * side), clipped."""
    return min(max(int(scale * side), 1), canvas_side)


def linear_fader(x: Tensor, head: float, tail: float) -> Tensor:
    return x + torch.linspace(head, tail, x.shape[1])


def post_norm(views: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """Normalise views of samples of (F, T) by the mean and standard deviation of all bins."""
    bins = torch.cat([x.flatten() for view in views for x in view])
    mean = bins.sum() / len(bins)
    std = torch.sqrt(((bins - mean) ** 2).sum() / len(bins))
    return [[(x - mean) / std for x in view] for view in views]


def byol_loss(
    predictions: Sequence[Sequence[Tensor]], targets: Sequence[Sequence[Tensor]]
) -> Tensor:
    """Return the loss of two views: each view's prediction is compared with the other's target."""
    total = torch.zeros(())
    for p1, p2, t1, t2 in zip(*predictions, *targets, strict=True):
        for p, t in ((p1, t2), (p2, t1)):
            total = total + 2 - 2 * torch.dot(p, t) / (torch.norm(p) * torch.norm(t))
    return total / len(predictions[0])


def ema(target: nn.Module, online: nn.Module, decay: float) -> None:
    """Update the target's parameters by a moving average; buffers are not changed."""
    for old, new in zip(target.parameters(), online.parameters(), strict=True):
        old.data = decay * old.data + (1 - decay) * new.data


# The pipeline.


@dataclass(frozen=True)
class PlainSettings:
    """Published settings of version 1, d = 512; a fader above 0 gives version 2's augmentations."""

    d: int = 512
    mixup_alpha: float = 0.4
    memory: int = 2048
    canvas: tuple[float, float] = (1.0, 1.5)
    crop_scale: tuple[float, float] = (0.6, 1.5)
    fader: float = 0.0
    decay: float = 0.99
    learning_rate: float = 3e-4
    mean: float = -9.660292
    std: float = 4.7219563


class PlainViews(Dataset):
    """A data set of two augmented views of each clip, (F, T) each."""

    def __init__(self, waveforms: Tensor, settings: PlainSettings) -> None:
        self.waveforms = waveforms
        self.settings = settings
        self.memory: deque[Tensor] = deque(maxlen=settings.memory)
        self.to_mel = MelSpectrogram(
            sample_rate=16_000,
            n_fft=1024,
            hop_length=160,
            f_min=60.0,
            f_max=7_800.0,
            n_mels=64,
            norm="slaney",
            mel_scale="slaney",
        )

    def __len__(self) -> int:
        return len(self.waveforms)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        x = self.log_mel(index)
        views = self.view(x), self.view(x)
        self.memory.append(x)
        return views

    def log_mel(self, index: int) -> Tensor:
        mel = self.to_mel(self.waveforms[index])
        return pre_norm(torch.log(mel + EPS), self.settings.mean, self.settings.std)

    def view(self, x: Tensor) -> Tensor:
        settings = self.settings
        if self.memory:
            z = self.memory[random.randrange(len(self.memory))]
            x = mixup(x, z, random.uniform(0, settings.mixup_alpha))
        x = random_resize_crop(x, self.draw_crop(*x.shape), settings.canvas)
        if settings.fader:
            head, tail = (random.uniform(-settings.fader, settings.fader) for _ in range(2))
            x = linear_fader(x, head, tail)
        return x

    def draw_crop(self, bands: int, frames: int) -> PlainCrop:
        canvas_bands, canvas_frames = canvas_size(bands, frames, self.settings.canvas)
        height = crop_side(random.uniform(*self.settings.crop_scale), bands, canvas_bands)
        width = crop_side(random.uniform(*self.settings.crop_scale), frames, canvas_frames)
        top = random.randint(0, canvas_bands - height)
        left = random.randint(0, canvas_frames - width)
        return PlainCrop(top, left, height, width)


class PlainEncoder(nn.Module):
    """The 2020 encoder with pooling over time: (batch, 1, 64, T) -> (batch, d)."""

    def __init__(self, d: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels in (1, 64, 64):
            layers += [nn.Conv2d(channels, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU()]
            layers += [nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.fc = nn.Sequential(
            nn.Linear(512, d), nn.ReLU(), nn.Dropout(0.3), nn.Linear(d, d), nn.ReLU()
        )

    def forward(self, mel: Tensor) -> Tensor:
        x = self.features(mel).permute(0, 3, 2, 1)
        x = self.fc(x.reshape(x.shape[0], x.shape[1], -1))
        return x.max(dim=1).values + x.mean(dim=1)


def perceptron(inputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 4096), nn.BatchNorm1d(4096), nn.ReLU(), nn.Linear(4096, 256)
    )


class PlainByol(nn.Module):
    """The online network, predictor and target network; ``forward`` returns the loss."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.online = nn.Sequential(PlainEncoder(d), perceptron(d))
        self.predictor = perceptron(256)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        p1, p2 = (self.predictor(self.online(view)) for view in (first, second))
        with torch.no_grad():
            t1, t2 = self.target(first), self.target(second)
        return (self.distance(p1, t2) + self.distance(p2, t1)).mean()

    @staticmethod
    def distance(prediction: Tensor, target: Tensor) -> Tensor:
        return 2 - 2 * nn.functional.cosine_similarity(prediction, target, dim=-1)


class PlainTrainer:
    """Trains on waveforms, (clips, 15200) at 16 kHz, in batches from data-loader workers.

    Each worker has its own mixup memory. With 0 workers, this process makes the batches.
    """

    def __init__(
        self,
        waveforms: Tensor,
        batch: int,
        workers: int,
        settings: PlainSettings | None = None,
        shuffle: bool = True,
    ) -> None:
        self.settings = settings or PlainSettings()
        self.dataset = PlainViews(waveforms, self.settings)
        self.loader = DataLoader(
            self.dataset,
            batch_size=batch,
            shuffle=shuffle,
            drop_last=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        self.model = PlainByol(self.settings.d)
        trained = [*self.model.online.parameters(), *self.model.predictor.parameters()]
        self.optimizer = torch.optim.Adam(trained, lr=self.settings.learning_rate)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield post-normalised pairs of views, (batch, 1, F, T) each, without end."""
        while True:
            for first, second in self.loader:
                views = torch.stack([first, second])
                views = (views - views.mean()) / views.std(correction=0)
                yield views[0].unsqueeze(1), views[1].unsqueeze(1)

    def step(self, first: Tensor, second: Tensor) -> float:
        loss = self.model(first, second)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        ema(self.model.target, self.model.online, self.settings.decay)
        return loss.item()
