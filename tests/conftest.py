"""The servers that tests ask for, and the account of the cases that could not run."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from pyspark.sql import SparkSession

from tests.jobs import Job
from tests.receivers import Mailbox, Receiver, receiving, taking_mail
from tests.servers.alertmanager import AlertmanagerServer
from tests.servers.cassandra import CassandraNode
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import BINARY as INFLUXD2
from tests.servers.influx2 import InfluxTwo
from tests.servers.influx3 import InfluxThree
from tests.servers.kafka import KafkaBroker
from tests.servers.kafka import connector_jars as jars_of_connector
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerUnavailableError
from tests.servers.redis import RedisNodes, RedisServer
from tests.servers.server import Server

_S = TypeVar("_S", bound="Server | RedisNodes")

pytest_plugins = ["tests.spark_session"]
_LACK = "lacks "
# What `--without` names, and by which fixtures a case needs it.
_SERVERS = {
    "kafka": {"kafka", "connector_jars"},
    "influx1": {"influx1"},
    "influx2": {"influx2"},
    "redis": {"redis", "redis_tls", "redis_cluster"},
    "cassandra": {"cassandra", "cassandra_guarded", "cassandra_tls"},
    "postgres": {"postgres"},
    "alertmanager": {"alertmanager"},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without",
        action="append",
        default=[],
        choices=sorted(_SERVERS),
        help="leave out the cases that need this server (not in CI); may be given several times",
    )
    parser.addoption(
        "--without-kafka",
        action="append_const",
        dest="without",
        const="kafka",
        help="the same as --without kafka: neither a broker nor Spark's connector",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("without") and os.environ.get("CI") == "true":
        raise pytest.UsageError("--without is for a developer's machine; CI runs every case")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the cases that use a server, and skips those whose server is not to be had."""
    lacks = {name: f"{name}, by --without {name}" for name in config.getoption("without")}
    if not os.environ.get(INFLUXD2):
        lacks.setdefault("influx2", f"an InfluxDB 2 server: {INFLUXD2} names no influxd")
    for item in items:
        for name, fixtures in _SERVERS.items():
            if fixtures & set(getattr(item, "fixturenames", ())):
                item.add_marker(name)
        for marker, lack in lacks.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=_LACK + lack))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which cases did not run for lack of what, and how many."""
    not_run: dict[str, list[str]] = defaultdict(list)
    for report in terminalreporter.getreports("skipped"):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if reason.startswith(_LACK):
            not_run[reason.removeprefix(_LACK)].append(report.nodeid)
    for lack, cases in not_run.items():
        terminalreporter.section(f"{len(cases)} not run, for lack of {lack}")
        for case in cases:
            terminalreporter.write_line(case)


@contextmanager
def _failing_plainly() -> Iterator[None]:
    """A server that cannot be had fails the case with its sentence alone, without a traceback."""
    try:
        yield
    except ServerUnavailableError as error:
        # `from None`: pytest would print the sentence twice.
        raise pytest.fail.Exception(str(error), pytrace=False) from None


@pytest.fixture
def job(tmp_path: Path, spark: SparkSession) -> Job:
    """A config to write and run, in a folder of its own; in this process a run takes the session
    that is there."""
    return Job(tmp_path)


def _running(server: Callable[[], _S]) -> Iterator[_S]:
    with ExitStack() as held:
        with _failing_plainly():
            started = held.enter_context(server())
        yield started


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaBroker]:
    """A real Kafka broker for the whole run; topics are named by the case that uses them."""
    yield from _running(KafkaBroker)


@pytest.fixture(scope="session")
def connector_jars() -> list[Path]:
    """The jars of Spark's Kafka connector, for `spark.jars`."""
    with _failing_plainly():
        return jars_of_connector()


@pytest.fixture(scope="session")
def influx1() -> Iterator[InfluxOne]:
    """A real InfluxDB 1 for the whole run; each case makes a database of its own."""
    yield from _running(InfluxOne)


@pytest.fixture(scope="session")
def influx2() -> Iterator[InfluxTwo]:
    """A real InfluxDB 2 for the whole run; each case makes a bucket, or names its measurements."""
    yield from _running(InfluxTwo)


@pytest.fixture
def influx3() -> Iterator[InfluxThree]:
    """A recorder of InfluxDB 3's documented protocol, empty for each case: no real server."""
    with InfluxThree() as recorder:
        yield recorder


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """A real RedisTimeSeries for the whole run; keys are named by the case that uses them."""
    yield from _running(RedisServer)


@pytest.fixture(scope="session")
def redis_tls() -> Iterator[RedisServer]:
    """A RedisTimeSeries over TLS, whose default user has a password."""
    yield from _running(lambda: RedisServer(tls=True, password="swordfish-three"))


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisNodes]:
    """Three nodes of RedisTimeSeries that share the slots."""
    yield from _running(RedisNodes)


@pytest.fixture(scope="session")
def cassandra() -> Iterator[CassandraNode]:
    """A real Cassandra node for the whole run; each case makes a keyspace of its own."""
    yield from _running(CassandraNode)


@pytest.fixture(scope="session")
def cassandra_guarded() -> Iterator[CassandraNode]:
    """A Cassandra node that asks for a password and checks rights."""
    yield from _running(lambda: CassandraNode(guarded=True))


@pytest.fixture(scope="session")
def cassandra_tls() -> Iterator[CassandraNode]:
    """A Cassandra node over TLS that asks for a password."""
    yield from _running(lambda: CassandraNode(guarded=True, tls=True))


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A real PostgreSQL for the whole run; each case makes tables of its own."""
    yield from _running(PostgresServer)


@pytest.fixture(scope="session")
def alertmanager() -> Iterator[AlertmanagerServer]:
    """A real Alertmanager for the whole run; alerts are named by the case that sends them."""
    yield from _running(AlertmanagerServer)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A server of HTTP that takes what is posted."""
    with receiving() as found:
        yield found


@pytest.fixture
def mailbox() -> Iterator[tuple[Mailbox, int]]:
    """A server of SMTP that keeps what is sent, and its port."""
    with taking_mail() as found:
        yield found
