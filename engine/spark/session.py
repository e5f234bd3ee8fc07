"""A Spark session for a run: quiet, tuned, and with nothing that a user has to know."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyspark
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from engine.spark import archive, connector, jvm
from engine.spark.jvm import JvmNotStarted, SparkUnavailable

__all__ = ["SparkUnavailable", "log_file", "session"]

#: Settings that say how rows are computed; a user may change them, and rarely should.
DEFAULTS: Mapping[str, str] = {
    # A rule's names are case-sensitive, and its columns' too.
    "spark.sql.caseSensitive": "true",
    "spark.sql.session.timeZone": "UTC",
    # Operations use the try_ functions; what is left fails loudly instead of giving null.
    "spark.sql.ansi.enabled": "true",
    # An idle gap would otherwise move the watermark by a batch without rows, and with it the
    # cut-off of late rows.
    "spark.sql.streaming.noDataMicroBatches.enabled": "false",
    # Computed windows and unions in update mode are right, and refused.
    "spark.sql.streaming.unsupportedOperationCheck": "false",
    # The rule computes what is exploded a second time, in a filter for rows that give nothing; the
    # windows of a row are never none.
    "spark.sql.optimizer.excludedRules": (
        "org.apache.spark.sql.catalyst.optimizer.InferFiltersFromGenerate"
    ),
    # Where no row is left, this one takes the counts of those that were read out of the plan.
    "spark.sql.adaptive.optimizer.excludedRules": (
        "org.apache.spark.sql.execution.adaptive.AQEPropagateEmptyRelation"
    ),
    # Exact percentiles and distinct counts of up to this many keys a task without a sort.
    "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "100000",
    # The JVM never compiles a method of more than 8,000 bytes; Spark's own limit is 64 kB, and a
    # record of 30 doubles would be read by the interpreter: 37 CPU seconds a million, not 9.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    # Columns are made sooner without a note of the line of Python that made each.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.sql.dataFrameQueryContext.enabled": "false",
}
# No port is open to the network, and a laptop that changes its network keeps its session.
_LOCAL: Mapping[str, str] = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}
# What a JVM, or spark-submit, reads only while it starts.
_AT_START = (
    "spark.archives",
    "spark.driver.defaultJavaOptions",
    "spark.driver.extra",
    "spark.driver.memory",
    "spark.files",
    "spark.jars",
    "spark.kerberos.",
    "spark.kubernetes.",
    "spark.master",
    "spark.submit.",
    "spark.yarn.",
)
# A class of Spark's that moved between releases: the newest place first.
_FILE_MANAGERS = (
    "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager",
    "org.apache.spark.sql.execution.streaming.FileSystemBasedCheckpointFileManager",
)
_FILE_MANAGER = "spark.sql.streaming.checkpointFileManagerClass"
_PROGRESS = "spark.ui.showConsoleProgress"
_PARTITIONS = "spark.sql.shuffle.partitions"
_LOG_BYTES = 10_000_000


def session(
    name: str,
    *,
    settings: Mapping[str, str] | None = None,
    master: str | None = None,
    checkpoint: str | None = None,
    needs_kafka: bool = False,
) -> SparkSession:
    """The session for a run, in a JVM of its own unless spark-submit brought one.

    Which setting wins: ``master`` and ``settings``, then what spark-submit, ``PYSPARK_SUBMIT_ARGS``
    and ``spark-defaults.conf`` say, then the engine's own. What a JVM takes only at its start
    (memory, Java options, jars) cannot be changed in one that runs: under spark-submit such a
    setting of ``settings`` has no effect, and a line on stderr says so.

    Tasks of a shuffle are as many as the cores. A checkpoint pins the number with which it began:
    Spark keeps it in the offset log and goes on with it, whatever the session says.

    A session that this process has already is taken as it is, with ``settings`` applied.

    Args:
        name: of the application.
        settings: the user's, from ``engine.spark`` of the config.
        master: where to run; None is what spark-submit or Spark's defaults say, else all the cores
            of this machine.
        checkpoint: the folder of the checkpoint; on a local disk its files are written without
            starting a process for each.
        needs_kafka: whether the Kafka connector must be there.

    Raises:
        SparkUnavailable: no Java, a JVM that did not start, or no connector; with what to do.
    """
    wanted = dict(settings or {})
    if master:
        wanted["spark.master"] = master
    os.environ.setdefault("PYSPARK_PYTHON", wanted.get("spark.pyspark.python", sys.executable))
    if SparkContext._active_spark_context is None:
        context = _context(name, wanted, needs_kafka)
    else:
        context = SparkContext._active_spark_context
    spark = SparkSession(context)
    _settle(spark, wanted, checkpoint)
    if needs_kafka and not _has_class(spark, connector.PROVIDER):
        raise SparkUnavailable(connector.came_too_late(pyspark.__version__))
    return spark


def log_file() -> Path | None:
    """The file that holds Spark's warnings and errors, traces included; None where there is none.

    Each start begins a new one when the old has grown beyond 10 MB; the one before is kept.
    """
    log = archive.folder() / "spark.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a"):
            pass
        if log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
    except (OSError, RuntimeError):
        return None
    return log


def _context(name: str, wanted: Mapping[str, str], needs_kafka: bool) -> SparkContext:
    """A context with all that can be set before there is one."""
    if jvm.is_started():
        SparkContext._ensure_initialized()
        _quiet()
        _say_what_is_too_late(wanted)
    else:
        _start(wanted, needs_kafka)
    given = dict(SparkConf().getAll())
    _forget_default_name(given)
    settings = merged(name, given, wanted)
    return SparkContext(conf=SparkConf().setAll(list(settings.items())))


def merged(name: str, given: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    """The settings of a context: the engine's own, over them those given, over them the user's.

    Args:
        name: of the application.
        given: by spark-submit or Spark's defaults.
        wanted: by the user's config.
    """
    master = wanted.get("spark.master") or given.get("spark.master") or "local[*]"
    own = {**DEFAULTS, "spark.app.name": name, "spark.master": master}
    if master.startswith("local") and not master.startswith("local-cluster"):
        own |= _LOCAL
    return {**own, **given, **wanted}


def _forget_default_name(given: dict[str, str]) -> None:
    """Drops the application's name that spark-submit makes up from the script's."""
    if given.get("spark.app.name") in ("pyspark-shell", Path(sys.argv[0]).name):
        del given["spark.app.name"]


def _start(wanted: Mapping[str, str], needs_kafka: bool) -> None:
    """Starts the JVM with what can be set only then."""
    defaults = _spark_defaults()
    given = {**defaults, **wanted}
    classes = archive.path(jvm.java(), jvm.home(), pyspark.__version__)
    launch = {key: value for key, value in wanted.items() if key.startswith(_AT_START)}
    launch.setdefault("spark.driver.memory", defaults.get("spark.driver.memory", jvm.heap()))
    # A JVM that Python starts is a shell in Spark's eyes, and shells show progress bars.
    launch[_PROGRESS] = given.get(_PROGRESS, DEFAULTS[_PROGRESS])
    options = "spark.driver.defaultJavaOptions"
    # Those of the user and of Spark's defaults come last: the JVM takes the last of two.
    ours = _java_options(classes, given, launch["spark.driver.memory"])
    launch[options] = " ".join([*ours, given.get(options, "")]).strip()
    if needs_kafka:
        launch |= connector.packages(given, os.environ, jvm.home(), pyspark.__version__)
    try:
        jvm.start(launch)
    except JvmNotStarted as error:
        missing = connector.not_fetched(error.said)
        if missing and needs_kafka:
            raise SparkUnavailable(connector.cannot_fetch(missing, pyspark.__version__)) from None
        raise
    archive.make_in_background(classes)


def _java_options(classes: Path | None, given: Mapping[str, str], memory: str) -> list[str]:
    options = ["-XX:-UsePerfData", jvm.COMPILER, jvm.BEGINNING, archive.options(classes)]
    if collector := jvm.collector(given, os.environ):
        options += [collector, jvm.young(memory)]
    ours = Path(__file__).with_name("log4j2.properties")
    if ours.is_file() and not any(_conf_folder().glob("log4j2.*")):
        options.append(f"-Dlog4j2.configurationFile={ours.as_uri()}")
        log = log_file()
        if log is not None and " " not in str(log):
            options.append(f"-Dts.engine.log={log}")
    return [each for each in options if each]


def _conf_folder() -> Path:
    return Path(os.environ.get("SPARK_CONF_DIR") or jvm.home() / "conf")


def _spark_defaults() -> dict[str, str]:
    """What ``spark-defaults.conf`` says; the format is Java's properties, in its plain form."""
    try:
        lines = (_conf_folder() / "spark-defaults.conf").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.replace("=", " ", 1).split(None, 1) for line in lines if line.strip())
    return {pair[0]: pair[1].strip() for pair in pairs if len(pair) == 2 and pair[0][0] != "#"}


def _quiet() -> None:
    """Errors only from a JVM that is not ours, unless somebody has configured its log."""
    java: Any = SparkContext._jvm
    named = java.java.lang.System.getProperty("log4j2.configurationFile")
    if named or java.java.lang.ClassLoader.getSystemResource("log4j2.properties"):
        return
    levels = java.org.apache.logging.log4j.Level
    java.org.apache.logging.log4j.core.config.Configurator.setAllLevels("", levels.ERROR)


def _say_what_is_too_late(wanted: Mapping[str, str]) -> None:
    given = dict(SparkConf().getAll())
    for key, value in wanted.items():
        if key.startswith(_AT_START) and key != "spark.master" and given.get(key) != value:
            how = "give it to spark-submit by --conf"
            print(f"'{key}' has no effect: the JVM runs already; {how}", file=sys.stderr)


def _settle(spark: SparkSession, wanted: Mapping[str, str], checkpoint: str | None) -> None:
    """Sets what is known only now: cores, file systems; and all that can change in a session."""
    conf = spark.sparkContext.getConf()
    for key, value in {**DEFAULTS, **wanted}.items():
        changes = key in wanted or not conf.contains(key)
        if changes and key.startswith("spark.sql.") and spark.conf.isModifiable(key):
            spark.conf.set(key, value)
    if _PARTITIONS not in wanted and not conf.contains(_PARTITIONS):
        spark.conf.set(_PARTITIONS, str(_cores(spark.sparkContext)))
    if _FILE_MANAGER not in wanted and not conf.contains(_FILE_MANAGER):
        manager = next((each for each in _FILE_MANAGERS if _has_class(spark, each)), None)
        if checkpoint and manager and _is_local(spark, checkpoint):
            spark.conf.set(_FILE_MANAGER, manager)


def _cores(context: SparkContext) -> int:
    """Cores that the run will have: what is asked for, or what has joined the cluster."""
    asked = context.getConf().get("spark.cores.max")
    if asked:
        return int(asked)
    if not str(context.master).startswith("local["):
        _await_executors(context)
    return max(context.defaultParallelism, 1)


def _await_executors(context: SparkContext) -> None:
    """Waits for a cluster's first executors, at most 10 s, and a second for the others."""
    until = time.monotonic() + 10
    spark = context._jsc.sc()
    while time.monotonic() < until:
        if spark.getExecutorMemoryStatus().size() > 1:  # the driver counts as one
            time.sleep(1)
            return
        time.sleep(0.1)


def _is_local(spark: SparkSession, folder: str) -> bool:
    java: Any = spark._jvm
    path = java.org.apache.hadoop.fs.Path(folder)
    return bool(path.getFileSystem(spark._jsc.hadoopConfiguration()).getScheme() == "file")


def _has_class(spark: SparkSession, name: str) -> bool:
    java: Any = spark._jvm
    loader = java.java.lang.Thread.currentThread().getContextClassLoader()
    return loader.getResource(name.replace(".", "/") + ".class") is not None
