"""HTTP with patience: every wait has an end, and what may pass is tried again."""

from __future__ import annotations

import contextlib
import email.utils
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from urllib.parse import urlsplit

# requests: it takes proxies and certificates from the environment as people behind firewalls need
# it to. pooch, the usual choice for data, starts a cut download anew instead of asking for the
# missing range.
import requests
import urllib3

from harness.core.errors import UserError

_PASSING = (408, 425, 429, 500, 502, 503, 504)
_CHUNK = 1 << 16
_LONGEST_TEXT = 1 << 23


class Passing(Exception):
    """A failure that may be over after a while.

    ``wait`` is how long the server asks for, in s; ``nowhere`` whether its name has no address.
    """

    def __init__(self, reason: str, wait: float | None = None, *, nowhere: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.nowhere = nowhere


class Stopped(Exception):
    """The user has stopped the program."""


@dataclass(frozen=True)
class Patience:
    """How long is waited for what, in seconds.

    Attributes:
        connect: for a connection.
        read: for the next byte of an answer.
        tries: failures in a row that end in an error; a byte gained starts the count anew.
        first_wait: after the first failure; it doubles with each that follows.
        longest_wait: the most that it doubles to.
        longest_asked: the most that a server may ask for; an error tells of longer waits.
    """

    connect: float = 15.0
    read: float = 60.0
    tries: int = 8
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 900.0


class Web:
    """Makes requests for one thread; a context manager."""

    def __init__(self, patience: Patience, stop: threading.Event) -> None:
        self.patience = patience
        self.stop = stop
        self._session = requests.Session()
        # Archives are compressed; a server must not compress them again, as sizes are counted.
        # Zenodo asks programs to name themselves, and limits nameless ones first.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.headers["User-Agent"] = f"hear-byola/{version('hear-byola')}"

    def __enter__(self) -> Web:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._session.close()

    @contextlib.contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Yield the answer to one request, with its body yet to be read: status 200, 206 or 416.

        Raises:
            Passing: no answer, or one that says to come back.
            UserError: an answer that says no.
        """
        limits = (self.patience.connect, self.patience.read)
        with _failures_told(url):
            response = self._session.get(url, headers=headers, timeout=limits, stream=True)
        try:
            if response.status_code in _PASSING:
                asked = _seconds(response.headers.get("Retry-After"))
                raise Passing(f"{_host(url)} answers {_status(response)}", asked)
            if response.status_code not in (200, 206, 416):
                raise UserError(f"{url} cannot be had: the server answers {_status(response)}.")
            yield response
        finally:
            response.close()

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """Yield an answer's body as it was sent.

        Raises:
            Passing: the connection broke, or nothing came for too long.
            Stopped: between two chunks.
        """
        while True:
            if self.stop.is_set():
                raise Stopped
            with _failures_told(response.url):
                # read1 gives what has come, so that a slow server's bytes are kept as they come.
                # Some servers declare the archive's own compression as that of the transfer:
                # undoing it would give a file of another size.
                chunk = response.raw.read1(_CHUNK, decode_content=False)
            if not chunk:
                return
            yield chunk

    def read(self, url: str) -> bytes:
        """Return a small file, such as a listing.

        Raises:
            Passing: as ``get`` and ``chunks``.
            UserError: as ``get``; or it is larger than any such file.
            Stopped: the user stopped the program.
        """
        content = bytearray()
        with self.get(url) as response:
            for chunk in self.chunks(response):
                content += chunk
                if len(content) > _LONGEST_TEXT:
                    raise UserError(
                        f"{url} is no listing: it goes on past {_LONGEST_TEXT:,} bytes."
                    )
        return bytes(content)

    def pause(self, seconds: float) -> None:
        """Wait, unless the user stops the program."""
        if self.stop.wait(seconds):
            raise Stopped


@dataclass(frozen=True)
class Span:
    """What part of a file an answer brings: from byte ``start``, None when it is none of it.

    ``total`` is the size of the whole file, None when the server does not tell.
    """

    start: int | None
    total: int | None


def span(response: requests.Response) -> Span:
    """Read from an answer's headers what part of the file it brings."""
    if response.status_code == 200:
        length = response.headers.get("Content-Length", "")
        return Span(0, int(length) if length.isdecimal() else None)
    header = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", header.strip())
    if match is None:
        return Span(None, None)
    start = int(match[1]) if match[1] and response.status_code == 206 else None
    return Span(start, int(match[2]) if match[2] else None)


@contextlib.contextmanager
def _failures_told(url: str) -> Iterator[None]:
    """Tell failures that may pass from those that will not."""
    try:
        yield
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise Passing(f"{_host(url)} did not answer in time") from error
    except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:
        cause = _innermost(error)
        if "CERTIFICATE_VERIFY_FAILED" in str(cause):
            raise UserError(f"{_host(url)} shows no valid certificate ({cause}).") from error
        reason = getattr(cause, "strerror", None) or type(cause).__name__
        raise Passing(
            f"the connection to {_host(url)} failed ({reason})",
            nowhere=isinstance(cause, socket.gaierror),
        ) from error
    except requests.RequestException as error:
        raise UserError(f"{url} cannot be had: {error}.") from error


def _innermost(error: BaseException) -> BaseException:
    # What a request fails of may have begun while the failure of one before it was dealt with.
    while (cause := error.__cause__ or error.__context__) is not None and not isinstance(
        cause, Passing | UserError
    ):
        error = cause
    return error


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _status(response: requests.Response) -> str:
    return f"{response.status_code} {response.reason}".strip()


def _seconds(retry_after: str | None) -> float | None:
    """Read ``Retry-After``: a number of seconds, or a date; None when it is neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
