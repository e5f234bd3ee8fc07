"""Alerts become lines on the driver's standard output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from engine.alerts import Alert, Target, Undelivered
from engine.alerts._sending import key_text
from engine.option import option


@dataclass(frozen=True, kw_only=True)
class Stdout(Target):
    """Prints a line for each alert."""

    METHOD: ClassVar[str] = "stdout"

    format: Literal["line", "json"] = option("lines for people, or one JSON object a line", "line")

    def open(self, name: str) -> StdoutSender:
        return StdoutSender(self.format)

    @contextmanager
    def running(self, driver: str) -> Iterator[Target]:
        """A task's own standard output is a file of a worker: its lines go to the driver."""
        import secrets
        import sys

        from engine.outputs._lines import LineServer

        def take(line: str) -> None:
            sys.stdout.write(line + "\n")

        token = secrets.token_hex(16)
        server = LineServer(driver, token, take, lambda: sys.stdout.flush())
        try:
            yield _Remote(**vars(self), address=(driver, server.port), token=token)
        finally:
            server.close()

    def described(self) -> dict[str, Any]:
        return {"format": self.format}


@dataclass(frozen=True, kw_only=True)
class _Remote(Stdout):
    """What goes to the executors: it knows where the driver listens."""

    address: tuple[str, int]
    token: str

    def open(self, name: str) -> StdoutSender:
        return StdoutSender(self.format, self.address, self.token)


class StdoutSender:
    """Prints here, or at the driver's."""

    def __init__(
        self, format: str, address: tuple[str, int] | None = None, token: str = ""
    ) -> None:
        self.line = as_json if format == "json" else as_line
        self.address, self.token = address, token

    def send(self, alerts: Sequence[Alert]) -> list[Undelivered]:
        from engine.outputs._lines import Lines

        if self.address is None:
            print(*map(self.line, alerts), sep="\n", flush=True)
            return []
        lines = Lines(self.address, self.token, seconds=10)
        try:
            for alert in alerts:
                lines.send(self.line(alert))
            if lines.finish():
                return []
        except OSError:
            lines.close()
        return [Undelivered(alert["id"], "stdout: nobody reads it") for alert in alerts]

    def close(self) -> None:
        """Nothing is held."""


def as_json(alert: Alert) -> str:
    return json.dumps(alert, ensure_ascii=False)


def as_line(alert: Alert) -> str:
    """``CRIT  rule  sensor_id 7: message``."""
    head = "  ".join(filter(None, (alert["AnalysisModule"], key_text(alert))))
    text = f"{alert['level'].upper():<4}  {head}: {alert['message']}"
    # A key may hold what moves a terminal's cursor, or a line's end.
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
