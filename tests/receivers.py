"""Who is told of alarms: servers of HTTP and SMTP that answer as a test tells them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.servers.process import free_ports

#: What nobody must say; the password of the mailbox.
SECRET = "s3cr-et/word"
#: Answers of a receiver that are none.
CLOSED, SILENT = -1, -2


@dataclass
class Receiver:
    """A server of HTTP that answers as it is told; 200 when it was told nothing more."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    #: What it asks for when it is busy.
    retry_after: str | None = None
    times: list[float] = field(default_factory=list)
    server: Any = None
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(body) for _, _, body in self.requests]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """One that is there while the block lasts."""
    told = Receiver()
    asleep = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.requests.append((self.path, dict(self.headers), body))
            told.times.append(time.monotonic())
            answer = told.answers.pop(0) if told.answers else 200
            if answer == CLOSED:
                self.close_connection = True
                self.connection.close()
                return
            if answer == SILENT:
                asleep.wait(30)
                return
            self.send_response(answer)
            if answer == 302:
                self.send_header("Location", f"{told.url}/elsewhere")
            if answer != 200 and told.retry_after is not None:
                self.send_header("Retry-After", told.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *about: Any) -> None:
            pass

    told.server = server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield told
    asleep.set()
    server.shutdown()
    server.server_close()


@dataclass
class Mailbox:
    """What an SMTP server has taken."""

    mails: list[Any] = field(default_factory=list)
    refuse: str | None = None
    #: An address that it does not know.
    unknown: str | None = None

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address == self.unknown:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse is not None:
            return self.refuse
        self.mails.append(envelope)
        return "250 OK"


@contextmanager
def taking_mail() -> Iterator[tuple[Mailbox, int]]:
    """One that is there while the block lasts, and its port."""
    box = Mailbox()

    def login(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and data.password == SECRET.encode()
        return AuthResult(success=known, handled=known)

    # It asks itself at its port whether it is up: at 0 there is nobody.
    (port,) = free_ports(1)
    controller = Controller(
        box, hostname="127.0.0.1", port=port, authenticator=login, auth_require_tls=False
    )
    controller.start()
    yield box, port
    controller.stop()
