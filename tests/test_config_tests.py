"""Tests of configs: what they find, what they say, and what is wrong with them."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from engine.cli import main
from tests.jobs import Job

ROOT = Path(__file__).parent.parent
WINDOWS = {"rule": ["key: key", "value: max(value)", "n: count()"], "window": "10 seconds"}
DAY = "1970-01-01T00:00"


def written(job: Job, *cases: dict[str, Any], **more: Any) -> Path:
    path = job.folder / "config.test.json"
    path.write_text(json.dumps({"tests": list(cases), **more}, indent=2))
    return path


def told(job: Job, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str, str]:
    status = main(["test", str(job.folder / "config.json"), *options])
    said = capsys.readouterr()
    return status, said.out.replace(f"{job.folder}/", ""), said.err.replace(f"{job.folder}/", "")


def test_what_is_expected_is_compared_step_by_step(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    """The input folder and the outputs' servers need not be there."""
    job.config(
        WINDOWS,
        options={"path": "nowhere"},
        outputs=[{"method": "influx", "options": {"host": "nowhere", "database": "d"}}],
        streams=["aggregated", "malformed"],
        processing={"allowed_lateness": "10 seconds"},
    )
    passes = {
        "name": "as it is",
        "steps": [
            {
                "input": ["1,a,5", {"time": 2, "key": "b,\"'", "value": 7.5}, "x"],
                "expect": {
                    "aggregated": [
                        {"key": "b,\"'", "value": 7.5, "n": 1},
                        {"key": "a", "window_start": f"{DAY}:00+00:00", "value": 5},
                    ],
                    "malformed": [{"record": "x"}],
                },
            },
            {"input": ["3,a,6", "40,c,1"], "expect": {"aggregated": [{"n": 2}, {"key": "c"}]}},
            {"input": []},
            {"input": ["41,c,1"], "expect": {"aggregated": [{"n": 2}]}},
            {"input": ["4,a,9"], "expect": {"late": [{"key": "a", "value": 9}]}},
        ],
    }
    fails = {
        "name": "what differs",
        "tolerance": 0.01,
        "input": ["1,a,5", "2,b,7", "3,c,100"],
        "expect": {
            "aggregated": [
                {"key": "a", "value": 6, "n": 1},
                {"key": "d", "value": 1.5},
                {"key": "c", "value": 100.5},
            ]
        },
    }
    ignores = {"name": "ignored", "input": ["1,a,5"], "expect": {}, "ignore": ["aggregated"]}
    written(job, passes, fails, ignores)
    status, out, err = told(job, capsys)
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == "ok      config.test.json:3: as it is"
    start = next(place for place, line in enumerate(lines) if line.startswith("FAILED"))
    assert lines[start].endswith(": what differs")
    assert lines[start + 1].startswith("  aggregated (line ")
    assert lines[start + 2 :] == [
        "                window_start              key  value  n",
        "    expected                              a    6      1",
        f"    found       {DAY}:00.000Z  a    ≠ 5.0  1",
        "    missing                               d    1.5",
        f"    unexpected  {DAY}:00.000Z  b    7.0    1",
        lines[-2],
        "2 passed, 1 failed",
    ]
    assert lines[-2].startswith("ok") and lines[-2].endswith("ignored")  # noqa: PT018


def test_the_balance_is_compared_and_what_all_steps_leave(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows as they are in the end, each once; and what was refused on the way."""
    sessions = {"name": "s", "rule": ["key: key", "n: count()"], "window": {"gap": "10 seconds"}}
    windows = {**WINDOWS, "name": "w", "where": "value < 1000"}
    job.config([windows, sessions], streams=["aggregated", "malformed"])
    first = {"rows_read": 5, "malformed": 1, "aggregations": {"w": {"filtered": 1}}}
    account = {"rows_read": 8, "malformed": 1, "filtered": 1, "late": 1, "aggregated": 5}
    case = {
        "name": "in the end",
        "steps": [
            {"input": ["1,a,5", "2,a,6", "14,a,1000", "21,b,1", "x"], "ledger": first},
            {"input": ["7,a,4", "22,b,2"]},
            {"input": ["3,a,9"], "ledger": {"aggregations": {"w": {"late": 0}}}},
        ],
        "expect": {
            "w": [{"key": "a", "value": 6, "n": 3}, {"key": "b", "value": 2, "n": 2}],
            "s": [
                {"key": "a", "n": 4, "window_start": f"{DAY}:01Z", "window_end": f"{DAY}:24Z"},
                {"key": "b", "n": 2, "window_start": f"{DAY}:21Z"},
            ],
            "late": [{"aggregation": "w", "value": 9}, {"aggregation": "s", "value": 9}],
            "malformed": [{"record": "x"}],
        },
        "ledger": {"malformed": 1, "aggregations": {"w": account}},
    }
    written(job, case)
    status, out, _ = told(job, capsys, "--format", "json")
    (case,) = json.loads(out)["cases"]
    assert status == 1
    assert [(each["step"], each["stream"]) for each in case["differences"]] == [(3, "ledger")]


def test_what_comes_out_is_written_where_nothing_is_expected(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.config(WINDOWS)
    path = written(job, {"name": "new", "steps": [{"input": ["1,a,5", "x"]}, {"input": ["2,a,6"]}]})
    assert told(job, capsys, "--update")[0] == 0
    steps = json.loads(path.read_text())["tests"][0]["steps"]
    assert steps[1]["expect"]["aggregated"] == [
        {
            "window_start": f"{DAY}:00.000Z",
            "window_end": f"{DAY}:10.000Z",
            "key": "a",
            "value": 6.0,
            "n": 2,
        }
    ]
    assert steps[0]["expect"]["malformed"][0]["record"] == "x"
    before = path.read_text()
    path.write_text(before.replace('"n": 2', '"n": 3'))
    status, out, _ = told(job, capsys, "--update", "--update-failing")
    assert (status, out.splitlines()[0]) == (0, "updated config.test.json:3: new")
    assert out.splitlines()[-2:] == ["  written: step 2, aggregated", "1 updated"]
    assert path.read_text() == before


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a stream that there is not": (
        {"input": [], "expect": {"agregated": []}},
        "there is no stream 'agregated'; did you mean 'aggregated'?",
    ),
    "a column that there is not": (
        {"expect": {"aggregated": [{"valu": 1}]}},
        "'aggregated' has no column 'valu'; did you mean 'value'?",
    ),
    "a field that there is not": (
        {"input": [{"tim": 1}]},
        "the input has no field 'tim'; did you mean 'time'?",
    ),
    "two records in one": ({"input": ["1,a,1\n2,b,2"]}, "a record is one line"),
    "steps and an input": (
        {"steps": [{}], "input": []},
        "a test that has 'steps' has no 'input' of its own",
    ),
    "rows that are none": ({"expect": {"late": [1]}}, "the rows of 'late' are a list of objects"),
    "an aggregation that there is not": (
        {"steps": [{"ledger": {"aggregations": {"agregated": {"late": 1}}}}]},
        "there is no aggregation 'agregated'; did you mean 'aggregated'?",
    ),
    "a term that there is not": (
        {"ledger": {"aggregations": {"aggregated": {"lat": 1}}}},
        "unknown option 'lat'; did you mean 'late'?",
    ),
    "a rule that there is not": ({"rules": ["hot"]}, "there is no rule 'hot'"),
    "a time that is none": (
        {"at": "noon"},
        "'noon' is no time; write it as '2026-08-01T00:10:00Z'",
    ),
    "a time before the last": (
        {"steps": [{"at": f"{DAY}:10"}, {}, {"at": f"{DAY}:09"}]},
        f"steps arrive in their order: the one before arrives at {DAY}:10+00:00",
    ),
    "a time behind none": (
        {"steps": [{}, {"at": f"{DAY}:09"}]},
        "steps arrive in their order: the one before has no time",
    ),
    "an unknown option": ({"inputs": []}, "unknown option 'inputs'; did you mean 'input'?"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_told_with_their_place(
    job: Job, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    case, message = MISTAKES[name]
    job.config(WINDOWS)
    written(job, {"name": "x", **case})
    status, out, err = told(job, capsys)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("config.test.json:")
    assert err.splitlines()[-1].strip() == "^"


def test_files_that_are_not_there_and_configs_with_problems_are_told(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.config(WINDOWS)
    assert main(["test", str(job.data)]) == 2
    assert "there are no tests" in capsys.readouterr().err
    assert told(job, capsys)[0] == 2
    written(job, {"name": "x"}, config="other.json")
    assert "there is no config 'other.json'" in told(job, capsys)[2]
    job.config({"rule": ["key: key", "nothing(value)"]})
    written(job, {"name": "x"})
    assert "unknown operation or aggregation 'nothing'" in told(job, capsys)[2]
    job.config(WINDOWS, processing={"event_time": None})
    err = told(job, capsys)[2]
    assert "the config goes by the time of arrival, and this has none; say when: 'at'" in err
    (job.folder / "config.test.json").write_text("{")
    status, _, err = told(job, capsys)
    assert (status, "Traceback" in err) == (2, False)


def test_rows_arrive_when_the_test_says(job: Job, capsys: pytest.CaptureFixture[str]) -> None:
    """Windows by the time of arrival, and rows that are dated ahead of it."""
    first = {"key": "a", "n": 1, "window_start": "2026-08-01T00:10:00Z"}
    later = {"key": "a", "n": 2, "window_start": "2026-08-01T02:00:00Z"}
    steps = [
        {"at": "2026-08-01T00:10:09.9Z", "input": ["1,a,5"], "expect": {"aggregated": [first]}},
        {"at": "2026-08-01T04:00:00+02:00", "input": ["9,a,5"]},
        {"input": ["1,a,6"], "expect": {"aggregated": [later]}},
    ]
    job.config(WINDOWS, processing={"event_time": None})
    written(job, {"name": "windows of arrival", "steps": steps})
    assert told(job, capsys)[:2] == (
        0,
        "ok      config.test.json:3: windows of arrival\n1 passed\n",
    )
    job.config(WINDOWS, processing={"max_future": "1 hour"}, streams=["aggregated", "malformed"])
    noon = {"at": f"{DAY}:00Z", "input": ["3600,a,5", "3601,a,5"]}
    reason = "dated more than 1 hour ahead of its arrival"
    expect = {"aggregated": [{"n": 1}], "malformed": [{"record": "3601,a,5", "reason": reason}]}
    written(job, {"name": "the future", **noon, "expect": expect})
    assert told(job, capsys)[0] == 0


def test_variables_of_a_config_come_from_its_tests(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    job.config(WINDOWS, name="${A_NAME_THAT_NOBODY_SETS}")
    written(job, {"name": "x", "input": ["y"], "expect": {"malformed": [{"record": "y"}]}})
    assert told(job, capsys)[0] == 2
    written(job, {"name": "x"}, environment={"A_NAME_THAT_NOBODY_SETS": "n"})
    assert "A_NAME" not in told(job, capsys)[2]


def test_pytest_collects_tests_of_configs(job: Job) -> None:
    job.config(WINDOWS)
    written(
        job,
        {"name": "passes", "input": ["1,a,5"], "expect": {"aggregated": [{"value": 5}]}},
        {
            "name": "fails",
            "input": ["1,a,5"],
            "expect": {"aggregated": [{"key": "a", "value": 6}]},
        },
    )
    known = {each.name for each in entry_points(group="pytest11")}
    plugin = [] if "ts-engine" in known else ["-p", "engine.testing.plugin"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, "-q", str(job.folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert "≠ 5.0" in done.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.test.json")), ids=str)
def test_the_tests_of_our_own_configs_pass(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", str(path)]) == 0, capsys.readouterr().out
