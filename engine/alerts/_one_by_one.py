"""Alerts are sent one after the other, each tried again while there is time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from engine.alerts import Alert, Undelivered
from engine.outputs._patience import PassingError


class RefusedError(Exception):
    """A receiver does not take an alert, and would not take it a moment later; without secrets."""


class OneByOne:
    """A sender of a function that sends one alert.

    A receiver that is away is tried until the time is over, and then no more: what is left waits
    for the next micro-batch. One that refuses an alert is given the others.

    Args:
        send: raises ``PassingError`` or ``RefusedError``.
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
        from tenacity.stop import stop_base

        class _Until(stop_base):
            def __call__(self, retry_state: object) -> bool:
                return time.monotonic() >= until

        retrying = Retrying(
            retry=retry_if_exception_type(PassingError),
            wait=wait_random_exponential(multiplier=0.1, max=2.0),
            stop=_Until(),
            reraise=True,
        )
        retrying(self._send, alert)

    def close(self) -> None:
        self._close()
