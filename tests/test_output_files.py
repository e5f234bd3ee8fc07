"""The outputs csv, json and parquet: what other programs read in their files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import duckdb
import pytest
from pyspark.sql import SparkSession

from engine.outputs import OutputError
from engine.outputs._files import _passing
from engine.outputs._patience import Patience
from tests.jobs import Job, iso

pytestmark = pytest.mark.usefixtures("spark")

METHODS = ("csv", "json", "parquet")
DAY = 86_400
#: What DuckDB must be told to keep an empty text, which is quoted, apart from null.
TEXTS = "allow_quoted_nulls = false"
#: Keys that a format, a path or a shell could take for something of its own.
HOSTILE = ["", "a,b", 'a"b', "it's", "a b ", "null", "é\u2028ü", "../x", "=1+1", "\\", "x" * 10_000]


def files(job: Job, method: str, stream: str) -> list[str]:
    """The files of a stream, relative to its folder, in order; hidden ones too."""
    folder = job.folder / method / stream
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def written(job: Job, method: str, stream: str) -> list[dict[str, Any]]:
    """What DuckDB reads of a stream; times as ISO texts."""
    place = f"{job.folder}/{method}/{stream}/*/*"
    read = {
        "csv": f"read_csv('{place}', header = true, all_varchar = true, {TEXTS})",
        "json": f"read_json_auto('{place}', hive_partitioning = true)",
        "parquet": f"read_parquet('{place}')",
    }[method]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        # As Arrow: DuckDB's own way to Python's times wants one package more.
        rows: list[dict[str, Any]] = (
            connection.sql(f"SELECT * FROM {read}").to_arrow_table().to_pylist()
        )
    return rows


def config(job: Job, methods: tuple[str, ...] = METHODS, **options: Any) -> None:
    streams = ["w", "raw", "late", "malformed"]
    job.config(
        {"name": "w", "rule": ["key: key", "n: count()", "total: sum(value)"]},
        streams=streams,
        processing={"allowed_lateness": "0 seconds"},
        outputs=[
            {"method": each, "options": {"path": each, **options}, "streams": streams}
            for each in methods
        ],
    )


def arrive(job: Job) -> None:
    """Windows of two days, one of them corrected; a late row, a broken one, keys to stumble on."""
    job.arrive(["5,a,1.5", f"{DAY},a,2", "x,a,1", "7,,"])
    job.arrive(
        [
            f"{DAY + 1},a,2",
            *(f'{DAY + 2},"{each.replace(chr(34), chr(34) * 2)}",1' for each in HOSTILE),
        ]
    )
    job.arrive(["6,a,1", f"{DAY + 60},a,1"])


def test_each_method_holds_what_sqlite_holds(job: Job, spark: SparkSession) -> None:
    config(job)
    arrive(job)
    job.run("--once")
    expected = {
        (row["window_start"], row["key"]): (row["n"], row["total"]) for row in job.rows("w")
    }
    assert len(expected) > len(HOSTILE)
    for method in METHODS:
        found = {}
        for row in sorted(written(job, method, "w"), key=lambda row: int(row["_batch"])):
            start = row["window_start"]
            start = start if isinstance(start, str) else iso(start.timestamp())
            total = None if row["total"] is None else float(row["total"])
            found[start, row["key"]] = (int(row["n"]), total)
            assert str(row["day"]) == start[:10]
        assert found == expected, method
        for stream in ("raw", "late", "malformed"):
            count = len(job.rows(stream, "_batch"))
            assert count > 0
            assert len(written(job, method, stream)) == count, (method, stream)
    frame = spark.read.parquet(f"{job.folder}/parquet/w")
    assert dict(frame.dtypes)["window_start"] == "timestamp"
    assert frame.count() == len(written(job, "parquet", "w"))
    assert spark.read.json(f"{job.folder}/json/w").count() == frame.count()
    lines = spark.read.csv(f"{job.folder}/csv/w", header=True, multiLine=True, escape='"')
    assert lines.count() == frame.count()


def test_a_replayed_batch_replaces_its_files(job: Job) -> None:
    config(job)
    arrive(job)
    job.run("--once")
    before = {(m, s): files(job, m, s) for m in METHODS for s in ("w", "raw", "malformed")}
    rows = {key: sorted(map(str, written(job, *key))) for key in before if key[1] == "w"}
    last = max(
        (job.folder / "config.checkpoint" / "commits").glob("[0-9]*"), key=lambda p: int(p.name)
    )
    last.unlink()
    # What an attempt leaves that was killed while it wrote.
    run = before["csv", "w"][0].split("/")[1].split("-")[0]
    hidden = job.folder / "csv" / "w" / "day=1970-01-01" / f".{run}-000000002-9-0-0.csv.dead"
    hidden.write_text("half a li")
    job.run("--once")
    for key, names in before.items():
        assert [name.split("-0000")[0] for name in files(job, *key)] == [
            name.split("-0000")[0] for name in names
        ], key
    assert not hidden.exists()
    assert {key: sorted(map(str, written(job, *key))) for key in rows} == rows


def test_a_batch_run_again_replaces_its_files(job: Job) -> None:
    config(job, ("json",))
    arrive(job)
    job.run("--batch")
    before = sorted(map(str, written(job, "json", "w")))
    job.run("--batch")
    assert sorted(map(str, written(job, "json", "w"))) == before


@pytest.mark.parametrize(("method", "suffix"), [("csv", ".csv.gz"), ("json", ".json.gz")])
def test_text_is_compressed_on_request(job: Job, method: str, suffix: str) -> None:
    config(job, (method,), compression="gzip")
    job.arrive(["5,a,1.5"])
    job.run("--once")
    (name,) = files(job, method, "w")
    assert name.endswith(suffix)
    (row,) = written(job, method, "w")
    assert (row["key"], float(row["total"])) == ("a", 1.5)


def test_a_folder_that_cannot_be_written_is_told(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    config(job, ("csv",))
    job.arrive(["5,a,1.5"])
    # A file in the place of the stream's folder: no right that root has stands in its way.
    (job.folder / "csv").mkdir()
    (job.folder / "csv" / "w").write_text("")
    job.run("--once", status=1)
    assert f"output 'csv': {job.folder}/csv: " in capsys.readouterr().err


def test_a_full_disk_is_waited_for() -> None:
    def write() -> None:
        with open("/dev/full", "wb") as file:
            file.write(b"row")

    with pytest.raises(OutputError, match="no space left on device"):
        Patience("csv", "/dev/full", seconds=0.1).call(_passing(write))


def test_what_a_folder_cannot_hold_is_told_by_the_check(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.cli import main

    (job.folder / "taken").write_text("")
    path: Path = job.config(
        {"name": "w", "rule": ["key: key", "Day: count()"]},
        outputs=[{"method": "csv", "options": {"path": "taken"}}],
    )
    assert main(["validate", str(path)]) == 2
    assert "/taken' is a file; name a folder" in capsys.readouterr().err
    os.remove(job.folder / "taken")
    assert main(["validate", str(path), "--format", "json"]) == 2
    (problem,) = json.loads(capsys.readouterr().out)
    assert problem["message"] == "the output 'csv' cannot write the column 'day' of 'w'"
