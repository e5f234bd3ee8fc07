"""Turns W2's contenders into CPU seconds a million rows, and into where their time goes.

W2 is W1's rows from 100,000 sensors instead of a hundred: a million rows make 950,000 windows,
which one batch opens and the next ones forget. Contenders: `engine`; `hand_tuned` with the state on
the heap; `rocksdb`, the same with the state in RocksDB; `engine_unwritten` and `hand_tuned_noop`,
which compute all windows and store none.
"""

import argparse
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import rounds, tables, traced
from benchmarks.rounds import Contender, Figures, Run
from benchmarks.w1 import data
from benchmarks.w1 import run as w1

HERE = Path(__file__).parent
ROWS = data.Kind("w2", sensors=100_000)
ENGINE, YARDSTICK, ROCKSDB = "engine", "hand_tuned", "rocksdb"
ENGINE_UNWRITTEN, NOOP = "engine_unwritten", "hand_tuned_noop"
CONTENDERS = [ENGINE, YARDSTICK, ROCKSDB, ENGINE_UNWRITTEN, NOOP]
_ANSWER = f"""
SELECT sensor_id, {tables.iso("timestamp // 10 * 10")},
       max(rotation_speed), min(rotation_speed), sum(rotation_speed), count(*)
FROM rows GROUP BY sensor_id, timestamp // 10 ORDER BY ALL
"""
_RESULT = """
SELECT sensor_id, window_start, rpm_max, rpm_min, rpm_sum, counter FROM rotation
ORDER BY sensor_id, window_start
"""
_TIMES = [
    # Wall time of the batches, and the larger ones of its parts.
    "batch.triggerExecution",
    "batch.addBatch",
    "batch.queryPlanning",
    "batch.walCommit",
    "batch.commitOffsets",
    # The tasks' time in the state store.
    "state.allUpdatesTimeMs",
    "state.allRemovalsTimeMs",
    "state.commitTimeMs",
    # The tasks' CPU time: up to the shuffle; and behind it, with the state and the output.
    "stages.shuffle_writing.executorCpuTime",
    "stages.shuffle_writing.shuffleWriteTime",
    "stages.result.executorCpuTime",
    "stages.result.shuffleFetchWaitTime",
    "jvm.gc_ms",
    "jvm.compiler_ms",
]
_ABOUT_TIMES = """\
batch.*: on the clock; state.* and stages.*: of all tasks, without Python's workers; jvm.*: of the
JVM's own threads. In update mode Spark's state.allUpdatesTimeMs lasts from a task's first row to
its last one: what reads the shuffle and what takes the rows is in it."""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed or its results are not DuckDB's."""
    parser = rounds.parser("w2", __doc__, CONTENDERS, [ENGINE, YARDSTICK])
    options = parser.parse_args(arguments)
    contenders = functools.partial(_contenders, options)
    return rounds.hold(options, contenders, functools.partial(_summary, options.scale))


def _contenders(options: argparse.Namespace) -> Mapping[str, Contender]:
    w1.warm_up()
    rows = data.files(options.scale, ROWS)

    def engine(streams: Sequence[str], folder: Path) -> Figures:
        config = json.loads((HERE / "engine_config.json").read_text())
        config["outputs"][0]["streams"] = list(streams)
        path = folder / "config.json"
        path.write_text(json.dumps(config))
        figures = traced.engine(folder, path, rows, options.scale, options.files_per_batch)
        if "aggregated" in streams:
            _check(folder, rows)
        return figures

    def hand_tuned(more: Sequence[str], folder: Path) -> Figures:
        program: list[str | Path] = [HERE / "hand_tuned.py", rows, folder / "result.sqlite"]
        program += [folder / "checkpoint", "--files-per-batch", str(options.files_per_batch)]
        total = data.rows_at(options.scale)
        figures = traced.run(folder, [*program, *more], total, options.files_per_batch)
        if "noop" not in more:
            _check(folder, rows)
        return figures

    return {
        ENGINE: functools.partial(engine, ["aggregated"]),
        YARDSTICK: functools.partial(hand_tuned, []),
        ROCKSDB: functools.partial(hand_tuned, ["--state", "rocksdb"]),
        # An output that takes another stream: the windows are computed, and counted.
        ENGINE_UNWRITTEN: functools.partial(engine, ["malformed"]),
        NOOP: functools.partial(hand_tuned, ["--sink", "noop"]),
    }


def _check(folder: Path, rows: Path) -> None:
    """Compares a contender's table with DuckDB's, row by row and exactly."""
    connection = data.table(rows)
    tables.same(folder / "result.sqlite", _RESULT, tables.answer(connection, _ANSWER))
    connection.close()


def _summary(scale: float, runs: Sequence[Run]) -> str:
    found = rounds.by_contender(runs)
    million_rows = data.rows_at(scale) / 1e6
    whole = rounds.ratios(found, YARDSTICK, ENGINE)
    steady = rounds.ratios(found, YARDSTICK, ENGINE, steady=True)
    ratio = f"steady {rounds.spread(steady)}, whole runs {rounds.spread(whole)}"
    lines = [
        rounds.costs(runs, million_rows, YARDSTICK),
        "",
        f"{YARDSTICK} by engine, CPU: {ratio}; goal: at least 2",
        "",
        rounds.ABOUT_STEADY,
        "",
        _where(found, million_rows),
    ]
    return "\n".join(lines)


def _where(found: Mapping[str, Sequence[Figures]], million_rows: float) -> str:
    """Where the time goes: seconds for a million rows, of each contender's first run."""
    first = {name: figures[0].milliseconds for name, figures in found.items()}
    lines = [
        f"| seconds / M rows, round 1 | {' | '.join(first)} |",
        "| --- |" + " --- |" * len(first),
    ]
    for name in _TIMES:
        cells = [f"{each.get(name, 0) / 1000 / million_rows:.2f}" for each in first.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", _ABOUT_TIMES])
