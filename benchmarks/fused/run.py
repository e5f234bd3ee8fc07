"""Turns W1's rows into what eight fused aggregations cost, beside the first of them alone.

Contenders: `one` is the first aggregation of the config, `eight` all in one run, `apart` eight runs
of one each, one after the other (not among the default ones: it takes as long as all others).
"""

import functools
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import rounds, tables, traced
from benchmarks.fused.answer import AGGREGATIONS
from benchmarks.rounds import Contender, Figures, Run
from benchmarks.w1 import data
from benchmarks.w1 import run as w1

CONFIG = Path(__file__).parent / "engine_config.json"
ONE, EIGHT, APART = "one", "eight", "apart"


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed or its results are not DuckDB's."""
    parser = rounds.parser("fused", __doc__, [ONE, EIGHT, APART], [ONE, EIGHT])
    options = parser.parse_args(arguments)

    def contenders() -> Mapping[str, Contender]:
        w1.warm_up()
        bench = _Bench(options.scale, options.files_per_batch)
        names = list(AGGREGATIONS)
        return {
            ONE: functools.partial(bench.run, names[:1]),
            EIGHT: functools.partial(bench.run, names),
            APART: bench.apart,
        }

    return rounds.hold(options, contenders, functools.partial(_summary, options.scale))


class _Bench:
    """The rows, and what each aggregation should give."""

    def __init__(self, scale: float, files_per_batch: int) -> None:
        self.scale = scale
        self.files_per_batch = files_per_batch
        self.rows = data.files(scale)
        connection = data.table(self.rows)
        self.expected = {name: each.expected(connection) for name, each in AGGREGATIONS.items()}
        connection.close()

    def run(self, names: Sequence[str], folder: Path) -> Figures:
        """One run of some aggregations of the config."""
        config = folder / "config.json"
        config.write_text(json.dumps(_config(names)))
        figures = traced.engine(folder, config, self.rows, self.scale, self.files_per_batch)
        for name in names:
            query = AGGREGATIONS[name].found(name)
            tables.same(folder / "result.sqlite", query, self.expected[name])
        return figures

    def apart(self, folder: Path) -> Figures:
        """A run for each aggregation; the sums."""
        found = []
        for name in AGGREGATIONS:
            (folder / name).mkdir()
            found.append(self.run([name], folder / name))
            print(f"  {name}: {found[-1].cpu:.1f} CPU-s", file=sys.stderr)
        milliseconds: Counter[str] = Counter()
        for each in found:
            milliseconds.update(each.milliseconds)
        return Figures(
            sum(each.cpu for each in found),
            sum(each.wall for each in found),
            sum(each.steady or 0 for each in found),
            dict(milliseconds),
        )


def _config(names: Sequence[str]) -> dict[str, Any]:
    """The config with these aggregations alone."""
    config: dict[str, Any] = json.loads(CONFIG.read_text())
    processing = config["processing"]
    processing["aggregations"] = [
        each for each in processing["aggregations"] if each["name"] in names
    ]
    return config


def _summary(scale: float, runs: Sequence[Run]) -> str:
    found = rounds.by_contender(runs)
    lines = [
        rounds.costs(runs, data.rows_at(scale) / 1e6, ONE),
        "",
        rounds.goal("eight fused, times one", rounds.ratios(found, EIGHT, ONE, steady=True), 1.5),
        "",
        rounds.ABOUT_STEADY,
    ]
    return "\n".join(lines)
