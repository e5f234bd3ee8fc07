"""Ctrl-C and SIGTERM end a run between two micro-batches."""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

#: Seconds in which a signal that comes again is the same: `timeout` sends it to a process, and then
#: to its whole group.
_ONE = 1.0


class StopRequested(Exception):
    """Raised in place of a batch that must not begin; its rows are read again by the next run."""


class Stopping:
    """Whether the run shall stop; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.wanted = threading.Event()
        self._since = -math.inf

    def refuse_batch(self) -> None:
        """Called when a batch begins.

        Raises:
            StopRequested: the run shall stop.
        """
        if self.wanted.is_set():
            raise StopRequested("the run was asked to stop")

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Listens while a run lasts."""
        before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
        for each in before:
            signal.signal(each, self._stop)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.wanted.is_set():
            if time.monotonic() - self._since < _ONE:
                return
            # Who waits for the JVM would log this, as an error and with a traceback.
            logging.disable()
            raise KeyboardInterrupt
        self._since = time.monotonic()
        self.wanted.set()
        print("\nstopping when the batch has ended; once more to stop at once", file=sys.stderr)
