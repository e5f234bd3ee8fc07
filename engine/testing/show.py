"""What came of a case becomes text for people, or an object for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.testing import FAILED, PASSED, UPDATED
from engine.testing.compare import Difference
from engine.testing.execute import Failure, Result
from engine.testing.table import table

_SHOWN = 20

_WORDS = {PASSED: "ok", FAILED: "FAILED", UPDATED: "updated"}


def status(result: Result, written: Sequence[str]) -> str:
    """What became of a case.

    Args:
        written: what of its expectations is written to its file.
    """
    if written and result.error is None:
        return UPDATED
    return PASSED if result.is_well else FAILED


def shown(result: Result, written: Sequence[str] = ()) -> str:
    """A line for a case; under it what is not as expected, and what is written."""
    case = result.case
    word = _WORDS[status(result, written)]
    head = f"{word:7} {case.document.path}:{case.line}: {case.name}"
    return "\n".join([head, *failed(result), *(f"  written: {each}" for each in written)])


def failed(result: Result) -> Iterator[str]:
    """What is not as expected, line by line."""
    if result.error is not None:
        yield f"  {result.error}"
    for failure in result.failures:
        yield f"  {where(result, failure)} (line {_line(result, failure)}):"
        for line in table(failure.differences[:_SHOWN], failure.columns):
            yield f"    {line}"
        if (more := len(failure.differences) - _SHOWN) > 0:
            yield f"    … and {more:,} more"


def where(result: Result, failure: Failure) -> str:
    """The step and the stream."""
    if len(result.case.steps) == 1:
        return failure.stream
    step = "all steps" if failure.step is None else f"step {failure.step + 1}"
    return f"{step}, {failure.stream}"


def as_json(result: Result, written: Sequence[str] = ()) -> dict[str, Any]:
    """What came of a case, and each difference with its rows."""
    case = result.case
    return {
        "name": case.name,
        "file": case.document.path,
        "line": case.line,
        "status": status(result, written),
        "error": result.error,
        "written": list(written),
        "differences": [
            {
                "step": None if failure.step is None else failure.step + 1,
                "stream": failure.stream,
                "line": _line(result, failure),
                **_difference(each),
            }
            for failure in result.failures
            for each in failure.differences
        ],
    }


def _difference(each: Difference) -> dict[str, Any]:
    return {"expected": each.expected, "found": each.found, "columns": list(each.columns)}


def _line(result: Result, failure: Failure) -> int:
    """Where that is said, or where it would be."""
    case, path = result.case, failure.path
    while case.document.root.at(path) is None:
        path = path[:-1]
    return case.line_of(path)
