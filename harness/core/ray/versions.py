"""The versions on which results depend, to be compared between machines."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_PACKAGES = ("harness", "hear_byola", "tasks")


def versions() -> dict[str, str]:
    """Return the versions of Python, torch and hear-byola, whose code is hashed."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "hear-byola": f"{_version('hear-byola')} (code {_code_sha256()[:8]})",
        "torch": _version("torch"),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _code_sha256() -> str:
    digest = hashlib.sha256()
    for package in _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*.py")):
            digest.update(f"{path.relative_to(_ROOT)}\n".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
