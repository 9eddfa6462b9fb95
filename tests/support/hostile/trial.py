"""Give a reader hostile input, and watch what it does."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from support.hostile.content import Contents, changed

from harness.core.errors import UserError

LONGEST_SECONDS = 10.0
MOST_BYTES = 1 << 30
"""Memory that a reader may take beyond the size of the file."""

MOST_CHARACTERS = 20_000
"""Characters of an error beyond the size of the file; the command line cuts longer ones."""

_FORBIDDEN = (
    "pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
    "subprocess.Popen", "socket.connect", "socket.bind",
)  # fmt: skip
_PATHS_OF = {
    "shutil.rmtree": (0,), "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,),
    "os.rename": (0, 1), "os.link": (1,),
    "os.symlink": (1,), "os.chmod": (0,), "os.chown": (0,), "os.truncate": (0,), "os.utime": (0,),
}  # fmt: skip
"""Arguments of Python's audit events that are paths to be changed."""


@dataclass(frozen=True)
class Reader:
    """A function that reads files which a user gives, or which a run has kept.

    Attributes:
        name: of what it reads.
        make: writes valid input into a folder.
        files: globs of the files that are changed.
        read: reads the folder.
        errors: exceptions by which it refuses input.
    """

    name: str
    make: Callable[[Path], object]
    files: tuple[str, ...]
    read: Callable[[Path], object]
    errors: tuple[type[BaseException], ...] = (UserError,)


class TooSlow(BaseException):
    """A reader has taken too long; no reader may catch it."""


@dataclass
class _Watch:
    """What a reader does that it must not do."""

    folders: tuple[str, ...] = ()
    seen: list[str] = field(default_factory=list)
    armed: bool = False

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            if writes if mode is None else set(mode) & set("wax+"):
                self._change("open", path)
        elif event in _PATHS_OF:
            folder = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
            for place in _PATHS_OF[event]:
                self._change(event, arguments[place], folder)
        elif event in _FORBIDDEN:
            self.seen.append(f"{event} {arguments[0] if arguments else ''!r}")

    def _change(self, event: str, path: Any, folder: int = -1) -> None:
        if isinstance(path, int):
            return
        base = os.getcwd() if folder == -1 else os.readlink(f"/proc/self/fd/{folder}")
        text = os.path.realpath(os.path.join(base, os.fsdecode(path)))
        if not any(text == folder or text.startswith(folder + "/") for folder in self.folders):
            self.seen.append(f"{event} {text}")


_watch = _Watch()


@contextlib.contextmanager
def watched(*folders: Path) -> Iterator[list[str]]:
    """Yield a list that gets what the block does outside some folders, or must never do."""
    if not hasattr(sys, "_hostile_watch"):  # a hook stays until the process ends
        sys._hostile_watch = _watch  # type: ignore[attr-defined]
        sys.addaudithook(_watch.audit)
    _watch.folders = tuple(os.path.realpath(folder) for folder in folders)
    _watch.seen = []
    _watch.armed = True
    try:
        yield _watch.seen
    finally:
        _watch.armed = False


class Trial:
    """A reader with its valid input in a folder.

    Args:
        reader: the reader.
        folder: an empty folder.
    """

    def __init__(self, reader: Reader, folder: Path) -> None:
        self.reader = reader
        self.folder = folder / "input"
        self.folder.mkdir()
        reader.make(self.folder)
        self.contents = Contents(
            (path.relative_to(self.folder).as_posix(), path.read_bytes())
            for pattern in reader.files
            for path in sorted(self.folder.glob(pattern))
        )
        assert self.contents, reader.name
        self.refused = 0

    def check_valid(self) -> None:
        """Read the valid input, also to import what the reader imports."""
        self.reader.read(self.folder)

    def attempt(self, name: str, content: bytes) -> str:
        """Read the input with other content of a file; return what is wrong with the reader."""
        path = self.folder / name
        path.write_bytes(content)
        before = _memory()
        _reset_peak()
        began = time.monotonic()
        cache = Path(os.environ["HEAR_BYOLA_CACHE"])
        with watched(self.folder, cache) as seen:
            fault = self._read(len(content))
        took, grown = time.monotonic() - began, _peak() - before
        path.write_bytes(self.contents[name])
        if fault:
            return fault
        if seen:
            return f"did {seen[0]}"
        if took > LONGEST_SECONDS:
            return f"took {took:.0f} s"
        if grown > MOST_BYTES + len(content):
            return f"took {grown >> 20} MiB of memory"
        return ""

    def _read(self, size: int) -> str:
        try:
            with _time_limit(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.reader.read(self.folder)
        except self.reader.errors as error:
            self.refused += 1
            text = str(error)
            if not text.strip() or len(text) > MOST_CHARACTERS + size:
                return f"refused in {len(text)} characters"
            return ""
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return _said(error)
        return ""


def give(trial: Trial, inputs: int, start: int) -> list[tuple[bytes, str, float]]:
    """Give a reader hostile inputs; return each content with the fault, or "", and the seconds.

    Args:
        trial: the reader.
        inputs: number of inputs.
        start: decides which; the same number gives the same inputs.
    """
    found: list[tuple[bytes, str, float]] = []

    @seed(start)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(changed(trial.contents))
    def one(drawn: tuple[str, bytes]) -> None:
        began = time.monotonic()
        fault = trial.attempt(*drawn)
        found.append((drawn[1] if fault else b"", fault, time.monotonic() - began))

    one()
    return found


def _said(error: BaseException) -> str:
    """Return the error and the place where our code raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/tests/" not in f.filename and "site-packages" not in f.filename]
    ours = [f for f in ours if "/lib/python" not in f.filename and "<frozen" not in f.filename]
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    text = repr(str(error))[:150]
    return f"{type(error).__name__} in {place}: {text}"


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlow(f"more than {LONGEST_SECONDS:.0f} s")

    old = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return 1024 * int(line.split()[1])
    return 0


def _memory() -> int:
    """Return the bytes of memory that this process has."""
    return _status("VmRSS:") if sys.platform == "linux" else 0


def _peak() -> int:
    """Return the most bytes of memory that this process has had since the last reset."""
    if sys.platform == "linux":
        return _status("VmHWM:")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
