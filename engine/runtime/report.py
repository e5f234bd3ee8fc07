"""The balance of a run becomes a file that can be read while the run lasts, and at its end."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from engine.outputs._notices import Wait
from engine.runtime.failure import RunError
from engine.runtime.ledger import Ledger
from engine.runtime.progress import PAUSE


def iso(time: datetime) -> str:
    """A time in UTC, ISO 8601 with milliseconds."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """The time, as ``iso`` gives it."""
    return iso(datetime.now(timezone.utc))


class Report:
    """What ``--report`` names. A file is always whole: it is written beside, and takes the place.

    The batches hand over what they know; one thread, that of the run, writes.

    Args:
        path: None: nothing is written.
    """

    def __init__(self, path: str | None, name: str, mode: str) -> None:
        self.path = os.path.realpath(path) if path is not None else None
        self.shown = path
        self.name = name
        self.mode = mode
        self.started = now()
        self._balance: dict[str, Any] = {}
        self._waiting: list[dict[str, str]] = []
        #: Whether a batch has ended since the file was written.
        self._is_new = False
        self._written = 0.0

    def begin(self, ledger: Ledger) -> None:
        """Writes what is known before the first batch.

        Raises:
            RunError: the file cannot be written; better told now than at the end.
        """
        self._balance = self._values(ledger, None)
        if self._is_replaced():
            self._write_or_raise(self._balance)

    def batch(self, ledger: Ledger) -> None:
        """A batch has ended; ``tell`` will write it."""
        self._balance, self._is_new = self._values(ledger, None), True

    def tell(self, waits: Sequence[Wait] = ()) -> None:
        """Writes what the batches have handed over, and what is waited for, at most every few
        seconds."""
        if time.monotonic() - self._written < PAUSE or not self._is_replaced():
            return
        waiting = [{"for": e.of, "reason": e.reason, "since": iso(e.since)} for e in waits]
        if not self._is_new and waiting == self._waiting:
            return
        self._waiting, self._is_new = waiting, False
        try:
            self._write({**self._balance, **({"waiting": waiting} if waiting else {})})
        except OSError:
            # A full disk may have room again; the end tells when it has not.
            self._written = time.monotonic()

    def end(self, ledger: Ledger) -> None:
        """Writes the balance of the whole run.

        Raises:
            RunError: the file cannot be written.
        """
        if self.path is not None:
            self._write_or_raise(self._values(ledger, now()))

    def _values(self, ledger: Ledger, ended: str | None) -> dict[str, Any]:
        return ledger.report(self.name, self.mode, self.started, ended)

    def _is_replaced(self) -> bool:
        """Whether there is a file, and not a terminal or a pipe, which takes the end alone."""
        return self.path is not None and (
            os.path.isfile(self.path) or not os.path.exists(self.path)
        )

    def _write_or_raise(self, values: dict[str, Any]) -> None:
        try:
            self._write(values)
        except OSError as error:
            told = (error.strerror or str(error)).lower()
            raise RunError(f"the report {self.shown} cannot be written: {told}") from None

    def _write(self, values: dict[str, Any]) -> None:
        assert self.path is not None
        replaces = self._is_replaced()
        folder, name = os.path.split(self.path)
        beside = os.path.join(folder, f".{name}.{os.getpid()}") if replaces else self.path
        with open(beside, "w", encoding="utf-8") as file:
            file.write(json.dumps(values, indent=2) + "\n")
        if replaces:
            os.replace(beside, self.path)
        self._written = time.monotonic()
