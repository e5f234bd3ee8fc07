"""What came of tests of configs, as tables for people and as objects for programs."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from engine.testing.compare import Difference, differences
from engine.testing.rows import Misfit, record
from engine.testing.show import as_json, shown
from engine.testing.table import cell, table
from tests.jobs import Job
from tests.judged import results, window

LONG = "a text that goes on until it is longer than a cell may be, and so is cut"
MEASURES = {f"measure_{each:02}": each / 2 for each in range(12)}


TABLES: dict[str, tuple[list[Difference], str]] = {
    "a cell": (
        differences([{"key": "a", "value": 6}], [window(key="a", value=5.0)], 0),
        """
                  window_start              key  value
        expected                            a    6
        found     1970-01-01T00:00:00.000Z  a    ≠ 5.0
        """,
    ),
    "a row that is missing, and one that is too much": (
        differences([{"key": "a", "value": 6}], [window(key="b", value=None)], 0),
        """
                    window_start              key  value
        missing                               a    6
        unexpected  1970-01-01T00:00:00.000Z  b    null
        """,
    ),
    "texts that look like something else": (
        differences([{"key": "5", "value": ""}], [{"key": 5, "value": "", "n": '{"a": 1}'}], 0),
        """
                  key  value  n
        expected  "5"  ""
        found     ≠ 5  ""     {"a": 1}
        """,
    ),
    "columns that were not expected, and a row that is retracted": (
        differences([{"key": "a"}], [{"key": "a", "n": 1, "retracted": True}], 0, exact=True),
        """
                  key  n    retracted
        expected  a         false
        found     a    ≠ 1  ≠ true
        """,
    ),
    "a wide row: what differs, and as much beside it as there is room for": (
        differences([{"key": "a", **MEASURES, "measure_09": 0}], [{"key": "a", **MEASURES}], 0),
        """
                  key  measure_00  measure_01  measure_02  measure_03  measure_04  measure_09
        expected  a    0.0         0.5         1.0         1.5         2.0         0
        found     a    0.0         0.5         1.0         1.5         2.0         ≠ 4.5
        """,
    ),
    "a wide row that is missing: all of it": (
        differences([{"key": "a", **MEASURES}, {"key": "b", "value": LONG}], [], 0),
        """
                 key  measure_00  measure_01  measure_02  measure_03  measure_04  measure_05  measure_06
        missing  a    0.0         0.5         1.0         1.5         2.0         2.5         3.0
                 measure_07  measure_08  measure_09  measure_10  measure_11
        missing  3.5         4.0         4.5         5.0         5.5
                 key  value
        missing  b    a text that goes on until it is longer …
        """,  # noqa: E501
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_differences_are_a_table_that_a_terminal_has_room_for(name: str) -> None:
    found, expected = TABLES[name]
    columns = ("window_start", "key", *MEASURES, "value", "n", "retracted")
    lines = list(table(found, columns))
    assert "\n".join(lines) == dedent(expected).strip("\n").rstrip()
    assert max(map(len, lines)) <= 96


def test_a_cell_that_differs_is_never_cut() -> None:
    (found,) = differences([{"key": "a", "value": LONG}], [{"key": "a", "value": f"{LONG}!"}], 0)
    assert [line.split("  ")[-1] for line in table([found], ("key", "value"))] == [
        "value",
        LONG,
        f"≠ {LONG}!",
    ]
    assert cell("two\nlines") == '"two\\nlines"'


def test_many_differences_are_not_all_shown(job: Job) -> None:
    rows = [window(key=f"k{each}", value=1.0, n=1) for each in range(25)]
    case = {"name": "many", "expect": {"aggregated": []}}
    _, result = results(job, json.dumps({"tests": [case]}), [{"aggregated": rows}])
    lines = shown(result).splitlines()
    assert lines[0].endswith("config.test.json:1: many")
    assert lines[1] == "  aggregated (line 1):"
    assert lines[-1] == "    … and 5 more"
    assert len(lines) == 1 + 1 + 1 + 20 + 1


def test_a_program_is_told_each_difference_with_its_rows(job: Job) -> None:
    steps = [{"expect": {"aggregated": [{"key": "a", "value": 6}]}}, {"ledger": {"rows_read": 4}}]
    whole = json.dumps({"tests": [{"name": "x", "steps": steps}]})
    _, result = results(job, whole, [{"aggregated": [window(key="a", value=5.0)]}, {}])
    told = as_json(result)
    assert told == {
        "name": "x",
        "file": str(job.folder / "config.test.json"),
        "line": 1,
        "status": "failed",
        "error": None,
        "written": [],
        "differences": [
            {
                "step": 1,
                "stream": "aggregated",
                "line": 1,
                "expected": {"key": "a", "value": 6},
                "found": window(key="a", value=5.0),
                "columns": ["value"],
            },
            {
                "step": 2,
                "stream": "ledger",
                "line": 1,
                "expected": {"rows_read": 4},
                "found": {"rows_read": 3},
                "columns": ["rows_read"],
            },
        ],
    }


def test_rows_are_compared_by_what_is_said_of_them() -> None:
    rows = [{"a": 1, "b": 2}, {"a": 1, "b": 3}]
    assert differences([{"a": 1}, {"a": 1, "b": 2}], rows, 0) == []
    assert differences([{"a": True}, {"b": 3}], rows, 0) != []
    assert (
        differences([{"t": "2026-01-01T00:00:00+01:00"}], [{"t": "2025-12-31T23:00:00Z"}], 0) == []
    )
    (one,) = differences([{"a": 1}], [{"a": 1, "retracted": True}], 0)
    assert one.columns == ("retracted",)
    assert differences([{"a": 1, "b": 2}], rows[:1], 0, exact=True) == []
    (one,) = differences([{"a": 1}], [{"a": 1, "b": 2, "_id": 3}], 0, exact=True)
    assert one.columns == ("b",)
    (one,) = differences([{"a": 1.001, "b": 2}], [{"a": 1, "b": 3}], 0.01)
    assert one.columns == ("b",)


def test_records_are_written_as_the_input_reads_them() -> None:
    from engine import plan
    from engine.types import Type

    fields = tuple(
        plan.InputField(name, Type.STRING, index=index) for name, index in (("a", 0), ("c", 2))
    )
    csv = plan.Input("csv", None, "csv", ";", fields)
    assert record({"a": 'x"; y', "c": ""}, csv) == '"x""; y";;""'
    assert record({"c": True}, csv) == ";;true"
    deep = (plan.InputField("v", Type.LONG, path=("a", "b")),)
    assert record({"v": 1}, plan.Input("json", None, "json", ",", deep)) == '{"a": {"b": 1}}'
    with pytest.raises(Misfit, match="no field 'b'"):
        record({"b": 1}, csv)
