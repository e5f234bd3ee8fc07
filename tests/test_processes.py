"""Runs as users start them: a command in a terminal, spark-submit, a cluster of processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyspark
import pytest

from tests.jobs import Job, rows
from tests.servers.process import free_ports

ROOT = Path(__file__).parent.parent
SPARK = Path(pyspark.__file__).parent
MODULE = """
from engine.declare import Double, Real, operation, scalar

@operation
def halved(x: Real) -> Double:
    "Half of it."
    return x / 2

@scalar
def shouted(text: str) -> str:
    "In capitals."
    return text.upper()
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


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
    for number, kind in enumerate((signal.SIGINT, signal.SIGTERM)):
        if number:
            job.arrive(["3,a,1"])
        process = started(job)
        first = line_of(process.stdout)
        if not first:
            pytest.fail(process.communicate()[1])
        assert json.loads(first)["stream"] == "w"
        # A terminal sends Ctrl-C to all processes of the group: JVM and workers too.
        if kind is signal.SIGINT:
            os.killpg(process.pid, kind)
        else:
            process.send_signal(kind)
        told = process.communicate(timeout=300)[1]
        assert process.returncode == 0, told
        assert "balanced: every row is accounted for" in told
        assert f"{3 + number} rows read, 1 malformed" in told
        assert "Exception" not in told
    found = {row["key"]: row["n"] for row in rows(job.database, "w", "key")}
    assert found == {"a": 2, "b": 1}


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


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A standalone cluster from the pip package: a master and a worker, in processes of their own;
    its executors have neither this repository nor what lies beside a config."""
    port, page, worker_page = free_ports(3)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    settings = environment(SPARK_HOME=str(SPARK), SPARK_WORKER_DIR=str(elsewhere))
    settings.pop("PYTHONPATH", None)
    spark_class = str(SPARK / "bin" / "spark-class")
    address = ["--host", "127.0.0.1", "--port", str(port), "--webui-port", str(page)]
    kind = "org.apache.spark.deploy"
    commands = [
        [spark_class, f"{kind}.master.Master", *address],
        [
            spark_class,
            f"{kind}.worker.Worker",
            "--host",
            "127.0.0.1",
            "--webui-port",
            str(worker_page),
            "--cores",
            "2",
            "--memory",
            "1g",
            f"spark://127.0.0.1:{port}",
        ],
    ]
    processes = []
    for number, command in enumerate(commands):
        with (tmp_path / f"cluster-{number}.log").open("w") as log:
            processes.append(
                subprocess.Popen(
                    command,
                    cwd=elsewhere,
                    env=settings,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
    yield f"spark://127.0.0.1:{port}"
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_cluster_runs_a_user_module_that_is_only_in_the_shipped_zip(
    job: Job, cluster: str, tmp_path: Path
) -> None:
    shipped = tmp_path / "shipped.zip"
    with zipfile.ZipFile(shipped, "w") as archive:
        archive.writestr("plant/__init__.py", "")
        archive.writestr("plant/rules.py", MODULE)
    job.arrive(["1,a,1", "2,b,2", "3,a,7"])
    job.config(
        {"name": "w", "rule": ["key: k", "max(half)", "n: count()"]},
        transformation=["half: halved(value)", "k: shouted(key)"],
        modules=["plant.rules"],
        engine={"spark": {"spark.executor.memory": "512m"}},
    )
    submitted(tmp_path, "--master", cluster, "--py-files", str(shipped))
    assert [(r["k"], r["half"], r["n"]) for r in rows(job.database, "w", "k")] == [
        ("A", 3.5, 2),
        ("B", 1.0, 1),
    ]
