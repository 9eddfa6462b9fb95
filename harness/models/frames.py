"""Give a frame encoder of any toolkit the HEAR API: passes over long audio, time grid and pooling.

Frame k of an encoder is centred at ``centre + k hop`` samples. A scene embedding is the mean of the
frames of the unchanged clip. Timestamps must lie within the clip, cover it, and be at most
``hop_ms`` apart, so for them the clip is padded:

- with zeros at its end, less than a frame's window, where the last frame would be too early,
- with zeros at its beginning, where the first frame would be later than one hop,
- and an encoder with coarse frames runs several times, each time on audio that begins a fraction
  of a hop later. The frames of these passes are interleaved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from harness.models.geometry import Geometry
from hear_byola.core.precision import PRECISIONS, cast, full_precision_convolutions

HEAR_RATES = (16000, 22050, 32000, 44100, 48000)
"""The sample rates that the HEAR API allows, in Hz."""

HOP_MS = 50.0
"""The largest spacing of timestamps that the HEAR API suggests."""

LEAST_HOP_MS = 1.0
"""The smallest ``hop_ms``. The encoder runs once for each multiple, so less takes hours."""

CHUNK_LENGTH_S = 30.0
"""Seconds of audio in one pass. Attention over 30 s of frames 20 ms apart takes 9 MB a head."""

POOLINGS = ("mean", "model")


class FrameEncoder(nn.Module):
    """An encoder of one toolkit: audio to frames.

    Attributes:
        rate: sample rate of the audio, in Hz.
        geometry: the place of the frames.
        sizes: width of the frames of each layer that can be chosen; empty if none can.
        size: width of the frames of the encoder's output.
        pooled_size: width of the model's own pooled output; 0 if it has none.
    """

    rate: int
    geometry: Geometry
    sizes: tuple[int, ...] = ()
    size: int
    pooled_size: int = 0

    def prepare(self, audio: Tensor) -> Tensor:
        """Normalise whole clips ``(n, samples)``, before they are divided into passes."""
        return audio

    def frames(self, audio: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
        """Return the frames of one pass.

        Args:
            audio: ``(n, samples)``, prepared, with ``min_samples`` to ``max_samples`` samples.
            layers: numbers of layers; None for the encoder's output.

        Returns:
            For each layer float32 ``(n, t, size)`` with at least ``geometry.count(samples)``
            frames; further ones are padding.
        """
        raise NotImplementedError

    def pooled(self, audio: Tensor) -> Tensor:
        """Return the model's own pooled output of one pass, float32 ``(n, pooled_size)``."""
        raise NotImplementedError


def passes(count: int, largest: int, margin: int) -> Iterator[tuple[int, int, int]]:
    """Divide ``count`` frames into passes of at most ``largest`` frames.

    At an inner end of a pass, ``margin`` frames are dropped. The last pass is moved back, so that
    it is as long as the others.

    Yields:
        The first frame of a pass, the number of frames that are dropped at its beginning, and the
        number that is kept.
    """
    if count <= largest:
        yield 0, 0, count
        return
    margin = min(margin, (largest - 1) // 2)
    done = 0
    while done < count:
        first = min(max(0, done - margin), count - largest)
        end = first + largest
        kept = (end if end == count else end - margin) - done
        yield first, done - first, kept
        done += kept


class FrameModel(nn.Module):
    """A frame encoder with the attributes and methods that the HEAR API needs.

    Audio of a model whose rate is none of HEAR's is taken at a multiple of that rate, and
    resampled here (windowed sinc).

    Args:
        encoder: the encoder.
        pooling: of scene embeddings: ``"mean"`` over frames, or ``"model"``, its own pooled output.
        hop_ms: largest distance of timestamps, from 1 on.
        chunk_length_s: seconds of audio in one pass.
        precision: of the encoder's arithmetic, a name in ``PRECISIONS``.

    Attributes:
        sample_rate, scene_embedding_size, timestamp_embedding_size: as in the HEAR API.
        layer_sizes: embedding size of each layer; empty if layers cannot be chosen. With
            ``pooling="model"`` they cannot, because the pooled output is that of the whole model.
        checkpoint_revision: commit of the checkpoint, or name of its file; empty if not known.

    Raises:
        ValueError: an option has a value that is not allowed.
    """

    def __init__(
        self,
        encoder: FrameEncoder,
        *,
        pooling: str = "mean",
        hop_ms: float = HOP_MS,
        chunk_length_s: float = CHUNK_LENGTH_S,
        precision: str = "float32",
        checkpoint_revision: str = "",
    ) -> None:
        super().__init__()
        _check_choice("pooling", pooling, POOLINGS)
        _check_choice("precision", precision, tuple(PRECISIONS))
        if pooling == "model" and not encoder.pooled_size:
            raise ValueError(
                "pooling=model: this model has no pooled output of its own. Leave the option out."
            )
        geometry = encoder.geometry
        self._pass_samples = int(chunk_length_s * encoder.rate)
        if geometry.max_samples is not None:
            self._pass_samples = min(self._pass_samples, geometry.max_samples)
        fewest = 2 * geometry.margin_frames + 1
        if geometry.count(self._pass_samples) < fewest:
            least = geometry.samples(fewest) / encoder.rate
            raise ValueError(
                f"chunk_length_s={chunk_length_s:g}: this model needs at least {least:.3g} seconds."
            )
        if not LEAST_HOP_MS <= hop_ms < math.inf:
            raise ValueError(
                f"hop_ms={hop_ms!r}: it must be a number of milliseconds, at least "
                f"{LEAST_HOP_MS:g}. The default is {HOP_MS:g}."
            )
        self.encoder = cast(encoder, PRECISIONS[precision])
        self.pooling = pooling
        self.hop_ms = float(hop_ms)
        self.sample_rate = hear_rate(encoder.rate)
        self.scene_embedding_size = encoder.pooled_size if pooling == "model" else encoder.size
        self.timestamp_embedding_size = encoder.size
        self.layer_sizes = [] if pooling == "model" else list(encoder.sizes)
        self.checkpoint_revision = checkpoint_revision

    def scene_embeddings(self, audio: Tensor) -> Tensor:
        """Return one embedding for each clip, float32 ``(n, scene_embedding_size)``."""
        if self.pooling == "mean":
            return self.scene_layers(audio, None)[0]
        audio = self._prepared(audio)
        total, step = audio.new_zeros(len(audio), self.scene_embedding_size), self._pass_samples
        for begin in range(0, audio.shape[1], step):
            end = min(begin + step, audio.shape[1])
            piece = _piece(audio, begin, max(end, begin + self.encoder.geometry.min_samples))
            with full_precision_convolutions() if audio.is_cuda else nullcontext():
                pooled = self.encoder.pooled(piece)
            total += pooled * ((end - begin) / audio.shape[1])
        return total

    def scene_layers(self, audio: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
        """Return the mean over the frames of each layer, float32 ``(n, size)`` each."""
        audio = self._prepared(audio)
        samples, least = audio.shape[1], self.encoder.geometry.min_samples
        count = self.encoder.geometry.count(samples)
        totals: list[Tensor | float] = []
        for pieces in self._passes(audio, -(max(0, least - samples) // 2), count, layers):
            totals = totals or [0.0] * len(pieces)
            totals = [total + piece.sum(1) for total, piece in zip(totals, pieces, strict=True)]
        return [total / count for total in totals]  # type: ignore[misc]

    def timestamp_embeddings(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings ``(n, t, size)`` and their centres ``(n, t)`` in ms, both float32."""
        embeddings, times = self.timestamp_layers(audio, None)
        return embeddings[0], times

    def timestamp_layers(
        self, audio: Tensor, layers: Sequence[int] | None
    ) -> tuple[list[Tensor], Tensor]:
        """Return each layer's embeddings ``(n, t, size)``, and the centres ``(n, t)`` in ms."""
        geometry, rate = self.encoder.geometry, self.encoder.rate
        samples = audio.shape[1] * rate / self.sample_rate
        audio = self._prepared(audio)
        n_phases = max(1, math.ceil(1000 * geometry.hop / rate / self.hop_ms - 1e-9))
        hop = geometry.hop / n_phases
        centre, least = geometry.centre + geometry.leading_frames * geometry.hop, min(hop, samples)
        lead = 0 if centre <= least else round(centre - least / 2)
        first = centre - lead
        count = max(1, math.floor((samples - first) / hop) + 1)
        embeddings: list[Tensor] = []
        for phase in range(min(n_phases, count)):
            needed = -(-(count - phase) // n_phases)
            end = -geometry.leading_frames
            for pieces in self._passes(
                audio, round(phase * hop) - lead, needed + geometry.leading_frames, layers
            ):
                begin = max(0, end)
                end += pieces[0].shape[1]
                if not embeddings:  # columns of one tensor, which is then the result
                    widths = [piece.shape[-1] for piece in pieces]
                    whole = pieces[0].new_empty(len(audio), count, sum(widths))
                    embeddings = list(whole.split(widths, dim=-1))
                for layer, piece in zip(embeddings, pieces, strict=True):
                    new = max(0, end - begin)
                    piece = piece[:, piece.shape[1] - new :]
                    layer[:, phase::n_phases][:, begin : begin + new] = piece
        frames = torch.arange(count, dtype=torch.float64, device=audio.device)
        times = ((first + hop * frames) * 1000 / rate).float()
        return embeddings, times.repeat(len(audio), 1)

    def _prepared(self, audio: Tensor) -> Tensor:
        if self.sample_rate != self.encoder.rate:
            audio = torchaudio.functional.resample(audio, self.sample_rate, self.encoder.rate)
        return self.encoder.prepare(audio)

    def _passes(
        self, audio: Tensor, start: int, count: int, layers: Sequence[int] | None
    ) -> Iterator[list[Tensor]]:
        """Yield consecutive stretches of ``count`` frames of audio from sample ``start`` on."""
        geometry = self.encoder.geometry
        largest = geometry.count(self._pass_samples)
        for first, dropped, kept in passes(count, largest, geometry.margin_frames):
            begin = start + round(first * geometry.hop)
            end = begin + geometry.samples(min(count, largest))
            if first + dropped + kept == count:  # with the samples after the last frame
                end = max(end, min(audio.shape[1], begin + self._pass_samples))
            piece = _piece(audio, begin, max(end, begin + geometry.min_samples))
            with full_precision_convolutions() if audio.is_cuda else nullcontext():
                pieces = self.encoder.frames(piece, layers)
            yield [frames[:, dropped : dropped + kept] for frames in pieces]


def hear_rate(rate: int) -> int:
    """Return the lowest of HEAR's sample rates that is a multiple of a rate.

    Raises:
        ValueError: none is.
    """
    for allowed in HEAR_RATES:
        if allowed % rate == 0:
            return allowed
    raise ValueError(f"The model's sample rate, {rate} Hz, divides none of {HEAR_RATES}.")


def _piece(audio: Tensor, begin: int, end: int) -> Tensor:
    """Return the samples from ``begin`` to ``end``, with zeros outside the audio."""
    samples = audio.shape[1]
    inside = audio[:, max(0, begin) : max(0, min(end, samples))]
    before = min(max(0, -begin), end - begin)
    return F.pad(inside, (before, end - begin - before - inside.shape[1]))


def _check_choice(option: str, value: object, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{option}={value!r}: it must be one of {', '.join(allowed)}.")
