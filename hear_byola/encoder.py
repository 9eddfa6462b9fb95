"""The two published BYOL-A encoders, by their published layer names, and their pooling over time.

Both are a stack of convolution blocks that halves mel and time, and a small perceptron applied to
each time step (2020: arXiv 2103.06695; 2022: arXiv 2204.07402).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from hear_byola.frontend import MEL_BANDS

CHANNELS = 64
HIDDEN_2022 = 2048
DROPOUT = 0.3
_LAYERS_PER_BLOCK = 4
# Training over several processes replaces the layer by one of another class.
BatchNorm = nn.modules.batchnorm._BatchNorm


class Encoder(nn.Module):
    """What the two encoders share: convolution blocks, and a perceptron on each time step.

    With b blocks, output k of a plain pass pools the `window = 2**b` mel frames from `window * k`
    on. Each block's 3x3 convolution sees one frame more on each side, at that block's resolution,
    so that an output depends on `3 * window - 2` mel frames, `window - 1` on each side of its own.

    Class attributes:
        version: year of the publication.
        sizes: the embedding sizes d that were published.
        blocks: number of convolution blocks.
    """

    version: ClassVar[str]
    sizes: ClassVar[tuple[int, ...]]
    blocks: ClassVar[int]

    def __init__(self, d: int, hidden: int, out: int) -> None:
        super().__init__()
        if d not in self.sizes:
            raise ValueError(
                f"d={d!r} is no size of the {self.version} encoder: it must be one of "
                f"{list(self.sizes)}."
            )
        self.d = d
        # The pools are here for their place in the numbering of the published state dicts, and
        # hold no weights: `local_features` pools with a step of its own.
        self.features = nn.Sequential()
        for block in range(self.blocks):
            self.features.extend(
                [
                    nn.Conv2d(1 if block == 0 else CHANNELS, CHANNELS, 3, padding=1),
                    nn.BatchNorm2d(CHANNELS),
                    nn.ReLU(),
                    nn.MaxPool2d(2, stride=2),
                ]
            )
        self.fc = nn.Sequential(
            nn.Linear(CHANNELS * MEL_BANDS // self.window, hidden),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
            nn.Linear(hidden, out),
            nn.ReLU(),
        )

    @property
    def window(self) -> int:
        """Mel frames that one output pools."""
        return 2**self.blocks

    def local_features(self, mel: Tensor, stride: int | None = None) -> Tensor:
        """The convolution blocks, then (mel, channel) flattened with the channel fastest.

        A stride below `window` gives the outputs between those of a plain pass, too, and computes
        nothing twice: the last pools step by one frame instead of two, and whatever follows such a
        pool looks at every second frame (dilation), so that each output is computed from the very
        frames that a plain pass would use if it began `stride` frames later.

        Args:
            mel: (batch, 1, MEL_BANDS, frames), with at least `window` frames.
            stride: mel frames between outputs: `window` (the default) divided by a power of two.

        Returns:
            (batch, n, CHANNELS * MEL_BANDS // window), n = (frames - window) // stride + 1.
        """
        x = mel
        for block in self._blocks(mel, stride):
            x = block
        return _over_time(x)

    def _blocks(self, mel: Tensor, stride: int | None) -> Iterator[Tensor]:
        """Yield the output of each block, (batch, CHANNELS, mel, frames)."""
        x, dilation = mel, 1
        steps = self.pool_steps(stride)
        for (conv, norm), step in zip(self.convolutions(), steps, strict=True):
            x = nn.functional.conv2d(
                x, conv.weight, conv.bias, padding=(1, dilation), dilation=(1, dilation)
            )
            x = nn.functional.relu(norm(x))
            x = nn.functional.max_pool2d(x, 2, stride=(2, step), dilation=(1, dilation))
            dilation *= 3 - step
            yield x

    @property
    def layer_sizes(self) -> list[int]:
        """Width of each layer: the log-mel, the output of each block, and the embedding."""
        blocks = [CHANNELS * MEL_BANDS // 2 ** (block + 1) for block in range(self.blocks)]
        return [MEL_BANDS, *blocks, self.d]

    def layers(self, mel: Tensor, stride: int | None = None) -> list[Tensor]:
        """All layers at the times of the outputs.

        Block b halves time b times, so that an output pools several of its frames. Their mean is
        that layer's frame; likewise of the mel frames.

        Args:
            mel, stride: as for `forward`.

        Returns:
            For each layer (batch, n, size), with n as in `local_features`.
        """
        step = stride or self.window
        n = (mel.shape[-1] - self.window) // step + 1
        found, resolution, x = [], 1, mel
        for block, (x, pool_step) in enumerate(
            zip([mel, *self._blocks(mel, stride)], [1, *self.pool_steps(stride)], strict=True)
        ):
            # Frames of this block are `resolution` mel frames apart and pool 2**block.
            resolution *= pool_step
            frames, every = _over_time(x), step // resolution
            begins = range(0, self.window // resolution, 2**block // resolution)
            pooled = [frames[:, begin : begin + (n - 1) * every + 1 : every] for begin in begins]
            found.append(torch.stack(pooled).mean(0))
        return [*found, self.head(_over_time(x))]

    def convolutions(self) -> Iterator[tuple[nn.Conv2d, BatchNorm]]:
        """Yield the convolution of each block and the BatchNorm after it."""
        for start in range(0, len(self.features), _LAYERS_PER_BLOCK):
            conv, norm = self.features[start], self.features[start + 1]
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, BatchNorm)
            yield conv, norm

    def pool_steps(self, stride: int | None = None) -> list[int]:
        """Return by how many frames, 2 or 1, each block's pool steps for a stride of outputs.

        Raises:
            ValueError: the stride does not divide the window by a power of two.
        """
        stride = stride or self.window
        if stride < 1 or self.window % stride:
            raise ValueError(f"stride={stride}: it must divide the window of {self.window} frames.")
        undecimated = (self.window // stride).bit_length() - 1
        return [2] * (self.blocks - undecimated) + [1] * undecimated

    def forward(self, mel: Tensor, stride: int | None = None) -> Tensor:
        """Embeddings over time.

        Args:
            mel: normalised log-mel, float32 (batch, 1, MEL_BANDS, frames); frames >= `window`.
            stride: see `local_features`.

        Returns:
            float32 (batch, n, d), not negative. Output k pools mel frames `k * stride` to
            `k * stride + window - 1`.
        """
        return self.head(self.local_features(mel, stride))

    def head(self, local: Tensor) -> Tensor:
        """Embeddings over time (batch, n, d) from what `local_features` returned."""
        return self.joined(local, self.fc(local))

    def joined(self, local: Tensor, perceptron: Tensor) -> Tensor:
        """Embeddings over time from the local features and what the perceptron makes of them."""
        return perceptron


def _over_time(x: Tensor) -> Tensor:
    """(batch, channels, mel, frames) as (batch, frames, mel * channels), the channel fastest."""
    return x.permute(0, 3, 2, 1).flatten(2)


class Encoder2020(Encoder):
    """AudioNTT2020: three blocks, one vector of d values for 8 mel frames (80 ms)."""

    version = "2020"
    sizes = (512, 1024, 2048)
    blocks = 3

    def __init__(self, d: int) -> None:
        super().__init__(d, hidden=d, out=d)


class Encoder2022(Encoder):
    """AudioNTT2022: two blocks, one vector for 4 mel frames (40 ms).

    The first 1,024 of its d values are the convolution features themselves.
    """

    version = "2022"
    sizes = (2048, 3072)
    blocks = 2

    def __init__(self, d: int) -> None:
        super().__init__(d, hidden=HIDDEN_2022, out=d - CHANNELS * MEL_BANDS // self.window)

    def joined(self, local: Tensor, perceptron: Tensor) -> Tensor:
        """See `Encoder.joined`."""
        return torch.cat([local, perceptron], dim=-1)


ENCODERS: dict[str, type[Encoder2020] | type[Encoder2022]] = {
    encoder.version: encoder for encoder in (Encoder2020, Encoder2022)
}


def make_encoder(version: str, d: int | None = None) -> Encoder:
    """An encoder by its publication's year, with PyTorch's own initialisation.

    Args:
        version: "2020" or "2022".
        d: embedding size; by default the smallest published.

    Raises:
        ValueError: unknown version, or a size that this version was not published in.
    """
    if version not in ENCODERS:
        raise ValueError(f"unknown encoder {version!r}: it must be one of {list(ENCODERS)}.")
    kind = ENCODERS[version]
    return kind(kind.sizes[0] if d is None else d)


def restore_encoder(version: str, d: int, state: Mapping[str, Tensor]) -> Encoder:
    """An encoder with given weights (a complete state dict); draws no random numbers."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        encoder = make_encoder(version, d)
    encoder.load_state_dict(state)
    return encoder


def pool_over_time(pieces: Iterable[Tensor]) -> Tensor:
    """Clip-level embedding: maximum over time plus mean over time.

    Args:
        pieces: consecutive stretches of one sequence of embeddings, each (batch, n, d), n >= 1.

    Returns:
        (batch, d).
    """
    remaining = iter(pieces)
    piece = next(remaining)
    highest, total, count = piece.amax(1), piece.sum(1), piece.shape[1]
    for piece in remaining:
        highest = torch.maximum(highest, piece.amax(1))
        total = total + piece.sum(1)
        count += piece.shape[1]
    return highest + total / count
