"""An HTTP server on loopback that answers like a record archive, with faults on request.

    with RecordServer() as server:
        server.publish("17", "a.tar.gz", content)      # listed with its size and md5
        server.mirror["a.tar.gz"] = content            # at server.url + "/mirror/a.tar.gz"
        server.faults["a.tar.gz"] = [refuse(429, "1"), cut(1000)]

Each request for a file's content uses up one fault. If none is left, the answer follows HTTP,
including ranges and ``If-Range``. ``server.whole_answers`` maps a file to a fault that answers
every request for it, also those for its size. ``server.seen`` stores all requests for content.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote


@dataclass(frozen=True)
class Seen:
    """A request for a file's content."""

    path: str
    range: str | None
    if_range: str | None
    agent: str


Fault = Callable[["_Handler", bytes], None]
"""Answers a request for the content of a file in a faulty or special way."""


class RecordServer:
    """A server that runs inside a ``with`` block; ``api`` and ``url`` are its addresses."""

    def __init__(self) -> None:
        self.contents: dict[tuple[str, str], bytes] = {}
        self.listings: dict[str, list[dict[str, object]]] = {}
        self.mirror: dict[str, bytes] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.whole_answers: dict[str, Fault] = {}
        self.seen: list[Seen] = []
        self.listed = 0
        self.released = threading.Event()
        self.in_flight = 0
        self.most_in_flight = 0
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"site": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self.api = f"{self.url}/api"

    def publish(self, record: str, file: str, content: bytes, **listing: object) -> None:
        """Put a file into a record; ``listing`` overrides fields of its listing."""
        self.contents[record, file] = content
        entry = {
            "key": file,
            "size": len(content),
            "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
            "links": {"self": f"{self.api}/records/{record}/files/{file}/content"},
        }
        self.listings.setdefault(record, []).append(entry | listing)

    def __enter__(self) -> RecordServer:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: RecordServer

    def do_GET(self) -> None:
        path = unquote(self.path)
        content = self._content(path)
        if (record := re.fullmatch(r"/api/records/([^/]+)", path)) is not None:
            self._list(record[1])
        elif content is None:
            refuse(404)(self, b"")
        else:
            self._send_content(path, content)

    def _content(self, path: str) -> bytes | None:
        if match := re.fullmatch(r"/api/records/([^/]+)/files/([^/]+)/content", path):
            return self.site.contents.get((match[1], match[2]))
        return self.site.mirror.get(path.removeprefix("/mirror/"))

    def _list(self, record: str) -> None:
        self.site.listed += 1
        faults = self.site.faults.get(f"record {record}", [])
        if faults:
            faults.pop(0)(self, b"")
        elif record not in self.site.listings:
            refuse(404)(self, b"")
        else:
            answer = {"id": int(record), "files": self.site.listings[record]}
            self.whole(json.dumps(answer).encode())

    def _send_content(self, path: str, content: bytes) -> None:
        name = path.removesuffix("/content").rpartition("/")[2]
        if name in self.site.whole_answers:
            self.site.whole_answers[name](self, content)
            return
        if self.headers["Range"] == "bytes=0-0":  # asks for the size alone
            self.head(206, 1, Content_Range=f"bytes 0-0/{len(content)}")
            self.wfile.write(content[:1])
            return
        with self._counted():
            self.site.seen.append(
                Seen(
                    path,
                    self.headers["Range"],
                    self.headers["If-Range"],
                    self.headers["User-Agent"],
                )
            )
            faults = self.site.faults.get(name, [])
            if faults:
                faults.pop(0)(self, content)
            else:
                self.answer(content, content)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        site = self.site
        with site.lock:
            site.in_flight += 1
            site.most_in_flight = max(site.most_in_flight, site.in_flight)
        try:
            yield
        finally:
            with site.lock:
                site.in_flight -= 1

    def etag(self, content: bytes) -> str:
        return f'"{hashlib.md5(content).hexdigest()}"'

    def start(self, content: bytes) -> int | None:
        """Return the start of the requested range, or None if the whole file is requested."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        wanted = self.headers["If-Range"]
        if match is None or (wanted is not None and wanted != self.etag(content)):
            return None
        return int(match[1])

    def answer(self, content: bytes, sent: bytes) -> None:
        """Announce the requested part of ``content``, but send only the bytes of ``sent``."""
        start = self.start(content)
        if start is None:
            self.head(200, len(content), ETag=self.etag(content))
            self.wfile.write(sent)
        elif start >= len(content):
            self.head(416, 0, Content_Range=f"bytes */{len(content)}")
        else:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.head(206, len(content) - start, Content_Range=span, ETag=self.etag(content))
            self.wfile.write(sent[start:])
        self.wfile.flush()

    def whole(self, content: bytes) -> None:
        self.head(200, len(content))
        self.wfile.write(content)

    def head(self, status: int, length: int, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def hang_up(self, *, rudely: bool = False) -> None:
        self.wfile.flush()
        if rudely:  # reset the connection; closing it would end the stream regularly
            option = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def handle(self) -> None:
        # The client or the fault may have closed the connection, which is intended.
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        pass


def cut(at: int, *, rudely: bool = False) -> Fault:
    """Hang up after byte ``at`` of the file."""

    def fault(handler: _Handler, content: bytes) -> None:
        handler.answer(content, content[:at])
        handler.hang_up(rudely=rudely)

    return fault


def hang(at: int) -> Fault:
    """Send up to byte ``at`` of the file, then nothing until the server ends."""

    def fault(handler: _Handler, content: bytes) -> None:
        handler.answer(content, content[:at])
        handler.site.released.wait(60)
        handler.hang_up()

    return fault


def refuse(status: int, retry_after: str | None = None) -> Fault:
    """Answer with a status, and with ``Retry-After`` if it is given."""

    def fault(handler: _Handler, _: bytes) -> None:
        extra = {} if retry_after is None else {"Retry_After": retry_after}
        handler.head(status, 0, **extra)

    return fault


def send(other: bytes) -> Fault:
    """Serve other content instead of the file, with ranges and its own ETag."""
    return lambda handler, _: handler.answer(other, other)


def ignore_range(handler: _Handler, content: bytes) -> None:
    """Send the whole file, whatever range was requested."""
    handler.whole(content)


def misplace(start: int) -> Fault:
    """Answer a request for a range with a range from ``start``, with a correct header."""

    def fault(handler: _Handler, content: bytes) -> None:
        span = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.head(206, len(content) - start, Content_Range=span)
        handler.wfile.write(content[start:])

    return fault
