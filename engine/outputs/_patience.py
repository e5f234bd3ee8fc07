"""What fails for a while is tried again, with back-off and jitter, and told meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from engine.outputs import OutputError

if TYPE_CHECKING:
    from tenacity import RetryCallState

    from engine.outputs._notices import Address

T = TypeVar("T")

#: Seconds before the second attempt, on average; and the longest pause between two.
_FIRST, _LONGEST = 0.5, 30.0
#: How long a server may be away before the first batch: then its address is taken for wrong.
START_SECONDS = 60.0


class PassingError(Exception):
    """A failure that may pass: a server that is away, or busy.

    Args:
        after: seconds to wait, where the server says so.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class RowError(Exception):
    """A row, or one of several, that the server refuses; the reason is the server's."""


@dataclass(frozen=True)
class Patience:
    """How an output waits for its server. It is pickled with what goes to the executors.

    Args:
        output: the output's name.
        server: as a person knows it, without secrets.
        notices: where the driver listens; None says nothing.
        seconds: how long it waits; None is for ever: the query waits, and no row is lost; 0: not at
            all.
    """

    output: str
    server: str
    notices: Address | None = None
    seconds: float | None = None

    def call(self, attempt: Callable[[], T]) -> T:
        """What ``attempt`` gives, as soon as it no longer raises ``PassingError``.

        Raises:
            OutputError: it did for longer than the seconds allow, or cannot be done; it names
                output and server.
        """
        from tenacity import Retrying, retry_if_exception_type, stop_after_delay, stop_never

        began = time.monotonic()
        retrying = Retrying(
            retry=retry_if_exception_type(PassingError),
            wait=_pause,
            stop=stop_never if self.seconds is None else stop_after_delay(self.seconds),
            before_sleep=lambda state: self._tell(state, began),
            reraise=True,
        )
        try:
            found = retrying(partial(self.named, attempt))
        except PassingError as error:
            seconds = time.monotonic() - began
            raise OutputError(f"{self.who}: {error.reason}, for {seconds:.0f} s") from None
        if retrying.statistics.get("attempt_number", 1) > 1:
            waited = time.monotonic() - began
            self._notify(f"goes on after {waited:.0f} s", None)
        return found

    def named(self, attempt: Callable[[], T]) -> T:
        """What ``attempt`` gives at once; an ``OutputError`` names output and server."""
        try:
            return attempt()
        except OutputError as error:
            told = str(error)
            if told.startswith(f"output '{self.output}'"):
                raise
            raise OutputError(f"{self.who}: {told}") from None

    @property
    def who(self) -> str:
        """Output and server, as messages name them."""
        return f"output '{self.output}': {self.server}"

    def _tell(self, state: RetryCallState, began: float) -> None:
        assert state.outcome is not None
        error: Any = state.outcome.exception()
        self._notify(error.reason, time.monotonic() - began)

    def _notify(self, told: str, waited: float | None) -> None:
        # Sockets and their kin, which a check has no use for.
        from engine.outputs._notices import notify

        notify(self.notices, self.who, told, waited)


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the server asks for, or twice as long each time, at
    random, so that tasks that failed together do not come back together."""
    from tenacity import wait_random_exponential

    assert state.outcome is not None
    error: Any = state.outcome.exception()
    if error.after is not None:
        return float(min(error.after, 600.0))
    return wait_random_exponential(multiplier=_FIRST, max=_LONGEST)(state)
