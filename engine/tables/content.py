"""A csv or JSON file becomes columns of values, each key once; or the first thing wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.tables.records import CsvFile, json_records, member, read
from engine.tables.table import CSV, Table, TableError
from engine.tables.values import Convert, from_text, from_value

_SHOWN = 80


@dataclass(frozen=True)
class Content:
    """The rows of a table; times are microseconds since 1970.

    Args:
        keys: each once, none of them null.
        columns: a column's name -> its values, in the order of the keys.
    """

    keys: list[Any]
    columns: Mapping[str, list[Any]]


def load(table: Table, time_zone: str) -> Content:
    """What the file has of the table's columns.

    Raises:
        TableError: it cannot be read, a value is not of its column's type, a row has no key, or two
            have the same.
    """
    names = [table.key, *table.columns]
    make = from_text if table.format == CSV else from_value
    types = [table.key_type, *table.columns.values()]
    converts = [make(of, time_zone) for of in types]
    columns: list[list[Any]] = [[] for _ in names]
    places: dict[Any, str] = {}
    for place, row in _rows(table, names):
        values = []
        for index, raw in enumerate(row):
            values.append(_value(table, converts[index], raw, place, names[index], types[index]))
        key = values[0]
        if key is None:
            raise TableError(f"{place} has no key: '{table.key}' is empty")
        if (before := places.setdefault(key, place)) is not place:
            raise TableError(f"{before} and {place} have the same key {_quoted(row[0])}")
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    keys, *others = columns
    return Content(keys, dict(zip(table.columns, others, strict=True)))


def _rows(table: Table, names: list[str]) -> Iterator[tuple[str, list[Any]]]:
    """The raw values of these columns, row by row."""
    text = read(table.path)
    if table.format != CSV:
        for place, record in json_records(text):
            yield place, [member(record, name) for name in names]
        return
    file = CsvFile(text, table)
    for name in names:
        if name not in file.names:
            raise TableError(f"has no column '{name}'")
    indexes = [file.names.index(name) for name in names]
    for place, row in file.rows():
        yield place, [row[index] for index in indexes]


def _value(table: Table, convert: Convert, raw: Any, place: str, name: str, of: Any) -> Any:
    try:
        return convert(raw)
    except (ValueError, OverflowError):
        article = "an" if str(of).startswith("i") else "a"
        raise TableError(f"{place}: '{name}' is not {article} {of}: {_quoted(raw)}") from None


def _quoted(raw: Any) -> str:
    text = str(raw)
    return f"'{text[:_SHOWN]}…'" if len(text) > _SHOWN else f"'{text}'"
