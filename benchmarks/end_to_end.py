"""Turns csv rows into windows in each real store: how fast from end to end, and the store's share.

W2's rows and windows, of as many sensors as `--sensors` says. `unwritten` computes all windows and
stores none; what a batch takes longer on the clock is the store's share. Each run has a server of
its own, which shares the machine; its CPU time is not among the run's. In the end it holds as many
windows as DuckDB computes, of as many rows.
"""

import argparse
import functools
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from benchmarks import rounds, traced
from benchmarks.measure import RunFailedError
from benchmarks.rounds import Contender, Figures, Run
from benchmarks.stores.places import PLACES, Place
from benchmarks.w1 import data
from benchmarks.w1 import run as w1
from benchmarks.w2 import run as w2
from tests.servers.process import ServerUnavailableError

UNWRITTEN = "unwritten"
STREAM, MEASURE = "rotation", "counter"
_BATCHES = "second_half"
_ANSWER = """
SELECT count(*), sum(n) FROM (
    SELECT count(*) AS n FROM rows GROUP BY sensor_id, timestamp // 10
)
"""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed, or a store holds other windows."""
    names = [UNWRITTEN, *PLACES]
    parser = rounds.parser("end_to_end", __doc__, names, names)
    parser.set_defaults(scale=0.1, rounds=1)
    parser.add_argument("--sensors", type=int, default=100_000)
    options = parser.parse_args(arguments)
    contenders = functools.partial(_contenders, options)
    return rounds.hold(options, contenders, functools.partial(_summary, options.scale))


def _contenders(options: argparse.Namespace) -> Mapping[str, Contender]:
    w1.warm_up()
    few = data.Kind(f"w2-{options.sensors}", options.sensors)
    rows = data.files(options.scale, w2.ROWS if options.sensors == w2.ROWS.sensors else few)
    windows, total = data.table(rows).execute(_ANSWER).fetchall()[0]

    def stored(place: Place, folder: Path) -> Figures:
        try:
            with place.server() if place.server else nullcontext() as there:
                told = place.empty(there, folder)
                figures = _run(folder, {**place.output, "streams": [STREAM]}, told, rows, options)
                found = place.counted(there, told, STREAM, MEASURE)
        except ServerUnavailableError as error:
            raise RunFailedError(str(error)) from None
        if found != (windows, total):
            raise RunFailedError(
                f"{windows} windows of {total} rows are due, and there are {found}"
            )
        return figures

    def unwritten(folder: Path) -> Figures:
        # The windows are computed, and counted, for an output that takes another stream.
        return _run(folder, {"method": "stdout", "streams": ["malformed"]}, {}, rows, options)

    placed = {name: functools.partial(stored, place) for name, place in PLACES.items()}
    return {UNWRITTEN: unwritten, **placed}


def _run(
    folder: Path,
    output: Mapping[str, object],
    told: Mapping[str, str],
    rows: Path,
    options: argparse.Namespace,
) -> Figures:
    config = json.loads((w2.HERE / "engine_config.json").read_text())
    path = folder / "config.json"
    path.write_text(json.dumps({**config, "outputs": [output]}))
    figures = traced.engine(folder, path, rows, options.scale, options.files_per_batch, told)
    batches = traced.Trace.read(folder / "trace.jsonl").progress
    took = [each["durationMs"]["triggerExecution"] for each in batches]
    # The first half makes tables and series, and the JVM's compiler has most of its work there.
    return replace(figures, milliseconds={_BATCHES: sum(took[len(took) // 2 :])})


def _summary(scale: float, runs: Sequence[Run]) -> str:
    found = rounds.by_contender(runs)
    lines = [rounds.costs(runs, data.rows_at(scale) / 1e6, UNWRITTEN), ""]
    lines += [rounds.line(["store", "its share of the time"]), rounds.line(["---"] * 2)]
    for name in found:
        pairs = zip(found.get(UNWRITTEN, ()), found[name], strict=False)
        shares = [
            1 - without.milliseconds[_BATCHES] / each.milliseconds[_BATCHES]
            for without, each in pairs
        ]
        if name != UNWRITTEN:
            lines.append(rounds.line([name, rounds.spread(shares)]))
    lines += ["", "of the time of the second half of the batches, on the clock"]
    return "\n".join(lines)
