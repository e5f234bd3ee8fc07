"""Turns the pip package of Spark into a standalone cluster: a master and a worker."""

from __future__ import annotations

import sys
from pathlib import Path

import pyspark

from tests.servers.process import ServerProcess, free_ports, listens

SPARK = Path(pyspark.__file__).parent


class Cluster:
    """A cluster of two cores on 127.0.0.1.

    Its executors run in a folder of its own: they have neither this repository nor what lies
    beside a config.
    """

    def __init__(self, folder: Path) -> None:
        self._port, page, worker_page = free_ports(3)
        self.url = f"spark://127.0.0.1:{self._port}"
        self._processes: list[ServerProcess] = []
        self._start(folder, "master", "Master", "--port", self._port, "--webui-port", page)
        self._processes[0].wait_until(lambda: listens(self._port))
        size = ("--cores", 2, "--memory", "1g")
        self._start(folder, "worker", "Worker", "--webui-port", worker_page, *size, self.url)

    def _start(self, folder: Path, name: str, part: str, *arguments: object) -> None:
        home = folder / name
        home.mkdir()
        settings = {
            "SPARK_HOME": SPARK,
            "SPARK_WORKER_DIR": home,
            "PYSPARK_PYTHON": sys.executable,
        }
        command = [
            *("env", "-u", "PYTHONPATH", *(f"{name}={value}" for name, value in settings.items())),
            *(SPARK / "bin" / "spark-class", f"org.apache.spark.deploy.{part.lower()}.{part}"),
            *("--host", "127.0.0.1", *arguments),
        ]
        self._processes.append(ServerProcess(f"Spark's {name}", list(map(str, command)), home))

    def stop(self) -> None:
        """Ends both processes."""
        for process in reversed(self._processes):
            process.stop()
