"""Tasks tell the driver's standard error what they wait for, while they wait; and its standard
output what it prints for them.

A task's own are files of a worker that nobody looks at.
"""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

from engine.outputs._lines import LineServer, send

#: Seconds between two lines about the same server.
_PAUSE = 10.0


@dataclass(frozen=True)
class Address:
    """Where the driver listens for lines; the token keeps others out."""

    host: str
    port: int
    token: str


@dataclass(frozen=True)
class Wait:
    """A server that is away.

    Args:
        of: the output, with its server.
        since: in UTC.
    """

    of: str
    reason: str
    since: datetime


class Notices:
    """The driver's side: what servers are waited for, told now and then.

    Args:
        host: at which executors reach the driver.
        say: takes a line for people.
    """

    def __init__(self, host: str, say: Callable[[str], None]) -> None:
        self.say = say
        self.lock = threading.Lock()
        #: By output and server, with when it was said.
        self._told: dict[str, tuple[Wait, float]] = {}
        token = secrets.token_hex(16)
        self.server = LineServer(host, token, self._take)
        self.address = Address(host, self.server.port, token)

    @property
    def waiting(self) -> tuple[Wait, ...]:
        """What is waited for now."""
        with self.lock:
            return tuple(wait for _, (wait, _) in sorted(self._told.items()))

    def _take(self, line: str) -> None:
        who, told, waited = json.loads(line)
        with self.lock:
            last, now = self._told.get(who), time.monotonic()
            if waited is None:
                if self._told.pop(who, None) is None:
                    return
            else:
                began = datetime.now(timezone.utc) - timedelta(seconds=waited)
                wait, said = last or (Wait(who, told, began), -math.inf)
                is_said = now - said < _PAUSE
                self._told[who] = replace(wait, reason=told), said if is_said else now
                if is_said:
                    return
                told += "; waiting" + (f" for {waited:.0f} s now" if waited >= 1 else "")
        self.say(f"{who}: {told}")

    def close(self) -> None:
        self.server.close()


class Screen:
    """Prints the lines of tasks on the driver's standard output, as they are.

    Args:
        host: at which executors reach the driver.
    """

    def __init__(self, host: str) -> None:
        token = secrets.token_hex(16)
        self.server = LineServer(host, token, self._print)
        self.address = Address(host, self.server.port, token)

    def _print(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        self.server.close()


def notify(address: Address | None, who: str, told: str, waited: float | None) -> None:
    """Tells the driver about a server; a notice that does not arrive harms nobody.

    Args:
        told: why it is waited for, or what is said when it is there again.
        waited: for how many seconds so far; None: it is waited for no more.
    """
    if address is None:
        return
    with contextlib.suppress(OSError):
        send((address.host, address.port), address.token, [json.dumps([who, told, waited])])
