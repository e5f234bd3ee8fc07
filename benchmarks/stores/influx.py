"""Turns windows into points of a real InfluxDB, by the engine's writers and by a native loader.

The loader sends lines that lie ready, from as many processes; what it reaches is the server's own
rate. Both send the same points to databases of their own, in turns. Servers, writers and loaders
share the machine: `cpu` says how much of it the senders took.
"""

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from influxdb_client import InfluxDBClient

from benchmarks.measure import RunFailedError
from benchmarks.stores import sending
from engine.outputs._influx_lines import lines
from engine.outputs._influx_server import server
from engine.outputs.influx import Influx
from tests.servers.influx1 import InfluxOne
from tests.servers.influx2 import InfluxTwo
from tests.servers.process import ServerUnavailableError

SERVERS = {"influx1": InfluxOne, "influx2": InfluxTwo}
CONTENDERS = ("loader", "engine")


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
    found: dict[str, list[sending.Sent]] = {name: [] for name in options.contenders}
    with SERVERS[kind]() as there:
        for number in range(options.rounds):
            for name in found:
                database = f"{name} {number}"
                target = _target(there, database, options.gzip)
                sent = sending.sent(WORK[name], target, options.points, series, options.processes)
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


def _load(target: Influx, first: int, count: int, series: int, ready: Any, told: Any) -> None:
    """The server's own rate: requests that were made before the clock runs."""
    at = target.at(sending.job(target))
    requests = []
    for batch in sending.batches(first, count, series):
        made, _ = lines(sending.STREAM, batch, at.points[sending.STREAM.name])
        for start in range(0, len(made), at.batch_size):
            payload = made.slice(start, at.batch_size).payload
            requests.append(at.packed(payload))
    with server(at) as there:
        ready.wait(600)
        began = sending.cpu()
        for body in requests:
            assert there.write_packed(body) is None
        told.put(sending.cpu() - began)


WORK = {"loader": _load, "engine": sending.write}
