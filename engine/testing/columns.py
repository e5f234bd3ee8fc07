"""The columns of a stream: which tell its rows apart, and which tell what differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine import plan
from engine.testing.compare import Difference, Row


def identity(query: plan.Query, stream: str) -> tuple[str, ...]:
    """The columns that tell a row of windows or an alert from any other; none of other streams."""
    return tuple(
        column.name
        for column in plan.stream_columns(query, stream)
        if column.role == "key" or column.name == plan.WINDOW_START
    )


def shown(
    query: plan.Query, stream: str, expected: Sequence[Row], found: Sequence[Difference]
) -> tuple[str, ...]:
    """The columns that are of interest, in their order: those that are expected of any row, that
    tell rows apart, or that differ; where nothing is expected all but ours (``_…``)."""
    wanted = {*identity(query, stream)}
    wanted.update(name for row in expected for name in row)
    wanted.update(name for each in found for name in each.columns)
    columns = [*(each.name for each in plan.stream_columns(query, stream)), "retracted"]
    if not expected:
        wanted.update(name for name in columns if not name.startswith("_"))
    said = {name for row in expected for name in row}
    return tuple(n for n in columns if n in wanted and (n in said or _tells(n, found)))


def _tells(name: str, found: Sequence[Difference]) -> bool:
    """Whether any row has something there."""
    rows: list[Any] = [row for each in found for row in (each.expected, each.found) if row]
    return any(row.get(name) is not None for row in rows)
