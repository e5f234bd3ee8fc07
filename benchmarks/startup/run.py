"""Turns two programs into the time from their start to the first row of a window on stdout."""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Cost, RunFailedError, measure
from benchmarks.rounds import spread

HERE = Path(__file__).parent
CONTENDERS = ("engine", "plain")


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed."""
    parser = argparse.ArgumentParser("benchmarks startup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run's figures")
    options = parser.parse_args(arguments)
    costs: dict[str, list[Cost]] = {name: [] for name in options.contenders}
    try:
        if "engine" in costs:
            print("warming up: engine", file=sys.stderr)
            # The first run on a machine makes an archive of classes, which the later ones use.
            _run("engine")
        for number in range(1, options.rounds + 1):
            for name in costs:
                cost = _run(name)
                costs[name].append(cost)
                print(f"round {number}: {name}: {cost.first:.1f} s", file=sys.stderr)
    except RunFailedError as error:
        print(error, file=sys.stderr)
        return 1
    print(_table(costs))
    if options.json:
        runs = {name: list(map(asdict, of_name)) for name, of_name in costs.items()}
        record = {"cpus": os.cpu_count(), "runs": runs}
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def _run(name: str) -> Cost:
    folder = Path(tempfile.mkdtemp(prefix=f"startup-{name}-"))
    rows, checkpoint = HERE / "rows", folder / "checkpoint"
    command: list[str | Path]
    if name == "engine":
        command = [sys.executable, "-m", "engine", "run", HERE / "engine_config.json"]
        command += ["--once", "--checkpoint", checkpoint]
        environment = {"STARTUP_ROWS": str(rows)}
    else:
        command = [sys.executable, HERE / "plain.py", rows, checkpoint]
        environment = {"PYSPARK_PYTHON": sys.executable}
    cost = measure(command, folder / "log", environment, awaited=_is_window_row)
    shutil.rmtree(folder)
    return cost


def _is_window_row(line: str) -> bool:
    return line.startswith("{") and "window_start" in json.loads(line)


def _table(costs: dict[str, list[Cost]]) -> str:
    lines = [
        "| contender | seconds to the first window row | CPU-s of the run |",
        "| --- | --- | --- |",
    ]
    for name, of_name in costs.items():
        first = spread([cost.first or 0 for cost in of_name])
        lines.append(f"| {name} | {first} | {spread([cost.cpu for cost in of_name])} |")
    if len(costs) == len(CONTENDERS):
        pairs = zip(costs["plain"], costs["engine"], strict=True)
        ratios = [(plain.first or 0) / (engine.first or 1) for plain, engine in pairs]
        lines += ["", f"plain by engine: {spread(ratios)}"]
    lines += ["", "median (min to max)"]
    return "\n".join(lines)
