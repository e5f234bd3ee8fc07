"""Turns few rows a micro-batch into what a batch costs by itself: the time on the clock and of CPU.

W1's config over 40 files of a thousand rows, a batch for each. `hand_tuned` is W1's PySpark script,
`plain` W1's config; in `late` 2 % of the rows of a batch are late and written; `derived` has a
measure that needs the window before, `analysed` three rules of which one asks for the past.
"""

import functools
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import ledger, rounds, tables, traced
from benchmarks.rounds import Contender, Figures, Run
from benchmarks.w1 import data
from benchmarks.w1 import run as w1

SCALE = 0.004
YARDSTICK = "hand_tuned"
_BATCH, _CPU = "batch ms", "batch CPU ms"


def _derived(config: dict[str, Any]) -> None:
    config["processing"]["aggregations"]["rule"].append("growth: delta(pressure)")


def _analysed(config: dict[str, Any]) -> None:
    config["outputs"][0]["main"] = True
    config["analysis"] = {
        "rule": [
            {
                "module": "SimpleAnalysis",
                "name": "jump",
                "options": {"deviation": {"rpm_sum": 1000}},
            },
            {"module": "Threshold", "name": "high", "options": {"crit": "rpm_max > 100000"}},
            {"module": "Threshold", "name": "low", "options": {"crit": "rpm_min < 0"}},
        ],
        "alert": {"method": "stdout"},
    }


CHANGES: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "plain": lambda config: None,
    "derived": _derived,
    "analysed": _analysed,
}


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed or its results are not DuckDB's."""
    names = [YARDSTICK, "plain", "late", "derived", "analysed"]
    parser = rounds.parser("small", __doc__, names, names)
    parser.set_defaults(scale=SCALE, files_per_batch=1)
    options = parser.parse_args(arguments)
    contenders = functools.partial(_contenders, options.scale, options.files_per_batch)
    return rounds.hold(options, contenders, _summary)


def _contenders(scale: float, files_per_batch: int) -> Mapping[str, Contender]:
    w1.warm_up()
    rows = data.files(scale)
    expected = data.answer(rows)
    total = data.rows_at(scale)

    def engine(change: Callable[[dict[str, Any]], None], folder: Path) -> Figures:
        config: dict[str, Any] = json.loads((w1.HERE / "engine_config.json").read_text())
        change(config)
        path = folder / "config.json"
        path.write_text(json.dumps(config))
        figures = traced.engine(folder, path, rows, scale, files_per_batch)
        tables.same(folder / "result.sqlite", w1.RESULT, expected)
        return figures

    def hand_tuned(folder: Path) -> Figures:
        result = folder / "result.sqlite"
        program: list[str | Path] = [w1.HERE / "hand_tuned.py", rows, result]
        program += [folder / "checkpoint", "--files-per-batch", str(files_per_batch)]
        figures = traced.run(folder, program, total, files_per_batch)
        tables.same(result, w1.RESULT, expected)
        return figures

    found: dict[str, Contender] = {
        YARDSTICK: hand_tuned,
        "late": ledger.contender(ledger.VARIANTS["late"], scale, files_per_batch),
        **{name: functools.partial(engine, change) for name, change in CHANGES.items()},
    }
    rows_of_batch = total * files_per_batch / data.FILES
    return {
        name: functools.partial(_of_a_batch, each, rows_of_batch) for name, each in found.items()
    }


def _of_a_batch(contender: Contender, rows: float, folder: Path) -> Figures:
    """The figures, with those of a batch of the second half."""
    figures = contender(folder)
    times = [
        progress["durationMs"]["triggerExecution"]
        for progress in traced.Trace.read(folder / "trace.jsonl").progress
    ]
    assert figures.steady is not None
    about = {
        _BATCH: statistics.median(times[len(times) // 2 :]),
        _CPU: figures.steady * rows / 1e3,
    }
    return replace(figures, milliseconds={**figures.milliseconds, **about})


def _summary(runs: Sequence[Run]) -> str:
    heads = ["contender", "batch, ms", "CPU ms"]
    lines = [rounds.line(heads), rounds.line(["---"] * len(heads))]
    for name, figures in rounds.by_contender(runs).items():
        cells = [
            statistics.median(each.milliseconds[about] for each in figures)
            for about in (_BATCH, _CPU)
        ]
        lines.append(rounds.line([name, *(f"{cell:,.0f}" for cell in cells)]))
    about = "\nthe middle batch of the second half, and what a batch of it takes of all processors"
    return "\n".join([*lines, f"{about}; medians over the rounds"])
