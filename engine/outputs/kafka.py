"""The output ``kafka``: its options are checked; it does not run yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from engine.option import option
from engine.outputs import Say, Target


@dataclass(frozen=True, kw_only=True)
class Kafka(Target):
    """A Kafka topic: a record for each window's row, keyed by its series."""

    METHOD: ClassVar[str] = "kafka"
    RUNS: ClassVar[bool] = False

    bootstrap_servers: str | None = option("brokers, as host:port,host:port", None, nonempty=True)
    server: str | None = option("a broker's host", None, nonempty=True)
    port: int = option("the broker's port", 9092, minimum=1, maximum=65_535)
    topic: str = option("the topic", nonempty=True)
    format: Literal["json", "csv"] = option("how a record is written", "json")

    def check(self, say: Say) -> None:
        if (self.bootstrap_servers is None) == (self.server is None):
            which = "either 'server' or 'bootstrap_servers'"
            say("", f"the output 'kafka' needs {which}", "both name a broker")
