"""Turns contenders into rounds of measured runs, each with its results checked, and a table."""

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.measure import RunFailedError
from benchmarks.w1 import data


@dataclass(frozen=True)
class Figures:
    """What a run took.

    `cpu` is CPU seconds of the whole process tree, `wall` seconds; `steady` is CPU seconds for a
    million rows once the run is warm, None where that was not taken; `milliseconds` is what Spark
    says of itself, by name.
    """

    cpu: float
    wall: float
    steady: float | None = None
    milliseconds: Mapping[str, float] = field(default_factory=dict)


Contender = Callable[[Path], Figures]
"""Runs in an empty folder of its own and checks its results; raises RunFailedError."""


@dataclass(frozen=True)
class Run:
    """What one contender took in one round."""

    contender: str
    round: int
    figures: Figures


def parser(
    name: str, about: str, contenders: Sequence[str], default: Sequence[str]
) -> argparse.ArgumentParser:
    """The options that these benchmarks have in common."""
    options = argparse.ArgumentParser(f"benchmarks {name}", description=about)
    options.add_argument("--scale", type=float, default=1.0, help="1.0 is 10 million rows")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument(
        "--contenders", nargs="+", choices=contenders, default=list(default), metavar="NAME"
    )
    options.add_argument("--files-per-batch", type=int, default=4, help="of the 40; default 4")
    options.add_argument("--json", type=Path, metavar="FILE", help="write every run's figures")
    return options


def hold(
    options: argparse.Namespace,
    contenders: Callable[[], Mapping[str, Contender]],
    summary: Callable[[Sequence[Run]], str],
) -> int:
    """Runs the chosen contenders in turns, round by round.

    Args:
        contenders: makes the rows and the expected results, and gives the contenders by name.
        summary: what is printed in the end.

    Returns:
        The exit status: 0 done, 1 a contender failed or has other results.
    """
    runs = []
    try:
        by_name = contenders()
        for number in range(1, options.rounds + 1):
            for name in options.contenders:
                figures = _in_folder(name, by_name[name])
                cost = f"{figures.cpu:.1f} CPU-s, {figures.wall:.1f} s"
                print(f"round {number}: {name}: {cost}", file=sys.stderr)
                runs.append(Run(name, number, figures))
    except RunFailedError as error:
        print(error, file=sys.stderr)
        return 1
    print(summary(runs))
    if options.json:
        record = {
            "million_rows": data.rows_at(options.scale) / 1e6,
            "cpus": os.cpu_count(),
            "runs": list(map(asdict, runs)),
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


def _in_folder(name: str, contender: Contender) -> Figures:
    """A run in a folder that stays when the run failed: its log and its results are there."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=data.cache_folder()))
    figures = contender(folder)
    shutil.rmtree(folder)
    return figures


def by_contender(runs: Iterable[Run]) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {}
    for run in runs:
        found.setdefault(run.contender, []).append(run.figures)
    return found


def costs(runs: Sequence[Run], million_rows: float, yardstick: str) -> str:
    """One line a contender; a ratio is the yardstick's CPU time by its own, round by round."""
    found = by_contender(runs)
    is_steady = all(run.figures.steady is not None for run in runs)
    heads = ["contender", "CPU-s / M rows", "rows/s", f"times {yardstick}"]
    heads += ["steady", f"steady, times {yardstick}"] if is_steady else []
    lines = [line(heads), line(["---"] * len(heads))]
    for name, figures in found.items():
        cells = [
            name,
            spread([each.cpu / million_rows for each in figures]),
            f"{statistics.median(million_rows * 1e6 / each.wall for each in figures):,.0f}",
            spread(ratios(found, yardstick, name)),
        ]
        if is_steady:
            steady = [each.steady or 0 for each in figures]
            cells += [spread(steady), spread(ratios(found, yardstick, name, steady=True))]
        lines.append(line(cells))
    return "\n".join([*lines, "", "median (min to max); a ratio above 1 is less CPU time"])


def line(cells: Sequence[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def ratios(
    found: Mapping[str, Sequence[Figures]], name: str, other: str, *, steady: bool = False
) -> list[float]:
    """The CPU time of a contender by that of another one in the same round."""
    pairs = zip(found.get(name, ()), found.get(other, ()), strict=False)
    if not steady:
        return [each.cpu / by.cpu for each, by in pairs]
    return [each.steady / by.steady for each, by in pairs if each.steady and by.steady]


def spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


ABOUT_STEADY = "steady: CPU-s / M rows in the second half of the batches"


def goal(text: str, values: Sequence[float], at_most: float) -> str:
    """A line about a goal; the median counts."""
    if not values:
        return f"{text}: not measured, for a contender is missing"
    verdict = "met" if statistics.median(values) <= at_most else "missed"
    return f"{text}: {spread(values)}, goal: at most {at_most:.2f}: {verdict}"
