"""Turns what InfluxDB 3 documents of its write endpoints into a server that records bytes.

No InfluxDB 3 can be had for the tests. This is what its documentation says that it does, and
nothing that was seen: paths, parameters, tokens, whole and partial refusals.
"""

from __future__ import annotations

import gzip
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.servers.process import free_ports


@dataclass(frozen=True)
class _Endpoint:
    database: str
    others: set[str]
    precisions: set[str]
    schemes: set[str]


_ENDPOINTS = {
    "/api/v3/write_lp": _Endpoint(
        "db",
        {"precision", "accept_partial", "no_sync"},
        {"auto", "nanosecond", "microsecond", "millisecond", "second"},
        {"Bearer"},
    ),
    "/api/v2/write": _Endpoint(
        "bucket",
        {"precision", "accept_partial", "org"},
        {"ns", "us", "ms", "s"},
        {"Bearer", "Token"},
    ),
}
_FLAGS = ("accept_partial", "no_sync")


@dataclass(frozen=True)
class Reply:
    """What a request is answered, whatever it holds."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """A request as it came.

    Attributes:
        parameters: Of the query, decoded.
        body: As it was before it was packed.
        packed: It came as gzip.
    """

    method: str
    path: str
    parameters: Mapping[str, str]
    body: bytes
    packed: bool
    status: int


class InfluxThree:
    """A server of the documented protocol on 127.0.0.1, which keeps lines in memory.

    `requests` has all that came, with what they were answered, and `lines` those of each
    database, in the order of arrival.

    Args:
        refuses: Gives the reason why a line is refused, or nothing.
    """

    host = "127.0.0.1"
    token = "apiv3_token-of-the-keeper"

    def __init__(self, refuses: Callable[[bytes], str] = lambda line: "") -> None:
        self.refuses = refuses
        (self.port,) = free_ports(1)
        self.url = f"http://{self.host}:{self.port}"
        self.requests: list[Request] = []
        self.lines: dict[str, list[bytes]] = {}
        self._replies: deque[Reply] = deque()
        self._lock = threading.Lock()

    def answer(self, *replies: Reply) -> None:
        """The next requests are answered so, each in its turn, and store nothing."""
        self._replies.extend(replies)

    def __enter__(self) -> InfluxThree:
        self._server = _Listener((self.host, self.port), _Handler)
        self._server.influx = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Records a request, stores its lines where that is due, and gives its answer."""
        packed = headers.get("Content-Encoding") == "gzip"
        whole = gzip.decompress(body) if packed else body
        parts = urlsplit(target)
        parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
        with self._lock:
            if self._replies:
                reply = self._replies.popleft()
            else:
                authorization = headers.get("Authorization", "")
                reply = self._reply(method, parts.path, parameters, authorization, whole)
            request = Request(method, parts.path, parameters, whole, packed, reply.status)
            self.requests.append(request)
        return reply

    def _reply(
        self, method: str, path: str, parameters: Mapping[str, str], authorization: str, body: bytes
    ) -> Reply:
        if method == "GET" and path in ("/health", "/ping"):
            return Reply(200, b"OK")
        endpoint = _ENDPOINTS.get(path)
        if endpoint is None:
            return _failed(404, "not found")
        if method != "POST":
            return _failed(405, "method not allowed")
        scheme, _, token = authorization.partition(" ")
        if token != self.token or scheme not in endpoint.schemes:
            return _failed(401, "the request was not authenticated")
        problem = _problem(endpoint, parameters)
        if problem:
            return _failed(400, problem)
        partly = parameters.get("accept_partial", "true") == "true"
        return self._store(parameters[endpoint.database], body.splitlines(), partly)

    def _store(self, database: str, lines: list[bytes], partly: bool) -> Reply:
        refused = [
            {"original_line": line.decode(), "line_number": number, "error_message": reason}
            for number, line in enumerate(lines, 1)
            if (reason := self.refuses(line))
        ]
        if refused and not partly:
            return _failed(400, "parsing failed for write_lp endpoint", refused[0])
        numbers = {each["line_number"] for each in refused}
        self.lines.setdefault(database, []).extend(
            line for number, line in enumerate(lines, 1) if number not in numbers
        )
        if refused:
            return _failed(400, "partial write of line protocol occurred", refused)
        return Reply(204)


def _problem(endpoint: _Endpoint, parameters: Mapping[str, str]) -> str:
    if not parameters.get(endpoint.database):
        return f"missing query parameter '{endpoint.database}'"
    unknown = set(parameters) - endpoint.others - {endpoint.database}
    if unknown:
        return f"unknown query parameter '{min(unknown)}'"
    precision = parameters.get("precision")
    if precision is not None and precision not in endpoint.precisions:
        return f"unknown precision '{precision}'"
    for name in _FLAGS:
        if parameters.get(name, "true") not in ("true", "false"):
            return f"'{name}' is neither true nor false"
    return ""


def _failed(status: int, error: str, data: Any = None) -> Reply:
    body = json.dumps({"error": error, "data": data}).encode()
    return Reply(status, body, {"Content-Type": "application/json"})


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    influx: InfluxThree


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        reply = self.server.influx.take(self.command, self.path, self.headers, body)
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *words: object) -> None:
        """Says nothing: `requests` has it all."""
