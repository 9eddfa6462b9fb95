"""Front end and encoder as one HEAR model: long audio in passes, and the time grid.

Times of the timestamp embeddings
---------------------------------
Mel frame j of a spectrogram whose first frame is centred at sample `first` is centred at
`first + 160 j`. Output k of an encoder with a stride of s mel frames pools the mel frames `s k` to
`s k + w - 1` (w = 8 for the 2020 encoder, 4 for 2022). The convolutions and the STFT window reach
equally far to both sides of these, so the output describes a stretch of signal that is centred at

    c_k = first + 160 (s k + (w - 1) / 2)   samples,    t_k = c_k / 16   milliseconds.

With first = 0 and the default hop of 40 ms (s = 4) that is t_k = (4 k + 3.5) 10 ms for the 2020
encoder and t_k = (4 k + 1.5) 10 ms for 2022. Where the last of these that is not past the clip's
end is within half a hop of the end, the grid is left there. Otherwise, and where it would begin
later than one hop, the spectrogram is begun at another sample (`first` is not 0), such that the
grid has n = ceil(duration / hop) points with equal margins at both ends,

    t_k = duration / 2 + (k - (n - 1) / 2) hop      (rounded down to a whole sample).

So every grid is regular, has a point within half a hop of the clip's end and none past it, and
depends on the clip's length alone. All times are whole samples, i.e. multiples of 1/16 ms, and are
computed from k as integers: nothing accumulates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from hear_byola.core.precision import PRECISIONS, full_precision_convolutions
from hear_byola.encoder import Encoder, pool_over_time
from hear_byola.frontend import HOP, SAMPLE_RATE, LogMel
from hear_byola.inference import InferenceForm

# Mel frames that go through the encoder together, over all clips of the batch. The first block's
# activations take 16 KiB a frame. On a CPU with 32 MiB of cache, 1024 and 2048 frames are equally
# fast, 4096 take 1.3 times as long (the C library returns blocks over 32 MiB to the system at each
# call), and 256 take 1.1 times as long. 1024 frames also give the perceptron over 100 rows a pass:
# with 12 rows, reading the weights of d = 2048 takes as long as the arithmetic.
FRAMES_PER_PASS = 1024
# A GPU is busy only with more: 32,768 frames take 512 MiB in the first block, in float32.
GPU_PASSES = 32
DEFAULT_HOP_MS = 40.0
# The encoder, or a form of it: log-mel (batch, 1, MEL_BANDS, frames) and a stride to embeddings.
Encode = Callable[[Tensor, int], Tensor]


def time_grid(samples: int, hop: int, natural: int) -> tuple[int, int]:
    """Where the timestamps of a clip lie (see the module's docstring).

    Args:
        samples: the clip's length, at least 1.
        hop: samples between two timestamps.
        natural: first timestamp of a spectrogram that begins at sample 0, in samples.

    Returns:
        The first timestamp in samples, at least 0, and the number of timestamps, at least 1.
    """
    if natural <= min(hop, samples) and 2 * ((samples - natural) % hop) <= hop:
        return natural, (samples - natural) // hop + 1
    count = -(-samples // hop)
    return (samples - (count - 1) * hop) // 2, count


def grid_times(first: int, hop: int, count: int) -> Tensor:
    """Timestamps of a grid in milliseconds, float32 (count,), each rounded once.

    Exact, multiples of 1/16 ms, up to 17 minutes; float32 resolves 1/8 ms from there on.
    """
    samples = first + hop * torch.arange(count)
    return (samples.double() * 1000 / SAMPLE_RATE).float()


class ByolA(nn.Module):
    """BYOL-A with the attributes that the HEAR API asks for.

    Args:
        frontend: waveform to log-mel.
        encoder: log-mel to embeddings over time.
        hop_ms: time between timestamp embeddings: 40, 20, 10, or 80 with the 2020 encoder.
        precision: of the encoder's arithmetic without gradients, a name in `PRECISIONS`.

    Attributes:
        sample_rate: 16000.
        scene_embedding_size, timestamp_embedding_size: d.
        layer_sizes: width of each layer (`Encoder.layer_sizes`).
        hop_ms: time between timestamp embeddings, milliseconds.
        frontend_convention: name of the mel filterbank's convention.
        frames_per_pass: mel frames that are computed together on a CPU, `GPU_PASSES` times as many
            on a GPU; bounds the memory, not the result.

    Raises:
        ValueError: a hop that this encoder does not offer, or an unknown precision.
    """

    def __init__(
        self,
        frontend: LogMel,
        encoder: Encoder,
        hop_ms: float = DEFAULT_HOP_MS,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ValueError(
                f"unknown precision {precision!r}: it must be one of {list(PRECISIONS)}."
            )
        hops = [10.0 * 2**i for i in range(encoder.blocks, -1, -1)]
        if hop_ms not in hops:
            raise ValueError(
                f"hop_ms={hop_ms!r}: the {encoder.version} encoder offers {hops} (milliseconds)."
            )
        self.frontend = frontend
        self.encoder = encoder
        self.sample_rate = SAMPLE_RATE
        self.scene_embedding_size = encoder.d
        self.timestamp_embedding_size = encoder.d
        self.layer_sizes = encoder.layer_sizes
        self.hop_ms = float(hop_ms)
        self.frontend_convention = frontend.convention
        self.frames_per_pass = FRAMES_PER_PASS
        self.precision = precision
        self._inference: InferenceForm | None = None

    @property
    def _centre(self) -> int:
        """Samples from the centre of an output's first mel frame to the centre of the output."""
        return (self.encoder.window - 1) * HOP // 2

    def scene_embeddings(self, audio: Tensor) -> Tensor:
        """One embedding a clip: maximum plus mean over time of the published, plain pass.

        A clip with fewer mel frames than one output pools (under 70 ms for the 2020 encoder, 30 ms
        for 2022) gets zeros at both ends, as many as that one output needs, with the clip at their
        centre. No other clip is padded.

        Args:
            audio: (clips, samples), mono in [-1, 1], at least one sample.

        Returns:
            float32 (clips, d).
        """
        return self._scenes(audio, self._encode(), self.scene_embedding_size)

    def scene_layers(self, audio: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Maximum plus mean over time of each layer (`Encoder.layers`), float32 (clips, size)."""
        sizes = [self.layer_sizes[layer] for layer in layers]
        scenes = self._scenes(audio, self._encode_layers(layers), sum(sizes))
        return list(scenes.split(sizes, dim=-1))

    def _scenes(self, audio: Tensor, encode: Encode, size: int) -> Tensor:
        self._check(audio)
        window, samples = self.encoder.window, audio.shape[1]
        first, count = 0, samples // HOP + 1
        if count < window:
            first, count = samples // 2 - self._centre, window
        scenes = audio.new_empty((len(audio), size), dtype=torch.float32)
        for clips in self._batches(audio, count):
            outputs = self._outputs(encode, audio[clips], first, count, window)
            scenes[clips] = pool_over_time(outputs)
        return scenes

    def timestamp_embeddings(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings on a regular grid of `hop_ms` (see the module's docstring).

        Args:
            audio: (clips, samples), mono in [-1, 1], at least one sample.

        Returns:
            Embeddings, float32 (clips, n, d), and the centres of what they describe, float32
            (clips, n), in milliseconds.
        """
        return self._timestamps(audio, self._encode(), self.timestamp_embedding_size)

    def timestamp_layers(self, audio: Tensor, layers: Sequence[int]) -> tuple[list[Tensor], Tensor]:
        """The frames of each layer (`Encoder.layers`), (clips, n, size), and the times (clips, n).

        The memory for all of them is taken at once.
        """
        sizes = [self.layer_sizes[layer] for layer in layers]
        embeddings, times = self._timestamps(audio, self._encode_layers(layers), sum(sizes))
        return list(embeddings.split(sizes, dim=-1)), times

    def _timestamps(self, audio: Tensor, encode: Encode, size: int) -> tuple[Tensor, Tensor]:
        self._check(audio)
        window, stride = self.encoder.window, round(self.hop_ms * SAMPLE_RATE / 1000) // HOP
        start, n = time_grid(audio.shape[1], stride * HOP, self._centre)
        count = (n - 1) * stride + window
        embeddings = audio.new_empty((len(audio), n, size), dtype=torch.float32)
        first = start - self._centre
        for clips in self._batches(audio, count):
            done = 0
            for piece in self._outputs(encode, audio[clips], first, count, stride):
                embeddings[clips, done : done + piece.shape[1]] = piece
                done += piece.shape[1]
        times = grid_times(start, stride * HOP, n).to(audio.device)
        return embeddings, times.repeat(len(audio), 1)

    def _encode(self) -> Encode:
        """Return the encoder for one call: as it is for gradients, otherwise its inference form."""
        if torch.is_grad_enabled():
            return self.encoder
        form = self._inference
        if form is None or not form.is_current():
            form = self._inference = InferenceForm(self.encoder, PRECISIONS[self.precision])
        return form

    def _encode_layers(self, layers: Sequence[int]) -> Encode:
        """Return the encoder's layers side by side, in float32."""

        def encode(mel: Tensor, stride: int) -> Tensor:
            found = self.encoder.layers(mel, stride)
            return torch.cat([found[layer] for layer in layers], dim=-1)

        return encode

    def _check(self, audio: Tensor) -> None:
        if self.training:
            raise ValueError(
                "the model is in training mode, where an embedding depends on the clips beside it "
                "and on chance: call model.eval() first."
            )
        if not isinstance(audio, Tensor):
            raise ValueError(
                f"audio is a {type(audio).__name__}: a torch.Tensor (clips, samples) is needed; "
                "torch.from_numpy makes one of a NumPy array."
            )
        if audio.ndim != 2 or audio.shape[1] == 0:
            raise ValueError(
                f"audio has the shape {tuple(audio.shape)}: (clips, samples) is needed, mono, with "
                "at least one sample; a single clip is audio[None, :]."
            )
        if not audio.is_floating_point():
            raise ValueError(
                f"audio is {audio.dtype}: floating-point samples in [-1, 1] are needed; 16-bit "
                "samples are divided by 32768."
            )
        if audio.device != self.frontend.mean.device:
            raise ValueError(
                f"audio is on {audio.device}, the model on {self.frontend.mean.device}: move one "
                "of them with .to(device)."
            )

    def _batches(self, audio: Tensor, count: int) -> Iterator[slice]:
        """The clips that go through together: as many as fit a pass, at least one."""
        size = max(1, self._frames_at_once(audio) // count)
        return (slice(row, row + size) for row in range(0, len(audio), size))

    def _frames_at_once(self, audio: Tensor) -> int:
        return self.frames_per_pass * (GPU_PASSES if audio.is_cuda else 1)

    def _outputs(
        self, encode: Encode, audio: Tensor, first: int, count: int, stride: int
    ) -> Iterator[Tensor]:
        """The encoder's outputs on `count` mel frames, in passes of bounded length.

        A pass is given one window of mel frames more on each side than its outputs pool, and the
        outputs on those are dropped. An output depends on no more than `window - 1` frames on each
        side of its own (see `Encoder`), and passes begin at multiples of the stride, where the
        pools of an undivided pass would also begin. So the passes together give just what one
        pass over everything would.

        Yields:
            float32 (clips, n, d), consecutive in time; ((count - window) // stride + 1) in all.
        """
        window = self.encoder.window
        n = (count - window) // stride + 1
        step = max(1, self._frames_at_once(audio) // (stride * len(audio)))
        for begin in range(0, n, step):
            end = min(begin + step, n)
            left = max(0, begin * stride - window)
            right = count if end == n else min(count, (end - 1) * stride + 2 * window)
            with full_precision_convolutions() if audio.is_cuda else nullcontext():
                mel = self.frontend(audio, first + left * HOP, right - left)
                outputs = encode(mel[:, None], stride)
            skipped = begin - left // stride
            yield outputs[:, skipped : skipped + end - begin]
