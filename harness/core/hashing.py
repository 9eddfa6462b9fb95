"""Hashes that name what was computed: of JSON values, of bytes, of files."""

from __future__ import annotations

import hashlib
import json

from hear_byola.core.filestate import file_sha256

__all__ = ["content_sha256", "file_sha256", "sha256_of"]


def sha256_of(record: object) -> str:
    """Return the sha256 of a JSON value in its canonical form: sorted keys, no spaces."""
    return content_sha256(
        json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    )


def content_sha256(content: str | bytes) -> str:
    """Return the sha256 of bytes, or of text in UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()
