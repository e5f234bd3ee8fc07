"""The session of a run: whose settings win, how quiet it is, what is said when there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from engine.spark import archive, connector
from engine.spark.jvm import JvmNotStarted, SparkUnavailable, collector, young
from engine.spark.session import DEFAULTS, merged

ROOT = Path(__file__).resolve().parents[1]
ZONE, CASE, PARTITIONS = (
    "spark.sql.session.timeZone",
    "spark.sql.caseSensitive",
    "spark.sql.shuffle.partitions",
)
ARTIFACT = "spark-sql-kafka-0-10_2.13"
COORDINATE = f"org.apache.spark:{ARTIFACT}:4.2.0"

TINY_RUN = """
import sys
from pathlib import Path
from engine.spark.session import session

folder = Path(sys.argv[1])
spark = session("tiny", checkpoint=f"{folder}/checkpoint")
(folder / "in").mkdir()
(folder / "in" / "rows").write_text("3,a\\n4,a\\n")
rows = spark.readStream.schema("value string").text(f"{folder}/in").selectExpr(
    "timestamp_seconds(try_cast(split(value, ',')[0] as long)) as time"
)
counts = rows.withWatermark("time", "0 seconds").groupBy("time").count()
def write(frame, batch):
    for row in sorted(frame.collect()):
        print(row.time.timestamp(), row["count"])
query = counts.writeStream.outputMode("update").foreachBatch(write)
query = query.option("checkpointLocation", f"{folder}/checkpoint").trigger(availableNow=True)
query.start().awaitTermination()
"""
TAKES_NOTHING = """
import sys
from engine.spark.session import SparkUnavailable, session
settings = dict(each.split("=", 1) for each in sys.argv[1:])
try:
    session("none", settings=settings, needs_kafka="spark.jars.ivySettings" in settings)
except SparkUnavailable as error:
    print(error)
"""
SUBMITTED = f"""
from engine.spark.session import session
spark = session("named here", settings={{"{ZONE}": "Europe/Athens", "spark.driver.memory": "3g"}})
for name in ("{ZONE}", "{CASE}", "{PARTITIONS}", "spark.master"):
    print(spark.conf.get(name))
print(spark.sparkContext.appName)
"""


def python(
    script: str, *arguments: str, command: tuple[str, ...] = (sys.executable,), **changes: str
) -> subprocess.CompletedProcess[str]:
    """Runs a script in a process of its own, with changes to the environment ('' removes)."""
    file = Path(changes.pop("folder")) / "script.py"
    file.write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), archive.SWITCH: "off", **changes}
    environment = {name: value for name, value in environment.items() if value}
    return subprocess.run(
        [*command, str(file), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "wanted", "zone"),
    [
        ({}, {}, "UTC"),
        ({ZONE: "Asia/Tokyo"}, {}, "Asia/Tokyo"),
        ({}, {ZONE: "Europe/Athens"}, "Europe/Athens"),
        ({ZONE: "Asia/Tokyo"}, {ZONE: "Europe/Athens"}, "Europe/Athens"),
    ],
)
def test_the_user_wins_over_spark_submit_which_wins_over_the_engine(
    given: Mapping[str, str], wanted: Mapping[str, str], zone: str
) -> None:
    settings = merged("a run", given, wanted)
    assert settings[ZONE] == zone
    assert {**settings, ZONE: ""}.items() >= {**DEFAULTS, ZONE: ""}.items()


@pytest.mark.parametrize(
    ("given", "wanted", "master", "host"),
    [
        ({}, {}, "local[*]", "127.0.0.1"),
        ({"spark.master": "local[3]"}, {}, "local[3]", "127.0.0.1"),
        ({"spark.master": "local[3]"}, {"spark.master": "spark://m:7077"}, "spark://m:7077", None),
        ({"spark.master": "local-cluster[2,1,1024]"}, {}, "local-cluster[2,1,1024]", None),
    ],
)
def test_a_run_takes_all_cores_of_this_machine_unless_told_where_to_run(
    given: Mapping[str, str], wanted: Mapping[str, str], master: str, host: str | None
) -> None:
    settings = merged("a run", given, wanted)
    assert settings["spark.master"] == master
    assert settings.get("spark.driver.host") == host


def test_under_spark_submit_its_settings_hold_and_what_comes_too_late_is_said(
    tmp_path: Path,
) -> None:
    import pyspark

    submit = str(Path(pyspark.__file__).parent / "bin" / "spark-submit")
    confs = (f"{CASE}=false", f"{ZONE}=Asia/Tokyo", "spark.driver.memory=1g")
    command = (submit, "--master", "local[1]", *(f"--conf={each}" for each in confs))
    done = python(SUBMITTED, command=command, folder=str(tmp_path), PYSPARK_PYTHON=sys.executable)
    # spark-submit puts a script's stderr and its stdout into one.
    late, *values = done.stdout.splitlines()
    assert late.startswith("'spark.driver.memory' has no effect: the JVM runs already; give it to")
    assert values == ["Europe/Athens", "false", "1", "local[1]", "named here"]


@pytest.mark.parametrize("cache", ["usable", "unusable"])
def test_the_screen_of_a_healthy_run_shows_its_results_alone(tmp_path: Path, cache: str) -> None:
    folder = tmp_path / "cache" if cache == "usable" else "/dev/null/nowhere"
    done = python(TINY_RUN, str(tmp_path), folder=str(tmp_path), XDG_CACHE_HOME=str(folder))
    assert (done.stderr, done.stdout) == ("", "3.0 1\n4.0 1\n")
    assert done.returncode == 0
    assert (tmp_path / "cache" / "ts-engine" / "spark.log").exists() == (cache == "usable")


@pytest.mark.parametrize(
    ("changes", "settings", "sentence"),
    [
        ({"PATH": "/nowhere", "JAVA_HOME": ""}, [], "no Java found; install Java 17 or later ("),
        ({"JAVA_HOME": "/nowhere"}, [], "no Java found in JAVA_HOME ('/nowhere'); install Java"),
        (
            {},
            ["spark.driver.memory=99999999999g"],
            "the JVM did not start: Invalid maximum heap size: -Xmx99999999999g",
        ),
        (
            {connector.FOLDER: ""},
            ["spark.jars.ivySettings={folder}/ivy.xml", "spark.jars.ivy={folder}/ivy"],
            "cannot fetch the Kafka connector (org.apache.spark:spark-sql-kafka-0-10_2.13:",
        ),
    ],
)
def test_a_machine_without_what_spark_needs_gets_one_sentence(
    tmp_path: Path, changes: dict[str, str], settings: list[str], sentence: str
) -> None:
    (tmp_path / "ivy.xml").write_text(
        '<ivysettings><settings defaultResolver="none"/><resolvers><filesystem name="none">'
        f'<artifact pattern="{tmp_path}/[artifact].[ext]"/></filesystem></resolvers></ivysettings>'
    )
    asked = [each.format(folder=tmp_path) for each in settings]
    done = python(TAKES_NOTHING, *asked, folder=str(tmp_path), **changes)
    assert done.stdout.startswith(sentence)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("", "the JVM did not start: it said nothing"),
        ("WARNING: a\nlast words\n", "the JVM did not start: last words"),
        (
            "Error occurred during initialization of VM\nCould not reserve enough space for heap\n",
            "the JVM did not start: Could not reserve enough space for heap",
        ),
        (
            'Exception in thread "main" java.lang.UnsupportedClassVersionError: org/apache/spark',
            "is too old; install Java 17 or later",
        ),
    ],
)
def test_a_jvm_that_does_not_start_is_told_by_what_it_said(said: str, sentence: str) -> None:
    assert sentence in str(JvmNotStarted(said))


@pytest.mark.parametrize(
    ("given", "environment", "option"),
    [
        ({}, {}, "-XX:+UseParallelGC"),
        ({"spark.driver.extraJavaOptions": "-Dx=y"}, {}, "-XX:+UseParallelGC"),
        ({"spark.driver.extraJavaOptions": "-Dx=y -XX:+UseZGC"}, {}, ""),
        ({"spark.driver.defaultJavaOptions": "-XX:+UseG1GC"}, {}, ""),
        ({}, {"JAVA_TOOL_OPTIONS": "-XX:+UseSerialGC"}, ""),
    ],
)
def test_a_garbage_collector_that_somebody_chose_is_left_alone(
    given: Mapping[str, str], environment: Mapping[str, str], option: str
) -> None:
    assert collector(given, environment) == option


@pytest.mark.parametrize(
    ("memory", "option"),
    [
        ("9642m", "-XX:MaxNewSize=512m"),
        ("4g", "-XX:MaxNewSize=512m"),
        ("4GB", "-XX:MaxNewSize=512m"),
        ("2048", "-XX:MaxNewSize=512m"),
        ("1536m", ""),
        ("512m", ""),
        ("2097152k", "-XX:MaxNewSize=512m"),
        ("much", ""),
    ],
)
def test_the_young_generation_of_a_small_heap_is_left_to_the_jvm(memory: str, option: str) -> None:
    assert young(memory) == option


def folder_with(place: Path, *names: str) -> Path:
    place.mkdir(parents=True)
    for each in names:
        (place / each).write_text(each)
    return place


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({}, {"spark.jars.packages": COORDINATE}),
        ({"spark.jars.packages": "a:b:1"}, {"spark.jars.packages": f"a:b:1,{COORDINATE}"}),
        ({"spark.jars.packages": f"a:b:1,{COORDINATE}"}, {}),
        ({"spark.jars": f"/opt/x.jar,/opt/{ARTIFACT}-4.2.0.jar"}, {}),
        ({"spark.driver.extraClassPath": f"/opt/{ARTIFACT}-4.2.0.jar"}, {}),
        ({"spark.jars": "/opt/x.jar"}, {"spark.jars.packages": COORDINATE}),
    ],
)
def test_the_connector_is_fetched_unless_the_session_has_it(
    tmp_path: Path, settings: Mapping[str, str], more: Mapping[str, str]
) -> None:
    assert connector.packages(settings, {}, tmp_path, "4.2.0") == more


def test_the_connector_among_sparks_own_jars_is_enough(tmp_path: Path) -> None:
    folder_with(tmp_path / "jars", f"{ARTIFACT}-4.2.0.jar")
    assert connector.packages({}, {}, tmp_path, "4.2.0") == {}


def test_the_connector_is_taken_from_the_folder_that_the_environment_names(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "own", "kafka-clients-3.9.2.jar", f"{ARTIFACT}-4.2.0.jar", "x")
    named = {connector.FOLDER: str(folder)}
    jars = f"/opt/x.jar,{folder}/kafka-clients-3.9.2.jar,{folder}/{ARTIFACT}-4.2.0.jar"
    found = connector.packages({"spark.jars": "/opt/x.jar"}, named, tmp_path, "4.2.0")
    assert found == {"spark.jars": jars}


def test_a_folder_without_the_connector_is_told_with_the_jars_that_it_needs(
    tmp_path: Path,
) -> None:
    named = {connector.FOLDER: str(folder_with(tmp_path / "own"))}
    with pytest.raises(SparkUnavailable) as raised:
        connector.packages({}, named, tmp_path, "4.2.0")
    assert str(raised.value) == (
        f"the folder '{tmp_path}/own' that TS_ENGINE_JARS names holds no {ARTIFACT}-*.jar; it needs"
        f" {ARTIFACT}-4.2.0.jar, spark-token-provider-kafka-0-10_2.13-4.2.0.jar,"
        " kafka-clients-3.9.2.jar and commons-pool2-2.13.1.jar (or later)"
    )


def test_an_archive_is_named_after_the_jvm_the_version_and_the_jars(tmp_path: Path) -> None:
    jvm = folder_with(tmp_path / "jvm" / "bin", "java") / "java"
    library = folder_with(tmp_path / "jvm" / "lib" / "server", "libjvm.so") / "libjvm.so"
    jars = [*folder_with(tmp_path / "jars", "a.jar", "b.jar").iterdir()]
    first = archive.name(jvm, jars, "4.2.0")
    assert archive.name(jvm, reversed(jars), "4.2.0") == first
    names = {first, archive.name(jvm, jars, "4.2.1"), archive.name(jvm, jars[:1], "4.2.0")}
    for changed in (jvm, library, jars[0]):
        changed.write_text("another build")
        names.add(archive.name(jvm, jars, "4.2.0"))
    assert len(names) == 6


@pytest.mark.parametrize("cache", ["/dev/null/nowhere", "/proc"])
def test_a_cache_that_cannot_be_written_means_no_archive(
    cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    place = archive.folder() / "classes-0.jsa"
    assert archive.options(place) == ""
    assert archive.make(place) is False
    archive.make_in_background(place)


def test_an_archive_is_used_once_it_is_there(tmp_path: Path) -> None:
    place = tmp_path / "classes-0.jsa"
    assert archive.options(place) == ""
    place.touch()
    assert archive.options(place).startswith(f"-XX:SharedArchiveFile={place} -Xshare:auto ")


def test_one_switch_turns_the_archive_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(archive.SWITCH, "off")
    assert archive.path(Path(sys.executable), ROOT, "4.2.0") is None
