"""Tasks tell the driver's standard error what they wait for, while they wait; and its standard
output what it prints for them.

A task's own are files of a worker that nobody looks at.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from engine.outputs._lines import LineServer, send

#: Seconds between two lines about the same server.
_PAUSE = 10.0


@dataclass(frozen=True)
class Address:
    """Where the driver listens for lines; the token keeps others out."""

    host: str
    port: int
    token: str


class Notices:
    """The driver's side: what servers are waited for, told now and then.

    Args:
        host: at which executors reach the driver.
        say: takes a line for people.
    """

    def __init__(self, host: str, say: Callable[[str], None]) -> None:
        self.say = say
        self.lock = threading.Lock()
        self._told: dict[str, float] = {}
        token = secrets.token_hex(16)
        self.server = LineServer(host, token, self._take)
        self.address = Address(host, self.server.port, token)

    @property
    def waits(self) -> list[str]:
        """The outputs, with their servers, that are waited for."""
        with self.lock:
            return sorted(self._told)

    def _take(self, line: str) -> None:
        who, told, waits = json.loads(line)
        with self.lock:
            last = self._told.get(who)
            now = time.monotonic()
            if not waits:
                if self._told.pop(who, None) is None:
                    return
            elif last is not None and now - last < _PAUSE:
                return
            else:
                self._told[who] = now
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


def notify(address: Address | None, who: str, told: str, waits: bool) -> None:
    """Tells the driver about a server; a notice that does not arrive harms nobody."""
    if address is None:
        return
    with contextlib.suppress(OSError):
        send((address.host, address.port), address.token, [json.dumps([who, told, waits])])
