"""Alerts on the standard output: a line for each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from engine.alerts import Alert, Job, Sender, Target, Undelivered
from engine.option import option


@dataclass(frozen=True, kw_only=True)
class Stdout(Target):
    """Prints alerts."""

    METHOD: ClassVar[str] = "stdout"

    format: Literal["text", "json"] = option("lines for people, or one JSON object a line", "text")

    def open(self, job: Job) -> Sender:
        return _Printed(job, self.format)

    def described(self) -> dict[str, Any]:
        return {"format": self.format}


class _Printed:
    """Sends lines to the driver, which prints them: a task has no screen."""

    def __init__(self, job: Job, format_: str) -> None:
        self.job = job
        self.format = format_

    def send(self, alerts: Sequence[Alert]) -> list[Undelivered]:
        from engine.outputs._lines import Lines

        screen = self.job.screen
        if screen is None:
            return []
        lines = Lines((screen.host, screen.port), screen.token, seconds=10)
        try:
            for alert in alerts:
                lines.send(self._line(alert))
            why = None if lines.finish() else "nobody reads the standard output any more"
        except OSError as error:
            why = f"the driver cannot be reached: {error}"
        finally:
            lines.close()
        return [] if why is None else [Undelivered(each["id"], why) for each in alerts]

    def _line(self, alert: Alert) -> str:
        if self.format == "json":
            return json.dumps(alert, ensure_ascii=False)
        text = f"{alert['window_start']}  {alert['level'].upper():4}  {alert['message']}"
        return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)

    def close(self) -> None:
        """Nothing is open."""
