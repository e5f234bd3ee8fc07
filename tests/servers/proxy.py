"""Turns the port of a server into one that fails as networks do: on command, or at random."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

from tests.servers.faults import PASS, Answer, Delay, Direction, End, Fault, Swallow
from tests.servers.process import free_ports

_HOST = "127.0.0.1"
_PIECE = 65536
#: Seconds that a command may take.
_SOON = 30


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
        self._faults: Iterator[Fault] = repeat(PASS)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._released = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def behave(self, *faults: Fault, then: Fault | Iterable[Fault] = PASS) -> None:
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
    fault: Fault = PASS
    passed: Counter[Direction] = field(default_factory=Counter)
    closed: set[Direction] = field(default_factory=set)

    async def run(self) -> None:
        answers, self.server = await asyncio.open_connection(_HOST, self.proxy.target)
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
                self.client.write(fault.written())
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
            self.fault = PASS
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
