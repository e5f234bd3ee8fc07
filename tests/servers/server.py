"""Turns a command into a server that goes on with its data where it was stopped or killed."""

from __future__ import annotations

import shutil
import signal
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar

from tests.servers.process import ServerProcess, free_ports

S = TypeVar("S", bound="Server")


class Server(ABC):
    """A server on ports of its own of 127.0.0.1, in a private folder that `close()` removes.

    `start()` brings it up, at first with what `_prepare` and `_set_up` make, later with the data
    that it has; whoever connects finds it at the same port.

    Args:
        ports: How many it needs; the first is the one that clients connect to.
    """

    name: ClassVar[str]
    host = "127.0.0.1"
    _stops_by = signal.SIGTERM
    _killed_by = signal.SIGKILL
    _user: str | None = None

    def __init__(self, ports: int = 1) -> None:
        self.ports = free_ports(ports)
        self.port = self.ports[0]
        self.folder = Path(tempfile.mkdtemp(prefix=f"ts-engine-{self.name}-"))
        self._process: ServerProcess | None = None
        self._is_set_up = False

    def _prepare(self) -> None:  # noqa: B027 - most servers need nothing
        """Writes into the folder what the first start needs."""

    @abstractmethod
    def _command(self) -> list[str]:
        """The words that run it in the foreground."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether it takes requests by now."""

    def _set_up(self) -> None:  # noqa: B027
        """Asks the server, when it runs for the first time, for users and the like."""

    @property
    def runs(self) -> bool:
        """Whether it was started, and neither stopped nor killed since then."""
        return self._process is not None

    def start(self) -> None:
        """Returns when it answers; one that runs is left alone.

        Raises:
            ServerUnavailableError: It does not start; its folder is gone then.
        """
        if self.runs:
            return
        try:
            if not self._is_set_up:
                self._prepare()
            self._process = ServerProcess(
                self.name, self._command(), self.folder, user=self._user, stops_by=self._stops_by
            )
            self.wait_until(self._answers)
            if not self._is_set_up:
                self._set_up()
                self._is_set_up = True
        except BaseException:
            self.close()
            raise

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Returns when `ready()` is true; raises with the server's last words when it is down."""
        assert self._process is not None, f"{self.name} is down"
        self._process.wait_until(ready)

    def stop(self) -> None:
        """Ends it in order; its data stay."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """Ends it in the middle of what it does; what is on the disk or with the kernel stays."""
        if self._process is not None:
            self._process.kill(self._killed_by)
            self._process = None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It is down while the block lasts, and answers again behind it, however that ended."""
        self.stop()
        try:
            yield
        finally:
            self.start()

    def close(self) -> None:
        """Ends it and removes its folder; a second call does nothing."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self: S) -> S:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
