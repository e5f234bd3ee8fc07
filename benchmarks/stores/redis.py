"""Turns `python -m benchmarks redis` into the output's rate against TS.MADD's own.

As many processes each write the same samples, in turns: by the output's writer from Arrow batches,
and by redis-py's `execute_command("TS.MADD", …)` of 1,000 from lists that are there already.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from benchmarks.stores.sending import warm_rate
from engine.outputs import Batch, Job, Stream
from engine.outputs.redis import Redis
from engine.plan import Column
from engine.types import Type
from tests.servers.redis import RedisServer

_KEYS, _AT_ONCE = 5000, 1000
_MEASURES = {"n": Type.LONG, "mean": Type.DOUBLE}
_STREAM = Stream(
    "AggDay",
    (
        Column("window_start", Type.TIMESTAMP, "time"),
        Column("window_end", Type.TIMESTAMP, "time"),
        Column("sensor", Type.STRING, "key"),
        *(Column(name, of, "measure") for name, of in _MEASURES.items()),
    ),
)
_START_MS = 1_700_000_000_000
_VALUES = [place * 1.25 for place in range(_KEYS)]


def _rows(process: int, batch: int) -> pa.RecordBatch:
    start = [(_START_MS + batch * 1000) * 1000] * _KEYS
    times = pa.array(start, pa.timestamp("us", "UTC"))
    sensors = pa.array([f"p{process}s{place}" for place in range(_KEYS)])
    columns = [times, times, sensors, pa.array(range(_KEYS), pa.int64()), pa.array(_VALUES)]
    return pa.RecordBatch.from_arrays(columns, [column.name for column in _STREAM.columns])


def engine(port: int, process: int, batches: range) -> Callable[[], None]:
    """Writes by the output; the first batch, which makes the series, is not measured."""
    opened = Redis(host="127.0.0.1", port=port).open(Job("b", "redis", "c", "", (_STREAM,)))
    writer = opened.begin(Batch(0))(0)
    writer.write(_STREAM, _rows(process, batches.start))
    writer.settle()
    made = [_rows(process, batch) for batch in batches[1:]]

    def run() -> None:
        for rows in made:
            writer.write(_STREAM, rows)
        writer.settle()

    return run


def madd(port: int, process: int, batches: range) -> Callable[[], None]:
    """Writes by redis-py alone, into the same series."""
    from redis import Redis as Client

    client = Client("127.0.0.1", port)
    keys = [f"AggDay:p{process}s{place}:{name}" for name in _MEASURES for place in range(_KEYS)]
    values = _VALUES * len(_MEASURES)

    def run() -> None:
        for batch in batches[1:]:
            for first in range(0, len(keys), _AT_ONCE):
                words: list[Any] = [_START_MS + batch * 1000] * (3 * _AT_ONCE)
                words[0::3] = keys[first : first + _AT_ONCE]
                words[2::3] = values[first : first + _AT_ONCE]
                client.execute_command("TS.MADD", *words)

    return run


def main(arguments: list[str]) -> int:
    """Prints a line a round; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40, help=f"of {_KEYS} windows, a process")
    asked = parser.parse_args(arguments)
    ratios = []
    with RedisServer() as server:
        for number in range(asked.rounds):
            first = 2 * number * (asked.batches + 1)
            rates = {
                contender.__name__: warm_rate(
                    contender, server.port, asked.processes, batches, _KEYS * len(_MEASURES)
                )
                for contender, batches in (
                    (engine, range(first, first + asked.batches + 1)),
                    (madd, range(first + asked.batches + 1, first + 2 * (asked.batches + 1))),
                )
            }
            ratios.append(rates["engine"] / rates["madd"])
            told = "  ".join(f"{name} {each:,.0f}/s" for name, each in rates.items())
            print(f"round {number + 1}: {told}  ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")
    return 0
