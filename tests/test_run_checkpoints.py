"""A run goes on where the one before it stopped, or refuses to."""

from __future__ import annotations

import pytest

from tests.jobs import Job, iso

pytestmark = pytest.mark.usefixtures("spark")


def test_a_second_run_goes_on_where_the_first_stopped(job: Job) -> None:
    job.config(
        {"name": "w", "rule": ["key: key", "n: count()"]},
        streams=["aggregated", "raw", "late"],
        name="a job",
    )
    job.arrive(["1,a,1", "2,a,1", "21,a,1"])
    assert job.run("--once")["rows_read"] == 3
    assert job.run("--once")["rows_read"] == 3
    # A batch refuses rows by the watermark as it stood one batch before: here none yet.
    job.arrive(["22,a,1", "4,a,1"])
    assert job.run("--once")["aggregations"]["w"]["late"] == 0
    job.arrive(["23,a,1", "3,b,1"])
    report = job.run("--once")
    assert (job.folder / "a_job.checkpoint").is_dir()
    assert report["batches"] == 3
    assert report["rows_read"] == 7
    assert report["aggregations"]["w"] == {
        "malformed": 0,
        "filtered": 0,
        "late": 1,
        "aggregated": 6,
    }
    assert [(r["window_start"], r["key"], r["n"]) for r in job.rows("w")] == [
        (iso(0), "a", 3),
        (iso(20), "a", 3),
    ]
    (late,) = job.rows("late")
    assert (late["aggregation"], late["key"], late["time"], late["window_end"]) == (
        "w",
        "b",
        3,
        iso(10),
    )
    assert [row["_batch"] for row in job.rows("raw", "_batch")] == [0, 0, 0, 1, 1, 2, 2]


def test_a_checkpoint_that_cannot_be_written_is_told(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1"])
    job.config({"name": "w", "rule": ["n: count()"]})
    (job.folder / "taken").write_text("")
    job.run("--once", "--checkpoint", str(job.folder / "taken"), status=1)
    assert "cannot be written to" in capsys.readouterr().err


def test_a_checkpoint_of_other_aggregations_is_refused(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1", "2,a,5"])
    job.config({"name": "w", "rule": ["key: key", "v: sum(value)", "n: count()"]})
    job.run("--once")
    # Spark itself goes on with the sums as if they were maxima.
    job.config({"name": "w", "rule": ["key: key", "v: max(value)", "n: count()"]})
    job.run("--once", "--checkpoint", str(job.folder / "config.checkpoint"), status=2)
    told = capsys.readouterr().err
    assert "10 seconds by (key string): has sum(value:double) and lacks max(value:double)" in told
    # Another order, name or output is no other state.
    job.config({"name": "x", "rule": ["m: count()", "key: key", "sum(value)"]}, streams=["raw"])
    job.run("--once")
