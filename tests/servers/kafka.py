"""Turns a pom into a real Kafka broker (KRaft, one node) that tests produce to and consume from."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError

from tests.servers.maven import jars_of, java_command
from tests.servers.process import ServerUnavailableError
from tests.servers.server import Server
from tests.servers.tls import certificate

_HERE = Path(__file__).parent
_BROKER = _HERE / "broker"

# Small and quick to start: the interpreter and the first compiler are enough for a test's load.
_JVM_OPTIONS = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]

Record = bytes | tuple[bytes | None, bytes | None]


def connector_jars() -> list[Path]:
    """The jars that Spark needs to read Kafka, for its option `spark.jars`."""
    return jars_of(_HERE / "connector" / "pom.xml")


class KafkaBroker(Server):
    """A broker without topics.

    It listens at `address` for everybody, at `tls_address` over TLS, at `mutual_address` for those
    who show a certificate that it trusts, and at `sasl_address` over TLS for `username` with
    `password`, by PLAIN or SCRAM-SHA-256. `certificate` is the authority of both sides, `pair` a
    certificate with its key.

    Raises:
        ServerUnavailableError: There is no Java, no Maven or no openssl.
    """

    name = "kafka"
    username, password = "plant", "swordfish-four"

    def __init__(self) -> None:
        logging = f"-Dlog4j2.configurationFile={(_BROKER / 'log4j2.properties').as_uri()}"
        jars = jars_of(_BROKER / "pom.xml")
        self._java = java_command("a Kafka broker", jars, *_JVM_OPTIONS, logging)
        super().__init__(ports=5)
        self.address, self._controller, self.tls_address, self.mutual_address, self.sasl_address = (
            f"{self.host}:{port}" for port in self.ports
        )
        self.certificate = self.folder / "certificate.pem"
        self.pair = self.folder / "pair.pem"
        self._settings = self.folder / "server.properties"

    def create_topic(self, name: str, partitions: int = 1) -> None:
        """Makes a topic; one that exists already is an error."""
        with KafkaAdminClient(bootstrap_servers=self.address) as admin:
            admin.create_topics([NewTopic(name, partitions, 1)])

    def produce(
        self,
        topic: str,
        records: Iterable[Record],
        *,
        partition: int | None = None,
        timestamps_ms: Sequence[int] | None = None,
        headers: Sequence[tuple[str, bytes]] | None = None,
    ) -> None:
        """Writes records and returns when the broker has acknowledged each.

        A topic that does not exist is made, with one partition.

        Args:
            records: Values, or pairs of key and value; in the order in which they are sent.
            partition: Takes every record; without it the key decides, and without a key Kafka.
            timestamps_ms: One for each record, UTC epoch milliseconds; without it, now.
            headers: Go with every record.
        """
        if topic not in self.topics():
            self.create_topic(topic)
        pairs = ((None, record) if isinstance(record, bytes) else record for record in records)
        times = timestamps_ms if timestamps_ms is not None else repeat(None)
        dated = zip(pairs, times, strict=timestamps_ms is not None)
        with KafkaProducer(bootstrap_servers=self.address, acks="all", linger_ms=5) as producer:
            sent = [
                producer.send(
                    topic,
                    value,
                    key,
                    headers=list(headers or []),
                    partition=partition,
                    timestamp_ms=timestamp,
                )
                for (key, value), timestamp in dated
            ]
            for one in sent:
                one.get(timeout=60)

    def consume(self, topic: str) -> list[Any]:
        """All records that the topic holds now, in the order of partition and offset.

        Returns:
            kafka-python's records: `.partition .offset .key .value .timestamp .headers`.
        """
        found: list[Any] = []
        # Partitions are assigned, not subscribed to: no group is left on the broker.
        with KafkaConsumer(bootstrap_servers=self.address, enable_auto_commit=False) as consumer:
            numbers = consumer.partitions_for_topic(topic) or set()
            partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
            consumer.assign(partitions)
            consumer.seek_to_beginning(*partitions)
            ends = consumer.end_offsets(partitions)
            while any(consumer.position(each) < ends[each] for each in partitions):
                for batch in consumer.poll(timeout_ms=1000).values():
                    found += batch
        return sorted(found, key=lambda record: (record.partition, record.offset))

    def topics(self) -> list[str]:
        """The names of all topics."""
        with KafkaAdminClient(bootstrap_servers=self.address) as admin:
            topics: list[str] = admin.list_topics()
        return topics

    def _answers(self) -> bool:
        try:
            self.topics()
        except (KafkaError, OSError):
            return False
        return True

    def _prepare(self) -> None:
        public, private = certificate(self.folder)
        self.pair.write_text(private.read_text() + public.read_text())
        text = (_BROKER / "server.properties").read_text()
        for mark, value in {
            "@BROKER@": self.address,
            "@CONTROLLER@": self._controller,
            "@TLS@": self.tls_address,
            "@MUTUAL@": self.mutual_address,
            "@SASL@": self.sasl_address,
            "@CERTIFICATE@": str(public),
            "@PAIR@": str(self.pair),
            "@USER@": self.username,
            "@PASSWORD@": self.password,
            "@DATA@": str(self.folder / "data"),
        }.items():
            text = text.replace(mark, value)
        self._settings.write_text(text)
        user = f"SCRAM-SHA-256=[name={self.username},password={self.password}]"
        _format_storage(self._java, self._settings, user)

    def _command(self) -> list[str]:
        return [*self._java, "kafka.Kafka", str(self._settings)]


def _format_storage(java: Sequence[str], settings: Path, user: str) -> None:
    # Kafka's own form of a UUID: 22 letters of URL-safe base64.
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    words = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"]
    words += ["-c", str(settings), "--add-scram", user]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerUnavailableError(f"kafka cannot format its folder:\n{done.stdout}{done.stderr}")
