"""Make HTTP requests with time limits, and distinguish temporary from permanent failures.

requests takes proxies and certificates from the environment, which networks behind firewalls need.
pooch, the usual library for data sets, does not resume: it starts an interrupted download again
from the first byte.
"""

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
from urllib.parse import urlsplit

import requests
import urllib3

from harness.core.errors import UserError

_TEMPORARY_STATUSES = (408, 425, 429, 500, 502, 503, 504)
_CHUNK = 1 << 16
_LONGEST_TEXT = 1 << 23


class TemporaryFailure(Exception):
    """A failure that may not occur again.

    ``wait`` is the wait in seconds that the server asks for. ``no_address`` is true if the server's
    name cannot be resolved.
    """

    def __init__(self, reason: str, wait: float | None = None, *, no_address: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.no_address = no_address


class Stopped(Exception):
    """The user has stopped the program."""


@dataclass(frozen=True)
class Patience:
    """Time limits in seconds, and the number of tries.

    Attributes:
        connect: limit for a connection.
        read: limit for the next byte of an answer.
        tries: failures in a row that end in an error; each byte received restarts the count.
        first_wait: wait after the first failure; it doubles with each that follows.
        longest_wait: upper limit of the doubled wait.
        longest_asked: longest wait that a server may ask for; a longer one ends in an error.
    """

    connect: float = 15.0
    read: float = 60.0
    tries: int = 8
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_asked: float = 900.0


class Web:
    """Makes requests for one thread; a context manager, which closes the connections."""

    def __init__(self, patience: Patience, stop: threading.Event) -> None:
        self.patience = patience
        self.stop = stop
        self._session = requests.Session()
        # Archives are compressed. If a server compressed them again, their sizes would be wrong.
        # Zenodo asks programs for a name, and limits nameless ones first.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.headers["User-Agent"] = f"hear-byola/{version('hear-byola')}"

    def __enter__(self) -> Web:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections."""
        self._session.close()

    @contextlib.contextmanager
    def get(
        self, url: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[requests.Response]:
        """Yield the answer to one request, its body not yet read: status 200, 206 or 416.

        Raises:
            TemporaryFailure: there is no answer, or its status is a temporary one.
            UserError: any other status.
        """
        limits = (self.patience.connect, self.patience.read)
        with _translated(url):
            response = self._session.get(url, headers=headers, timeout=limits, stream=True)
        with response:
            if response.status_code in _TEMPORARY_STATUSES:
                asked = _seconds(response.headers.get("Retry-After"))
                raise TemporaryFailure(f"{_host(url)} answers {_status(response)}", asked)
            if response.status_code not in (200, 206, 416):
                raise UserError(
                    f"{url} cannot be downloaded: the server answers {_status(response)}."
                )
            yield response

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """Yield an answer's body as it was sent.

        Raises:
            TemporaryFailure: the connection broke, or the server sent nothing for too long.
            Stopped: between two chunks.
        """
        while True:
            if self.stop.is_set():
                raise Stopped
            with _translated(response.url):
                # read1 returns received bytes at once, so that those of a slow server are stored.
                # Some servers declare the archive's own compression as that of the transfer.
                # Decoding it would give a file of another size.
                chunk = response.raw.read1(_CHUNK, decode_content=False)
            if not chunk:
                return
            yield chunk

    def read(self, url: str) -> bytes:
        """Return a small file, such as a listing.

        Raises:
            TemporaryFailure: as ``get`` and ``chunks``.
            UserError: as ``get``; or the file is larger than any listing.
            Stopped: the user stopped the program.
        """
        content = bytearray()
        with self.get(url) as response:
            for chunk in self.chunks(response):
                content += chunk
                if len(content) > _LONGEST_TEXT:
                    raise UserError(
                        f"{url} is not a listing: it is longer than {_LONGEST_TEXT:,} bytes."
                    )
        return bytes(content)


@dataclass(frozen=True)
class Span:
    """The part of a file that an answer contains.

    ``start`` is its first byte, None if the answer contains no part. ``total`` is the size of the
    whole file, None if the server does not give it.
    """

    start: int | None
    total: int | None


def span(response: requests.Response) -> Span:
    """Return which part of the file an answer contains, by its headers."""
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
def _translated(url: str) -> Iterator[None]:
    """Raise TemporaryFailure or UserError instead of exceptions of requests and urllib3."""
    try:
        yield
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise TemporaryFailure(f"{_host(url)} did not answer in time") from error
    except (requests.ConnectionError, urllib3.exceptions.HTTPError) as error:
        cause = _innermost(error)
        if "CERTIFICATE_VERIFY_FAILED" in str(cause):
            raise UserError(f"{_host(url)} has no valid certificate ({cause}).") from error
        reason = getattr(cause, "strerror", None) or type(cause).__name__
        raise TemporaryFailure(
            f"the connection to {_host(url)} failed ({reason})",
            no_address=isinstance(cause, socket.gaierror),
        ) from error
    except requests.RequestException as error:
        raise UserError(f"{url} cannot be downloaded: {error}.") from error


def _innermost(error: BaseException) -> BaseException:
    # A request can be made while an earlier failure is handled, which is not its cause.
    while (cause := error.__cause__ or error.__context__) is not None and not isinstance(
        cause, TemporaryFailure | UserError
    ):
        error = cause
    return error


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _status(response: requests.Response) -> str:
    return f"{response.status_code} {response.reason}".strip()


def _seconds(retry_after: str | None) -> float | None:
    """Read ``Retry-After``: seconds or a date; None if it is neither.

    ``urllib3.Retry.parse_retry_after`` limits a wait to six hours; errors must report the real one.
    """
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None
