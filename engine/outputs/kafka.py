"""The output ``kafka``: a record for each row, keyed by its series and its window's start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import Batch, Factory, Job, Open, OutputError, Say, Target
from engine.outputs._kafka_client import (
    Brokers,
    check_brokers,
    check_topic,
    partitions,
    settings,
    told,
)
from engine.outputs._patience import START_SECONDS, Patience
from engine.plan import Column

if TYPE_CHECKING:
    from engine.outputs._kafka_write import Producing

#: What compresses, beside Python itself.
_LIBRARIES = {"lz4": "lz4", "snappy": "snappy", "zstd": "zstandard"}


@dataclass(frozen=True, kw_only=True)
class Kafka(Target):
    """Kafka: a record for each row, keyed by series and window, so that the last one is right."""

    METHOD: ClassVar[str] = "kafka"

    bootstrap_servers: str | None = option("brokers, as host:port,host:port", None, nonempty=True)
    server: str | None = option("a broker's host", None, nonempty=True)
    port: int = option("the broker's port", 9092, minimum=1, maximum=65_535)
    topic: str = option(
        "the topic; {stream} stands for the stream's name", nonempty=True, example="plant-{stream}"
    )
    create: bool = option("topics that there are not are made", False)
    partitions: int = option("of a topic that is made", 1, minimum=1)
    replicas: int = option("of each partition of a topic that is made", 1, minimum=1)
    format: Literal["json", "csv"] = option("how a record is written", "json")
    sep: str = option("csv: what separates columns", ",", pattern='^[^"\\r\\n]$')
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = option(
        "how records are compressed", "none"
    )
    batch_size: int = option(
        "records of a task that wait to be acknowledged, at most", 10_000, minimum=1
    )
    timeout: str = option(
        "after how long without an answer brokers are said to be away",
        "10 seconds",
        format="duration",
    )
    on_reject: Literal["malformed", "stop"] = option(
        "what becomes of records that the brokers refuse", "malformed"
    )
    passed: Mapping[str, Any] = option(
        "options of the Kafka client pass through (TLS, SASL …)",
        {},
        name="kafka.*",
        prefix="kafka.",
    )

    def check(self, say: Say) -> None:
        check_brokers(self, "the output 'kafka'", say)
        library = _LIBRARIES.get(self.compression)
        if library is not None and find_spec(library) is None:
            told = f"'{self.compression}' needs the Python package '{library}'"
            say("compression", told, f"pip install {library}, or 'gzip'")

    def check_streams(self, streams: Mapping[str, Sequence[Column]], say: Say) -> None:
        for name in streams:
            check_topic(self._topic(name), say)

    def _topic(self, stream: str) -> str:
        return self.topic.replace("{stream}", stream)

    def topics(self, job: Job) -> list[str]:
        return sorted({self._topic(stream.name) for stream in job.streams})

    @cached_property
    def brokers(self) -> Brokers:
        addresses = self.bootstrap_servers or f"{self.server}:{self.port}"
        return Brokers(addresses, milliseconds(self.timeout), settings(self.passed))

    def open(self, job: Job) -> OpenKafka:
        return OpenKafka(self, job)

    def producing(self, patience: Patience) -> Producing:
        from engine.outputs._kafka_write import Producing

        compression = None if self.compression == "none" else self.compression
        return Producing(
            self.brokers,
            patience,
            self.topic,
            self.format,
            self.sep,
            compression,
            self.batch_size,
            self.on_reject,
        )

    def probe(self, job: Job) -> str:
        # One attempt is enough to say who answers.
        patience = Patience(job.output, str(self.brokers), seconds=0.0)
        counts = patience.call(partial(partitions, self.brokers, self.topics(job)))
        missing = [name for name, count in counts.items() if count is None]
        if missing and not self.create:
            raise OutputError(f"{patience.who}: {_lacking(missing)}")
        words = [
            f"'{name}' ({'will be made' if count is None else f'partitions: {count}'})"
            for name, count in counts.items()
        ]
        return f"{self.brokers}: " + ", ".join(words)

    def described(self) -> dict[str, Any]:
        return {"brokers": str(self.brokers), "topic": self.topic, "format": self.format}

    def place(self) -> str:
        return f"{self.topic} at {self.brokers}"


def _lacking(missing: Sequence[str]) -> str:
    names = ", ".join(f"'{name}'" for name in missing)
    return f'there is no topic {names}; make it, or write "create": true'


class OpenKafka(Open):
    """The driver's side: brokers that answer, and have the topics."""

    def __init__(self, target: Kafka, job: Job) -> None:
        self.target = target
        self.patience = Patience(job.output, str(target.brokers), job.notices)
        first = Patience(job.output, str(target.brokers), job.notices, START_SECONDS)
        first.call(partial(_prepare, target, target.topics(job)))

    def begin(self, batch: Batch) -> Factory:
        from engine.outputs._kafka_write import KafkaWriter

        return partial(KafkaWriter, self.target.producing(self.patience))


def _prepare(target: Kafka, topics: Sequence[str]) -> None:
    """Makes topics that are missing, where that is asked for."""
    counts = partitions(target.brokers, topics)
    missing = [name for name, count in counts.items() if count is None]
    if missing and not target.create:
        raise OutputError(_lacking(missing))
    if missing:
        _create(target, missing)


def _create(target: Kafka, names: Sequence[str]) -> None:
    from kafka.admin import NewTopic
    from kafka.errors import TopicAlreadyExistsError

    with told(target.brokers):
        admin = target.brokers.admin()
        try:
            new = [NewTopic(name, target.partitions, target.replicas) for name in names]
            admin.create_topics(new)
        except TopicAlreadyExistsError:  # somebody else was quicker
            pass
        finally:
            admin.close()
