"""Turns a command into a server process that cannot outlive the tests."""

from __future__ import annotations

import atexit
import contextlib
import os
import pwd
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# The watcher reads a pipe that only the tests hold open. However they end, kill -9 included, the
# read returns and the server goes with them. The watcher is of the server's own process group, so
# `$$` cannot have become another process meanwhile.
_UNDER_WATCH = """
exec 3<&0
{ read -r _ <&3; kill -9 $$; } &
exec "$@" </dev/null 3<&-
"""


class ServerUnavailableError(Exception):
    """A server cannot be had here, or did not start; the text says why and what to do."""


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nobody listens on at this moment.

    They lie below those that systems lend to clients (32768 and up), so that nobody takes one while
    its server is down: a client that tries such a port again and again is one day given the very
    same for its own end, and then speaks with itself.
    """
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            one = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                one.bind(("127.0.0.1", random.randrange(10_000, 32_000)))
                found.append(one.getsockname()[1])
    return found


def listens(port: int) -> bool:
    """Whether somebody takes connections at this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def identity(user: str | None) -> dict[str, Any]:
    """The options of `subprocess` that run a command as a user of this machine; none: as we are."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class ServerProcess:
    """A server in a process group of its own, whose output goes to a file.

    It ends with `stop()`, at the interpreter's exit, or when the tests are killed.

    Args:
        name: What messages call it.
        command: Its words; looked up on the path.
        folder: Where it runs, and its output goes to `server.log`, behind what is there.
        user: Whom it runs as; only root may name another one than itself.
        stops_by: Asks it to end.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        *,
        user: str | None = None,
        stops_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._name = name
        self._stops_by = stops_by
        self._log = folder / "server.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _UNDER_WATCH, name, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
                **identity(user),
            )
        self.pid = self._process.pid
        atexit.register(self.stop)

    def wait_until(self, ready: Callable[[], bool], within_seconds: float = 120) -> None:
        """Returns when `ready()` is true; it is asked again while it says no.

        Raises:
            ServerUnavailableError: The process has ended, or the time is over; with its last words.
        """
        deadline = time.monotonic() + within_seconds
        while not ready():
            if self._process.poll() is not None:
                raise self._failure(f"ended with status {self._process.returncode}")
            if time.monotonic() > deadline:
                raise self._failure(f"was not ready within {within_seconds:g} s")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends the server and whatever it has started; a second call does nothing."""
        self._end(self._stops_by)

    def kill(self, by: signal.Signals = signal.SIGKILL) -> None:
        """Ends it as it is: it writes and says nothing any more."""
        self._end(by)

    def _end(self, by: signal.Signals) -> None:
        atexit.unregister(self.stop)
        if self._process.stdin is None or self._process.stdin.closed:
            return
        self._process.send_signal(by)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=10)
        # The watcher, and a server that did not listen.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()

    def _failure(self, what: str) -> ServerUnavailableError:
        last_words = self._log.read_text(errors="replace")[-4000:]
        return ServerUnavailableError(f"{self._name} {what}; its last words:\n{last_words}")
