"""The Spark session of the suite: the engine's own, one for all cases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from engine.spark.session import session


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest) -> Iterator[SparkSession]:
    # `make test` has two of them at a time, beside the servers.
    settings = {"spark.sql.shuffle.partitions": "2", "spark.driver.memory": "3g"}
    if "kafka" not in request.config.getoption("without"):
        # A running JVM takes no more jars, so the connector is there from the start.
        jars = request.getfixturevalue("connector_jars")
        settings["spark.jars"] = ",".join(map(str, jars))
    made = session("tests", master="local[2]", settings=settings)
    yield made
    made.stop()
