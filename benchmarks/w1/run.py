"""Turns W1's contenders into a table of CPU seconds a million rows, once their results agree."""

import argparse
import json
import os
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import Cost, RunFailedError, measure
from benchmarks.w1 import data

HERE = Path(__file__).parent
YARDSTICK = "hand_tuned"
WARM_UP_SCALE = 0.0005
_RESULT = """
SELECT sensor_id, sensor_type, window_start, rpm_max, rpm_min, rpm_sum, speed_lt, speed_gt, counter
FROM rotation ORDER BY sensor_id, sensor_type, window_start
"""


@dataclass(frozen=True)
class Job:
    """One run: the rows' folder, an empty folder of its own, the most files that a batch takes."""

    rows: Path
    folder: Path
    files_per_batch: int

    @property
    def result(self) -> Path:
        return self.folder / "result.sqlite"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoint"

    @property
    def report(self) -> Path:
        return self.folder / "report.json"


Command = tuple[list[str | Path], dict[str, str]]
"""A program with its arguments, and the environment variables that it gets besides ours."""


def _script(name: str, *, streaming: bool) -> Callable[[Job], Command]:
    def command(job: Job) -> Command:
        arguments: list[str | Path] = [sys.executable, HERE / name, job.rows, job.result]
        if streaming:
            arguments += [job.checkpoint, "--files-per-batch", str(job.files_per_batch)]
        # Spark would start the system's `python3` for the workers.
        return arguments, {"PYSPARK_PYTHON": sys.executable}

    return command


def _engine(job: Job) -> Command:
    arguments: list[str | Path] = [sys.executable, "-m", "engine", "run"]
    arguments += [HERE / "engine_config.json", "--once"]
    arguments += ["--checkpoint", job.checkpoint, "--report", job.report]
    return arguments, {
        "W1_ROWS": str(job.rows),
        "W1_RESULT": str(job.result),
        "W1_FILES_PER_BATCH": str(job.files_per_batch),
    }


CONTENDERS: dict[str, Callable[[Job], Command]] = {
    "engine": _engine,
    "hand_tuned": _script("hand_tuned.py", streaming=True),
    "default": _script("default.py", streaming=True),
    "rdd_lambdas": _script("rdd_lambdas.py", streaming=False),
}


@dataclass(frozen=True)
class Run:
    """What one contender took in one round."""

    contender: str
    round: int
    cost: Cost


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed or its results are not DuckDB's."""
    options = _options(arguments)
    try:
        rows = data.files(options.scale)
        expected = data.answer(rows)
        if "engine" in options.contenders:
            _warm_up(options)
        runs = [
            _run(name, number, rows, expected, options)
            for number in range(1, options.rounds + 1)
            for name in options.contenders
        ]
    except RunFailedError as error:
        print(error, file=sys.stderr)
        return 1
    million_rows = data.rows_at(options.scale) / 1e6
    print(_table(runs, million_rows))
    if options.json:
        record = {
            "million_rows": million_rows,
            "cpus": os.cpu_count(),
            "runs": list(map(asdict, runs)),
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("benchmarks w1", description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1.0 (default) is 10 million rows")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME"
    )
    parser.add_argument("--files-per-batch", type=int, default=4, help="of the 40; default 4")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's figures")
    return parser.parse_args(arguments)


def _warm_up(options: argparse.Namespace) -> None:
    """Runs the engine once unmeasured: its first run on a machine makes an archive of classes."""
    rows = data.files(WARM_UP_SCALE)
    print("warming up: engine", file=sys.stderr)
    _run("engine", 0, rows, data.answer(rows), options)


def _run(
    name: str, number: int, rows: Path, expected: list[data.Row], options: argparse.Namespace
) -> Run:
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=data.cache_folder()))
    job = Job(rows, folder, options.files_per_batch)
    command, environment = CONTENDERS[name](job)
    cost = measure(command, folder / "log", environment)
    _check(name, job, expected)
    shutil.rmtree(folder)
    print(f"round {number}: {name}: {cost.cpu:.1f} CPU-s, {cost.wall:.1f} s", file=sys.stderr)
    return Run(name, number, cost)


def _check(name: str, job: Job, expected: list[data.Row]) -> None:
    """Compares a contender's table with DuckDB's, row by row and exactly.

    Raises:
        RunFailedError: they differ, or the engine's own balance does not close.
    """
    connection = sqlite3.connect(job.result)
    found = connection.execute(_RESULT).fetchall()
    connection.close()
    if found != expected:
        missing, extra = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
        raise RunFailedError(
            f"{name}: {len(found)} rows, expected {len(expected)}; {len(missing)} missing, such as "
            f"{missing[:2]}; {len(extra)} that should not be, such as {extra[:2]}; see {job.folder}"
        )
    if job.report.exists() and not json.loads(job.report.read_text())["balanced"]:
        raise RunFailedError(f"{name}: the balance does not close; see {job.report}")


def _table(runs: list[Run], million_rows: float) -> str:
    """One line a contender; a ratio is the yardstick's CPU time by its own, round by round."""
    by_name: dict[str, list[Cost]] = {}
    for run in runs:
        by_name.setdefault(run.contender, []).append(run.cost)
    lines = [
        "| contender | CPU-s / M rows | rows/s | times hand_tuned |",
        "| --- | --- | --- | --- |",
    ]
    for name, costs in by_name.items():
        cpu = _spread([cost.cpu / million_rows for cost in costs])
        rate = statistics.median(million_rows * 1e6 / cost.wall for cost in costs)
        ratio = _ratio(by_name.get(YARDSTICK, []), costs)
        lines.append(f"| {name} | {cpu} | {rate:,.0f} | {ratio} |")
    if "engine" in by_name and "default" in by_name:
        lines += ["", f"engine, times default: {_ratio(by_name['default'], by_name['engine'])}"]
    lines += ["", "median (min to max); a ratio above 1 is less CPU time"]
    return "\n".join(lines)


def _ratio(others: list[Cost], costs: list[Cost]) -> str:
    ratios = [other.cpu / cost.cpu for other, cost in zip(others, costs, strict=False)]
    return _spread(ratios) if ratios else "-"


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
