"""The servers that tests ask for, and the account of the cases that could not run."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.jobs import Job
from tests.servers.kafka import KafkaBroker
from tests.servers.kafka import connector_jars as jars_of_connector
from tests.servers.process import ServerUnavailableError

pytest_plugins = ["tests.spark_session"]
_LACK = "lacks "


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without-kafka",
        action="store_true",
        help="leave out the cases that need a Kafka broker or Spark's connector (not in CI)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--without-kafka") and os.environ.get("CI") == "true":
        raise pytest.UsageError("--without-kafka is for a developer's machine; CI runs every case")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the cases that use a server, and skips those whose server is not to be had."""
    for item in items:
        if {"kafka", "connector_jars"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("kafka")
    lacks = {}
    if config.getoption("--without-kafka"):
        lacks["kafka"] = "a Kafka broker, by --without-kafka"
    if not os.environ.get("TS_ENGINE_INFLUXD2"):
        lacks["influx2"] = "an InfluxDB 2 server: TS_ENGINE_INFLUXD2 names no influxd"
    for item in items:
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
def job(tmp_path: Path) -> Job:
    """A config to write and run, in a folder of its own."""
    return Job(tmp_path)


@pytest.fixture(scope="session")
def kafka() -> Iterator[KafkaBroker]:
    """A real Kafka broker for the whole run; topics are named by the case that uses them."""
    with _failing_plainly():
        broker = KafkaBroker()
    yield broker
    broker.stop()


@pytest.fixture(scope="session")
def connector_jars() -> list[Path]:
    """The jars of Spark's Kafka connector, for `spark.jars`."""
    with _failing_plainly():
        return jars_of_connector()
