"""Servers on this machine alone: files over http, bytes over tcp."""

import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def _serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Yields the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """Serves the files of a folder; yields its address."""
    with _serving(partial(_Silent, directory=str(folder))) as address:
        yield address


class _BreakingOff(BaseHTTPRequestHandler):
    """Sends half of a content the first time; after that nothing, or what is asked for of the rest."""

    content: bytes
    goes_on: bool
    asked: list[int]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        self.asked.append(begin)
        if len(self.asked) > 1 and not self.goes_on:
            self.send_error(503)
            return
        rest = self.content[begin:]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(rest)))
        if self.goes_on:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}")
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(rest[: len(self.content) // 2] if len(self.asked) == 1 else rest)


@contextmanager
def breaking_http_server(content: bytes, *, goes_on: bool) -> Iterator[str]:
    """Breaks off in the middle of what it sends first; yields its address."""
    handler = type("Handler", (_BreakingOff,), {"content": content, "goes_on": goes_on, "asked": []})
    with _serving(handler) as address:
        yield address


class _Camera(BaseHTTPRequestHandler):
    """Sends its pictures one after the other and breaks off."""

    pictures: list[bytes]

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        with suppress(OSError):
            for picture in self.pictures:
                head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
                self.wfile.write(head.encode() + picture + b"\r\n")


@contextmanager
def http_camera(pictures: list[bytes]) -> Iterator[str]:
    """A camera that serves JPEG pictures to whoever connects, again and again; yields its address."""
    with _serving(type("Handler", (_Camera,), {"pictures": pictures})) as address:
        yield f"{address}/video"


@contextmanager
def tcp_server(connections: Iterable[bytes | None], *, hangs: bool = False) -> Iterator[str]:
    """Sends each content to one connection after the other and breaks it off, None without a word; then nobody listens.

    One that `hangs` leaves connections open when it has sent what it has. Yields the address.
    """
    listener = socket.create_server(("127.0.0.1", 0))

    silent = []

    def serve() -> None:
        for content in connections:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if content is None:
                silent.append(connection)
                continue
            with suppress(OSError):
                connection.sendall(content)
            if hangs:
                silent.append(connection)
            else:
                connection.close()
        listener.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        for connection in silent:
            connection.close()
