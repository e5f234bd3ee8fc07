"""Turns two results, row by row in one order, into silence, or the first row that differs."""

import contextlib
import itertools
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.measure import RunFailedError

_ROWS_AT_ONCE = 100_000


def same(result: Path, query: str, expected: Iterable[tuple[Any, ...]]) -> int:
    """The number of rows that a query finds in a sqlite file; one by one they are the expected.

    Neither result is held whole: one of W2 has ten million rows.

    Raises:
        RunFailedError: a row is missing, too many, or another one.
    """
    count = 0
    with contextlib.closing(sqlite3.connect(result)) as connection:
        for found, wanted in itertools.zip_longest(connection.execute(query), expected):
            count += 1
            if found != wanted:
                raise RunFailedError(
                    f"{result}: row {count} of '{query.strip()}' is {found}, expected {wanted}"
                )
    return count


def answer(connection: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[Any, ...]]:
    """DuckDB's rows, some at a time."""
    cursor = connection.execute(query)
    while rows := cursor.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def iso(seconds: str) -> str:
    """SQL for a time of epoch seconds as the engine writes it."""
    return f"strftime(make_timestamp(({seconds}) * 1_000_000), '%Y-%m-%dT%H:%M:%S.%gZ')"
