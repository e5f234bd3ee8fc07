"""The input ``kafka``: records of one or several topics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.inputs import InputError, Records, Say
from engine.option import option
from engine.types import Type

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

#: Options of the client that Spark sets itself, and refuses.
_SPARKS_OWN = (
    "kafka.auto.offset.reset",
    "kafka.enable.auto.commit",
    "kafka.group.id",
    "kafka.interceptor.classes",
    "kafka.key.deserializer",
    "kafka.value.deserializer",
)

#: How long brokers have to answer when they are asked who they are.
_PROBE_MS = 10_000


@dataclass(frozen=True, kw_only=True)
class Kafka(Records):
    """Records of Kafka topics; ``server`` and ``port`` are a broker's (there is no ZooKeeper)."""

    METHOD: ClassVar[str] = "kafka"
    origin: ClassVar[tuple[tuple[str, Type], ...]] = (
        ("_topic", Type.STRING),
        ("_partition", Type.INT),
        ("_offset", Type.LONG),
    )
    has_time: ClassVar[bool] = True
    needs_kafka: ClassVar[bool] = True

    bootstrap_servers: str | None = option(
        "brokers, as host:port,host:port; instead of server and port", None, nonempty=True
    )
    server: str | None = option("a broker's host", None, nonempty=True)
    port: int = option("the broker's port", 9092, minimum=1, maximum=65_535)
    topic: str | tuple[str, ...] = option("one topic, or a list", nonempty=True)
    consumer_group: str | None = option(
        "the prefix of the consumers' group; the config's name when absent", None, nonempty=True
    )
    starting_offsets: Literal["earliest", "latest"] = option(
        "where a run without a checkpoint begins", "earliest"
    )
    max_rows_per_batch: int | None = option(
        "at most so many records a micro-batch", None, minimum=1
    )
    passed: Mapping[str, Any] = option(
        "options of the Kafka client pass through (TLS, SASL …)",
        {},
        name="kafka.*",
        prefix="kafka.",
    )

    def check(self, say: Say) -> None:
        super().check(say)
        if (self.bootstrap_servers is None) == (self.server is None):
            which = "either 'server' or 'bootstrap_servers'"
            say("", f"the input 'kafka' needs {which}", "both name a broker")
        for name in self.passed:
            if name in _SPARKS_OWN:
                say(name, f"'{name}' is set by the engine and cannot be changed", "leave it out")

    @property
    def brokers(self) -> str:
        return self.bootstrap_servers or f"{self.server}:{self.port}"

    @property
    def topics(self) -> tuple[str, ...]:
        return (self.topic,) if isinstance(self.topic, str) else self.topic

    def frame(self, spark: SparkSession, streaming: bool, name: str) -> DataFrame:
        from pyspark.sql import functions as F

        self._greet()
        reader = (spark.readStream if streaming else spark.read).format("kafka")
        options = {
            "kafka.bootstrap.servers": self.brokers,
            "subscribe": ",".join(self.topics),
            "groupIdPrefix": self.consumer_group or name,
            "startingOffsets": self.starting_offsets if streaming else "earliest",
            **self.passed,
        }
        if streaming and self.max_rows_per_batch:
            options["maxOffsetsPerTrigger"] = self.max_rows_per_batch
        return (
            reader.options(**options)
            .load()
            .select(
                "value",
                F.col("topic").alias("_topic"),
                F.col("partition").alias("_partition"),
                F.col("offset").alias("_offset"),
                F.col("timestamp").alias("_recorded"),
            )
        )

    def order(self) -> list[Column]:
        from pyspark.sql import functions as F

        return [F.col("_topic"), F.col("_partition"), F.col("_offset")]

    def _greet(self) -> None:
        """Asks the brokers first: Spark takes minutes to give up, and does not say why."""
        from engine.outputs._kafka_client import settings
        from engine.outputs._kafka_greeting import refusal

        try:
            options = settings(self._reached_by())
        except ValueError:  # such as a keystore of Java: nobody but Spark can use that
            return
        if (why := refusal(self.brokers, options, _PROBE_MS)) is not None:
            raise InputError(f"{self.brokers}: {why}")

    def _reached_by(self) -> dict[str, str]:
        """Of the options of Java's client those that say how a broker is reached."""
        from engine.outputs._kafka_client import KNOWN

        found = {name: str(value) for name, value in self.passed.items() if name in KNOWN}
        stores = {name.rpartition(".")[0] for name in found if name.endswith("store.location")}
        # Java's own kind of keystore is what is meant where nothing is said.
        return {**{f"{store}.type": "JKS" for store in stores}, **found}

    def probe(self) -> str:
        from engine.outputs import OutputError
        from engine.outputs._kafka_client import Brokers, partitions, settings
        from engine.outputs._patience import PassingError

        try:
            brokers = Brokers(self.brokers, _PROBE_MS, settings(self._reached_by()))
            counts = partitions(brokers, self.topics, "READ")
        except (OutputError, PassingError) as error:
            raise InputError(f"{self.brokers}: {error}") from None
        except ValueError as error:
            raise InputError(f"{self.brokers}: {error.args[-1]}") from None
        if missing := [name for name, count in counts.items() if count is None]:
            raise InputError(f"{self.brokers}: there is no topic {', '.join(map(repr, missing))}")
        told = ", ".join(f"'{name}' (partitions: {count})" for name, count in counts.items())
        return f"{self.brokers}: {told}"

    def described(self) -> dict[str, Any]:
        return {"brokers": self.brokers, "topic": ", ".join(self.topics)}
