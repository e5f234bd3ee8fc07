"""Options become brokers with topics, for whatever is written there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import OutputError, Say
from engine.outputs._kafka_client import KNOWN, OWN, Brokers, partitions, settings, told
from engine.source import nearest

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


@dataclass(frozen=True, kw_only=True)
class KafkaPlace:
    """The options by which brokers are reached."""

    bootstrap_servers: str | None = option("brokers, as host:port,host:port", None, nonempty=True)
    server: str | None = option("a broker's host", None, nonempty=True)
    port: int = option("the broker's port", 9092, minimum=1, maximum=65_535)
    create: bool = option("topics that there are not are made", False)
    partitions: int = option("of a topic that is made", 1, minimum=1)
    replicas: int = option("of each partition of a topic that is made", 1, minimum=1)
    timeout: str = option(
        "after how long without an answer brokers are said to be away",
        "10 seconds",
        format="duration",
    )
    passed: Mapping[str, Any] = option(
        "options of the Kafka client pass through (TLS, SASL …)",
        {},
        name="kafka.*",
        prefix="kafka.",
    )

    def check_place(self, which: str, say: Say) -> None:
        """Tells what is wrong with these options; ``which`` has them, for a sentence."""
        if (self.bootstrap_servers is None) == (self.server is None):
            needed = "either 'server' or 'bootstrap_servers'"
            say("", f"{which} 'kafka' needs {needed}", "both name a broker")
        if milliseconds(self.timeout) == 0:
            say("timeout", "'timeout' must be more than 0", "such as '10 seconds'")
        self._check_passed(say)

    def _check_passed(self, say: Say) -> None:
        unknown = False
        for name in self.passed:
            if name in OWN:
                say(name, f"'{name}' is set by the engine and cannot be changed", "leave it out")
            elif name not in KNOWN:
                unknown = True
                hint = nearest(name, KNOWN) or "known: " + ", ".join(sorted(KNOWN))
                say(name, f"unknown option '{name}'", hint)
        if not unknown:
            try:
                settings({name: of for name, of in self.passed.items() if name in KNOWN})
            except ValueError as error:
                name, message = error.args
                say(name, message, "see the documentation of Kafka's clients")

    @cached_property
    def brokers(self) -> Brokers:
        addresses = self.bootstrap_servers or f"{self.server}:{self.port}"
        return Brokers(addresses, milliseconds(self.timeout), settings(self.passed))


def check_topic(topic: str, say: Say) -> None:
    """Tells what cannot be the name of a topic."""
    if not _TOPIC.fullmatch(topic) or topic in (".", ".."):
        hint = "letters, digits, '.', '_' and '-', at most 249 of them"
        say("topic", f"'{topic}' cannot be the name of a topic", hint)


def found_topics(place: KafkaPlace, topics: Sequence[str]) -> str:
    """A line about the brokers and these topics.

    Raises:
        OutputError: one of them is missing, and may not be made.
    """
    counts = partitions(place.brokers, topics)
    missing = [name for name, count in counts.items() if count is None]
    if missing and not place.create:
        raise OutputError(lacking(missing))
    words = [
        f"'{name}' ({'will be made' if count is None else f'partitions: {count}'})"
        for name, count in counts.items()
    ]
    return f"{place.brokers}: " + ", ".join(words)


def lacking(missing: Sequence[str]) -> str:
    names = ", ".join(f"'{name}'" for name in missing)
    return f'there is no topic {names}; make it, or write "create": true'


def prepare(place: KafkaPlace, topics: Sequence[str]) -> None:
    """Makes topics that are missing, where that is asked for."""
    counts = partitions(place.brokers, topics)
    missing = [name for name, count in counts.items() if count is None]
    if missing and not place.create:
        raise OutputError(lacking(missing))
    if missing:
        _create(place, missing)


def _create(place: KafkaPlace, names: Sequence[str]) -> None:
    from kafka.admin import NewTopic
    from kafka.errors import TopicAlreadyExistsError

    with told(place.brokers):
        admin = place.brokers.admin()
        try:
            new = [NewTopic(name, place.partitions, place.replicas) for name in names]
            admin.create_topics(new)
        except TopicAlreadyExistsError:  # somebody else was quicker
            pass
        finally:
            admin.close()
