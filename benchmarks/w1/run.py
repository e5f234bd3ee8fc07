"""Turns W1's contenders into a table of CPU seconds a million rows, once their results agree."""

import argparse
import functools
import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import rounds, tables
from benchmarks.measure import RunFailedError, measure
from benchmarks.rounds import Contender, Figures, Run
from benchmarks.w1 import data

HERE = Path(__file__).parent
YARDSTICK = "hand_tuned"
WARM_UP_SCALE = 0.0005
RESULT = """
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
        "BENCH_ROWS": str(job.rows),
        "BENCH_RESULT": str(job.result),
        "BENCH_FILES_PER_BATCH": str(job.files_per_batch),
    }


CONTENDERS: dict[str, Callable[[Job], Command]] = {
    "engine": _engine,
    "hand_tuned": _script("hand_tuned.py", streaming=True),
    "default": _script("default.py", streaming=True),
    "rdd_lambdas": _script("rdd_lambdas.py", streaming=False),
}


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed or its results are not DuckDB's."""
    options = rounds.parser("w1", __doc__, list(CONTENDERS), list(CONTENDERS)).parse_args(arguments)
    contenders = functools.partial(_contenders, options)
    return rounds.hold(options, contenders, functools.partial(_summary, options.scale))


def _contenders(options: argparse.Namespace) -> Mapping[str, Contender]:
    if "engine" in options.contenders:
        warm_up()
    rows = data.files(options.scale)
    expected = data.answer(rows)

    def contender(name: str, folder: Path) -> Figures:
        return _run(name, Job(rows, folder, options.files_per_batch), expected)

    return {name: functools.partial(contender, name) for name in CONTENDERS}


def warm_up() -> None:
    """Runs the engine once unmeasured: its first run on a machine makes an archive of classes."""
    rows = data.files(WARM_UP_SCALE)
    print("warming up: engine", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=data.cache_folder()) as folder:
        _run("engine", Job(rows, Path(folder), data.FILES), data.answer(rows))


def _run(name: str, job: Job, expected: list[data.Row]) -> Figures:
    command, environment = CONTENDERS[name](job)
    cost = measure(command, job.folder / "log", environment)
    tables.same(job.result, RESULT, expected)
    if job.report.exists() and not json.loads(job.report.read_text())["balanced"]:
        raise RunFailedError(f"{name}: the balance does not close; see {job.report}")
    return Figures(cost.cpu, cost.wall)


def _summary(scale: float, runs: Sequence[Run]) -> str:
    lines = [rounds.costs(runs, data.rows_at(scale) / 1e6, YARDSTICK)]
    found = rounds.by_contender(runs)
    if "engine" in found and "default" in found:
        ratio = rounds.spread(rounds.ratios(found, "default", "engine"))
        lines += ["", f"default by engine: {ratio}"]
    return "\n".join(lines)
