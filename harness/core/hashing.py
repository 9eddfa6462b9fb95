"""Hashes of JSON values and of files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path


def sha256_of(record: object) -> str:
    """Sha256 of a JSON value in its canonical form: sorted keys, no spaces."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """Sha256 of a file's content."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
