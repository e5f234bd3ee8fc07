"""Alerts as records of a Kafka topic."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from engine.alerts import Alert, Job, Sender, Target, Undelivered
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import OutputError, Say
from engine.outputs._kafka_client import Brokers, check_brokers, check_topic, partitions, settings
from engine.outputs._patience import PassingError


@dataclass(frozen=True, kw_only=True)
class Kafka(Target):
    """Writes a record for each alert, keyed by its rule and its series."""

    METHOD: ClassVar[str] = "kafka"

    bootstrap_servers: str | None = option("brokers, as host:port,host:port", None, nonempty=True)
    server: str | None = option("a broker's host", None, nonempty=True)
    port: int = option("the broker's port", 9092, minimum=1, maximum=65_535)
    topic: str = option("the topic", nonempty=True, example="alerts")
    timeout: str = option(
        "how long brokers that are away may hold up a micro-batch", "10 seconds", format="duration"
    )
    passed: Mapping[str, Any] = option(
        "options of the Kafka client pass through (TLS, SASL …)",
        {},
        name="kafka.*",
        prefix="kafka.",
    )

    def check(self, say: Say, known: Collection[str] | None = None) -> None:
        check_brokers(self, "the target 'kafka'", say)
        check_topic(self.topic, say)

    @cached_property
    def brokers(self) -> Brokers:
        addresses = self.bootstrap_servers or f"{self.server}:{self.port}"
        return Brokers(addresses, milliseconds(self.timeout), settings(self.passed))

    def open(self, job: Job) -> Sender:
        return _Producer(self)

    def probe(self) -> str:
        return f"{self.brokers}: '{self.topic}' (partitions: {self.require_topic()})"

    def require_topic(self) -> int:
        """How many partitions it has.

        Raises:
            OutputError: there is none; PassingError: the brokers are away.
        """
        count = partitions(self.brokers, [self.topic])[self.topic]
        if count is None:
            raise OutputError(f"{self.brokers}: there is no topic '{self.topic}'; make it")
        return count

    def described(self) -> dict[str, Any]:
        return {"brokers": str(self.brokers), "topic": self.topic}


class _Producer:
    """One producer, made when there is something to send."""

    def __init__(self, target: Kafka) -> None:
        self.target = target
        self.producer: Any = None

    def send(self, alerts: Sequence[Alert]) -> list[Undelivered]:
        from kafka.errors import KafkaError

        try:
            if self.producer is None:
                self.target.require_topic()
                self.producer = self.target.brokers.producer(None)
            sent = [(alert["id"], self._sent(alert)) for alert in alerts]
        except (KafkaError, OutputError, PassingError) as error:
            self._give_up()
            return [Undelivered(each["id"], self._reason(error)) for each in alerts]
        # Each record has an answer of its own: those that have arrived are not sent again.
        with contextlib.suppress(KafkaError):
            self.producer.flush(timeout=self.target.brokers.timeout_ms / 1000)
        failures = [(identity, _failure(each)) for identity, each in sent]
        if any(isinstance(each, TimeoutError) for _, each in failures):
            # What is on its way is given up: with the producer, which would send it behind us.
            self._give_up()
        return [Undelivered(of, self._reason(each)) for of, each in failures if each is not None]

    def _sent(self, alert: Alert) -> Any:
        """What tells how it went, or why it did not begin."""
        from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

        key = f"{alert['AnalysisModule']} {alert['series']}".encode()
        value = json.dumps(alert, ensure_ascii=False).encode()
        headers = [("id", alert["id"].encode()), ("level", alert["level"].encode())]
        try:
            return self.producer.send(self.target.topic, key=key, value=value, headers=headers)
        except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
            return error  # of this one alone

    def _reason(self, error: BaseException) -> str:
        told = error.reason if isinstance(error, PassingError) else str(error)
        told = told or type(error).__name__
        who = f"{self.target.brokers}: "
        return told if told.startswith(who) else who + told

    def _give_up(self) -> None:
        if self.producer is not None:
            with contextlib.suppress(Exception):
                self.producer._sender.force_close()
                self.producer.close(timeout=0)
            self.producer = None

    def close(self) -> None:
        if self.producer is not None:
            self.producer.close()


def _failure(sent: Any) -> BaseException | None:
    """Why a record was not taken."""
    if isinstance(sent, Exception):
        return sent
    if not sent.is_done:
        return TimeoutError("no answer in time")
    found: BaseException | None = sent.exception
    return found
