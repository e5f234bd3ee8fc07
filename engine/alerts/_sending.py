"""Alerts become one delivery each, in their order; what fails becomes a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from engine.alerts import Alert, Undelivered
from engine.outputs import OutputError
from engine.outputs._patience import PassingError, RowError, pause

T = TypeVar("T")

#: A server's words may be a whole page.
_LONGEST = 200


@dataclass
class EachSender:
    """Hands over alerts one by one.

    An alert that is refused for what it says (``RowError``) leaves the way to those behind it. When
    nothing can be sent, by a server that is away or refuses us, those behind it wait too: so their
    order is kept, and the time is spent once.

    Args:
        secrets: are shown in no reason.
    """

    name: str
    secrets: Sequence[str] = field(default=(), kw_only=True, repr=False)

    def send(self, alerts: Sequence[Alert]) -> list[Undelivered]:
        left: list[Undelivered] = []
        ends: str | None = None
        for alert in alerts:
            why = ends
            if why is None:
                try:
                    self.deliver(alert)
                    continue
                except RowError as error:
                    why = self.told(error)
                except (PassingError, OutputError) as error:
                    why = ends = self.told(error)
                except Exception as error:
                    # The words of an error that nobody expected may hold anything.
                    why = f"it failed ({type(error).__name__})"
            left.append(Undelivered(alert["id"], why))
        return left

    def deliver(self, alert: Alert) -> None:
        """Sends one.

        Raises:
            RowError: this one is refused.
            PassingError, OutputError: none can be sent, for now or for good.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Nothing is held."""

    def told(self, error: Exception) -> str:
        """What an error says, in a line and without secrets."""
        return short(str(error), self.secrets)


def values_of(alert: Alert, name: str) -> Mapping[str, Any]:
    """What templates may name.

    Args:
        name: the config's.
    """
    return {**alert, "rule": alert["AnalysisModule"], "config": name}


def key_text(alert: Alert) -> str:
    """The key, for people: ``sensor_id 7, place hall``."""
    return ", ".join(f"{name} {value}" for name, value in alert["keys"].items())


def short(text: str, secrets: Sequence[str] = ()) -> str:
    """One printable line of somebody else's words."""
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def within(seconds: float, attempt: Callable[[float], T]) -> T:
    """What ``attempt`` gives; while it raises ``PassingError`` it is made again, with back-off.

    Args:
        seconds: for all attempts; each is given those that are left.
    """
    import time

    from tenacity import Retrying, retry_if_exception_type, stop_before_delay

    ends = time.monotonic() + seconds
    retrying = Retrying(
        retry=retry_if_exception_type(PassingError),
        wait=pause,
        stop=stop_before_delay(seconds),
        reraise=True,
    )
    return retrying(lambda: attempt(max(ends - time.monotonic(), 0.001)))
