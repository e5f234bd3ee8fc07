"""Turns a server that is away for some minutes into what a run holds and does meanwhile.

The soak's rows and windows go into sqlite and into a real InfluxDB 1, which stops in the middle and
comes back: the query waits, the rows of the meantime wait in their source. In the end both stores
hold as many windows, of as many rows, and every row is accounted for.
"""

import argparse
import contextlib
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import RunFailedError
from benchmarks.processes import tree
from benchmarks.rounds import line
from benchmarks.soak import run as soak
from benchmarks.w1 import data
from benchmarks.w1 import run as w1
from tests.servers.influx1 import InfluxOne
from tests.servers.process import ServerUnavailableError

DATABASE = "outage"
BEFORE, AWAY, AFTER = "before", "away", "after"


@dataclass(frozen=True)
class Look:
    """What the run's processes hold at a time, and what they have taken by then.

    Args:
        at: seconds since the start.
        memory: bytes.
        cpu: seconds.
    """

    at: float
    phase: str
    memory: int
    cpu: float


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 the run failed, or the stores do not hold the same."""
    parser = argparse.ArgumentParser("benchmarks outage", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="that the server is away")
    parser.add_argument("--around", type=float, default=2, help="minutes before and after")
    parser.add_argument("--rate", type=int, default=1000, help="rows a second; default 1000")
    parser.add_argument("--batch", type=float, default=5, help="seconds between batches; default 5")
    parser.add_argument("--memory", default="1g", help="of the JVM's heap; default 1g")
    parser.add_argument("--every", type=float, default=2, help="seconds between looks")
    options = parser.parse_args(arguments)
    try:
        w1.warm_up()
        with InfluxOne() as server:
            server.create_database(DATABASE)
            _run(server, options)
    except (RunFailedError, ServerUnavailableError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _run(server: InfluxOne, options: argparse.Namespace) -> None:
    folder = Path(tempfile.mkdtemp(prefix="outage-", dir=data.cache_folder()))
    count = round((options.minutes + 2 * options.around) * 60 * options.rate)
    config, log = folder / "config.json", folder / "log"
    config.write_text(json.dumps(_config(server)))
    command = [sys.executable, "-m", "engine", "run", str(config)]
    command += ["--report", str(folder / "report.json")]
    environment = {**os.environ, **soak.variables(folder, count, options)}
    with log.open("w") as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
    try:
        looks = _watched(process, server, options)
    finally:
        process.terminate()
        status = process.wait()
    if status != 0:
        raise RunFailedError(f"exit status {status}; see {log}")
    soak.check(folder, count)
    _compare(server, folder)
    print(_table(looks))
    notices = [each for each in log.read_text().splitlines() if each.startswith("output 'influx")]
    print(f"\n{count:,} rows, all accounted for, as many windows in both stores; said meanwhile:")
    print("\n".join(notices))
    shutil.rmtree(folder)


def _config(server: InfluxOne) -> dict[str, object]:
    config: dict[str, object] = json.loads(soak.CONFIG.read_text())
    options = {"host": server.host, "port": server.port, "database": DATABASE}
    options |= {"username": server.username, "password": server.password}
    sqlite = config["outputs"]
    assert isinstance(sqlite, list)
    return {**config, "outputs": [{"method": "influx", "options": options}, *sqlite]}


def _watched(
    process: subprocess.Popen[bytes], server: InfluxOne, options: argparse.Namespace
) -> list[Look]:
    """Looks at the run until it ends; the server is away in the meantime."""
    start, looks = time.time(), []
    leaves = options.around * 60
    comes = leaves + options.minutes * 60
    while process.poll() is None:
        at = time.time() - start
        if at > 3 * (comes + leaves) + 300:
            raise RunFailedError(f"not done after {at:.0f} s")
        phase = BEFORE if at < leaves else AWAY if at < comes else AFTER
        if phase is AWAY and server.runs:
            server.stop()
        elif phase is AFTER:
            server.start()
        those = tree(process.pid)
        cpu = sum(each.cpu + each.waited for each in those)
        looks.append(Look(at, phase, sum(each.memory for each in those), cpu))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(options.every)
    # The last looks may have seen a tree that was going down.
    return looks[:-2]


def _compare(server: InfluxOne, folder: Path) -> None:
    """The stores hold as many windows, of as many rows.

    Raises:
        RunFailedError: not so.
    """
    with contextlib.closing(sqlite3.connect(folder / "result.sqlite")) as connection:
        for stream in ("sensors", "types"):
            kept = connection.execute(f"SELECT count(*), sum(counter) FROM {stream}").fetchone()
            (series,) = server.query(f"SELECT count(counter), sum(counter) FROM {stream}", DATABASE)
            if list(kept) != series["values"][0][1:]:
                raise RunFailedError(
                    f"{stream}: {series['values'][0][1:]} windows and rows in InfluxDB, "
                    f"{list(kept)} in sqlite; see {folder}"
                )


def _table(looks: Sequence[Look]) -> str:
    lines = [line(["phase", "memory, MB", "at most", "CPU-s a minute"]), line(["---"] * 4)]
    for phase in (BEFORE, AWAY, AFTER):
        those = [each for each in looks if each.phase == phase]
        memory = [each.memory / 1e6 for each in those]
        minutes = (those[-1].at - those[0].at) / 60
        cpu = (those[-1].cpu - those[0].cpu) / minutes
        figures = (statistics.median(memory), max(memory), cpu)
        lines.append(line([phase, *(f"{each:,.0f}" for each in figures)]))
    away = [soak.Point(each.at, each.memory) for each in looks if each.phase == AWAY]
    grown = soak.growth_of(away)
    lines.append(f"\nmemory in the second half of the outage: {grown:+.1f} %" if grown else "")
    return "\n".join(lines)
