"""Archives made to do harm, and damaged ones: nothing of them gets out of the folder."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archives import made_archive

from harness.core.errors import UserError
from tasks.fetch.unpack import unpack

NAME = "made-v1-full"
BELOW = f"hear-2021.0.6/tasks/{NAME}"


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    for field, value in fields.items():
        setattr(made, field, value)
    return made


def packed(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=form) as tar:
        tar.addfile(entry(f"{BELOW}/task_metadata.json", size=2), io.BytesIO(b"{}"))
        for each in entries:
            header, content = each if isinstance(each, tuple) else (each, b"")
            header.size = header.size or len(content)
            tar.addfile(header, io.BytesIO(content) if content else None)
    return buffer.getvalue()


@pytest.fixture
def unpacking(tmp_path: Path) -> Callable[..., Path]:
    """Unpack bytes into a folder of its own, and see that nothing beside it changes."""

    def call(content: bytes, **limits: int) -> Path:
        archive, target = tmp_path / "a.tar.gz", tmp_path / "inside" / "target"
        archive.write_bytes(content)
        try:
            limits = {"most_bytes": 10_000_000} | limits
            return unpack(archive, "a.tar.gz", NAME, target, **limits)
        finally:
            outside = {p for p in tmp_path.rglob("*") if not p.is_relative_to(target)}
            assert outside <= {archive, target.parent}
            assert all(p.is_dir() or p.is_file() for p in target.rglob("*"))
            assert not any(p.is_symlink() for p in target.rglob("*"))

    return call


HOSTILE = {
    "up": (entry(f"{BELOW}/../../../../out.txt"), "outside its folder"),
    "up at once": (entry("../out.txt"), "outside its folder"),
    "up at the end": (entry(f"{BELOW}/16000/.."), "outside its folder"),
    "absolute": (entry(f"/{BELOW}/out.txt"), "outside its folder"),
    "doubly absolute": (entry("//etc/out.txt"), "outside its folder"),
    "backslash": (entry(f"{BELOW}/..\\..\\out.txt"), "outside its folder"),
    "control character": (entry(f"{BELOW}/a\nb.wav"), "outside its folder"),
    "symbolic link": (entry(f"{BELOW}/a", tarfile.SYMTYPE, linkname="/etc"), "a symbolic link"),
    "inner link": (entry(f"{BELOW}/a", tarfile.SYMTYPE, linkname="b"), "a symbolic link"),
    "hard link": (entry(f"{BELOW}/a", tarfile.LNKTYPE, linkname="/etc/passwd"), "a hard link"),
    "character device": (entry(f"{BELOW}/a", tarfile.CHRTYPE, devmajor=1), "a device"),
    "block device": (entry(f"{BELOW}/a", tarfile.BLKTYPE, devmajor=8), "a device"),
    "pipe": (entry(f"{BELOW}/a", tarfile.FIFOTYPE), "a pipe"),
    "unknown kind": (entry(f"{BELOW}/a", b"Z"), "of unknown type"),
    "another directory": (entry("hear-2021.0.6/tasks/other-v1-full/a"), f"only tasks/{NAME}"),
    "a longer name": (entry(f"{BELOW}-2/a"), f"only tasks/{NAME}"),
    "beside the tasks": (entry("hear-2021.0.6/README"), f"only tasks/{NAME}"),
    "at the top": (entry("setup.py"), f"only tasks/{NAME}"),
    "a file for the directory": (entry(BELOW), f"only tasks/{NAME}"),
    "a file for its parent": (entry("hear-2021.0.6/tasks"), f"only tasks/{NAME}"),
    "twice": (entry(f"{BELOW}/task_metadata.json"), "twice"),
    "twice, in two ways": (entry(f"tasks/{NAME}/task_metadata.json"), "twice"),
}


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT], ids=["gnu", "pax"])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_member_ends_the_unpacking(unpacking, what, form):
    member, words = HOSTILE[what]
    with pytest.raises(UserError, match=words):
        unpacking(packed(member, form=form))


def test_a_link_and_then_a_file_through_it_gets_nowhere(unpacking, tmp_path):
    link = entry(f"{BELOW}/16000", tarfile.SYMTYPE, linkname=str(tmp_path))
    through = entry(f"{BELOW}/16000/out.txt"), b"out"
    with pytest.raises(UserError, match="symbolic link"):
        unpacking(packed(link, through, form=tarfile.PAX_FORMAT))


def test_a_file_with_holes_is_refused(unpacking):
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "900000000"}
    member = entry(f"{BELOW}/a.wav", pax_headers=pax), b"1\n0\n1\n".ljust(512, b"\0") + b"x"
    with pytest.raises(UserError, match="a file with holes"):
        unpacking(packed(member, form=tarfile.PAX_FORMAT))


def test_a_huge_expansion_is_stopped_at_the_limit(unpacking, tmp_path):
    content = packed((entry(f"{BELOW}/a.wav"), bytes(50_000_000)), form=tarfile.PAX_FORMAT)
    assert len(content) < 100_000
    with pytest.raises(UserError, match=r"more than 3\.0 MB"):
        unpacking(content, most_bytes=3_000_000)
    assert sum(p.stat().st_size for p in tmp_path.rglob("*.wav")) < 5_000_000


def test_zeros_after_the_end_are_unpacked_no_further_than_the_limit(unpacking):
    content = gzip.compress(gzip.decompress(made_archive()) + bytes(50_000_000))
    with pytest.raises(UserError, match="more than 10"):
        unpacking(content)


def test_a_size_that_is_only_claimed_is_not_believed(unpacking):
    member = entry(f"{BELOW}/a.wav", size=10**15)
    with pytest.raises(UserError, match=r"more than 10\.0 MB|not a complete"):
        unpacking(packed(member, form=tarfile.PAX_FORMAT))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_as_long_as_memory_is_not_read(unpacking, kind):
    header = entry("long", kind, size=60_000_000)
    raw = header.tobuf(tarfile.USTAR_FORMAT) + b"1" * 60_000_000
    content = gzip.compress(raw, 1)
    del raw
    tracemalloc.start()
    with pytest.raises(UserError, match=r"a header of 60\.0 MB"):
        unpacking(content, most_bytes=10**9)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_headers_upon_headers_are_an_error(unpacking):
    header = entry("x", tarfile.XHDTYPE, size=0).tobuf(tarfile.USTAR_FORMAT)
    with pytest.raises(UserError, match="not a complete"):
        unpacking(gzip.compress(header * 5000))


def test_the_number_of_members_has_a_limit(unpacking):
    members = [entry(f"{BELOW}/16000/{i}.wav") for i in range(100)]
    content = packed(*members, form=tarfile.PAX_FORMAT)
    with pytest.raises(UserError, match="more than 50 files"):
        unpacking(content, most_members=50)
    assert len(list(unpacking(content, most_members=101).rglob("*.wav"))) == 100


@pytest.mark.parametrize("prefix", ["hear-2021.0.6/tasks", "hear-2021.3/tasks", "tasks", "./tasks"])
def test_all_published_layouts_are_taken(unpacking, prefix):
    directory = unpacking(made_archive("made", prefix))
    assert directory.name == NAME
    assert len(list(directory.rglob("*.wav"))) == 15


def test_folders_above_the_task_may_be_listed(unpacking):
    above = [entry(name, tarfile.DIRTYPE) for name in (".", "hear-2021.0.6", "./tasks")]
    assert unpacking(packed(*above, form=tarfile.GNU_FORMAT)).is_dir()


def test_rights_owners_and_times_stay_behind(unpacking):
    odd = entry(f"{BELOW}/a.json", mode=0o6777, mtime=2**60, uid=12345), b"{}"
    path = unpacking(packed(odd, form=tarfile.PAX_FORMAT)) / "a.json"
    assert path.stat().st_mode & 0o7133 == 0
    assert path.stat().st_mtime < 2**40
    assert path.stat().st_uid != 12345


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>not found</html>", gzip.compress(b""), gzip.compress(b"x" * 2000)],
    ids=["nothing", "a page", "gzip of nothing", "gzip of something"],
)
def test_what_is_no_archive_is_called_so(unpacking, content):
    with pytest.raises(UserError, match="is not a complete"):
        unpacking(content)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_an_archive_cut_anywhere_is_an_error(unpacking, kept):
    whole = made_archive()
    with pytest.raises(UserError, match="is not a complete"):
        unpacking(whole[: int(len(whole) * kept)])


def test_a_tar_file_cut_between_two_files_is_an_error_though_gzip_is_whole(unpacking):
    raw = gzip.decompress(made_archive())
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        cut = tar.getmembers()[10].offset
    with pytest.raises(UserError, match="end-of-archive block is missing"):
        unpacking(gzip.compress(raw[:cut]))


def test_a_damaged_header_is_not_taken_for_the_end(unpacking):
    raw = bytearray(gzip.decompress(made_archive()))
    with tarfile.open(fileobj=io.BytesIO(bytes(raw))) as tar:
        raw[tar.getmembers()[10].offset + 3] ^= 1
    with pytest.raises(UserError, match="is not a complete"):
        unpacking(gzip.compress(bytes(raw)))


def test_whatever_is_damaged_ends_in_a_sentence_or_in_the_whole_task(unpacking):
    """A change of the tar headers, under an intact gzip checksum, never ends in a traceback."""
    raw = gzip.decompress(made_archive())
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        headers = [member.offset for member in tar.getmembers()[:8]]
    random_state = random.Random(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(raw[: headers[-1]] + bytes(1024))
        for _ in range(random_state.choice((1, 2, 8))):
            at = random_state.choice(headers[:-1]) + random_state.randrange(512)
            damaged[at] = random_state.randrange(256)
        if random_state.random() < 0.7:  # with a header checksum that fits, fields are believed
            for at in headers[:-1]:
                damaged[at + 148 : at + 156] = b" " * 8
                total = sum(damaged[at : at + 512])
                damaged[at + 148 : at + 156] = b"%06o\0 " % total
        try:
            unpacking(gzip.compress(bytes(damaged), 1))
        except UserError:
            refused += 1
    assert refused > 20
