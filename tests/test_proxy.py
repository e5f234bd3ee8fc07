"""The proxy of the fault tests passes every byte, or fails exactly as it was told."""

from __future__ import annotations

import hashlib
import itertools
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import urllib3

from tests.servers.faults import Answer, Delay, End, Fault, Pass, Swallow, at_random
from tests.servers.proxy import Proxy

HELLO = b"0123456789"


class Echo(socketserver.BaseRequestHandler):
    """Sends back what it gets, and when no more comes, how many bytes that were."""

    def handle(self) -> None:
        taken = b""
        with suppress(OSError):
            while piece := self.request.recv(65536):
                taken += piece
                self.request.sendall(piece)
            self.request.sendall(b" of %d" % len(taken))
        self.server.heard.put(taken)  # type: ignore[attr-defined]


class Taken(BaseHTTPRequestHandler):
    """Remembers the bodies that it gets."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while length := int(self.rfile.readline(), 16):
                body += self.rfile.read(length + 2)[:-2]
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.put(body)  # type: ignore[attr-defined]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Says nothing."""


class Heard:
    """What a server has heard, in order; each is waited for."""

    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._pieces: list[bytes] = []

    def put(self, piece: bytes) -> None:
        with self._arrived:
            self._pieces.append(piece)
            self._arrived.notify_all()

    def get(self, count: int = 1) -> list[bytes]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self._pieces) >= count, timeout=60)
            return list(self._pieces)


class Echoing(socketserver.ThreadingTCPServer):
    daemon_threads = True


class Serving(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def behind(server: socketserver.TCPServer, heard: Heard, **options: bool) -> Iterator[Proxy]:
    """A proxy before a server, both while the block lasts."""
    server.heard = heard  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    with Proxy(server.server_address[1], **options) as proxy:
        yield proxy
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def heard() -> Heard:
    """What the server behind the proxy was sent."""
    return Heard()


@pytest.fixture
def echo(heard: Heard) -> Iterator[Proxy]:
    """A proxy before a server that echoes."""
    with behind(Echoing(("127.0.0.1", 0), Echo), heard) as proxy:
        yield proxy


@pytest.fixture
def http(heard: Heard) -> Iterator[Proxy]:
    """A proxy before a server of HTTP."""
    with behind(Serving(("127.0.0.1", 0), Taken), heard, http=True) as proxy:
        yield proxy


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=60)


def all_of(connection: socket.socket) -> tuple[bytes, str]:
    """What comes until the connection ends, and how that does."""
    taken = b""
    try:
        while piece := connection.recv(65536):
            taken += piece
    except ConnectionResetError:
        return taken, "reset"
    return taken, "end"


def told(proxy: Proxy, text: bytes = HELLO) -> tuple[bytes, str]:
    """What a client hears that sends a text and waits until the connection ends."""
    try:
        with connected(proxy) as connection:
            connection.sendall(text)
            # After a reset there is nothing to shut down.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            return all_of(connection)
    except (ConnectionResetError, BrokenPipeError):
        return b"", "reset"


def test_megabytes_pass_in_both_directions_and_so_do_the_ends(echo: Proxy, heard: Heard) -> None:
    text = hashlib.shake_256(b"seed").digest(5_000_000)
    taken: list[tuple[bytes, str]] = []
    with connected(echo) as connection:
        reading = threading.Thread(target=lambda: taken.append(all_of(connection)))
        reading.start()
        connection.sendall(text)
        connection.shutdown(socket.SHUT_WR)
        reading.join()
    assert taken == [(text + b" of 5000000", "end")]
    assert heard.get() == [text]
    assert not echo.happened


@pytest.mark.parametrize(
    ("fault", "answer", "request_"),
    [
        (End("reset", 0), (b"", "reset"), b""),
        (End("close", 0), (b"", "end"), b""),
        (End("close", 4), None, HELLO[:4]),
        (End("close", 10), None, HELLO),
        (End("half-close", 4), (b"0123 of 4", "end"), HELLO[:4]),
        (End("half-close", 0), (b" of 0", "end"), b""),
        (End("reset", 0, "answer"), (b"", "reset"), HELLO),
        (End("reset", 4, "answer"), (HELLO[:4], "reset"), HELLO),
        (End("close", 4, "answer"), (HELLO[:4], "end"), HELLO),
        (End("close", 10, "answer"), (HELLO, "end"), HELLO),
        (End("half-close", 4, "answer"), (HELLO[:4], "end"), HELLO),
        (End("reset", 1000), (b"0123456789 of 10", "end"), HELLO),
        (Delay(0.01), (b"0123456789 of 10", "end"), HELLO),
    ],
    ids=str,
)
def test_a_connection_ends_after_exactly_so_many_bytes(
    echo: Proxy, heard: Heard, fault: Fault, answer: tuple[bytes, str] | None, request_: bytes
) -> None:
    echo.behave(fault)
    found = told(echo)
    # What the server answers before it sees the end may come through, or not.
    assert answer is None or found == answer
    assert heard.get() == [request_]
    assert echo.happened == ({} if fault == End("reset", 1000) else {fault: 1})
    # One fault was asked for: the next connection is well.
    assert told(echo) == (b"0123456789 of 10", "end")


def test_half_closed_it_still_takes_what_the_client_sends(echo: Proxy, heard: Heard) -> None:
    echo.behave(End("half-close", 4, "answer"))
    with connected(echo) as connection:
        connection.sendall(HELLO)
        assert all_of(connection) == (HELLO[:4], "end")
        connection.sendall(HELLO)
        connection.shutdown(socket.SHUT_WR)
        assert heard.get() == [HELLO + HELLO]


def test_what_was_swallowed_arrives_when_it_is_released(echo: Proxy) -> None:
    echo.behave(Swallow())
    with connected(echo) as connection:
        connection.sendall(HELLO)
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(60)
        echo.release()
        connection.shutdown(socket.SHUT_WR)
        assert all_of(connection) == (b"0123456789 of 10", "end")


def test_refused_connections_are_refused_and_later_taken_at_the_same_port(echo: Proxy) -> None:
    with connected(echo) as connection:
        connection.sendall(HELLO)
        assert connection.recv(10) == HELLO
        echo.refuse()
        with pytest.raises(ConnectionRefusedError):
            connected(echo)
        connection.sendall(b"still here")
        assert connection.recv(10) == b"still here"
        echo.accept()
        with echo.refusing():
            assert all_of(connection) == (b"", "reset")
            with pytest.raises(ConnectionRefusedError):
                connected(echo)
    assert told(echo) == (b"0123456789 of 10", "end")


def test_without_a_server_a_connection_is_reset() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with Proxy(nobody.getsockname()[1]) as proxy:
            assert told(proxy) == (b"", "reset")


def test_http_requests_are_answered_or_passed_one_by_one(http: Proxy, heard: Heard) -> None:
    faults = [Pass(), Answer(503), Pass(), Answer(429, retry_after=7), End("reset", 0, "answer")]
    http.behave(*faults)
    url = f"http://{http.host}:{http.port}/write"
    with urllib3.PoolManager(maxsize=1, retries=False) as pool:
        answers = []
        for number in range(4):
            # Chunked and counted bodies in turn, all on one connection.
            body = iter([b"%d" % number, b"x" * 100_000]) if number % 2 else b"%d" % number
            answers.append(pool.request("POST", url, body=body))
        with pytest.raises(urllib3.exceptions.ProtocolError):
            pool.request("POST", url, body=b"4")
        assert pool.request("POST", url, body=b"5").status == 204
    assert [each.status for each in answers] == [204, 503, 204, 429]
    assert [each.headers.get("Retry-After") for each in answers] == [None, None, None, "7"]
    # The last but one was done, though its answer never came.
    assert heard.get(4) == [b"0", b"2", b"4", b"5"]
    assert http.happened == {each: 1 for each in faults if each != Pass()}


def test_chance_is_the_same_for_the_same_seed_and_finds_every_kind() -> None:
    first, again, other = (
        list(itertools.islice(at_random(seed, share=0.5, http=True), 400)) for seed in (1, 1, 2)
    )
    assert first == again != other
    kinds = {(type(each), getattr(each, "how", ""), getattr(each, "of", "")) for each in first}
    assert len(kinds) == 9
    assert 150 < sum(isinstance(each, Pass) for each in first) < 250
    without = itertools.islice(at_random(1, share=1), 400)
    assert not any(isinstance(each, Answer | Pass) for each in without)


def test_through_faults_at_random_a_client_that_tries_again_loses_nothing(
    http: Proxy,
    heard: Heard,
) -> None:
    http.behave(then=at_random(3, share=0.5, within=300, http=True))
    url = f"http://{http.host}:{http.port}/write"
    bodies = [b"%03d" % number for number in range(100)]
    with urllib3.PoolManager(retries=False) as pool:
        for body in bodies:
            while True:
                with suppress(urllib3.exceptions.HTTPError):
                    if pool.request("POST", url, body=body).status == 204:
                        break
    whole = {each for each in heard.get(100) if len(each) == 3}
    assert whole == set(bodies)
    assert len(http.happened) > 20
