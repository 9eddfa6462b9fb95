"""The strategy of hostile content: changes of valid files, by the suffix of their names."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st
from support.hostile.binaries import (
    changed_npy,
    changed_npz,
    changed_safetensors,
    changed_tar,
    changed_tar_gz,
    changed_zip,
)
from support.hostile.cut import Draw, changed_bytes
from support.hostile.texts import changed_csv, changed_json, changed_json_lines, changed_yaml


class Contents(dict[str, bytes]):
    """The contents of valid files by their names, with a short ``repr`` for hypothesis."""

    def __repr__(self) -> str:
        return f"Contents of {', '.join(self)}"


@st.composite
def changed(draw: Draw, contents: Contents) -> tuple[str, bytes]:
    """Return the name of one of some files, and a changed content for it.

    Half of the changes or more are of a kind that the suffix decides; the others are of bytes.
    """
    name = draw(st.sampled_from(sorted(contents)))
    valid = contents[name]
    change = _CHANGES.get(Path(name).suffix)
    if change is None or draw(st.integers(0, 2)) == 0:
        return name, changed_bytes(draw, valid)
    return name, change(draw, valid)


_CHANGES = {
    ".json": changed_json,
    ".jsonl": changed_json_lines,
    ".yaml": changed_yaml,
    ".csv": changed_csv,
    ".npz": changed_npz,
    ".npy": changed_npy,
    ".safetensors": changed_safetensors,
    ".partial": changed_safetensors,
    ".pth": changed_zip,
    ".ckpt": changed_zip,
    ".zip": changed_zip,
    ".tar": changed_tar,
    ".gz": changed_tar_gz,
}
