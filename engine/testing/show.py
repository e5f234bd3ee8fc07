"""What came of a case becomes text for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from engine.testing.compare import Difference
from engine.testing.execute import Result

_SHOWN = 20


def shown(result: Result) -> str:
    """A line for a case, and under it, where it has failed, what is not as expected."""
    case = result.case
    place = f"{case.document.path}:{case.line}"
    if result.is_well:
        return f"ok      {place}: {case.name}"
    return "\n".join([f"FAILED  {place}: {case.name}", *failed(result)])


def failed(result: Result) -> Iterator[str]:
    """What is not as expected, line by line."""
    if result.error is not None:
        yield f"  {result.error}"
    several = len(result.case.steps) > 1
    for failure in result.failures:
        step = f"step {failure.step + 1}, " if several else ""
        yield f"  {step}{failure.stream} (line {failure.line}):"
        for each in failure.differences[:_SHOWN]:
            yield f"    {_told(each)}"
        if (more := len(failure.differences) - _SHOWN) > 0:
            yield f"    … and {more:,} more"


def _told(each: Difference) -> str:
    if each.expected is None:
        assert each.found is not None
        return f"unexpected  {_row(each.found)}"
    if each.found is None:
        return f"missing     {_row(each.expected)}"
    same = {n: v for n, v in each.expected.items() if n not in each.columns}
    wrong = "; ".join(_wrong(name, each.expected, each.found) for name in each.columns)
    return f"differs     {_row(same)}: {wrong}"


def _wrong(name: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if name == "retracted":
        return "it is retracted" if name in found else "it is not retracted"
    wanted = f"expected {_value(expected[name])}" if name in expected else "not expected"
    return f"{name} is {_value(found.get(name))}, {wanted}"


def _row(row: Mapping[str, Any]) -> str:
    told = {n: v for n, v in row.items() if not n.startswith("_")}
    return ", ".join(f"{name} {_value(value)}" for name, value in told.items())


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
