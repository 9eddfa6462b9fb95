"""Load a model of Hugging Face transformers and its feature extractor, from the hub or a folder."""

from __future__ import annotations

import contextlib
import operator
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from harness.core.errors import UserError, did_you_mean_path
from harness.models.adapters.transformers.encoder import HubEncoder
from harness.models.adapters.transformers.kinds import is_own_code, kind_of

_UNUSED_WEIGHTS = ("masked_spec_embed",)
"""Weights that models use in training only. Checkpoints that were fine-tuned lack some of them."""


def load_encoder(
    name: str, revision: str | None = None, trust_remote_code: bool = False
) -> tuple[HubEncoder, str]:
    """Return the encoder in float32 on the CPU, and the commit of a model of the hub.

    Raises:
        ImportError: transformers is not installed.
        UserError: there is no such model, or it cannot be loaded; the message has the reason.
    """
    _check_name(name, revision)
    transformers = _transformers()
    options: dict[str, Any] = {"revision": revision, "trust_remote_code": trust_remote_code}
    with _quiet(transformers), torch.random.fork_rng(devices=[]):
        config = _loaded(transformers.AutoConfig, name, options)
        kind = kind_of(config)
        extractor = _loaded(transformers.AutoFeatureExtractor, name, options)
        if getattr(config, "add_adapter", False):
            # An adapter shortens the output for a decoder; frames are those of the encoder.
            config.add_adapter = False
            options["config"] = config
        loader = operator.attrgetter(kind.loader)(transformers)
        options |= {"dtype": torch.float32, "output_loading_info": True}
        model, info = _loaded(loader, name, options)
        encoder = kind(model.eval().requires_grad_(False), extractor)
        if is_own_code(model):
            encoder.sizes = encoder.measured_sizes()
    _check_weights(name, model, encoder, info["missing_keys"])
    return encoder, "" if Path(name).is_dir() else _commit(name, revision)


def _commit(name: str, revision: str | None) -> str:
    """Return the commit of a model in the hub's cache, from the place of its configuration."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(name, "config.json", revision=revision)
    return Path(path).parent.name if isinstance(path, str) else ""


def _check_name(name: str, revision: str | None) -> None:
    if not name:
        raise UserError(
            "no model is named. Give a name on the hub or a folder, for example "
            "-m transformers=facebook/wav2vec2-base."
        )
    if Path(name).is_file():
        raise UserError(
            f"'{name}' is a file. Give a name on the hub, or the folder that save_pretrained wrote."
        )
    is_folder = Path(name).is_dir()
    if not is_folder and not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name):
        raise UserError(
            f"there is no folder '{name}', and it cannot be a name on the hub."
            f"{did_you_mean_path(Path(name))}"
        )
    if is_folder and revision is not None:
        raise UserError(f"'{name}' is a folder, which has no revisions. Leave revision out.")
    if is_folder and not (Path(name) / "config.json").is_file():
        raise UserError(
            f"the folder '{name}' has no config.json. Save model and feature extractor there with "
            "save_pretrained."
        )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "the package transformers is not installed: pip install 'hear-byola[transformers]'"
        ) from error
    return transformers


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Hide progress bars, and warnings on weights, which are checked here."""
    log = transformers.utils.logging
    verbosity, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bars:
            log.enable_progress_bar()


def _loaded(loader: Any, name: str, options: dict[str, Any]) -> Any:
    given = {key: value for key, value in options.items() if value is not None}
    try:
        return loader.from_pretrained(name, **given)
    except (OSError, ValueError, KeyError) as error:
        raise _explained(loader.__name__, name, error) from error


def _explained(loader: str, name: str, error: Exception) -> UserError:
    reason = " ".join(str(error).split())[:300]
    if "trust_remote_code" in str(error):
        return UserError(
            f"'{name}' needs code that comes with the model. To run it, read that code and give "
            "the option trust_remote_code=true."
        )
    if loader == "AutoFeatureExtractor":
        return UserError(
            f"'{name}' has no feature extractor (preprocessor_config.json). Save the one that the "
            f"model was trained with beside it. The library says: {reason}"
        )
    if Path(name).is_dir():
        return UserError(f"the model in '{name}' cannot be loaded: {reason}")
    return UserError(
        f"'{name}' is no folder, and neither the hub nor its cache gives a model of this name."
        f"{did_you_mean_path(Path(name))} Give a folder, or run once with a connection. The "
        f"library says: {reason}"
    )


def _check_weights(name: str, model: Any, encoder: HubEncoder, missing: Any) -> None:
    """Refuse a checkpoint without some of the encoder's weights; zero those that it never uses."""
    used = {id(weight) for weight in encoder.parameters()}
    weights = dict(model.named_parameters())
    lacking = []
    for key in sorted(missing):
        weight = weights.get(key)
        if key.rpartition(".")[2] in _UNUSED_WEIGHTS and weight is not None:
            weight.data.zero_()
        elif weight is None or id(weight) in used:
            lacking.append(key)
    if lacking:
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        raise UserError(
            f"'{name}' does not contain all weights of its encoder: {', '.join(lacking[:3])}{more} "
            "are missing. Save the whole model with save_pretrained."
        )
