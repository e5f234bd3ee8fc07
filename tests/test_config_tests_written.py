"""What comes out of tests of configs is written into their files, and all else stays as it is."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tests.jobs import Job
from tests.judged import Rows, results, window

A = window(key="a", value=5.0, n=1, _batch=0)
B = window(key="b", value=7.0, n=1, _batch=0)

#: What is written, by fill or by mend; the rows of each step; the test before and after.
REWRITTEN: dict[str, tuple[str, list[Rows], str, str]] = {
    "what nothing was expected of, in the manner of what stands there": (
        "fill",
        [{"aggregated": [A, B], "late": []}, {"aggregated": [A]}, {}, {}],
        """
        {"name": "x", "steps": [
          {"input": ["1,a,${V:-5}"]},
          {
            "input": []
          },
          {},
          {"ledger": {"rows_read": 3}}
        ]}
        """,
        """
        {"name": "x", "steps": [
          {"input": ["1,a,${V:-5}"],
           "expect": {
             "aggregated": [
               {"window_start": "1970-01-01T00:00:00.000Z", "key": "a", "value": 5.0, "n": 1},
               {"window_start": "1970-01-01T00:00:00.000Z", "key": "b", "value": 7.0, "n": 1}
             ],
             "late": []
           }},
          {
            "input": [],
            "expect": {
              "aggregated": [{"window_start": "1970-01-01T00:00:00.000Z", "key": "a", "value": 5.0, "n": 1}]
            }
          },
          {"expect": {}},
          {"ledger": {"rows_read": 3}}
        ]}
        """,  # noqa: E501
    ),
    "nothing, where the end is what matters": (
        "fill",
        [{"aggregated": [A]}],
        '{"name": "x", "steps": [{}], "expect": {"aggregated": [{"key": "a"}]}}',
        '{"name": "x", "steps": [{}], "expect": {"aggregated": [{"key": "a"}]}}',
    ),
    "cells that differ": (
        "mend",
        [{"aggregated": [A, B]}],
        '{"name": "x", "expect": {"aggregated": [{"key":"a",  "value":  6}, {"value": 7, "n": 1}]}}',  # noqa: E501
        '{"name": "x", "expect": {"aggregated": [{"key":"a",  "value":  5.0}, {"value": 7, "n": 1}]}}',  # noqa: E501
    ),
    "columns that are expected exactly": (
        "mend",
        [{"late": [{"key": "a", "value": 1}, {"value": 2}]}],
        '{"name": "x", "exact": true, "expect": {"late": [{"key": "a"}, {"value": 2}]}}',
        '{"name": "x", "exact": true, "expect": {"late": [{"key": "a", "value": 1}, {"value": 2}]}}',  # noqa: E501
    ),
    "a row that is more, exactly": (
        "mend",
        [{"late": [{"key": "a"}, {"key": "b", "value": None, "_batch": 0}]}],
        '{"name": "x", "exact": true, "expect": {"late": [{"key": "a"}]}}',
        """
        {"name": "x", "exact": true, "expect": {"late": [
          {"key": "a"},
          {"key": "b", "value": null}
        ]}}
        """,
    ),
    "rows that go and come": (
        "mend",
        [{"aggregated": [A, B], "late": [{"key": "c", "_batch": 0}]}],
        """
        {"name": "x",
         "expect": {"aggregated": [
           {"key": "${V:-a}",   "value": 6},
           {"key": "d", "value": 6.5}
         ], "malformed": [{"record": "x"}]}}
        """,
        """
        {"name": "x",
         "expect": {"aggregated": [
           {"key": "${V:-a}",   "value": 5.0},
           {"window_start": "1970-01-01T00:00:00.000Z", "key": "b", "value": 7.0}
         ], "malformed": [],
                    "late": [{"key": "c"}]}}
        """,
    ),
    "streams of which nothing was said": (
        "mend",
        [{"aggregated": [A], "late": [{"key": "c", "value": None}]}],
        '{"name": "x", "expect": {}}',
        """
        {"name": "x", "expect": {
          "aggregated": [{"window_start": "1970-01-01T00:00:00.000Z", "key": "a", "value": 5.0, "n": 1}],
          "late": [{"key": "c"}]
        }}
        """,  # noqa: E501
    ),
    "numbers of the balance": (
        "mend",
        [{}],
        '{"name": "x", "ledger": {"rows_read": 3, "aggregations": {"aggregated": {"late": 1}}}}',
        '{"name": "x", "ledger": {"rows_read": 3, "aggregations": {"aggregated": {"late": 0}}}}',
    ),
    "what all steps together leave": (
        "mend",
        [
            {"aggregated": [A, B], "late": [{"key": "c"}]},
            {"aggregated": [{**A, "value": 9.0}, {**B, "retracted": True}], "late": [{"key": "c"}]},
        ],
        """
        {"name": "x", "steps": [{}, {}],
         "expect": {"aggregated": [{"key": "a", "value": 5}], "late": [{"key": "c"}]}}
        """,
        """
        {"name": "x", "steps": [{}, {}],
         "expect": {"aggregated": [{"key": "a", "value": 9.0}], "late": [
           {"key": "c"},
           {"key": "c"}
         ]}}
        """,
    ),
}


@pytest.mark.parametrize("name", REWRITTEN)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "dos"])
def test_what_is_written_leaves_all_else_as_it_is(job: Job, name: str, end: str) -> None:
    how, steps, before, after = REWRITTEN[name]
    head, tail = f'{{"tests": [{end}', f"{end}]}}"
    text = dedent(before).strip("\n").replace("\n", end)
    rewriting, result = results(job, f"{head}{text}{tail}", steps)
    getattr(rewriting, how)(result)
    rewriting.write()
    found = (job.folder / "config.test.json").read_bytes().decode()
    text = dedent(after).strip("\n").replace("\n", end).rstrip()
    assert found == f"{head}{text}{tail}"
    assert [each.name for each in job.folder.glob("*.new")] == []
    again, result = results(job, found, steps)
    assert result.is_well
    assert (again.fill(result) if how == "fill" else again.mend(result)) == []
