"""A model of Hugging Face transformers as a frame encoder; its kinds are the sibling modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness.core.errors import UserError
from harness.models.frames import FrameEncoder

_REMEDY = "Save the one that the model was trained with in its place."


class HubEncoder(FrameEncoder):
    """A model and its own feature extractor.

    A kind of model is a subclass, which sets ``geometry``, ``size`` and ``sizes``.

    Class attributes:
        loader: name of the class that loads the model, in the package transformers.

    Args:
        model: what ``loader`` returned.
        extractor: the model's feature extractor.

    Raises:
        UserError: the feature extractor does not fit the model.
    """

    loader: ClassVar[str] = "AutoModel"

    def __init__(self, model: Any, extractor: Any) -> None:
        super().__init__()
        self.model = model
        self.extractor = extractor
        self.config = model.config
        self.rate = self.setting("sampling_rate")

    def frames(self, audio: Tensor, layers: Sequence[int] | None) -> list[Tensor]:
        """See :meth:`FrameEncoder.frames`."""
        inputs = self.inputs(audio)
        if layers is None:
            return [self.output_frames(self.run(inputs).last_hidden_state).float()]
        hidden = self.run(inputs, output_hidden_states=True).hidden_states
        return [self.time_frames(hidden[layer]).float() for layer in layers]

    def pooled(self, audio: Tensor) -> Tensor:
        """See :meth:`FrameEncoder.pooled`."""
        return self.run(self.inputs(audio)).pooler_output.float()

    def run(self, inputs: Mapping[str, Tensor], **options: bool) -> Any:
        """Return the output of the model."""
        return self.model(**inputs, **options)

    def inputs(self, audio: Tensor) -> dict[str, Tensor]:
        """Return the model's inputs for clips, made by its feature extractor."""
        features = self.extracted(audio)
        return {name: self.cast(value) for name, value in features.items()}

    def extracted(self, audio: Tensor, **options: object) -> Mapping[str, Tensor]:
        """Return what the feature extractor makes of clips ``(n, samples)``, on the CPU."""
        clips = list(audio.float().cpu().numpy())
        return self.extractor(clips, sampling_rate=self.rate, return_tensors="pt", **options)

    def cast(self, value: Tensor) -> Tensor:
        """Return an input on the model's device and, if it is floating point, in its precision."""
        weight = next(self.model.parameters())
        dtype = weight.dtype if value.is_floating_point() else value.dtype
        return value.to(weight.device, dtype)

    def time_frames(self, hidden: Tensor) -> Tensor:
        """Return the hidden state of a layer as frames ``(n, t, size)``."""
        return hidden

    def output_frames(self, hidden: Tensor) -> Tensor:
        """Return the last hidden state as frames ``(n, t, size)``."""
        return self.time_frames(hidden)

    def measured_sizes(self) -> tuple[int, ...]:
        """Return the sizes of the hidden states that the model returns for a second of silence.

        Code of a model's own may return others than its configuration has, or none.
        """
        with torch.no_grad():
            try:
                audio = self.prepare(torch.zeros(1, self.rate))
                self.frames(audio, None)
            except Exception:  # own code may need a GPU; otherwise embedding reports its error
                return self.sizes
            try:
                hidden = self.run(self.inputs(audio), output_hidden_states=True).hidden_states
                return tuple(self.time_frames(each).shape[-1] for each in hidden)
            except Exception:  # own code that returns no hidden states can raise anything
                return ()

    def setting(self, name: str) -> int:
        """Return a whole number of the feature extractor's configuration.

        Raises:
            UserError: it has none of this name, because it is another model's.
        """
        if not hasattr(self.extractor, name):
            raise self.foreign_extractor()
        return int(getattr(self.extractor, name))

    def check_extractor(self, what: str, made: int, taken: int) -> None:
        """Compare what the feature extractor makes with what the model takes.

        Raises:
            UserError: the numbers differ.
        """
        if made != taken:
            raise UserError(
                f"the feature extractor in '{self.model.name_or_path}' makes {made} {what}, but "
                f"the model takes {taken}. {_REMEDY}"
            )

    def foreign_extractor(self) -> UserError:
        """Return the error on a feature extractor that is no such model's."""
        return UserError(
            f"the feature extractor in '{self.model.name_or_path}', of the class "
            f"{type(self.extractor).__name__}, is not made for a model of the type "
            f"'{self.config.model_type}'. {_REMEDY}"
        )

    def _set_sizes(self, size: int, n_blocks: int) -> None:
        """Set the sizes of a transformer: its blocks, and their input as layer 0."""
        self.size = size
        self.sizes = (size,) * (n_blocks + 1)
