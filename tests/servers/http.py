"""Turns a list of answers into an HTTP server in a thread, which keeps what it was sent."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: A status, with the words behind it, or what is done to the connection in place of an answer.
Answer = int | tuple[int, str] | Callable[["_Handler"], None]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class HttpServer:
    """Gives its answers in their order, the last one for ever; a `with` starts and ends it."""

    def __init__(self, *answers: Answer) -> None:
        self.answers: Sequence[Answer] = answers or (200,)
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self.done = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HttpServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self._server.shutdown()
        self._server.server_close()

    def taken(self, request: Request) -> Answer:
        with self.lock:
            self.requests.append(request)
            return self.answers[min(len(self.requests), len(self.answers)) - 1]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], about: HttpServer) -> None:
        self.about = about
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        about = self.server.about
        answer = about.taken(Request(self.command, self.path, dict(self.headers), body))
        if callable(answer):
            answer(self)
            return
        status, said = answer if isinstance(answer, tuple) else (answer, "")
        self.send_response(status)
        if status // 100 == 3:
            self.send_header("Location", said)
        self.send_header("Content-Length", str(len(said.encode())))
        self.end_headers()
        self.wfile.write(said.encode())

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


def hangs(handler: _Handler) -> None:
    """No answer, until the server ends."""
    handler.server.about.done.wait()
    handler.close_connection = True


def breaks(handler: _Handler) -> None:
    """Half of an answer, and the connection is closed."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)
    handler.close_connection = True
