"""The output ``kafka``: a record for each row, keyed by its series and its window's start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.option import option
from engine.outputs import Batch, Factory, Job, Open, Say, Target
from engine.outputs._kafka_place import KafkaPlace, check_topic, found_topics, prepare
from engine.outputs._patience import START_SECONDS, Patience
from engine.plan import Column

if TYPE_CHECKING:
    from engine.outputs._kafka_write import Producing

#: What compresses, beside Python itself.
_LIBRARIES = {"lz4": "lz4", "snappy": "snappy", "zstd": "zstandard"}


@dataclass(frozen=True, kw_only=True)
class Kafka(KafkaPlace, Target):
    """Kafka: a record for each row, keyed by series and window, so that the last one is right."""

    METHOD: ClassVar[str] = "kafka"

    topic: str = option(
        "the topic; {stream} stands for the stream's name", nonempty=True, example="plant-{stream}"
    )
    format: Literal["json", "csv"] = option("how a record is written", "json")
    sep: str = option("csv: what separates columns", ",", pattern='^[^"\\r\\n]$')
    compression: Literal["none", "gzip", "lz4", "snappy", "zstd"] = option(
        "how records are compressed", "none"
    )
    batch_size: int = option(
        "records of a task that wait to be acknowledged, at most", 10_000, minimum=1
    )
    on_reject: Literal["malformed", "stop"] = option(
        "what becomes of records that the brokers refuse", "malformed"
    )

    def check(self, say: Say) -> None:
        self.check_place("the output", say)
        library = _LIBRARIES.get(self.compression)
        if library is not None and find_spec(library) is None:
            told = f"'{self.compression}' needs the Python package '{library}'"
            say("compression", told, f"pip install {library}, or 'gzip'")

    def check_streams(self, streams: Mapping[str, Sequence[Column]], say: Say) -> None:
        for name in streams:
            topic = self._topic(name)
            check_topic(topic, say)

    def _topic(self, stream: str) -> str:
        return self.topic.replace("{stream}", stream)

    def topics(self, job: Job) -> list[str]:
        return sorted({self._topic(stream.name) for stream in job.streams})

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
        return patience.call(partial(found_topics, self, self.topics(job)))

    def described(self) -> dict[str, Any]:
        return {"brokers": str(self.brokers), "topic": self.topic, "format": self.format}

    def place(self) -> str:
        return f"{self.topic} at {self.brokers}"


class OpenKafka(Open):
    """The driver's side: brokers that answer, and have the topics."""

    def __init__(self, target: Kafka, job: Job) -> None:
        self.target = target
        self.patience = Patience(job.output, str(target.brokers), job.notices)
        first = Patience(job.output, str(target.brokers), job.notices, START_SECONDS)
        first.call(partial(prepare, target, target.topics(job)))

    def begin(self, batch: Batch) -> Factory:
        from engine.outputs._kafka_write import KafkaWriter

        return partial(KafkaWriter, self.target.producing(self.patience))
