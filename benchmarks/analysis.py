"""Turns windows of very many keys into what it costs to judge them, for each store that is asked.

Every batch has one window of each key. Three rules compare it with the last one, with the mean of
the last three, and with a limit, so that each batch asks the store for three windows of every key
in one read. `plain` writes the windows, `analysed` judges them too; both write to the same real
server, in turns. Some keys jump once: their alerts arrive by HTTP, all of them, and are timed.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb

from benchmarks import traced
from benchmarks.measure import RunFailedError
from benchmarks.rounds import line
from benchmarks.stores.places import PLACES
from benchmarks.w1 import data
from benchmarks.w1 import run as w1
from tests.servers.process import ServerUnavailableError

START = 1_700_000_040
"""The first window's start, in epoch seconds; a window lasts a minute."""
JUMPS_BEFORE_END = 3
"""The window in which some keys jump, counted from the end."""
EVERY = 1000
"""One key of so many jumps."""
RULES = ("against the last", "against three", "limit")

STORES = [name for name in PLACES if name not in ("parquet", "kafka")]
"""Those that answer what was."""


@dataclass(frozen=True)
class Took:
    """What a run took for a window of all keys, in the middle of its batches; and its alerts.

    Args:
        seconds: of a batch.
        cpu: CPU seconds of the whole process tree, the server's not among them.
        delays: of the alerts that were due in one batch, seconds since that batch began.
    """

    seconds: float
    cpu: float
    delays: Sequence[float] = ()


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a run failed, or other alerts came than are due."""
    parser = argparse.ArgumentParser("benchmarks analysis", description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    options = parser.parse_args(arguments)
    try:
        w1.warm_up()
        rows = files(options.keys, options.windows)
        heads = ["store", "plain, s", "analysed, s", "analysis, s", "share", "CPU-s"]
        heads.append("alerts after, s")
        print(line(heads))
        print(line(["---"] * len(heads)), flush=True)
        for name in options.stores:
            print(line(_of_store(name, rows, options)), flush=True)
    except (RunFailedError, ServerUnavailableError) as error:
        print(error, file=sys.stderr)
        return 1
    print(
        "\nmedians for a window of all keys; share: of the analysis in that time; alerts after: "
        "from the batch's start, first and last"
    )
    return 0


def files(keys: int, windows: int) -> Path:
    """The folder with a csv file for each window; made once."""
    folder = data.cache_folder() / f"analysis-{keys}-{windows}"
    if folder.is_dir():
        return folder
    unfinished = Path(tempfile.mkdtemp(dir=data.cache_folder()))
    connection = duckdb.connect()
    for window in range(windows):
        jumps = "500" if window == windows - JUMPS_BEFORE_END else "0"
        value = (
            f"100 + (i * 7 + {window} * 3) % 10 + CASE WHEN i % {EVERY} = 0 THEN {jumps} ELSE 0 END"
        )
        path = unfinished / f"{window:03}.csv"
        connection.execute(
            f"COPY (SELECT {START + window * 60} + i % 60, 'sensor-' || i, {value} "
            f"FROM range({keys}) AS numbers(i)) TO '{path}' (HEADER false)"
        )
        os.utime(path, (data.FIRST_MODIFIED + window,) * 2)
    unfinished.rename(folder)
    return folder


def _of_store(name: str, rows: Path, options: argparse.Namespace) -> list[str]:
    found: dict[bool, list[Took]] = {False: [], True: []}
    place = PLACES[name]
    with ExitStack() as held:
        there = held.enter_context(place.server()) if place.server else None
        for _ in range(options.rounds):
            for is_analysed in found:
                folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=data.cache_folder()))
                told = place.empty(there, folder)
                found[is_analysed].append(_run(name, rows, folder, told, is_analysed, options))
                shutil.rmtree(folder)
    middle = {
        is_analysed: [statistics.median(getattr(each, what) for each in of) for what in _FIGURES]
        for is_analysed, of in found.items()
    }
    (plain, cpu), (analysed, more_cpu) = middle[False], middle[True]
    delays = [delay for each in found[True] for delay in each.delays]
    return [
        name,
        *(f"{each:.1f}" for each in (plain, analysed, analysed - plain)),
        f"{1 - plain / analysed:.0%}",
        f"{more_cpu - cpu:.1f}",
        f"{min(delays):.1f} to {max(delays):.1f}",
    ]


_FIGURES = ("seconds", "cpu")


def _run(
    name: str,
    rows: Path,
    folder: Path,
    told: dict[str, str],
    is_analysed: bool,
    options: argparse.Namespace,
) -> Took:
    with _listening() as (port, arrived):
        config = folder / "config.json"
        config.write_text(json.dumps(_config(name, rows, port if is_analysed else None)))
        program: list[str | Path] = ["engine", "run", config, "--once"]
        program += ["--checkpoint", folder / "checkpoint"]
        traced.run(folder, program, options.keys * options.windows, 1, told)
    trace = traced.Trace.read(folder / "trace.jsonl")
    # The first batches make tables and series, and nothing is warm.
    settled = [each for each in trace.progress if each["batchId"] >= options.windows // 2]
    marks = [trace.marks[each["batchId"]] for each in settled]
    seconds = statistics.median(each["durationMs"]["triggerExecution"] / 1e3 for each in settled)
    cpu = statistics.median(b - a for a, b in itertools.pairwise(marks))
    return Took(seconds, cpu, _delays(trace, arrived, options) if is_analysed else ())


def _delays(
    trace: traced.Trace,
    arrived: Sequence[tuple[float, dict[str, Any]]],
    options: argparse.Namespace,
) -> list[float]:
    """Seconds from the start of the batch that made the jumps judgeable, for each alert of theirs.

    Raises:
        RunFailedError: an alert is missing, or there is one too many.
    """
    window = options.windows - JUMPS_BEFORE_END
    start = datetime.fromtimestamp(START + window * 60).astimezone()
    due = {(rule, f"sensor-{key}") for rule in RULES for key in range(0, options.keys, EVERY)}
    those = [
        (at, (alert["AnalysisModule"], json.loads(alert["series"])["sensor"]))
        for at, alert in arrived
        if datetime.fromisoformat(alert["timestamp"].replace("Z", "+00:00")) == start
    ]
    if sorted(each for _, each in those) != sorted(due):
        raise RunFailedError(f"{len(due)} alerts are due, and {len(those)} came")
    # The event time has passed the window's end with the rows of the next one.
    batch = next(each for each in trace.progress if each["batchId"] == window + 1)
    began = datetime.fromisoformat(batch["timestamp"].replace("Z", "+00:00")).timestamp()
    return [at - began for at, _ in those]


def _config(name: str, rows: Path, port: int | None) -> dict[str, Any]:
    config: dict[str, Any] = {
        "name": "analysis",
        "input": {
            "input_type": "csv",
            "data_structure": {
                "time": {"index": 0, "type": "LongType"},
                "sensor": {"index": 1, "type": "StringType"},
                "value": {"index": 2, "type": "DoubleType"},
            },
            "options": {"path": str(rows), "max_files_per_batch": 1},
        },
        "outputs": [{**PLACES[name].output, "main": True}],
        "processing": {
            "event_time": "time",
            "aggregations": {
                "name": "values",
                "window": "1 minute",
                "rule": ["key: sensor", "value: max(value)"],
            },
        },
    }
    if port is not None:
        band = {"deviation": {"value": 50}}
        config["analysis"] = {
            "rule": [
                {"module": "SimpleAnalysis", "name": RULES[0], "options": {**band}},
                {
                    "module": "AverageAnalysis",
                    "name": RULES[1],
                    "options": {**band, "num_average": 3},
                },
                {"module": "Threshold", "name": RULES[2], "options": {"crit": "value > 500"}},
            ],
            "alert": {"method": "webhook", "options": {"url": f"http://127.0.0.1:{port}/"}},
        }
    return config


@contextmanager
def _listening() -> Iterator[tuple[int, list[tuple[float, dict[str, Any]]]]]:
    """A receiver of alerts: its port, and what has arrived there, with the time."""
    arrived: list[tuple[float, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            arrived.append((time.time(), json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, arrived
        finally:
            server.shutdown()
            thread.join()
