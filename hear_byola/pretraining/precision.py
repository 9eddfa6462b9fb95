"""Choose the precision of a run from its devices."""

from __future__ import annotations

import torch

from hear_byola.core.errors import UserError
from hear_byola.inference import has_arithmetic
from hear_byola.pretraining.config import PretrainConfig

FULL, BFLOAT16, FLOAT16 = "32-true", "bf16-mixed", "16-mixed"


def check_precision(config: PretrainConfig, accelerator: str) -> None:
    """Check that an accelerator has the config's precision.

    On a CPU, Lightning replaces float16 by bfloat16, and the checkpoint would name the wrong one.

    Raises:
        UserError: float16 on a CPU.
    """
    if accelerator == "cpu" and config.precision == FLOAT16:
        raise UserError("precision 16-mixed is for GPUs: a CPU has 32-true and bf16-mixed.")


def choose_precision(accelerator: str) -> tuple[str, str]:
    """Return the precision of `precision: auto`, and the reason in words.

    It is bfloat16 with float32 weights where the device multiplies bfloat16 matrices in hardware,
    else float32.

    Args:
        accelerator: "cpu", "gpu" or "mps".
    """
    if accelerator == "cpu":
        if has_arithmetic(torch.bfloat16, torch.device("cpu")):
            return BFLOAT16, "the CPU has AVX512-BF16 or AMX"
        return FULL, "the CPU has neither AVX512-BF16 nor AMX"
    if accelerator in ("gpu", "cuda", "auto") and torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return BFLOAT16, "the GPU has bfloat16"
        return FULL, "the GPU has no bfloat16"
    return FULL, f"bfloat16 is not used with accelerator {accelerator!r}"
