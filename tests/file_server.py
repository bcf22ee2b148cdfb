"""A real HTTP server on this machine that hands out files as servers on the net do, and fails as they fail."""

import contextlib
import gzip
import hashlib
import http.client
import re
import shutil
import socket
import threading
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

PIECE_BYTES = 1 << 14


class FileServer:
    """A context manager. What it serves and how it fails are attributes, which can be changed while it runs."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}  # "/name": content
        self.redirects: dict[str, str] = {}  # "/name": where to
        self.requests: list[tuple[str, dict[str, str]]] = []  # path and headers, in the order in which they came
        self.statuses: list[int] = []  # answers to the next requests; what comes after them is served
        self.always: int | None = None  # the answer to every request
        self.retry_after: str | None = None
        self.breaks: list[int] = []  # the next connections end after so many bytes of the body
        self.breaks_always: int | None = None
        self.stalls_after: int | None = None  # bytes after which nothing more comes, the connection stays open
        self.ignores_range = self.ignores_if_range = self.shifts_range = False
        self.has_etag = self.has_date = True
        self.has_weak_etag = False
        self.largest_part: int | None = None  # bytes of a range that are sent at most
        self.is_compressing = False  # although the client has asked for the bytes as they are
        self.extra_length = 0  # added to the Content-Length
        self.content_type = "application/octet-stream"
        self.keeps_alive = False  # a connection serves several requests
        self.n_connections = 0
        self.n_sent = 0  # bytes of all bodies
        self.before_answer: Callable[[FileServer], None] = lambda server: None
        self._stop = threading.Event()

    def __enter__(self) -> "FileServer":
        outer = self

        class Handler(_Handler):
            server_of_files = outer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # connections that the client gives up
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def link(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range of each request so far."""
        return [headers.get("range") for _, headers in self.requests]

    def wait(self) -> None:
        """Until the server is shut down."""
        self._stop.wait()


class _Handler(BaseHTTPRequestHandler):
    server_of_files: FileServer

    def setup(self) -> None:
        super().setup()
        self.server_of_files.n_connections += 1
        if self.server_of_files.keeps_alive:
            self.protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server_of_files
        self.close_connection = not server.keeps_alive
        server.before_answer(server)
        server.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
        status = server.always or (server.statuses.pop(0) if server.statuses else None)
        if self.path in server.redirects:
            self._say(302, {"Location": server.redirects[self.path]})
        elif status is not None:
            self._say(status, {} if server.retry_after is None else {"Retry-After": server.retry_after})
        elif self.path not in server.files:
            self._say(404, {})
        else:
            self._send(server, server.files[self.path])

    def _say(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": "0"} | headers).items():
            self.send_header(key, value)
        self.end_headers()

    def _send(self, server: FileServer, content: bytes) -> None:
        headers = {"Content-Type": server.content_type}
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        date = formatdate(1.6e9 + len(content), usegmt=True)
        if server.has_etag:
            headers["ETag"] = f"W/{etag}" if server.has_weak_etag else etag
        if server.has_date:
            headers["Last-Modified"] = date
        if server.is_compressing:
            content = gzip.compress(content)
            headers["Content-Encoding"] = "gzip"
        status, asked = 200, self._asked(server, {etag, date}, len(content))
        if asked is not None and asked[0] >= len(content):
            self._say(416, {"Content-Range": f"bytes */{len(content)}"})
            return
        body = memoryview(content)
        if asked is not None:
            begin, stop = asked
            begin = max(0, begin - 10) if server.shifts_range else begin
            body = body[begin : stop if server.largest_part is None else min(stop, begin + server.largest_part)]
            headers["Content-Range"] = f"bytes {begin}-{begin + len(body) - 1}/{len(content)}"
            status = 206
        self._say(status, headers | {"Content-Length": str(len(body) + server.extra_length)})
        end = server.breaks.pop(0) if server.breaks else server.breaks_always
        for start in range(0, len(body), PIECE_BYTES):
            if server.stalls_after is not None and start >= server.stalls_after:
                server.wait()
            stop = start + PIECE_BYTES
            if end is not None and stop >= end:
                self._write(body[start:end])
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._write(body[start:stop])

    def _write(self, piece: memoryview) -> None:
        self.server_of_files.n_sent += len(piece)
        self.wfile.write(piece)

    def _asked(self, server: FileServer, validators: set[str], n_bytes: int) -> tuple[int, int] | None:
        """The first byte that is asked for, and the one behind the last; None if the whole file is to be sent."""
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is None or server.ignores_range:
            return None
        condition = self.headers.get("If-Range")
        if not (condition is None or condition in validators or server.ignores_if_range):
            return None
        if not asked[1]:
            return max(0, n_bytes - int(asked[2])), n_bytes
        return int(asked[1]), min(n_bytes, int(asked[2]) + 1) if asked[2] else n_bytes

    def log_message(self, *_: object) -> None:
        pass


class Proxy:
    """A context manager: an HTTP proxy on this machine, which passes on what it is asked for."""

    def __init__(self) -> None:
        self.requests: list[str] = []  # links

    def __enter__(self) -> "Proxy":
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests.append(self.path)
                parts = urlsplit(self.path)
                connection = http.client.HTTPConnection(parts.hostname, parts.port)
                connection.request("GET", parts.path, headers=dict(self.headers))
                answer = connection.getresponse()
                self.send_response(answer.status)
                for key, value in answer.getheaders():
                    self.send_header(key, value)
                self.end_headers()
                shutil.copyfileobj(answer, self.wfile)
                connection.close()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.link = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
