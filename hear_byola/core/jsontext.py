"""Read JSON of files that may be damaged or made by others."""

from __future__ import annotations

import json
from typing import Any


def load(text: str | bytes) -> Any:
    """Return the content of JSON text.

    Raises:
        ValueError: it is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
