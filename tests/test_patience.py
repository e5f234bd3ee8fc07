"""What outputs do while a server is away, against a port that opens later."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from engine.outputs import OutputError
from engine.outputs._notices import Notices, notify
from engine.outputs._patience import PassingError, Patience

LOCAL = "127.0.0.1"


@pytest.fixture
def port() -> int:
    """A port at which nobody listens."""
    with closing(socket.create_server((LOCAL, 0))) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def notices(said: list[str]) -> Iterator[Notices]:
    found = Notices(LOCAL, said.append)
    yield found
    found.close()


def connect(port: int) -> str:
    try:
        socket.create_connection((LOCAL, port), timeout=5).close()
    except ConnectionRefusedError as error:
        raise PassingError("connection refused") from error
    return "connected"


def test_a_server_that_comes_back_is_waited_for_and_told(
    port: int, notices: Notices, said: list[str]
) -> None:
    opened: list[socket.socket] = []
    waits = []

    def attempt() -> str:
        # The third attempt finds it open.
        waits.append([(each.of, each.reason) for each in notices.waiting])
        if len(waits) == 3:
            opened.append(socket.create_server((LOCAL, port)))
        return connect(port)

    patience = Patience("influx", f"{LOCAL}:{port}", notices.address)
    try:
        assert patience.call(attempt) == "connected"
    finally:
        for each in opened:
            each.close()
    who = f"output 'influx': {LOCAL}:{port}"
    assert said[0] == f"{who}: connection refused; waiting"
    assert said[-1].startswith(f"{who}: goes on after ")
    assert len(said) == 2, "not a line for each attempt"
    assert waits == [[], *[[(who, "connection refused")]] * 2]
    assert notices.waiting == ()


def test_a_server_that_stays_away_is_given_up_where_there_is_a_limit(port: int) -> None:
    patience = Patience("influx", f"{LOCAL}:{port}", seconds=0.2)
    with pytest.raises(OutputError, match=f"^output 'influx': {LOCAL}:{port}: connection refused"):
        patience.call(lambda: connect(port))


def test_what_cannot_pass_is_not_tried_again() -> None:
    attempts = []

    def attempt() -> None:
        attempts.append(1)
        raise OutputError("output 'influx': wrong password")

    with pytest.raises(OutputError, match="wrong password"):
        Patience("influx", "there").call(attempt)
    assert len(attempts) == 1


def test_a_pause_that_a_server_asks_for_is_kept() -> None:
    pauses = iter([PassingError("busy", after=0.05), None])

    def attempt() -> str:
        error = next(pauses)
        if error is not None:
            raise error
        return "written"

    assert Patience("influx", "there").call(attempt) == "written"


def test_a_notice_without_the_token_is_not_heard(notices: Notices, said: list[str]) -> None:
    from dataclasses import replace

    notify(replace(notices.address, token="guessed"), "somebody", "something", 1.0)
    assert said == []


def test_a_notice_that_nobody_hears_harms_nobody(port: int) -> None:
    from engine.outputs._notices import Address

    notify(Address(LOCAL, port, "token"), "somebody", "something", 1.0)


def test_tasks_that_wait_for_one_server_are_told_once(notices: Notices, said: list[str]) -> None:
    tasks = [
        threading.Thread(target=notify, args=(notices.address, "influx", "refused", 0.0))
        for _ in range(8)
    ]
    for task in tasks:
        task.start()
    for task in tasks:
        task.join()
    assert said == ["influx: refused; waiting"]
