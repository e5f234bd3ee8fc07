"""Turns windows into rows of a real PostgreSQL, by the engine's writers and by a native loader.

The loader copies csv that lies ready into a temporary table and upserts from there, from as many
processes, as many rows at a time; what it reaches is the server's own rate. Both write the same
rows to tables of their own, in turns: at first new ones, then the same again. Server, writers and
loaders share the machine: `cpu` says how much of it the senders took.
"""

import argparse
import io
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.csv

from benchmarks.measure import RunFailedError
from benchmarks.stores import sending
from engine.outputs._postgres_line import connect
from engine.outputs.postgres import Postgres
from tests.servers.postgres import PostgresServer
from tests.servers.process import ServerUnavailableError

CONTENDERS = ("loader", "engine")
WAYS = ("new", "again")
_COLUMNS = (
    "window_start timestamptz, window_end timestamptz, sensor text, n bigint, mean double precision"
)


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed, or the server has other rows."""
    parser = argparse.ArgumentParser("benchmarks postgres", description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--series", type=int, default=1_000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=10_000)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's figures")
    options = parser.parse_args(arguments)
    try:
        runs = list(_runs(options))
    except (RunFailedError, ServerUnavailableError) as error:
        print(error, file=sys.stderr)
        return 1
    if options.json:
        record = {"cpus": os.cpu_count(), "runs": runs}
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def _runs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The runs of all contenders, in turns; then the table."""
    found: dict[tuple[str, str], list[sending.Sent]] = {}
    with PostgresServer() as there:
        for number in range(options.rounds):
            for name in options.contenders:
                schema = f"{name} {number}"
                target = _target(there, schema, options.batch_size)
                for way in WAYS:
                    sent = sending.sent(
                        WORK[name], target, options.rows, options.series, options.processes
                    )
                    found.setdefault((way, name), []).append(sent)
                    yield {"way": way, "contender": name, **asdict(sent)}
                _drop(there, schema, options.rows)
    for way in WAYS:
        of = {name: found[way, name] for name in options.contenders}
        middle = {name: statistics.median(each.rate for each in of[name]) for name in of}
        told = [f"{name} {rate / 1000:.1f} k rows/s" for name, rate in middle.items()]
        if len(middle) == len(CONTENDERS):
            told.append(f"{middle['engine'] / middle['loader']:.0%}")
        told += [f"{name} {min(e.cpu for e in of[name]):.1f} CPU s/M rows" for name in of]
        print(f"{way}: {', '.join(told)}", flush=True)


def _target(there: PostgresServer, schema: str, batch_size: int) -> Postgres:
    with there.connect() as connection:
        connection.execute(f'CREATE SCHEMA "{schema}"')
    target = Postgres(
        host=there.host,
        port=there.port,
        database=there.database,
        username=there.username,
        password=there.password,
        schema=schema,
        batch_size=batch_size,
    )
    # Both write to the engine's table.
    target.open(sending.job(target)).close()
    return target


def _drop(there: PostgresServer, schema: str, rows: int) -> None:
    """Throws the rows away, so that every contender finds an empty server; counts them first."""
    with there.connect() as connection:
        counted = connection.execute(f'SELECT count(*) FROM "{schema}".plant').fetchone()
        connection.execute(f'DROP SCHEMA "{schema}" CASCADE')
        connection.execute("CHECKPOINT")
    if counted != (rows,):
        raise RunFailedError(f"{schema}: the server has {counted} rows of {rows}")


def _load(target: Postgres, first: int, count: int, series: int, ready: Any, told: Any) -> None:
    """The server's own rate: csv that was made before the clock runs."""
    payloads = []
    for batch in sending.batches(first, count, series):
        for start in range(0, batch.num_rows, target.batch_size):
            to = io.BytesIO()
            part = batch.slice(start, target.batch_size)
            pyarrow.csv.write_csv(part, to, pyarrow.csv.WriteOptions(include_header=False))
            payloads.append(to.getvalue())
    with connect(target) as connection:
        connection.execute(f"CREATE TEMP TABLE fresh ({_COLUMNS}) ON COMMIT DELETE ROWS")
        connection.commit()
        ready.wait(600)
        began = sending.cpu()
        for payload in payloads:
            with connection.transaction():
                with connection.cursor().copy("COPY fresh FROM STDIN (FORMAT csv)") as copy:
                    copy.write(payload)
                connection.execute(
                    f'INSERT INTO "{target.schema}".plant SELECT * FROM fresh '
                    "ON CONFLICT (sensor, window_start) DO UPDATE SET "
                    "window_end = excluded.window_end, n = excluded.n, mean = excluded.mean"
                )
        told.put(sending.cpu() - began)


WORK = {"loader": _load, "engine": sending.write}
