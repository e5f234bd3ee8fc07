"""Classes of a user's own judge windows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.check.config import check
from tests.jobs import Job, iso
from tests.test_run_analysis import arrive, config, rule

DOUBLED = """
class {name}:
    windows = 2

    def __init__(self, options, name):
        self.times = options["times"]
        self.name = name

    def analysis(self, historical_data, alert_sender):
        now, before = historical_data[0], historical_data[1]
        if historical_data["key"] == "broken" and now["value"] > 5:
            raise ValueError("no idea\\nat all")
        if before and now["value"] >= self.times * before["value"]:
            alert_sender.send_message(f"{{self.name}}: {{historical_data['key']}} {{now['value']}}")
            alert_sender.send_message({{"longer ago": historical_data[2].get("value")}})
"""


@pytest.fixture(autouse=True)
def _imports_are_forgotten() -> Iterator[None]:
    path, known = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - known:
        if name.startswith(("own_", "OwnRule")):
            del sys.modules[name]


def own(job: Job, name: str, place: str, text: str = DOUBLED) -> None:
    path = job.folder / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.format(name=name))


PLACES = {
    "OwnRule": "OwnRule/OwnRule.py",
    "own_folder": "own_folder/own_folder.py",
    "own_module:OwnRule": "own_module.py",
}


@pytest.mark.parametrize("module", PLACES)
def test_a_class_is_asked_about_each_window(job: Job, module: str) -> None:
    name = "OwnFolder" if module == "own_folder" else "OwnRule"
    own(job, name, PLACES[module])
    config(job, rule(module, "mine", times=2), processing={"allowed_lateness": "1 minute"})
    arrive(job, [1, 2, 3, 6, 6, 0])
    job.run("--once")
    rows = job.rows("alerts", "window_start")
    assert [(each["window_start"], each["kind"], each["message"]) for each in rows] == [
        (iso(1010), "alert", 'mine: a 2.0; {"longer ago": null}'),
        (iso(1030), "alert", 'mine: a 6.0; {"longer ago": 2.0}'),
    ]
    # A late row takes the second one back, and says so.
    job.arrive(["1021,a,5"])
    job.run("--once")
    rows = job.rows("alerts", "window_start, revision")
    assert [(each["window_start"], each["kind"]) for each in rows] == [
        (iso(1010), "alert"),
        (iso(1020), "alert"),
        (iso(1030), "alert"),
        (iso(1030), "correction"),
    ]


def test_a_class_that_raises_is_told_and_stops_nobody(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    own(job, "OwnRaising", "own_raising.py")
    config(job, rule("own_raising:OwnRaising", "mine", times=2))
    job.arrive(["1000,broken,9", "1000,a,1", "1010,broken,9", "1010,a,2", "1020,a,0"])
    job.run("--once")
    assert [each["series"] for each in job.rows("alerts")] == ['{"key": "a"}']
    told = capsys.readouterr().err
    assert "analysis 'mine': ValueError: no idea (2 times in this batch)" in told
    job.arrive(["1021,a,0"])
    job.run("--once")
    assert "no idea" not in capsys.readouterr().err


def test_a_class_that_raises_stops_the_run_where_that_is_wanted(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    own(job, "OwnStopping", "own_stopping.py")
    config(job, {**rule("own_stopping:OwnStopping", "mine", times=2), "on_error": "stop"})
    job.arrive(["1000,broken,9", "1020,a,0"])
    job.run("--once", status=1)
    assert "analysis 'mine': ValueError: no idea" in capsys.readouterr().err


DECLARED = """
from dataclasses import dataclass
from engine.option import option

@dataclass(frozen=True, kw_only=True)
class _Options:
    limit: float = option("the limit", minimum=0)

class {name}:
    Options = _Options

    def __init__(self, options, name):
        if options.limit == 13:
            raise ValueError("not this one")

    def analysis(self, historical_data, alert_sender): ...
"""

MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "an option that is not declared": ({"limit": 1, "limt": 2}, "unknown option 'limt'"),
    "an option of another type": ({"limit": "x"}, "must be a number"),
    "an option that is missing": ({}, "limit"),
    "options that the class refuses": ({"limit": 13}, "does not take its options"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_options_that_are_wrong_are_told_with_their_place(job: Job, name: str) -> None:
    given, message = MISTAKES[name]
    own(job, "OwnDeclared", "own_declared.py", DECLARED)
    config(job, rule("own_declared:OwnDeclared", "mine", **given))
    (problem,) = check(str(job.folder / "config.json")).problems
    assert message in problem.text()
    assert problem.pointer.startswith("/analysis/rule/0")


@pytest.mark.parametrize(
    ("module", "text", "message"),
    [
        ("own_nowhere", None, "there is no analysis 'own_nowhere'; looked for beside the config"),
        ("Treshold", None, "there is no analysis 'Treshold'; did you mean 'Threshold'?"),
        ("own_bad:X", "import own_missing_thing", "it wants 'own_missing_thing'"),
        ("own_bad:X", "1 / 0", "ZeroDivisionError"),
        ("own_bad:X", "class X:\n  def __init__(self, options, name): ...", "no method 'analysis'"),
    ],
)
def test_a_class_that_cannot_be_had_is_told(
    job: Job, module: str, text: str | None, message: str
) -> None:
    if text is not None:
        Path(job.folder, "own_bad.py").write_text(text)
    config(job, rule(module, "mine"))
    (problem,) = check(str(job.folder / "config.json")).problems
    assert message in problem.text()
    assert problem.pointer == "/analysis/rule/0/module"


def test_the_history_says_what_there_is() -> None:
    from engine.analysis._own import HistoricalData

    data = HistoricalData(("a", 1), [{"v": 1}, {}])
    assert (data["key"], data[0]["v"], data[1], len(data)) == (("a", 1), 1, {}, 2)
    with pytest.raises(LookupError, match="there are 0 to 1"):
        data[2]


def test_plain_options_reach_a_class_as_they_are(job: Job) -> None:
    own(job, "OwnRule", "own_plain.py")
    config(job, rule("own_plain:OwnRule", "mine", times=2, nested={"a": [1]}))
    query = check(str(job.folder / "config.json")).query
    assert query is not None
    assert query.analysis is not None
    assert json.dumps(query.analysis.rules[0].target.given) == '{"times": 2, "nested": {"a": [1]}}'
