"""Turns `python -m benchmarks cassandra` into the output's rate against the driver's own.

As many processes each write new windows of the same series into one table, in turns: by the
output's writer from Arrow batches, and by the driver's concurrent prepared inserts from tuples that
are there already, with as many under way. Node and senders share the machine.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from benchmarks.measure import RunFailedError
from benchmarks.stores.sending import STREAM, warm_rate
from engine.outputs import Batch, Job
from engine.outputs.cassandra import Cassandra
from tests.servers.cassandra import CassandraNode
from tests.servers.process import ServerUnavailableError

#: Windows of a batch; all processes have as many sensors.
_KEYS = 1000
_JOB = Job("benchmark", "cassandra", "", "", (STREAM,))
_START_MS = 1_767_225_600_000
_INSERT = "INSERT INTO bench.plant (sensor, window_start, window_end, n, mean)"


def _tuples(process: int, batch: int) -> list[tuple[Any, ...]]:
    start = _START_MS + batch * 10_000
    return [
        (f"p{process}s{place}", start, start + 10_000, place, place * 1.25)
        for place in range(_KEYS)
    ]


def _rows(process: int, batch: int) -> pa.RecordBatch:
    sensors, starts, ends, counts, means = map(list, zip(*_tuples(process, batch), strict=True))
    of_time = pa.timestamp("us", "UTC")
    columns = [
        *(pa.array([1000 * each for each in times], of_time) for times in (starts, ends)),
        *(pa.array(sensors), pa.array(counts, pa.int64()), pa.array(means, pa.float64())),
    ]
    return pa.RecordBatch.from_arrays(columns, [column.name for column in STREAM.columns])


def engine(target: Cassandra, process: int, batches: range) -> Callable[[], None]:
    """Writes by the output; the first batch, which connects, is not measured."""
    writer = target.open(_JOB).begin(Batch(0))(0)
    writer.write(STREAM, _rows(process, batches[0]))
    writer.settle()
    made = [_rows(process, batch) for batch in batches[1:]]

    def run() -> None:
        for rows in made:
            writer.write(STREAM, rows)
        writer.settle()
        assert not writer.refused()

    return run


def driver(target: Cassandra, process: int, batches: range) -> Callable[[], None]:
    """Writes by the driver alone, into the same table."""
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.concurrent import execute_concurrent_with_args
    from cassandra.policies import RoundRobinPolicy

    profile = ExecutionProfile(RoundRobinPolicy(), request_timeout=30)
    profiles = {EXEC_PROFILE_DEFAULT: profile}
    cluster = Cluster(list(target.hosts), target.port, execution_profiles=profiles)
    session = cluster.connect()
    statement = session.prepare(f"{_INSERT} VALUES (?, ?, ?, ?, ?)")

    def send(rows: list[tuple[Any, ...]]) -> None:
        execute_concurrent_with_args(session, statement, rows, concurrency=target.concurrency)

    send(_tuples(process, batches[0]))
    made = [_tuples(process, batch) for batch in batches[1:]]

    def run() -> None:
        for rows in made:
            send(rows)

    return run


def main(arguments: list[str]) -> int:
    """Prints a line a round; the exit status: 1 where the table lacks rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=20, help=f"of {_KEYS} windows, a process")
    asked = parser.parse_args(arguments)
    try:
        with CassandraNode() as node:
            print(f"median ratio {statistics.median(_ratios(node, asked)):.2f}")
    except (RunFailedError, ServerUnavailableError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _ratios(node: CassandraNode, asked: argparse.Namespace) -> list[float]:
    """The engine's share of the driver's rate, round by round; one more before is not counted."""
    target = Cassandra(hosts=(node.host,), port=node.port, keyspace="bench", create=True)
    target.open(_JOB).close()
    ratios, next_batch = [], 0
    for number in range(asked.rounds + 1):
        rates = {}
        # The node compiles while it works and fills up: whoever is first changes.
        for contender in (engine, driver) if number % 2 else (driver, engine):
            batches = range(next_batch, next_batch + asked.batches + 1)
            next_batch = batches.stop
            rates[contender.__name__] = warm_rate(
                contender, target, asked.processes, batches, _KEYS
            )
        told = "  ".join(f"{name} {rates[name]:,.0f}/s" for name in ("engine", "driver"))
        ratio = rates["engine"] / rates["driver"]
        print(f"round {number or '0 (to warm up)'}: {told}  ratio {ratio:.2f}", flush=True)
        ratios += [ratio] if number else []
    with node.session() as session:
        (held,) = session.execute("SELECT count(*) FROM bench.plant").one()
    if held != next_batch * _KEYS * asked.processes:
        raise RunFailedError(f"the table holds {held} rows of {next_batch * _KEYS}")
    return ratios
