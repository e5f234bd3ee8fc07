"""A run that is killed again and again, beside one that nobody disturbs.

``python -m tests.kills 100`` kills a hundred times, with another seed each time it is called.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.jobs import Job, iso, rows

ROOT = Path(__file__).parent.parent
SIDE = ("raw", "late", "malformed")
#: Files that arrive before each start; what a killed run leaves is for the next one.
FILES = 2
_AGGREGATIONS = [
    {
        "name": "by key",
        "rule": ["key: key", "n: count()", "newest: last(value)", "more: delta(value)"],
    },
    {"name": "high", "window": "30 seconds", "where": "value > 50", "rule": ["n: count()"]},
    {
        "name": "visits",
        "window": {"gap": "3 seconds"},
        "rule": ["key: key", "n: count()", "newest: last(value)"],
    },
]
#: What runs are killed: with all kinds of windows; with sessions alone, which have no state; where
#: duplicates are dropped.
FIXTURES = {
    "all": _AGGREGATIONS,
    "sessions": _AGGREGATIONS[2:],
    "duplicates": _AGGREGATIONS[:2],
}
#: In the first of them: alarms that begin and end, are corrected, and of keys that are silent.
_ANALYSIS = {
    "rule": [
        {
            "module": "Threshold",
            "name": "high",
            "options": {
                "aggregation": "by key",
                "crit": "newest > 80",
                "crit_reset": "newest < 30",
            },
        },
        {
            "module": "SimpleAnalysis",
            "name": "jump",
            "options": {"aggregation": "by key", "deviation": {"newest": 40}, "level": "warn"},
        },
        {
            "module": "Deadman",
            "name": "silent",
            "options": {"aggregation": "by key", "windows": 1},
        },
    ]
}
#: A run that lives for seconds starts sooner without the compiler for long ones.
_SPARK = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}


#: Records are equal in all or in nothing.
_DEDUPLICATE = {"by": ["time", "key", "value"], "within": "10 seconds"}


def config(job: Job, fixture: str) -> None:
    alarms = fixture == "all"
    path = job.config(
        FIXTURES[fixture],
        streams=["aggregated", "raw", "late", "malformed", *(["alerts"] if alarms else [])],
        processing={
            "allowed_lateness": "5 seconds",
            "deduplicate": _DEDUPLICATE if fixture == "duplicates" else None,
        },
        engine={"spark": _SPARK},
    )
    if alarms:
        whole = json.loads(path.read_text())
        whole["outputs"][0]["main"] = True
        path.write_text(json.dumps({**whole, "analysis": _ANALYSIS}))


def arrive(job: Job, drawn: random.Random) -> None:
    """A file of 60 records over 20 seconds: some out of order, some too late, some malformed, some
    twice; and some of the file before again."""
    before = job.data / f"{job.files - 1:04}.csv"
    records = drawn.sample(before.read_text().split(), 6) if before.exists() else []
    for _ in range(60):
        at = 20 * job.files + drawn.randrange(20) - drawn.choice([0, 0, 0, 0, 5, 60])
        broken = drawn.random() < 0.02
        value = "much" if broken else str(drawn.randrange(100))
        record = f"{at},{drawn.choice('abc')},{value}"
        records += [record] * drawn.choice([1, 1, 1, 1, 2])
    job.arrive(records)


def start(job: Job, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "engine", "run", str(job.folder / "config.json"), "--once"]
    with (job.folder / "said").open("ab") as said:
        return subprocess.Popen(
            [*command, *options],
            cwd=ROOT,
            env={**os.environ, "PYSPARK_PYTHON": sys.executable},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def kill_at_random(job: Job, drawn: random.Random) -> str:
    """Starts a run and kills it and all of its processes; says where it was."""
    checkpoint = job.folder / "config.checkpoint"
    # A batch begins with its offsets; before the first of this run nothing can go wrong.
    before = _numbers(checkpoint / "offsets")
    process = start(job)
    until = time.monotonic() + 120
    while process.poll() is None and _numbers(checkpoint / "offsets") == before:
        assert time.monotonic() < until, (job.folder / "said").read_text()[-2000:]
        time.sleep(0.01)
    time.sleep(drawn.uniform(0, 1.5))
    ended = process.poll() is not None
    if not ended:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    begun, done = _numbers(checkpoint / "offsets"), _numbers(checkpoint / "commits")
    if done and drawn.random() < 0.3:
        (checkpoint / "commits" / str(max(done))).unlink()
        return "the last commit is gone"
    return "at its end" if ended else "in a batch" if begun != done else "between batches"


def _numbers(folder: Path) -> set[int]:
    return {int(each.name) for each in folder.glob("[0-9]*") if each.name.isdigit()}


def finish(job: Job) -> dict[str, Any]:
    """Runs to the end; gives the report."""
    report = job.folder / "report.json"
    status = start(job, "--report", str(report)).wait()
    assert status == 0, (job.folder / "said").read_text()[-2000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def _windowed(job: Job) -> list[str]:
    """The aggregations of its config."""
    config = json.loads((job.folder / "config.json").read_text())
    return [each["name"] for each in config["processing"]["aggregations"]]


def _has_alarms(job: Job) -> bool:
    return "analysis" in json.loads((job.folder / "config.json").read_text())


def contents(job: Job) -> dict[str, list[str]]:
    """All rows of all tables as text, sorted; without what no two runs have in common: when a row
    arrived, and the folder."""
    found = {}
    for table in (*_windowed(job), *SIDE, *(["alerts"] if _has_alarms(job) else [])):
        told = []
        for row in rows(job.database, table, "1"):
            row.pop("_arrived", None)
            if "_file" in row:
                row["_file"] = Path(row["_file"]).name
            told.append(json.dumps(row))
        found[table] = sorted(told)
    return found


def killed_and_undisturbed(
    folder: Path, fixture: str, kills: int, seed: int
) -> tuple[Job, Job, Counter[str]]:
    """Two runs over the same files, both at their end, and where the first was killed."""
    drawn = random.Random(seed)
    killed, calm = (Job(_made(folder / name)) for name in ("killed", "calm"))
    where: Counter[str] = Counter()
    config(killed, fixture)
    while where.total() < kills:
        for _ in range(FILES):
            arrive(killed, drawn)
        where[kill_at_random(killed, drawn)] += 1
    config(calm, fixture)
    for path in sorted(killed.data.iterdir()):
        calm.arrive([path.read_bytes().rstrip(b"\n")])
    return killed, calm, where


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def differences(killed: Job, calm: Job) -> Iterator[str]:
    """What is not as it should be, each in a sentence."""
    report, expected = finish(killed), finish(calm)
    for term in ("rows_read", "malformed", "aggregations", "balanced", "batches"):
        if report[term] != expected[term]:
            yield f"{term}: {report[term]}, expected {expected[term]}"
    ours, theirs = contents(killed), contents(calm)
    for table in ours:
        extra = Counter(ours[table]) - Counter(theirs[table])
        missing = Counter(theirs[table]) - Counter(ours[table])
        if extra or missing:
            first = [*extra.elements(), *missing.elements()][:2]
            yield f"{table}: {extra.total()} too many, {missing.total()} missing, such as {first}"
    yield from _unlike_the_truth(
        killed, any("duplicate" in each for each in report["aggregations"].values())
    )


def _unlike_the_truth(job: Job, deduplicates: bool) -> Iterator[str]:
    """Window by window, the rows that a plain count finds are those aggregated and those late; of
    sessions, which late rows would have made other ones, key by key."""
    truth: Counter[tuple[str, str, str]] = Counter()
    tables = _windowed(job)
    records = [each for path in job.data.iterdir() for each in path.read_text().splitlines()]
    copies = Counter(records)
    for record in copies if deduplicates else records:
        at, key, value = record.split(",")
        if value.isdigit():
            truth["by key", iso(int(at) // 10 * 10), key] += 1
            truth["visits", "", key] += 1
            if int(value) > 50:
                truth["high", iso(int(at) // 30 * 30), ""] += 1
    truth = Counter({place: n for place, n in truth.items() if place[0] in tables})
    found: Counter[tuple[str, str, str]] = Counter()
    for table in tables:
        for row in job.rows(table):
            found[_place(table, row)] += row["n"]
    late: Counter[tuple[tuple[str, str, str], str]] = Counter()
    for row in job.rows("late"):
        record = f"{row['time']},{row['key']},{row['value']:.0f}"
        late[_place(row["aggregation"], row), record] += 1
    for (place, record), count in late.items():
        # Of late copies one is missing from the windows, unless another one came in time.
        found[place] += count == copies[record] if deduplicates else count
    if found != truth:
        yield f"windows: {len(set(found.items()) ^ set(truth.items()))} differ from a plain count"


def _place(table: str, row: dict[str, Any]) -> tuple[str, str, str]:
    start = "" if table == "visits" else row["window_start"]
    return table, start, "" if table == "high" else row["key"]


def main(kills: int) -> int:
    seed = random.SystemRandom().randrange(10**6)
    print(f"{kills} kills, seed {seed}", flush=True)
    status = 0
    for number, fixture in enumerate(FIXTURES):
        part = (kills + number) // len(FIXTURES)
        with tempfile.TemporaryDirectory() as folder:
            killed, calm, where = killed_and_undisturbed(Path(folder), fixture, part, seed)
            told = list(differences(killed, calm))
        print(fixture, *[f"{each}: {count}" for each, count in where.items()], *told, sep="\n")
        print("not the same" if told else "the same as a run that nobody disturbed", flush=True)
        status |= bool(told)
    return status


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
