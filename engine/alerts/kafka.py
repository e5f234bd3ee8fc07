"""Alerts become records of a topic, keyed by rule and key."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.alerts import Alert, Target, Undelivered
from engine.alerts._sending import short
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import OutputError, Say
from engine.outputs._kafka_client import judged, told
from engine.outputs._kafka_place import KafkaPlace, check_topic, found_topics, prepare
from engine.outputs._patience import PassingError, RowError


@dataclass(frozen=True, kw_only=True)
class Kafka(KafkaPlace, Target):
    """A record for each alert, as JSON, keyed by rule and key: those of a key keep their order."""

    METHOD: ClassVar[str] = "kafka"

    topic: str = option("the topic", nonempty=True, example="alerts")

    def check(self, say: Say, known: Collection[str] | None) -> None:
        self.check_place("the alert target", say)
        check_topic(self.topic, say)

    def open(self, name: str) -> KafkaSender:
        return KafkaSender(self)

    def probe(self, name: str) -> str:
        return found_topics(self, [self.topic])

    def described(self) -> dict[str, Any]:
        return {"brokers": str(self.brokers), "topic": self.topic}


class KafkaSender:
    """The side of a task: a producer that sends each record once, though it tries again."""

    def __init__(self, target: Kafka) -> None:
        self.target = target
        self.brokers = target.brokers
        self.seconds = milliseconds(target.timeout) / 1000
        self.producer: Any = None

    def send(self, alerts: Sequence[Alert]) -> list[Undelivered]:
        """All are on their way at once; the brokers keep their order."""
        try:
            if self.producer is None:
                with told(self.brokers):
                    prepare(self.target, [self.target.topic])
                    self.producer = self.brokers.producer(None)
            sent = [(alert, self._sent(alert)) for alert in alerts]
        except (PassingError, OutputError) as error:
            self._give_up()
            return [Undelivered(each["id"], self._why(error)) for each in alerts]
        with contextlib.suppress(Exception):  # each record has its own answer
            self.producer.flush(timeout=self.seconds)
        found = [(alert, self._failure(of)) for alert, of in sent]
        left = [Undelivered(a["id"], self._why(error)) for a, error in found if error is not None]
        if any(not isinstance(error, RowError) for _, error in found if error is not None):
            self._give_up()
        return left

    def _sent(self, alert: Alert) -> Any:
        """What will tell how it went, or why it did not begin."""
        from kafka.errors import KafkaError

        key = _json([alert["AnalysisModule"], *alert["keys"].values()])
        headers = [("id", str(alert["id"]).encode())]
        try:
            return self.producer.send(self.target.topic, _json(alert), key, headers=headers)
        except KafkaError as error:
            judgement = self._judged(error)
            if isinstance(judgement, RowError):
                return judgement
            raise judgement from None

    def _failure(self, sent: Any) -> Exception | None:
        if isinstance(sent, Exception):
            return sent
        if not sent.is_done:
            return PassingError(f"no answer within {self.seconds:g} s")
        return None if sent.exception is None else self._judged(sent.exception)

    def _judged(self, error: Exception) -> Exception:
        from engine.outputs._kafka_write import REFUSED

        refused = REFUSED.get(type(error).__name__)
        return RowError(refused) if refused is not None else judged(error, self.brokers)

    def _why(self, error: Exception) -> str:
        return short(f"{self.brokers}: {error}")

    def _give_up(self) -> None:
        """What has not been sent now must not be sent behind our back later."""
        made, self.producer = self.producer, None
        if made is not None:
            with contextlib.suppress(Exception):
                made._sender.force_close()
                made.close(timeout=0)

    def close(self) -> None:
        made, self.producer = self.producer, None
        if made is not None:
            made.close(timeout=self.seconds)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
