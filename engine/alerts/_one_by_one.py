"""Alerts are sent one after the other, each tried again while there is time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.alerts import Alert, Undelivered
from engine.outputs._patience import PassingError

if TYPE_CHECKING:
    from tenacity import RetryCallState


class RefusedError(Exception):
    """A receiver does not take an alert, and would not take it a moment later; without secrets."""


class PartlyError(Exception):
    """An alert has reached some of those whom a target tells, and never will the others."""


class OneByOne:
    """A sender of a function that sends one alert.

    A receiver that is away is tried until the time is over, and then no more: what is left waits
    for the next micro-batch. One that refuses an alert is given the others.

    Args:
        send: raises ``PassingError``, ``RefusedError`` or ``PartlyError``.
        seconds: how long a receiver that is away may hold up a task.
    """

    def __init__(
        self,
        send: Callable[[Alert], None],
        seconds: float,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self._send = send
        self._seconds = seconds
        self._close = close

    def send(self, alerts: Sequence[Alert]) -> list[Undelivered]:
        left: list[Undelivered] = []
        until = time.monotonic() + self._seconds
        for place, alert in enumerate(alerts):
            try:
                self._patiently(alert, until)
            except RefusedError as error:
                left.append(Undelivered(alert["id"], str(error)))
            except PartlyError as error:
                left.append(Undelivered(alert["id"], str(error), partly=True))
            except PassingError as error:
                left += [Undelivered(each["id"], error.reason) for each in alerts[place:]]
                break
            except Exception as error:
                # No alert stops the windows; and what an error says that nobody expected may hold
                # anything.
                left.append(Undelivered(alert["id"], f"it failed ({type(error).__name__})"))
        return left

    def _patiently(self, alert: Alert, until: float) -> None:
        from tenacity import Retrying, retry_if_exception_type, wait_random_exponential

        pause = wait_random_exponential(multiplier=0.1, max=2.0)

        def wait(state: RetryCallState) -> float:
            return max(_asked(state), pause(state))

        def is_over(state: RetryCallState) -> bool:
            # A server that asks for more time than there is is left alone.
            return time.monotonic() + _asked(state) >= until

        retrying = Retrying(
            retry=retry_if_exception_type(PassingError), wait=wait, stop=is_over, reraise=True
        )
        retrying(self._send, alert)

    def close(self) -> None:
        self._close()


def _asked(state: RetryCallState) -> float:
    """For how many seconds the server has asked not to be."""
    error = state.outcome.exception() if state.outcome is not None else None
    return (error.after or 0.0) if isinstance(error, PassingError) else 0.0
