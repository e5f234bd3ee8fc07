"""Turns windows into points of a real InfluxDB, by the engine's writers and by a native loader.

The loader sends lines that lie ready, from as many processes; what it reaches is the server's own
rate. Both send the same points to databases of their own, in turns. Servers, writers and loaders
share the machine: `cpu` says how much of it the senders took.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from influxdb_client import InfluxDBClient

from benchmarks.measure import RunFailedError
from engine.outputs import Batch, Job, Stream
from engine.outputs._influx_lines import lines
from engine.outputs._influx_server import server
from engine.outputs.influx import Influx
from engine.plan import Column
from engine.types import Type
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import InfluxTwo
from tests.servers.process import ServerUnavailableError

SERVERS = {"influx1": InfluxOne, "influx2": InfluxTwo}
CONTENDERS = ("loader", "engine")
_TIME = pa.timestamp("us", tz="UTC")
_START_US = 1_767_225_600_000_000
#: As Spark hands them over.
_ROWS = 10_000
STREAM = Stream(
    "plant",
    (
        Column("window_start", Type.TIMESTAMP, "time"),
        Column("window_end", Type.TIMESTAMP, "time"),
        Column("sensor", Type.STRING, "key"),
        Column("n", Type.LONG, "measure"),
        Column("mean", Type.DOUBLE, "measure"),
    ),
)


@dataclass(frozen=True)
class Sent:
    """What a contender took: points in a second, CPU seconds of its own for a million points."""

    rate: float
    cpu: float


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed, or the server has other points."""
    parser = argparse.ArgumentParser("benchmarks influx", description=__doc__)
    parser.add_argument("--points", type=int, default=500_000)
    parser.add_argument("--series", type=int, nargs="+", default=[100, 100_000])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=list(SERVERS))
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--gzip", action="store_true", help="compress requests")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's figures")
    options = parser.parse_args(arguments)
    runs: list[dict[str, Any]] = []
    try:
        for kind in options.servers:
            for series in options.series:
                runs += _runs(kind, series, options)
    except (RunFailedError, ServerUnavailableError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        record = {"cpus": os.cpu_count(), "runs": runs}
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def _runs(kind: str, series: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The runs of all contenders on one server, in turns; then a line of the table."""
    found: dict[str, list[Sent]] = {name: [] for name in options.contenders}
    with SERVERS[kind]() as there:
        for number in range(options.rounds):
            for name in found:
                database = f"{name} {number}"
                target = _target(there, database, options.gzip)
                sent = _sent(name, target, series, options)
                _drop(there, database, options.points)
                found[name].append(sent)
                yield {"server": kind, "series": series, "contender": name, **asdict(sent)}
    middle = {name: statistics.median(each.rate for each in of) for name, of in found.items()}
    told = [f"{name} {rate / 1000:.1f} k points/s" for name, rate in middle.items()]
    if len(middle) == len(CONTENDERS):
        told.append(f"{middle['engine'] / middle['loader']:.0%}")
    cpu = [f"{name} {min(e.cpu for e in of):.1f} CPU s/M points" for name, of in found.items()]
    print(f"{kind}, {series} series: {', '.join([*told, *cpu])}", flush=True)


def _target(there: InfluxOne | InfluxTwo, database: str, gzip: bool) -> Influx:
    where: dict[str, Any] = {"host": there.host, "port": there.port, "gzip": gzip}
    if isinstance(there, InfluxOne):
        there.create_database(database)
        who = {"username": there.username, "password": there.password}
        return Influx(**where, **who, database=database)
    there.create_bucket(database)
    return Influx(**where, org=there.org, token=there.token, bucket=database)


def _drop(there: InfluxOne | InfluxTwo, database: str, points: int) -> None:
    """Throws the points away, so that every contender finds an empty server; counts them first."""
    if isinstance(there, InfluxOne):
        [counted] = there.query("SELECT count(n) FROM plant", database)
        found = counted["values"][0][1]
        there.query(f'DROP DATABASE "{database}"')
    else:
        text = (
            f'from(bucket: "{database}") |> range(start: 0) |> filter(fn: (r) => r._field == "n")'
        )
        with InfluxDBClient(there.url, there.token, org=there.org, timeout=600_000) as client:
            [table] = client.query_api().query(f"{text} |> group() |> count()")
            found = table.records[0].get_value()
            client.buckets_api().delete_bucket(
                client.buckets_api().find_bucket_by_name(database).id
            )
    if found != points:
        raise RunFailedError(f"{database}: the server has {found} points of {points}")


def _sent(name: str, target: Influx, series: int, options: argparse.Namespace) -> Sent:
    """The rate of as many processes, from the moment when all are ready."""
    spawning = multiprocessing.get_context("spawn")
    ready, told = spawning.Barrier(options.processes + 1), spawning.SimpleQueue()
    share = options.points // options.processes
    work = {"loader": _load, "engine": _write}[name]
    processes = [
        spawning.Process(target=work, args=(target, at * share, share, series, ready, told))
        for at in range(options.processes)
    ]
    for each in processes:
        each.start()
    ready.wait(600)
    began = time.monotonic()
    for each in processes:
        each.join()
    seconds = time.monotonic() - began
    if any(each.exitcode for each in processes):
        raise RunFailedError(f"{name}: a process ended with an error")
    cpu = sum(told.get() for _ in processes)
    return Sent(options.points / seconds, cpu / options.points * 1e6)


def _write(target: Influx, first: int, count: int, series: int, ready: Any, told: Any) -> None:
    """The engine's way: Arrow batches to a task's writer."""
    job = Job("benchmark", "influx", "", "", (STREAM,))
    batches = list(_batches(first, count, series))
    writer = target.open(job).begin(Batch(0))(0)
    ready.wait(600)
    began = _cpu()
    for each in batches:
        writer.write(STREAM, each)
    writer.settle()
    assert not writer.refused()
    writer.commit()
    told.put(_cpu() - began)


def _load(target: Influx, first: int, count: int, series: int, ready: Any, told: Any) -> None:
    """The server's own rate: requests that were made before the clock runs."""
    at = target.at(Job("benchmark", "influx", "", "", (STREAM,)))
    requests = []
    for batch in _batches(first, count, series):
        made, _ = lines(STREAM, batch, at.points[STREAM.name])
        for start in range(0, len(made), at.batch_size):
            payload = made.slice(start, at.batch_size).payload
            requests.append(at.packed(payload))
    with server(at) as there:
        ready.wait(600)
        began = _cpu()
        for body in requests:
            assert there.write_packed(body) is None
        told.put(_cpu() - began)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _batches(first: int, count: int, series: int) -> Iterator[pa.RecordBatch]:
    """Windows of ten seconds, all series of one behind each other."""
    for start in range(first, first + count, _ROWS):
        numbers = range(start, min(start + _ROWS, first + count))
        times = [_START_US + each // series * 10_000_000 for each in numbers]
        columns = [
            pa.array(times, _TIME),
            pa.array([each + 10_000_000 for each in times], _TIME),
            pa.array([f"sensor-{each % series}" for each in numbers]),
            pa.array(list(numbers), pa.int64()),
            pa.array([each * 0.37 for each in numbers]),
        ]
        yield pa.RecordBatch.from_arrays(columns, [each.name for each in STREAM.columns])
