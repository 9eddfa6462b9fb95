"""Hashes that name what was computed: of JSON values, of bytes, of files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

_BLOCK = 1 << 20  # bytes


def sha256_of(record: object) -> str:
    """Return the sha256 of a JSON value in its canonical form: sorted keys, no spaces."""
    return content_sha256(
        json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    )


def content_sha256(content: str | bytes) -> str:
    """Return the sha256 of bytes, or of text in UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: str | Path) -> str:
    """Return the sha256 of a file's content.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
