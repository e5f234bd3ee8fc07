"""A user's class judges windows: it is asked about each, in Python, where the windows are.

class Spread:
    windows = 3  # how many windows before it looks at; 10 when it does not say

    def __init__(self, options, name): ...

    def analysis(self, historical_data, alert_sender):
        now, before = historical_data[0], historical_data[1]
        if before and now["value"] > 2 * before["value"]:
            alert_sender.send_message(f"{historical_data['key']} has doubled")
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.analysis import Check, Judged, Level, Lookback, Rule, last_windows

#: How many windows before a class may ask for that does not say it.
DEPTH = 10


@dataclass(frozen=True, kw_only=True)
class Own(Rule):
    """A rule that is a user's class.

    Args:
        place: of the class, as ``package.module:Class``.
        given: what its constructor gets, with the rule's name.
        windows: how many windows before it may ask for.
        stops: whether the run stops when it raises.
    """

    METHOD: ClassVar[str] = ""
    LOOKS_BACK: ClassVar[bool] = True

    place: str
    name: str
    given: Any
    windows: int = DEPTH
    stops: bool = False
    level: Level = "crit"

    def lookbacks(self) -> tuple[Lookback, ...]:
        return last_windows(self.windows)

    def checks(self, judged: Judged) -> list[Check]:
        from pyspark.sql import functions as F

        said = judged.said[self.name]
        has_said = F.coalesce(F.get_json_object(said, "$.messages").isNotNull(), F.lit(False))
        return [Check({str(self.level): has_said}, text=said)]

    def made(self) -> Any:
        """An instance of the class."""
        return found(self.place)(self.given, self.name)

    def described(self) -> dict[str, Any]:
        return {"class": self.place, "windows": self.windows}


def found(place: str) -> Any:
    """The class at a place.

    Raises:
        LookupError: there is none.
        Exception: whatever importing its module raises.
    """
    module, _, name = place.partition(":")
    value = getattr(importlib.import_module(module), name, None)
    if not isinstance(value, type):
        raise LookupError(f"the module '{module}' has no class '{name}'")
    return value


class HistoricalData:
    """A window and those before it, as a user's class sees them.

    ``data[0]`` is the window, ``data[i]`` the one i windows before: its measures and
    ``window_start`` by name, empty where there is none. ``data["key"]`` is the key, a tuple of
    several.
    """

    def __init__(self, key: Any, windows: Sequence[Mapping[str, Any]]) -> None:
        self._key = key
        self._windows = windows

    def __getitem__(self, index: int | str) -> Any:
        if index == "key":
            return self._key
        if not isinstance(index, int) or not 0 <= index < len(self._windows):
            last = len(self._windows) - 1
            raise LookupError(f"historical_data[{index!r}]: there are 0 to {last}, and 'key'")
        return self._windows[index]

    def __len__(self) -> int:
        return len(self._windows)


class AlertSender:
    """Takes the messages of a user's class."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send_message(self, message: Any) -> None:
        """An alert about the window: a text, or what JSON can hold."""
        self.messages.append(message)


def said(instance: Any, data: HistoricalData) -> str | None:
    """What a class says of a window, as JSON: ``messages``, or the ``error`` that it raises; None
    where it says nothing."""
    sender = AlertSender()
    try:
        instance.analysis(data, sender)
        return json.dumps({"messages": sender.messages}, default=str) if sender.messages else None
    except Exception as error:  # of the user's class, on this one window
        told = f"{type(error).__name__}: {error}".split("\n")[0]
        return json.dumps({"error": told})
