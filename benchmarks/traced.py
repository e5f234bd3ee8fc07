"""Turns a streaming program into the figures of its run, from outside and from its trace."""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import RunFailedError, measure
from benchmarks.rounds import Figures
from benchmarks.w1 import data


@dataclass(frozen=True)
class Trace:
    """What `benchmarks.tracing` has written.

    `marks` are CPU seconds of the process tree at the ends of batches, by the batch's number.
    """

    marks: Mapping[int, float]
    progress: Sequence[Mapping[str, Any]]
    end: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Trace":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        marks = [line["mark"] for line in lines if "mark" in line]
        ends = [line["end"] for line in lines if "end" in line]
        return cls(
            {mark["batch"]: mark["cpu"] for mark in marks},
            [line["progress"] for line in lines if "progress" in line],
            ends[0] if ends else {},
        )

    def steady(self, rows: int, files_per_batch: int) -> float:
        """CPU seconds for a million rows between the end of a middle batch and that of the last.

        Both are read in one process, so the start of Python, of the JVM and of Spark is not in it,
        nor what the JVM compiles in the first half. The difference of two runs of two scales would
        hold the noise of two starts, and the compiler's work that the smaller run did not reach.
        """
        last = max(self.marks)
        middle = last // 2
        behind = rows - min(rows, (middle + 1) * files_per_batch * (rows // data.FILES))
        if not behind:
            return 0.0
        return (self.marks[last] - self.marks[middle]) / (behind / 1e6)

    def milliseconds(self) -> dict[str, float]:
        """Where the time went, summed over batches: `batch.*` are times on the clock, `state.*`
        and `stages.*` those of all tasks, `jvm.*` those of the JVM's own threads."""
        found: Counter[str] = Counter()
        for progress in self.progress:
            found.update({f"batch.{k}": v for k, v in progress["durationMs"].items()})
            for operator in progress["stateOperators"]:
                found.update({f"state.{k}": v for k, v in operator.items() if k.endswith("TimeMs")})
        for side, times in self.end.get("stages", {}).items():
            found.update({f"stages.{side}.{k}": v for k, v in times.items() if k != "stages"})
        found.update({f"jvm.{k}": v for k, v in self.end.items() if k != "stages"})
        return dict(found)


def run(
    folder: Path,
    program: Sequence[str | Path],
    rows: int,
    files_per_batch: int,
    environment: Mapping[str, str] | None = None,
    ledger: bool = True,
) -> Figures:
    """Runs a module (`engine`) or a script with its arguments, with a trace beside."""
    trace = folder / "trace.jsonl"
    command: list[str | Path] = [sys.executable, "-m", "benchmarks.tracing", trace]
    command += [] if ledger else ["--no-ledger"]
    # Spark would start the system's `python3` for the workers.
    environment = {"PYSPARK_PYTHON": sys.executable, **(environment or {})}
    cost = measure([*command, *program], folder / "log", environment)
    found = Trace.read(trace)
    steady = found.steady(rows, files_per_batch)
    return Figures(cost.cpu, cost.wall, steady, found.milliseconds())


def engine(
    folder: Path,
    config: Path,
    rows: Path,
    scale: float,
    files_per_batch: int,
    told: Mapping[str, str] | None = None,
    ledger: bool = True,
) -> Figures:
    """Runs a config of the engine over files, once, and sees that its balance closes.

    The config finds the files as `${BENCH_ROWS}`, `${BENCH_FILES_PER_BATCH}`, and as
    `${BENCH_RESULT}` the place of its sqlite file, `result.sqlite` in the folder; and more that it
    is `told`.
    """
    report = folder / "report.json"
    program: list[str | Path] = ["engine", "run", config, "--once"]
    program += ["--checkpoint", folder / "checkpoint", "--report", report]
    environment = {
        "BENCH_ROWS": str(rows),
        "BENCH_FILES_PER_BATCH": str(files_per_batch),
        "BENCH_RESULT": str(folder / "result.sqlite"),
        **(told or {}),
    }
    total = data.rows_at(scale)
    figures = run(folder, program, total, files_per_batch, environment, ledger)
    told = json.loads(report.read_text())
    if ledger and not (told["balanced"] and told["rows_read"] == total):
        raise RunFailedError(f"{config}: of {total} rows the balance does not close; see {report}")
    return figures
