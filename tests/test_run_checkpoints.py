"""A run goes on where the one before it stopped, or refuses to."""

from __future__ import annotations

from typing import Any

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


def test_a_checkpoint_of_other_aggregations_is_refused_at_the_rule(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,1", "2,a,5"])
    job.config({"name": "w", "rule": ["key: key", "v: sum(value)", "n: count()"]})
    job.run("--once")
    # Spark itself goes on with the sums as if they were maxima.
    job.config({"name": "w", "rule": ["key: key", "v: max(value)", "n: count()"]})
    job.run("--once", "--checkpoint", str(job.folder / "config.checkpoint"), status=2)
    told = capsys.readouterr().err.splitlines()[-4:]
    message = "the rule 'v' of 'w' is max(value), in the checkpoint sum(value)"
    assert told[0] == f"{job.folder}/config.json:41:9: {message}"
    assert [each.strip() for each in told[1:3]] == ['"v: max(value)",', "^"]
    assert told[3].endswith("begin anew with --reset, or name another folder by --checkpoint")


def sums(name: str, window: str) -> dict[str, Any]:
    return {"name": name, "window": window, "rule": ["key: key", "s: sum(value)", "n: count()"]}


def test_of_several_aggregations_one_comes_and_one_goes(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    ten, minute, hour = (
        sums("ten", "10 seconds"),
        sums("minute", "1 minute"),
        sums("hour", "1 hour"),
    )
    job.config([ten, minute])
    job.arrive(["1,a,1", "2,a,5", "broken"])
    job.run("--once")
    assert "checkpoint: goes on" not in capsys.readouterr().err
    # The columns of the state are the same, and the grouping is in its key.
    job.config([{**minute, "name": "renamed"}, hour])
    job.arrive(["3,a,1", "64,a,5"])
    accounts = job.run("--once")["aggregations"]
    told = (
        "checkpoint: goes on from batch 1; new since then: aggregation 'hour' (1 hour); "
        "gone since then: aggregation 'ten'; 'minute' is called 'renamed'\n"
    )
    assert told in capsys.readouterr().err
    terms = {"malformed": 0, "filtered": 0, "late": 0}
    assert accounts == {
        "renamed": {**terms, "malformed": 1, "aggregated": 4},
        "hour": {**terms, "aggregated": 2, "before": 3},
    }
    assert [(row["s"], row["n"]) for row in job.rows("renamed")] == [(7, 3), (5, 1)]
    assert [(row["s"], row["n"]) for row in job.rows("hour")] == [(6, 2)]
    # What the state still has of its windows lacks a row.
    job.config([ten, minute, hour])
    job.arrive(["4,a,1"])
    job.run("--once", status=2)
    told = "'ten' was taken out before, and its windows lack the rows since"
    assert told in capsys.readouterr().err


def test_a_checkpoint_of_another_layout_is_refused(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.config({"name": "w", "rule": ["n: count()"]})
    job.arrive(["1,a,1"])
    job.run("--once")
    (path,) = job.folder.glob("*.checkpoint/*/run.json")
    text = path.read_text()
    assert '"layout": 2' in text
    path.write_text(text.replace('"layout": 2', '"layout": 1'))
    job.run("--once", status=2)
    assert "was kept by another version of the engine" in capsys.readouterr().err


def test_measures_may_change_places_and_what_is_made_of_their_aggregates(job: Job) -> None:
    """Spark compares the columns of a state by their types alone: two of one type could go on with
    each other's numbers."""
    measures = ["hi: max(value)", "lo: min(value)", "n: count()"]
    for number, changed in enumerate(
        [
            measures,
            [measures[1], measures[2], measures[0]],
            [
                "n: count() / 2",
                "lo: min(value) * 2 + 1",
                measures[0],
                "span: max(value) - min(value)",
            ],
        ]
    ):
        job.config({"name": "w", "window": "10 seconds", "rule": ["key: key", *changed]})
        job.arrive([f"{number},a,{value}" for value in ((90, 10) if not number else (50,))])
        job.run("--once")
    (row,) = job.rows("w")
    found = {name: row[name] for name in ("hi", "lo", "n", "span")}
    assert found == {"hi": 90, "lo": 21, "n": 2.0, "span": 80}


def test_lateness_and_rules_may_change_from_here_on(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    aggregation = {"name": "w", "window": "10 seconds", "rule": ["n: count(1, hot)"]}
    job.config(aggregation, transformation=["hot: value > 3"])
    job.arrive(["1,a,2", "2,a,5", "21,a,5"])
    job.run("--once")
    job.config(
        aggregation,
        transformation=["hot: value > 1"],
        processing={"event_time": "time", "allowed_lateness": "1 minute"},
    )
    for _ in range(2):
        job.arrive(["3,a,2", "22,a,2"])
        report = job.run("--once")
    told = (
        "from here on: allowed_lateness is 1 minute (was 0 seconds), "
        "rule 'hot' is value > 1 (was value > 3)\n"
    )
    # Once: then it is the same.
    assert capsys.readouterr().err.count(told) == 1
    # What has been passed stays passed: the watermark never goes back.
    assert report["aggregations"]["w"] == {
        "malformed": 0,
        "filtered": 0,
        "late": 1,
        "aggregated": 6,
    }
    assert [(row["window_start"], row["n"]) for row in job.rows("w")] == [(iso(0), 2), (iso(20), 3)]


def test_another_path_is_told_and_read(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    job.config(sums("w", "10 seconds"))
    job.arrive(["1,a,1"])
    job.run("--once")
    (job.folder / "more").mkdir()
    (job.folder / "more" / "0.csv").write_text("2,a,5\n")
    job.config(sums("w", "10 seconds"), options={"path": "more"})
    assert job.run("--once")["rows_read"] == 2
    there = f"'{job.folder}/more' (was '{job.folder}/data')"
    assert f"from here on: the input's path is {there}" in capsys.readouterr().err
    assert [(row["s"], row["n"]) for row in job.rows("w")] == [(6, 2)]


def test_a_reset_begins_anew_and_leaves_the_rest(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = job.folder / "config.checkpoint"
    job.arrive(["1,a,2", "2,a,5"])
    job.config(sums("w", "10 seconds"))
    job.run("--once", "--reset")
    assert f"reset: there is nothing in {checkpoint}\n" in capsys.readouterr().err
    (checkpoint / "notes.txt").write_text("mine")
    was = {each.name for each in checkpoint.iterdir()}
    job.config(
        {"name": "w", "window": "1 minute", "rule": ["key: key", "s: max(value)", "n: count()"]}
    )
    report = job.run("--once", "--reset")
    deleted = "commits, offsets, sources, state, metadata, ts-engine"
    told = f"reset: deleted {deleted} in {checkpoint}; outputs keep their rows\n"
    assert told in capsys.readouterr().err
    assert (report["batches"], report["rows_read"]) == (1, 2)
    assert [(row["s"], row["n"]) for row in job.rows("w")] == [(5, 2)]
    assert (checkpoint / "notes.txt").read_text() == "mine"
    assert {each.name for each in checkpoint.iterdir()} == was
    # One that was cut off is taken up again, and nothing else goes on from it.
    (checkpoint / "ts-engine" / "run.json").write_text("{}")
    job.run("--once", status=2)
    assert "its reset did not end" in capsys.readouterr().err
    assert job.run("--once", "--reset")["batches"] == 1


def test_a_reset_deletes_nothing_in_a_folder_that_is_no_checkpoint(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.arrive(["1,a,2"])
    job.config(sums("w", "10 seconds"))
    home = job.folder / "home"
    (home / "state").mkdir(parents=True)
    job.run("--once", "--reset", "--checkpoint", str(home), status=2)
    told = f"'{home}' is not a checkpoint of the engine, and not empty: --reset deletes nothing"
    assert told in capsys.readouterr().err
    assert [each.name for each in home.iterdir()] == ["state"]
    job.run("--batch", "--reset", status=2)
    assert "--batch keeps no checkpoint that --reset could delete" in capsys.readouterr().err
