"""Turns the port of a server into one that fails as networks do: on command, or at random."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, Literal

from tests.servers.process import free_ports

Direction = Literal["request", "answer"]
_HOST = "127.0.0.1"
_PIECE = 65536
#: Seconds that a command may take.
_SOON = 30


@dataclass(frozen=True)
class Pass:
    """Everything goes through, as it comes."""


@dataclass(frozen=True)
class Delay:
    """Each piece waits, in both directions."""

    seconds: float


@dataclass(frozen=True)
class Swallow:
    """Nothing arrives in either direction; `Proxy.release()` brings it, as a mended cable does."""


@dataclass(frozen=True)
class End:
    """The connection ends when `after` bytes of a direction have passed; no byte more does.

    `of="answer"` with no byte: the server has done what it was asked, and nobody is told.
    `how`: `"reset"` (RST), `"close"` (FIN, both ways), or `"half-close"`, FIN in this direction
    alone: what still comes there is lost, the other one goes on.
    """

    how: Literal["reset", "close", "half-close"] = "reset"
    after: int = 0
    of: Direction = "request"


@dataclass(frozen=True)
class Answer:
    """The server never sees the request; the proxy answers it (HTTP only), and takes the next."""

    status: int = 503
    retry_after: int | None = None
    body: bytes = b'{"message": "told to fail"}'


Fault = Pass | Delay | Swallow | End | Answer


def at_random(
    seed: int, *, share: float = 0.3, within: int = 20_000, http: bool = False
) -> Iterator[Fault]:
    """Faults without end, the same for the same seed.

    Args:
        seed: Of the random numbers.
        share: How many of the pieces fail, from 0 to 1.
        within: Before how many bytes a connection ends.
        http: Some are answers.
    """
    numbers = random.Random(seed)
    while True:
        ends: list[Fault] = [
            End(how, numbers.choice([0, numbers.randrange(within)]), of)
            for how in ("reset", "close", "half-close")
            for of in ("request", "answer")
        ]
        answers: list[Fault] = [Answer(503), Answer(429, retry_after=1)] if http else []
        fault = numbers.choice([*ends, *answers, Delay(numbers.random() / 10)])
        yield fault if numbers.random() < share else Pass()


class Proxy:
    """A port of 127.0.0.1 that forwards to another one, and behaves as it is told.

    For each connection, or with `http` for each request, the next fault is drawn.
    `happened` counts those that came about.

    Args:
        port: Of the server, on 127.0.0.1; nobody need listen there yet.
        http: What passes are HTTP/1.1 requests, one at a time, without TLS.
    """

    host = _HOST

    def __init__(self, port: int, *, http: bool = False) -> None:
        self.target, self.http = port, http
        (self.port,) = free_ports(1)
        self.happened: Counter[Fault] = Counter()
        self._faults: Iterator[Fault] = repeat(Pass())
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._released = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def behave(self, *faults: Fault, then: Fault | Iterable[Fault] = Pass()) -> None:
        """From now on these faults are drawn, in this order, and then one for ever, or those."""
        rest = repeat(then) if isinstance(then, Fault) else then
        self._faults = chain(faults, rest)

    def refuse(self) -> None:
        """From now on nobody listens; connections that there are stay."""
        self._do(self._refuse())

    def accept(self) -> None:
        """Listens again, at the same port."""
        self._do(self._accept())

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Nobody listens while the block lasts, and those who were connected are reset."""
        self.refuse()
        self.drop()
        try:
            yield
        finally:
            self.accept()

    def release(self) -> None:
        """What was swallowed arrives; what is swallowed from now on waits for the next call."""
        self._do(self._release())

    def drop(self) -> None:
        """Resets all connections that there are."""
        self._do(self._drop())

    def drawn(self) -> Fault:
        """The next fault; whoever asks must bring it about."""
        return next(self._faults)

    async def let_pass(self) -> None:
        """Returns with the next `release()`."""
        await self._released.wait()

    def __enter__(self) -> Proxy:
        self._thread.start()
        self.accept()
        return self

    def __exit__(self, *error: object) -> None:
        self.refuse()
        self.drop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, command: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(command, self._loop).result(_SOON)

    async def _accept(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, _HOST, self.port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _release(self) -> None:
        self._released.set()
        self._released = asyncio.Event()

    async def _drop(self) -> None:
        running = [each.task for each in self._connections]
        for each in self._connections:
            each.reset()
            each.task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(self, task, reader, writer)
        self._connections.add(connection)
        try:
            await connection.run()
        except (OSError, EOFError, asyncio.CancelledError):
            # One side is gone; the other one must see that, and not wait.
            connection.reset()
        finally:
            self._connections.discard(connection)


class _Ended(EOFError):
    """The connection has ended as it was told to."""


@dataclass(eq=False)
class _Connection:
    proxy: Proxy
    task: asyncio.Task[None]
    reader: asyncio.StreamReader
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    fault: Fault = Pass()
    passed: Counter[Direction] = field(default_factory=Counter)
    closed: set[Direction] = field(default_factory=set)

    async def run(self) -> None:
        answers, self.server = await asyncio.open_connection(_HOST, self.proxy.target)
        for writer in (self.client, self.server):
            # `drain()` returns when all is with the kernel: a reset loses nothing that has passed.
            writer.transport.set_write_buffer_limits(0)
        both = [self._requests(), self._pump("answer", answers)]
        tasks = [asyncio.ensure_future(each) for each in both]
        try:
            await asyncio.gather(*tasks)
        except _Ended:
            pass
        finally:
            for each in tasks:
                each.cancel()
        for writer in (self.client, self.server):
            writer.close()

    def reset(self) -> None:
        """Ends both sides by RST: closing sends one when it must not linger."""
        for writer in (self.client, self.server):
            if writer is None:
                continue
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
            writer.transport.abort()

    async def _requests(self) -> None:
        if not self.proxy.http:
            self._begin(self.proxy.drawn())
            return await self._pump("request", self.reader)
        while request := await _whole_request(self.reader):
            fault = self.proxy.drawn()
            if isinstance(fault, Answer):
                self.proxy.happened[fault] += 1
                self.client.write(_written(fault))
                await self.client.drain()
            else:
                self._begin(fault)
                await self._forward("request", request)
        return await self._finish("request")

    def _begin(self, fault: Fault) -> None:
        self.fault = fault
        self.passed.clear()
        if isinstance(fault, Delay | Swallow):
            self.proxy.happened[fault] += 1

    async def _pump(self, direction: Direction, reader: asyncio.StreamReader) -> None:
        while piece := await reader.read(_PIECE):
            await self._forward(direction, piece)
        await self._finish(direction)

    async def _forward(self, direction: Direction, piece: bytes) -> None:
        fault = self.fault
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
        elif isinstance(fault, Swallow):
            await self.proxy.let_pass()
            self.fault = Pass()
        ends = (
            isinstance(fault, End)
            and fault.of == direction
            and self.passed[direction] + len(piece) >= fault.after
        )
        if isinstance(fault, End) and ends:
            piece = piece[: fault.after - self.passed[direction]]
        self.passed[direction] += len(piece)
        if piece and direction not in self.closed:
            writer = self._towards(direction)
            writer.write(piece)
            await writer.drain()
        if isinstance(fault, End) and ends:
            await self._end(fault)

    async def _end(self, fault: End) -> None:
        if fault.of in self.closed:
            return
        self.proxy.happened[fault] += 1
        if fault.how == "half-close":
            await self._finish(fault.of)
            return
        if fault.how == "reset":
            self.reset()
        raise _Ended

    async def _finish(self, direction: Direction) -> None:
        """No more comes in this direction: FIN."""
        writer = self._towards(direction)
        if direction not in self.closed and not writer.is_closing():
            writer.write_eof()
        self.closed.add(direction)

    def _towards(self, direction: Direction) -> asyncio.StreamWriter:
        assert self.server is not None
        return self.server if direction == "request" else self.client


async def _whole_request(reader: asyncio.StreamReader) -> bytes:
    """The next HTTP request with its body; empty when there is none any more."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""
    pairs = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    headers = {name.strip().lower(): value.strip().lower() for name, _, value in pairs}
    if headers.get(b"transfer-encoding") != b"chunked":
        return head + await reader.readexactly(int(headers.get(b"content-length", 0)))
    request = head
    while True:
        size = await reader.readuntil(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        request += size + await reader.readexactly(length + 2)
        if length == 0:
            return request


def _written(answer: Answer) -> bytes:
    after = "" if answer.retry_after is None else f"Retry-After: {answer.retry_after}\r\n"
    head = (
        f"HTTP/1.1 {answer.status} Told to fail\r\n{after}"
        f"Content-Type: application/json\r\nContent-Length: {len(answer.body)}\r\n\r\n"
    )
    return head.encode() + answer.body
