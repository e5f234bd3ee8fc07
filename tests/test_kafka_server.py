"""The broker that other tests lean on keeps what they give it."""

from __future__ import annotations

import importlib.metadata
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from kafka.errors import TopicAlreadyExistsError

from tests.servers.kafka import KafkaBroker
from tests.servers.process import ServerProcess, ServerUnavailableError

REPOSITORY = Path(__file__).parent.parent

# 2023-11-14: long past any default retention. 2100: refused by default as too far ahead.
LONG_AGO_MS = 1_700_000_000_000
FAR_AHEAD_MS = 4_102_444_800_000


def test_a_thousand_records_come_back_in_order_with_their_times(kafka: KafkaBroker) -> None:
    values = [f"row {number}".encode() for number in range(1000)]
    times = [LONG_AGO_MS + number for number in range(999)] + [FAR_AHEAD_MS]
    kafka.produce("thousand", values, timestamps_ms=times)
    found = kafka.consume("thousand")
    assert [record.value for record in found] == values
    assert [record.timestamp for record in found] == times
    assert [record.offset for record in found] == list(range(1000))
    assert {record.key for record in found} == {None}


def test_a_key_keeps_its_partition_and_a_named_partition_wins(kafka: KafkaBroker) -> None:
    kafka.create_topic("two", partitions=2)
    pairs = [(f"sensor {number % 10}".encode(), str(number).encode()) for number in range(1000)]
    kafka.produce("two", pairs)
    found = kafka.consume("two")
    assert sorted((record.key, record.value) for record in found) == sorted(pairs)
    assert {record.partition for record in found} == {0, 1}
    assert len({(record.key, record.partition) for record in found}) == 10

    kafka.produce("two", [b"here"], partition=1, headers=[("unit", b"bar")])
    last = kafka.consume("two")[-1]
    assert (last.partition, last.key, last.value) == (1, None, b"here")
    assert [tuple(header) for header in last.headers] == [("unit", b"bar")]


def test_an_empty_topic_gives_nothing(kafka: KafkaBroker) -> None:
    kafka.create_topic("empty", partitions=3)
    assert kafka.consume("empty") == []


def test_a_topic_is_made_once(kafka: KafkaBroker) -> None:
    kafka.create_topic("once")
    with pytest.raises(TopicAlreadyExistsError):
        kafka.create_topic("once")


def test_times_that_are_too_few_are_a_mistake(kafka: KafkaBroker) -> None:
    with pytest.raises(ValueError, match="shorter"):
        kafka.produce("few", [b"1", b"2"], timestamps_ms=[LONG_AGO_MS])


def test_the_connector_is_of_the_version_of_pyspark(connector_jars: list[Path]) -> None:
    version = importlib.metadata.version("pyspark")
    assert [jar.name for jar in connector_jars] == [
        "commons-pool2-2.12.0.jar",
        "kafka-clients-3.9.2.jar",
        f"spark-sql-kafka-0-10_2.13-{version}.jar",
        "spark-token-provider-kafka-0-10_2.13-4.0.0.jar",
    ]


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """kill -9 of a run leaves no server behind; its connection to the test closes with it."""
    server = (
        "import signal, socket, sys\n"
        "held = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "signal.pause()\n"
    )
    run = (
        "import signal, sys\n"
        "from pathlib import Path\n"
        "from tests.servers.process import ServerProcess\n"
        "_, server, port, folder = sys.argv\n"
        "held = ServerProcess('held', [sys.executable, '-c', server, port], Path(folder))\n"
        "signal.pause()\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        port = str(listener.getsockname()[1])
        words = [sys.executable, "-c", run, server, port, str(tmp_path)]
        with subprocess.Popen(words, cwd=REPOSITORY) as process:
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(60)
                process.kill()
                assert connection.recv(1) == b""


def test_a_server_that_fails_says_its_last_words(tmp_path: Path) -> None:
    server = ServerProcess("teapot", ["/bin/sh", "-c", "echo short and stout; exit 3"], tmp_path)
    with pytest.raises(ServerUnavailableError, match=r"teapot ended with status 3(.|\n)*stout"):
        server.wait_until(lambda: False)
    server.stop()
    server.stop()
