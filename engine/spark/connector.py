"""The Kafka connector: from what a session has already, the settings that add what is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.spark.jvm import SparkUnavailable

ARTIFACT = "spark-sql-kafka-0-10_2.13"
#: Names a folder with the connector's jars, for a machine that cannot fetch them.
FOLDER = "TS_ENGINE_JARS"
#: The class by which a running session shows that it has the connector.
PROVIDER = "org.apache.spark.sql.kafka010.KafkaSourceProvider"
# What the connector of Spark 4.2 needs beside Spark's own jars; another release may name a
# newer one, hence "or later".
_BESIDE = ("kafka-clients-3.9.2.jar", "commons-pool2-2.13.1.jar")
_PLACES = ("spark.jars", "spark.jars.packages", "spark.driver.extraClassPath")


def coordinate(version: str) -> str:
    """The connector's name in a Maven repository, for this version of pyspark."""
    return f"org.apache.spark:{ARTIFACT}:{version}"


def jars(version: str) -> str:
    """The jars that make the connector, in words, for somebody who must fetch them by hand."""
    own = f"{ARTIFACT}-{version}.jar, spark-token-provider-kafka-0-10_2.13-{version}.jar"
    return f"{own}, {' and '.join(_BESIDE)} (or later)"


def advice(version: str) -> str:
    """What to do on a machine that cannot fetch the connector."""
    return (
        f"put these jars into a folder and name it in {FOLDER}, or list them in 'spark.jars' of"
        f" 'engine.spark': {jars(version)}"
    )


def packages(
    settings: Mapping[str, str], environment: Mapping[str, str], home: Path, version: str
) -> dict[str, str]:
    """The settings to add so that a JVM that is about to start can read and write Kafka.

    In this order: nothing, where ``spark.jars``, ``spark.jars.packages``, the driver's class path
    or Spark's own jars have it; the jars of the folder that the environment names; the connector
    of pyspark's version, fetched by Spark from its Maven repositories.

    Args:
        settings: what config, spark-submit's arguments and Spark's defaults say so far.
        environment: the process's.
        home: Spark's folder, which has the folder ``jars``.
        version: pyspark's.

    Raises:
        SparkUnavailable: the folder that the environment names does not hold the connector.

    Example:
        >>> packages({"spark.jars": "spark-sql-kafka-0-10_2.13-4.2.0.jar"}, {}, Path(), "4.2.0")
        {}
        >>> packages({}, {}, Path("nowhere"), "4.2.0")
        {'spark.jars.packages': 'org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0'}
    """
    if any(ARTIFACT in settings.get(place, "") for place in _PLACES) or _held(home / "jars"):
        return {}
    folder = environment.get(FOLDER)
    if not folder:
        return _joined(settings, "spark.jars.packages", [coordinate(version)])
    if not _held(Path(folder)):
        raise SparkUnavailable(
            f"the folder '{folder}' that {FOLDER} names holds no {ARTIFACT}-*.jar;"
            f" it needs {jars(version)}"
        )
    found = sorted(str(each.resolve()) for each in Path(folder).glob("*.jar"))
    return _joined(settings, "spark.jars", found)


def _held(folder: Path) -> bool:
    return any(folder.glob(f"{ARTIFACT}-*.jar"))


def _joined(settings: Mapping[str, str], name: str, more: Iterable[str]) -> dict[str, str]:
    given = [each for each in settings.get(name, "").split(",") if each.strip()]
    return {name: ",".join([*given, *more])}


def not_fetched(said: str) -> list[str]:
    """The artifacts that Spark's start could not fetch, from what it said, as group:name:version.

    Example:
        >>> not_fetched("[unresolved dependency: org.x#kafka-clients;3.9.1: not found]")
        ['org.x:kafka-clients:3.9.1']
    """
    found = re.findall(
        r"(?:unresolved dependency|download failed): ([\w.-]+)#([\w.-]+);([\w.-]*\w)", said
    )
    return sorted({":".join(each) for each in found})


def cannot_fetch(artifacts: Iterable[str], version: str) -> str:
    """The sentence for a start that could not fetch the connector."""
    names = ", ".join(artifacts)
    return f"cannot fetch the Kafka connector ({names}); {advice(version)}"


def came_too_late(version: str) -> str:
    """The sentence for a JVM that runs without the connector, where nothing can be added."""
    how = f"--packages {coordinate(version)}"
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        return f"the Kafka connector is missing; start with spark-submit {how}, or with --jars"
    return "the Kafka connector is missing in the Spark session that this process already has"
