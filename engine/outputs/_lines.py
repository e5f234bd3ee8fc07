"""Lines of tasks reach the driver over TCP, as they come: nothing is collected."""

from __future__ import annotations

import secrets
import socket
import socketserver
import threading
from collections.abc import Callable, Iterable

_OK = b"ok"


class LineServer:
    """Listens on the driver for tasks that know the token.

    Args:
        host: to listen at; the port is any free one.
        take: gets each line, in the thread of its connection.
        flush: is called when a task has no more; where it or ``take`` raises ``BrokenPipeError``,
            the task is told so.

    Raises:
        OSError: it cannot listen there.
    """

    def __init__(
        self,
        host: str,
        token: str,
        take: Callable[[str], None],
        flush: Callable[[], None] = lambda: None,
    ) -> None:
        self.token, self.take, self.flush = token, take, flush
        self._server = _Server((host, 0), self)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address: tuple[str, int], lines: LineServer) -> None:
        self.lines = lines
        super().__init__(address, _Connection)


class _Connection(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        lines = self.server.lines
        if not secrets.compare_digest(self.rfile.readline().strip().decode(), lines.token):
            return
        try:
            for line in self.rfile:
                lines.take(line.decode().removesuffix("\n"))
            lines.flush()
        except BrokenPipeError:
            return
        self.wfile.write(_OK)


class Lines:
    """A task's side of a connection; it opens with the first line."""

    def __init__(self, address: tuple[str, int], token: str, seconds: float = 600) -> None:
        self.address, self.token, self.seconds = address, token, seconds
        self._connection: socket.socket | None = None

    def send(self, line: str) -> None:
        if self._connection is None:
            self._connection = socket.create_connection(self.address, timeout=self.seconds)
            self._file = self._connection.makefile("wb")
            self._file.write(f"{self.token}\n".encode())
        self._file.write(f"{line}\n".encode("utf-8", "replace"))

    def finish(self) -> bool:
        """Sends the rest; gives whether the driver took all of it."""
        if self._connection is None:
            return True
        self._file.flush()
        self._connection.shutdown(socket.SHUT_WR)
        answer = self._connection.recv(len(_OK))
        self.close()
        return answer == _OK

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def send(address: tuple[str, int], token: str, lines: Iterable[str]) -> None:
    """Sends some lines, within seconds or not at all."""
    connection = Lines(address, token, seconds=5)
    try:
        for line in lines:
            connection.send(line)
        connection.finish()
    finally:
        connection.close()
