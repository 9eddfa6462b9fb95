"""Load HEAR modules, and check that each load gives the same model."""

from __future__ import annotations

import warnings

from harness.core.errors import UserError
from harness.models.arguments import check_arguments, lacking_arguments, options_of_load
from harness.models.guest import ModuleExit
from harness.models.imports import guest_of, import_hear_module
from harness.models.module import FUNCTIONS, HearModule
from harness.models.reference import difference, tolerance
from harness.models.spec import ModelSpec


def load_module(spec: ModelSpec, device: str = "auto") -> HearModule:
    """Import the module, call its ``load_model`` and put the model on a device in eval mode.

    ``load_model`` gets the checkpoint, if there is one, as its first argument, and the options by
    name. Eval mode is set because with dropout or batch statistics an embedding would depend on
    chance or on other clips of the batch.

    Args:
        spec: the model.
        device: ``"auto"`` selects CUDA if available and the CPU otherwise (never Apple's ``"mps"``,
            which lacks operators); otherwise a torch device such as ``"cuda:1"``.

    Raises:
        UserError: the module does not exist (the nearest name is given), something that it imports
            is missing, a function or attribute of the API is missing or wrong, an option or
            checkpoint does not exist, ``load_model`` fails, or the device does not exist.
    """
    if spec.live:
        return HearModule(spec, spec.live.functions, spec.live.model, device=None)
    module = import_hear_module(spec.module)
    missing = [name for name in FUNCTIONS if not callable(getattr(module, name, None))]
    if missing:
        raise UserError(
            f"The module '{spec.module}' is not a HEAR-API module: it lacks {', '.join(missing)}."
        )
    check_arguments(spec, module)
    lacking = lacking_arguments(
        spec, module.load_model, f"-m {spec.module}=FILE", f"-m {spec.module},"
    )
    if lacking:
        raise UserError(f"load_model of '{spec.module}' {lacking}.")
    try:
        arguments = (spec.checkpoint,) if spec.checkpoint else ()
        with guest_of(module).called():
            model = module.load_model(*arguments, **options_of_load(spec, module))
    except ModuleExit as error:
        raise UserError(
            f"load_model of '{spec.module}' tried to end the process ({error})."
        ) from error
    except UserError as error:  # a checkpoint or option that does not exist
        raise UserError(f"{spec.module}: {error}") from error
    except Exception as error:  # a module can raise any exception
        raise UserError(
            f"load_model of '{spec.module}' failed: {type(error).__name__}: {error}"
        ) from error
    return HearModule(spec, module, model, device)


def load_again(module: HearModule) -> None:
    """Load a model again and check that both are the same.

    Worker processes and later runs load the model again, and must get the same one.

    Raises:
        UserError: ``load_model`` returns another model at each call, or :func:`load_module` fails.
    """
    if module.spec.live:
        return  # it is never loaded again
    # Compute this before the second load, which may overwrite a global that the first model reads.
    first = module.reference(spread=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the first load showed them
        again = load_module(module.spec, module.device)
        if again.static_fingerprint != module.static_fingerprint:
            raise UserError(f"{module.spec.label}: {other_weights(module.spec)}.")
        second = again.reference()
        apart = difference(first, second)
    if apart > tolerance(first, second):
        raise UserError(
            f"{module.spec.label}: {other_weights(module.spec)}. The state dict is the same at "
            f"each load, but embeddings of one sound differ by {apart:.2g} of their size: the "
            "cause may be a plain tensor attribute, a list, an array or a global."
        )


def other_weights(spec: ModelSpec) -> str:
    """Return the error on a model whose weights differ at each load, with the remedy."""
    what = "load_model gives other weights each time it is called"
    how = "draw the weights with a generator of a fixed seed"
    if spec.checkpoint:
        return f"{what} (layers that the checkpoint does not fill?): fill all from it, or {how}"
    return f"{what} (random initialisation?): name a checkpoint, or {how}"
