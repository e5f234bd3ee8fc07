"""Turns some minutes of steady rows into series of state, memory and batch time, and a judgement.

The input is the engine's own generator: 1 % of its rows come late, some too late, 0.1 % are broken.
The heap is small (`--memory`), for the JVM lets a large one grow for as long as there is room, and
what it holds would not be told from what it has not yet thrown away.
"""

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.measure import Cost, RunFailedError, measure
from benchmarks.processes import tree
from benchmarks.soak.plot import plot
from benchmarks.traced import Trace
from benchmarks.w1 import data
from benchmarks.w1 import run as w1

CONFIG = Path(__file__).parent / "engine_config.json"
MEMORY = "memory, MB"
FLAT_PERCENT = 10.0
"""The most that a series may grow from the middle to the end, by its straight line."""


@dataclass(frozen=True)
class Point:
    """A value at a time, in seconds since the start."""

    at: float
    value: float


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 the run failed, or not every row is accounted for."""
    parser = argparse.ArgumentParser("benchmarks soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rate", type=int, default=5000, help="rows a second; default 5000")
    parser.add_argument("--batch", type=float, default=5, help="seconds between batches; default 5")
    parser.add_argument("--memory", default="1g", help="of the JVM's heap; default 1g")
    parser.add_argument("--every", type=float, default=2, help="seconds between looks at memory")
    default = data.cache_folder()
    parser.add_argument("--json", type=Path, metavar="FILE", default=default / "soak.json")
    parser.add_argument("--plot", type=Path, metavar="FILE", default=default / "soak.svg")
    options = parser.parse_args(arguments)
    try:
        w1.warm_up()
        cost, series = _run(options)
    except RunFailedError as error:
        print(error, file=sys.stderr)
        return 1
    growth = {name: growth_of(points) for name, points in series.items()}
    about = f"{options.minutes:g} minutes at {options.rate:,} rows/s, {options.batch:g} s a batch"
    options.plot.write_text(plot(f"soak: {about}", series))
    _write(options, series, growth)
    print(_table(series, growth))
    # Much longer than the rows took to come: the machine is too slow for the rate.
    took = f"{cost.wall / 60:.1f} minutes from start to end, {cost.cpu:.0f} CPU-s"
    print(f"\n{about}; a heap of {options.memory}; {took}")
    print(f"series: {options.json}\nplot: {options.plot}")
    return 0


def _run(options: argparse.Namespace) -> tuple[Cost, dict[str, list[Point]]]:
    """The run's cost, and its series by name."""
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=data.cache_folder()))
    count = round(options.minutes * 60 * options.rate)
    trace, report = folder / "trace.jsonl", folder / "report.json"
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.tracing", trace, "engine", "run"]
    command += [CONFIG, "--checkpoint", folder / "checkpoint", "--report", report]
    environment = variables(folder, count, options)
    start = time.time()
    with _memory(options.every, start) as memory:
        # The machine may be too slow for the rate: the rows come all the same, later.
        cost = measure(command, folder / "log", environment, limit=options.minutes * 60 * 3 + 300)
    check(folder, count)
    series = {**_of_batches(Trace.read(trace), start), MEMORY: memory}
    shutil.rmtree(folder)
    return cost, series


def variables(folder: Path, count: int, options: argparse.Namespace) -> dict[str, str]:
    """What the config names `${...}`: so many rows, at the rate, batch and memory of the options,
    into `result.sqlite` in the folder."""
    return {
        "BENCH_ROWS": str(count),
        "BENCH_RATE": str(options.rate),
        "BENCH_BATCH": f"{options.batch:g}",
        "BENCH_RESULT": str(folder / "result.sqlite"),
        "BENCH_MEMORY": options.memory,
    }


@contextmanager
def _memory(every: float, start: float) -> Iterator[list[Point]]:
    """The memory of all processes below this one, looked at while the body runs."""
    points: list[Point] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(every):
            held = sum(process.memory for process in tree(os.getpid())[1:])
            points.append(Point(time.time() - start, held / 1e6))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield points
    finally:
        ended.set()
        thread.join()
        # The last looks may have seen a tree that was going down.
        del points[-2:]


def _of_batches(trace: Trace, start: float) -> dict[str, list[Point]]:
    series: dict[str, list[Point]] = {"state, rows": [], "state, kB": [], "batch, s": []}
    # What is left for the last batch may be anything.
    for progress in trace.progress[:-1]:
        at = datetime.fromisoformat(progress["timestamp"].replace("Z", "+00:00"))
        seconds = at.timestamp() - start
        state = progress["stateOperators"]
        values = {
            "state, rows": sum(each["numRowsTotal"] for each in state),
            "state, kB": sum(each["memoryUsedBytes"] for each in state) / 1e3,
            "batch, s": progress["durationMs"]["triggerExecution"] / 1e3,
        }
        for name, value in values.items():
            series[name].append(Point(seconds, value))
    return series


def check(folder: Path, count: int) -> None:
    """Every row is in a window, late or broken, by the ledger and in the tables.

    Raises:
        RunFailedError: not so.
    """
    report = json.loads((folder / "report.json").read_text())
    terms = report["aggregations"]["sensors"]
    query = """
        SELECT (SELECT sum(counter) FROM sensors),
               (SELECT count(*) FROM late WHERE aggregation = 'sensors'),
               (SELECT count(*) FROM malformed)
    """
    with contextlib.closing(sqlite3.connect(folder / "result.sqlite")) as connection:
        found = connection.execute(query).fetchone()
    told = (terms["aggregated"], terms["late"], terms["malformed"])
    if not report["balanced"] or found != told or sum(found) != count:
        raise RunFailedError(
            f"in the tables are {found} rows (windows, late, malformed), by the ledger {told}, "
            f"sent were {count}; see {folder}"
        )


def growth_of(points: Sequence[Point]) -> float | None:
    """By how many per cent of its mean the second half's straight line rises; None: too short."""
    if not points:
        return None
    middle = (points[0].at + points[-1].at) / 2
    half = [point for point in points if point.at >= middle]
    if len(half) < 3:
        return None
    times, values = [point.at for point in half], [point.value for point in half]
    mean = statistics.fmean(values)
    slope = statistics.linear_regression(times, values).slope
    return 100 * slope * (times[-1] - times[0]) / mean if mean else 0.0


def _write(
    options: argparse.Namespace,
    series: Mapping[str, Sequence[Point]],
    growth: Mapping[str, float | None],
) -> None:
    record = {
        "minutes": options.minutes,
        "rate": options.rate,
        "batch_seconds": options.batch,
        "memory": options.memory,
        "cpus": os.cpu_count(),
        "growth_percent": growth,
        "series": {name: [(p.at, p.value) for p in points] for name, points in series.items()},
    }
    options.json.write_text(json.dumps(record, indent=1) + "\n")


def _table(series: Mapping[str, Sequence[Point]], growth: Mapping[str, float | None]) -> str:
    lines = ["| series | median | max | growth in the second half | |", "| --- |" + " --- |" * 4]
    for name, points in series.items():
        values = [point.value for point in points] or [0.0]
        grown = growth[name]
        cells = [f"{statistics.median(values):,.1f}", f"{max(values):,.1f}"]
        if grown is None:
            cells += ["-", "too short"]
        else:
            cells += [f"{grown:+.1f} %", "flat" if grown <= FLAT_PERCENT else "grows"]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)
