"""The networks of pretraining: the heads, and the branch that both networks of BYOL share."""

from __future__ import annotations

from torch import Tensor, nn

from hear_byola.encoder import Encoder, pool_over_time
from hear_byola.pretraining import fused


def head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Return the perceptron of a projector or a predictor (paper, section IV-A)."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, outputs),
    )


class Branch(nn.Module):
    """Encoder and projectors, which the online and the target network share.

    Args:
        encoder: the encoder.
        hidden: size of the projector's hidden layer.
        projection: size of projections.
        frame_hidden: size of the hidden layer of the frames' projector; None for no such projector.
    """

    def __init__(
        self, encoder: Encoder, hidden: int, projection: int, frame_hidden: int | None = None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = head(encoder.d, hidden, projection)
        self.frame_projector = (
            None if frame_hidden is None else head(encoder.d, frame_hidden, projection)
        )

    def forward(self, mel: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return embeddings (batch, d) and projections of (batch, F, T).

        The projections are those of "clips" (batch, projection), and with a projector for frames
        also those of all "frames" (batch * n, projection).
        """
        frames = _over_time(self.encoder, mel[:, None])
        embedding = pool_over_time([frames])
        projections = {"clips": self.projector(embedding)}
        if self.frame_projector is not None:
            projections["frames"] = self.frame_projector(frames.flatten(0, 1))
        return embedding, projections

    def embed(self, mel: Tensor) -> Tensor:
        """Return embeddings (batch, d) of (batch, F, T)."""
        return pool_over_time([_over_time(self.encoder, mel[:, None])])


def _over_time(encoder: Encoder, mel: Tensor) -> Tensor:
    if mel.device.type == "cpu":
        return encoder.head(fused.local_features(encoder, mel))
    return encoder(mel)
