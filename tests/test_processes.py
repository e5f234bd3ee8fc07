"""Runs as users start them: a command in a terminal, spark-submit, a cluster of processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

from engine.simulator import Sensors, truth
from tests.geo import write_mmdb
from tests.jobs import Job, rows
from tests.servers.cluster import SPARK, Cluster

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"
#: An executor that fits the memory of the cluster's worker.
SMALL = {"spark.executor.memory": "512m"}
# What a declared function calls in its own module is found by its name alone, so workers import it.
HALVED = """
from engine.declare import scalar

def half(x):
    return x / 2

@scalar
def halved(x: float) -> float:
    "Half of it."
    return half(x)

class Tall:
    windows = 1

    def __init__(self, options, name): ...

    def analysis(self, historical_data, alert_sender):
        if historical_data[0]["half"] > 3:
            alert_sender.send_message(f"{historical_data['key']} is {historical_data[0]['half']}")
"""
SHOUTED = """
from engine.declare import scalar

def capitals(text):
    return text.upper()

@scalar
def shouted(text: str) -> str:
    "In capitals."
    return capitals(text)
"""


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYSPARK_PYTHON": sys.executable, **more}


def started(job: Job, *arguments: str) -> subprocess.Popen[str]:
    """``ts-engine run`` in a process group of its own, as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "engine", "run", str(job.folder / "config.json"), *arguments],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def submitted(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """``spark-submit`` of the config in a folder, called from there; it must end well."""
    done = subprocess.run(
        [
            SPARK / "bin" / "spark-submit",
            *options,
            ROOT / "engine" / "submit.py",
            "config.json",
            "--once",
        ],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_ctrl_c_and_sigterm_end_a_run_between_batches_with_its_balance(job: Job) -> None:
    job.arrive(["1,a,1", "2,b,2", "broken"])
    job.config(
        {"name": "w", "window": "10 seconds", "rule": ["key: key", "n: count()"]},
        options={"batchDuration": 1},
        outputs=[{"method": "stdout", "options": {"format": "json"}}],
        processing={"event_time": "time"},
    )
    for number, (kind, to_all) in enumerate(
        # A terminal sends Ctrl-C to all processes of the group, the JVM too; `timeout` SIGTERM to
        # the first of them, and then to all.
        [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True)]
    ):
        if number:
            job.arrive([f"{3 + number},a,1"])
        process = started(job)
        first = line_of(process.stdout)
        if not first:
            pytest.fail(process.communicate()[1])
        assert json.loads(first)["stream"] == "w"
        if kind is signal.SIGTERM:
            process.send_signal(kind)
        if to_all:
            os.killpg(process.pid, kind)
        told = process.communicate(timeout=300)[1]
        assert process.returncode == 0, told
        assert "balanced: every row is accounted for" in told
        assert f"{3 + number} rows read, 1 malformed" in told
        assert "1 row of 'malformed' kept nowhere: no output takes it" in told
        assert "Exception" not in told
    found = {row["key"]: row["n"] for row in rows(job.database, "w", "key")}
    assert found == {"a": 3, "b": 1}


def test_a_second_ctrl_c_ends_a_run_in_the_middle_of_a_batch(job: Job) -> None:
    begun = job.folder / "begun"
    (job.folder / "slow_rules.py").write_text(
        "import time\n"
        "from engine.declare import scalar\n"
        "@scalar\n"
        "def slow(x: float) -> float:\n"
        "    'The value, much later.'\n"
        f"    open({str(begun)!r}, 'w').close()\n"
        "    time.sleep(600)\n"
        "    return x\n"
    )
    job.arrive(["1,a,1"])
    job.config(
        {"name": "w", "rule": ["key: key", "total: sum(v)"]},
        transformation=["v: slow(value)"],
        modules=["slow_rules"],
    )
    process = started(job)
    assert process.stderr is not None
    while not begun.exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    told = ""
    while "once more to stop at once" not in told:
        told += process.stderr.readline()
    time.sleep(1.5)  # a signal that comes again at once is the same one
    os.killpg(process.pid, signal.SIGINT)
    told += process.communicate(timeout=300)[1]
    assert process.returncode == 1, told
    last = "stopped at once; the batch that was under way is read again by the next run"
    assert told.splitlines()[-1] == last
    assert "Traceback" not in told
    assert "ERROR" not in told


def test_the_report_closes_while_the_run_lasts_and_at_its_end(job: Job) -> None:
    job.config(
        {"name": "w", "window": "10 seconds", "where": "pressure > 0", "rule": ["n: count()"]},
        input_type="generator",
        structure=json.loads((CONFIGS / "config_data_structure.json").read_text()),
        options={"count": 50_000, "rate": 500, "batchDuration": 1, "malformed": 0.1},
        processing={"event_time": "timestamp"},
    )
    path = job.folder / "report.json"
    process = started(job, "--report", str(path))
    report: dict[str, Any] = {"malformed": 0}
    while not report["malformed"]:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
            pytest.fail(f"it has ended: {process.communicate()[1]}")
        # It is replaced whole: whenever it is read, it is one.
        if path.exists():
            report = json.loads(path.read_text())
            assert report["ended"] is None
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=300)[1]
    assert process.returncode == 0, told
    ended = json.loads(path.read_text())
    assert ended["ended"] > ended["started"] == report["started"]
    assert ended["rows_read"] >= report["rows_read"] > 0
    for each in (report, ended):
        assert each["balanced"]
        account = each["aggregations"]["w"]
        assert sum(account.values()) == each["rows_read"]
    # Nothing is left of what was written beside it.
    assert [each.name for each in job.folder.glob("*report*")] == ["report.json"]
    totals = f"{ended['rows_read']:,} rows read, {ended['malformed']:,} malformed, "
    line = next(each for each in told.splitlines() if "rows/s" in each and totals in each)
    assert f"; w: {account['malformed']:,} malformed" in line


def test_spark_submit_runs_a_config_from_any_folder(job: Job, tmp_path: Path) -> None:
    job.arrive(["1,a,1", "2,b,2"])
    job.config({"name": "w", "rule": ["key: key", "max(value)"]})
    done = submitted(tmp_path)
    # spark-submit prints what a Python application says on stderr on its own stdout.
    assert "balanced: every row is accounted for" in done.stdout
    assert [(row["key"], row["value"]) for row in rows(job.database, "w", "key")] == [
        ("a", 1.0),
        ("b", 2.0),
    ]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One standalone cluster for the cases of this module."""
    started = Cluster(tmp_path_factory.mktemp("cluster"))
    yield started
    started.stop()


def shipped(archive: Path, package: str, module: str) -> Path:
    """A zip or wheel with a user's module ``rules`` in a package; the module is nowhere else."""
    content = {f"{package}/__init__.py": "", f"{package}/rules.py": module}
    if archive.suffix == ".whl":
        about = f"{package}-1.0.dist-info"
        content[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
        content[f"{about}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        content[f"{about}/RECORD"] = "".join(
            f"{path},,\n" for path in (*content, f"{about}/RECORD")
        )
    with zipfile.ZipFile(archive, "w") as file:
        for path, text in content.items():
            file.writestr(path, text)
    return archive


@pytest.mark.parametrize("place", ["cluster", "one machine"])
def test_user_modules_that_are_only_in_a_shipped_zip_and_wheel_run(
    job: Job, cluster: Cluster, tmp_path: Path, place: str
) -> None:
    archives = [
        shipped(tmp_path / "plant.zip", "plant", HALVED),
        shipped(tmp_path / "works-1.0-py3-none-any.whl", "works", SHOUTED),
    ]
    job.arrive(["1,a,1", "2,b,2", "3,a,7", "30,c,0"])
    path = job.config(
        {"name": "w", "rule": ["key: k", "max(half)", "n: count()"]},
        streams=["aggregated", "alerts"],
        transformation=["half: halved(value)", "k: shouted(key)"],
        modules=["plant.rules", "works.rules"],
        engine={"spark": SMALL},
        analysis={"rule": [{"module": "plant.rules:Tall", "name": "tall"}]},
    )
    config = json.loads(path.read_text())
    config["outputs"][0]["main"] = True
    path.write_text(json.dumps(config))
    master = ("--master", cluster.url) if place == "cluster" else ()
    submitted(tmp_path, *master, "--py-files", ",".join(map(str, archives)))
    assert [(row["k"], row["half"], row["n"]) for row in rows(job.database, "w", "k")] == [
        ("A", 3.5, 2),
        ("B", 1.0, 1),
        ("C", 0.0, 1),
    ]
    assert [(row["rule"], row["message"]) for row in rows(job.database, "alerts", "1")] == [
        ("tall", "A is 3.5")
    ]


def test_executors_of_a_cluster_get_tables_from_the_driver(job: Job, cluster: Cluster) -> None:
    (job.folder / "cars.csv").write_text("plate,address\nA1,1.2.3.4\nB2,5.6.7.8\n")
    write_mmdb(job.folder / "geo.mmdb", {"1.2.3.0/24": {"country": {"iso_code": "GR"}}})
    job.arrive(["1,A1,1", "2,B2,2", "3,C3,7"])
    job.config(
        {"name": "w", "rule": ["key: land", "n: count()"]},
        transformation=[
            "address: lookup('cars', key, 'address')",
            "land: coalesce(lookup('geo', address, 'country.iso_code'), address, 'nowhere')",
        ],
        databases={"cars": "cars.csv", "geo": "geo.mmdb"},
        engine={"spark": SMALL},
    )
    submitted(job.folder, "--master", cluster.url)
    found = [(row["land"], row["n"]) for row in rows(job.database, "w", "land")]
    assert found == [("5.6.7.8", 1), ("GR", 1), ("nowhere", 1)]


def test_a_cluster_makes_the_rows_of_the_generator(
    job: Job, cluster: Cluster, tmp_path: Path
) -> None:
    sent = {"seed": 5, "start": 1_700_000_003, "speed": 100, "malformed": 0.02}
    options = {**sent, "count": 3000, "rate": 0, "max_rows_per_batch": 1000}
    config = json.loads((CONFIGS / "sensors.json").read_text())
    config |= {
        "input": {
            "input_type": "generator",
            "data_structure": str(CONFIGS / "config_data_structure.json"),
            "options": options,
        },
        "outputs": [{"method": "sqlite", "options": {"path": "out.sqlite"}}],
        "engine": {"spark": SMALL},
    }
    (job.folder / "config.json").write_text(json.dumps(config))
    done = submitted(tmp_path, "--master", cluster.url)
    assert "balanced: every row is accounted for" in done.stdout
    expected = truth(Sensors(**sent), 3000)
    assert job.rows("aggregated", "window_start, sensor_id") == expected["windows"]
    assert f"3,000 rows read, {expected['malformed']} malformed" in done.stdout
