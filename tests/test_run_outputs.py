"""Rows of a run are in its outputs, once and as their streams say."""

from __future__ import annotations

import json
import sqlite3

import pytest

from tests.jobs import Job, iso, rows

pytestmark = pytest.mark.usefixtures("spark")


def test_stdout_prints_json_lines_and_tables(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.arrive([f"{i},k{i % 2},{i}" for i in range(20)])
    job.config(
        {"name": "w", "rule": ["key: key", "hot: max(value > 5)", "total: sum(value)"]},
        outputs=[
            {"method": "stdout", "options": {"format": "json"}},
            {"method": "stdout", "options": {"rows": 3}},
        ],
    )
    job.run("--once")
    printed = capsys.readouterr().out
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert sorted(lines, key=lambda line: (line["window_start"], line["key"]))[0] == {
        "stream": "w",
        "window_start": iso(0),
        "window_end": iso(10),
        "key": "k0",
        "hot": True,
        "total": 20.0,
    }
    assert len(lines) == 4
    table = printed[printed.index("w, batch 0") :].splitlines()
    assert table[1].split() == ["window_start", "window_end", "key", "hot", "total"]
    assert table[3].split() == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:10Z", "k0", "true", "20"]
    assert table[6] == "… and 1 more"


def test_rows_of_a_batch_run_replace_those_of_the_batch_run_before(job: Job) -> None:
    job.arrive(["1,a,1", "x", "2,a,2"])
    job.config({"name": "w", "rule": ["n: count()"]}, streams=["aggregated", "raw", "malformed"])
    for _ in range(2):
        report = job.run("--batch")
        assert report["rows_read"] == 3
        assert report["batches"] == 1
    assert [row["n"] for row in job.rows("w")] == [2]
    assert len(job.rows("raw", "time")) == 2
    assert len(job.rows("malformed", "rowid")) == 1


def test_keys_that_differ_by_case_stay_two(job: Job) -> None:
    job.arrive(["1,a,b", "2,a,c"])
    job.config(
        {"name": 'we"ird', "rule": ["key: (id, ID)", "n: count()"]},
        structure={
            "time": {"index": 0, "type": "long"},
            "id": {"index": 1, "type": "string"},
            "ID": {"index": 2, "type": "string"},
        },
    )
    job.run("--once")
    found = job.rows('we""ird', "ID_2")
    assert [(row["id"], row["ID_2"], row["n"]) for row in found] == [("a", "b", 1), ("a", "c", 1)]


def test_several_outputs_make_spark_read_and_compute_once(job: Job) -> None:
    calls = job.folder / "calls"
    (job.folder / "counted_rules.py").write_text(
        "from engine.declare import scalar\n"
        "@scalar\n"
        "def counted(x: float) -> float:\n"
        "    'The value; each call is noted.'\n"
        f"    open({str(calls)!r}, 'a').write('.')\n"
        "    return x\n"
    )
    job.arrive([f"{i},a,{i}" for i in range(20)])
    again = {"method": "sqlite", "options": {"path": "again.sqlite"}}
    job.config(
        {"name": "w", "rule": ["key: key", "total: sum(v)"]},
        transformation=["v: counted(value)"],
        modules=["counted_rules"],
        outputs=[again, {"method": "stdout"}, {"method": "stdout", "options": {"format": "json"}}],
    )
    job.run("--once")
    assert len(calls.read_text()) == 20
    assert rows(job.folder / "again.sqlite", "w") == job.rows("w")


def test_an_output_that_fails_while_running_stops_the_run_with_a_sentence(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1"])
    job.config({"name": "w", "rule": ["key: key", "n: count()"]})
    job.run("--once")
    job.arrive(["2,a,1"])
    with sqlite3.connect(job.database) as connection:
        connection.execute("DROP TABLE w")
        connection.execute("CREATE VIEW w AS SELECT 1 AS window_start")
    job.run("--once", status=1)
    told = capsys.readouterr().err
    assert "output 'sqlite'" in told or "the table 'w'" in told
    assert "Traceback" not in told
