"""Where alerts go: each module is one ``method``, a dataclass of its options and how it sends.

Alerts are few. They are sent from the executors, behind the windows that they are about. What
cannot be delivered is kept in the checkpoint and sent again with a later micro-batch: no alert
stops the windows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from engine.outputs import Say

if TYPE_CHECKING:
    from engine.outputs._notices import Address

#: An alert as receivers see it; what JSON can hold.
#:
#: ``id``: the same when an alert is sent again, and no other's.
#: ``kind``: ``alert`` (another level, higher or lower, but not ok), ``recovered`` (back to ok),
#:   ``repeat`` (it goes on), ``correction`` (rows that came late have changed an earlier verdict).
#: ``level``, ``previous``: see ``LEVELS``.
#: ``AnalysisModule``: the rule's name; ``module``: the rule's; ``aggregation``: of the window.
#: ``timestamp``, ``window_start``, ``window_end``, ``since`` (the start of the first window at this
#:   level), ``until`` (null, or the start of the window with which it was left again: the alert is
#:   about the past then): ISO 8601 in UTC, with milliseconds; ``timestamp`` is ``window_start``.
#: ``series``: the key's fields as JSON text, one for each thing that is watched.
#: ``keys``: the key's fields by name; ``measures``: all of the window by name.
#: ``param``: ``key`` (the key's value, a list of several, null of none), ``field`` (null where the
#:   rule is about none), ``lower_bound``, ``upper_bound``, ``value`` (each a number or null).
#: ``revision``: 0, and one more each time that the same window is told again.
#: ``corrects``: the id of the alert that a correction is about, else null; ``corrected_value``: its
#:   ``param.value``.
#: ``message``: a sentence.
Alert: TypeAlias = Mapping[str, Any]

#: From the lowest to the highest.
LEVELS = ("ok", "info", "warn", "crit")


@dataclass(frozen=True)
class Job:
    """What a target may know of the run.

    Args:
        name: the config's.
        screen: where the driver listens for lines that it prints; None: it does not.
    """

    name: str
    screen: Address | None = None


@dataclass(frozen=True)
class Undelivered:
    """An alert that could not be sent now.

    Args:
        id: the alert's.
        reason: for people, without secrets.
        partly: some of those whom the target tells have it: it is not sent again.
    """

    id: str
    reason: str
    partly: bool = False


class Sender(Protocol):
    """The side of a task; made on an executor."""

    def send(self, alerts: Sequence[Alert]) -> list[Undelivered]:
        """Sends the alerts in their order; gives those that could not be sent, and raises nothing.

        It gives up after the target's own time: the rest is undelivered then, too.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Target:
    """The options of a method. It is pickled."""

    def check(self, say: Say, known: Collection[str] | None = None) -> None:
        """Tells the problems that only this method can know.

        Args:
            known: what templates may name of keys and measures, such as ``keys.sensor_id``; None
                where that is not known.
        """

    def open(self, job: Job) -> Sender:
        """The sender of a task."""
        raise NotImplementedError

    def probe(self) -> str | None:
        """Asks the server who it is, and sends nothing.

        Returns:
            A line for people; None where there is no server.

        Raises:
            OutputError: it could not send there; a ``PassingError`` where the server is away.
        """
        return None

    def described(self) -> dict[str, Any]:
        """What ``explain`` tells, secrets left out."""
        return {}
