"""Hostile arrays, checkpoints and archives: headers and members that were changed."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
from hypothesis import strategies as st
from support.hostile.cut import Draw, changed_bytes, places
from support.hostile.texts import HOSTILE_CANARY, changed_json


class _Reduce:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:

        return os.mkdir, (HOSTILE_CANARY,)


PICKLES = (
    *(pickle.dumps(_Reduce(), protocol) for protocol in (0, 2, 4)),
    b"cos\nmkdir\n(S'canary'\ntR.",
    b"\x80\x02cbuiltins\neval\n(X\x18\x00\x00\x00__import__('os').abort()tR.",
)
"""Pickles that run code if they are unpickled."""


_HEADERS = {
    "descr": ("'|O'", "'<f8'", "'<f2'", "'<i8'", "'|b1'", "'<U4'", "'<U300000000'", "'|V0'", "'M8'",
              "'<c16'", "[('a', '<f4'), ('b', '|O')]", "[('a', '<f4')]", "'x'", "None", "'>f4'"),
    "fortran_order": ("True", "False", "2", "None"),
    "shape": ("()", "(0,)", "(1,)", "(2**62, 4)", "(-1, 4)", "(3, -1)", "(1, 2, 3)", "(2, 2.5)",
              "(10**12,)", "(0, 10**18)", "5", "None", "(4611686018427387904, 4)", "(True, 1)"),
}  # fmt: skip


def changed_npy(draw: Draw, valid: bytes) -> bytes:
    """Return an array with another header, or other values."""
    version, size = valid[6:8], int.from_bytes(valid[8:10], "little")
    header, body = valid[10 : 10 + size].decode("latin-1"), valid[10 + size :]
    for _ in range(draw(st.integers(1, 2))):
        field = draw(st.sampled_from(sorted(_HEADERS)))
        value = draw(st.sampled_from(_HEADERS[field]))
        ends = "}" if field == "shape" else ", '"
        header = re.sub(f"(?<='{field}': ).*?(?={ends})", lambda _, v=value: v, header)
    if draw(st.booleans()):
        body = changed_bytes(draw, body or b"\0")
    if draw(st.integers(0, 9)) == 0:
        header = draw(st.sampled_from(("{", "0", "__import__('os')", "(" * 5_000, "{'descr': 1}")))
    kept = header.encode("latin-1")
    return valid[:6] + version + struct.pack("<H", len(kept) & 0xFFFF) + kept + body


def changed_npz(draw: Draw, valid: bytes) -> bytes:
    """Return an archive in which an array lacks or was changed, or one that expands to 2 GB."""
    if draw(st.integers(0, 99)) == 0:
        return _bomb(next(iter(_members(valid)), "a.npy"))
    members = dict(_members(valid))
    name = draw(st.sampled_from(sorted(members)))
    match draw(st.integers(0, 4)):
        case 0:
            del members[name]
        case 1:
            members[name] = members[draw(st.sampled_from(sorted(members)))]
        case 2:
            members[name] = draw(st.sampled_from((*PICKLES, b"", b"\0")))
        case _:
            members[name] = changed_npy(draw, members[name])
    return _zipped(members)


@cache
def _bomb(name: str) -> bytes:
    """Return an archive of 2 MB with an array of 2 GB.

    A block of zeros is compressed once and repeated. The checksum is wrong, which a reader notices
    only after the last byte.
    """
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (_BLOCKS << 17,)}
    )
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    begin = packer.compress(head.getvalue()) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    archive = bytearray(_zipped({name: begin + _BLOCKS * block + packer.flush()}))
    size = struct.pack("<I", len(head.getvalue()) + (_BLOCKS << 20))
    central = archive.rindex(b"PK\1\2")
    for method, length in ((8, 22), (central + 10, central + 24)):
        archive[method : method + 2] = struct.pack("<H", zipfile.ZIP_DEFLATED)
        archive[length : length + 4] = size
    return bytes(archive)


_BLOCKS = 2_000  # of 1 MB


@cache
def _members(content: bytes) -> Mapping[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(members: Mapping[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def changed_zip(draw: Draw, valid: bytes) -> bytes:
    """Return a zip file with a member that lacks, or has another name or content."""
    members = dict(_members(valid))
    name = draw(st.sampled_from(sorted(members)))
    match draw(st.integers(0, 4)):
        case 0:
            del members[name]
        case 1:
            members[name] = draw(st.sampled_from((*PICKLES, b"", b"\0", b"big")))
        case 2:
            other = draw(st.sampled_from(_NAMES))
            members[other] = members.pop(name)
        case _:
            members[name] = changed_bytes(draw, members[name] or b"\0")
    return _zipped(members, draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))))


_NAMES = (
    "../out", "/tmp/hostile-out", "a/../../out", "./x", "C:\\out", "a\\..\\out", "x/", "a" * 300,
    "\ud800.wav".encode("utf-8", "surrogatepass").decode("latin-1"), "é.wav", "a\nb", ".", "x//y",
    "-x", "~/x", "CON",
)  # fmt: skip


def changed_tar(draw: Draw, valid: bytes) -> bytes:
    """Return a tar file with a member of another name, type or size."""
    with tarfile.open(fileobj=io.BytesIO(valid)) as archive:
        entries = [(entry, _content(archive, entry)) for entry in archive]
    stream = io.BytesIO()
    form = draw(st.sampled_from((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)))
    chosen = draw(st.integers(0, len(entries) - 1))
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for number, (entry, content) in enumerate(entries):
            if number == chosen:
                content = _entry(draw, entry, content)
            try:
                archive.addfile(entry, io.BytesIO(content))
            except (ValueError, UnicodeError, OSError):
                continue  # the format cannot express it
    made = bytearray(stream.getvalue())
    if draw(st.booleans()):
        made = bytearray(changed_bytes(draw, bytes(made)))
    return bytes(made)


def _entry(draw: Draw, entry: tarfile.TarInfo, content: bytes) -> bytes:
    match draw(st.integers(0, 5)):
        case 0:
            entry.name = draw(st.sampled_from(_NAMES))
        case 1:
            entry.name += draw(st.sampled_from(("/../../../out", "/", "\0x", " ", "/x")))
        case 2 | 3:
            entry.type = draw(st.sampled_from([bytes([n]) for n in b"\x0001234567LKSxgVM"]))
            entry.linkname = draw(st.sampled_from(("/etc/passwd", "../../out", ".", "")))
        case 4:
            headers = ("path", "linkpath", "size", "GNU.sparse.size", "GNU.sparse.map", "mtime")
            value = draw(st.sampled_from(("../out", "-1", "9" * 30, "1,2,3", "x", "1e400", "nan")))
            entry.pax_headers = {draw(st.sampled_from(headers)): value}
        case 5:
            content = changed_bytes(draw, content or b"\0")
            entry.size = len(content)
    return content


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry)
    return file.read() if file else b""


def changed_tar_gz(draw: Draw, valid: bytes) -> bytes:
    """Return a compressed tar file, changed as by :func:`changed_tar`."""
    return gzip.compress(changed_tar(draw, gzip.decompress(valid)), 1)


def changed_safetensors(draw: Draw, valid: bytes) -> bytes:
    """Return a safetensors file with another header, told length or length of its body."""
    size = int.from_bytes(valid[:8], "little")
    header, body = valid[8 : 8 + size], valid[8 + size :]
    text = changed_json(draw, header)
    told = len(text)
    if draw(st.integers(0, 9)) == 0:
        told = draw(st.sampled_from((0, 2, 2**31, 2**63, 2**64 - 1, len(text) - 1)))
    if draw(st.integers(0, 3)) == 0:
        body = body[: draw(places(len(body)))]
    return struct.pack("<Q", told) + text + body
