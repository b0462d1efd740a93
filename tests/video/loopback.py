"""Servers on this machine alone: files over http, bytes over tcp."""

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def http_server(folder: Path) -> Iterator[str]:
    """Serves the files of a folder; yields its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def tcp_server(connections: Iterable[bytes | None]) -> Iterator[str]:
    """Sends each content to one connection after the other and breaks it off, None without a word; then nobody listens.

    Yields the address.
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
            with connection, suppress(OSError):
                connection.sendall(content)
        listener.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        for connection in silent:
            connection.close()
