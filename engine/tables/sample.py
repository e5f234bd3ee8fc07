"""The beginning of a file becomes its columns and their types; no row is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.source import nearest
from engine.tables import mmdb
from engine.tables.content import load
from engine.tables.records import flat, read, records
from engine.tables.table import CSV, MMDB, Table, TableError
from engine.tables.values import kind_of_text, kind_of_value, type_of
from engine.types import Type

#: Up to so many bytes a file is read whole, with all of its problems; of others its beginning.
SMALL = 1_000_000


@dataclass(frozen=True)
class Known:
    """What can be known of a table without reading all of it.

    Args:
        table: with its key, and all of its columns with their types.
        is_complete: there are no other columns.
    """

    table: Table
    is_complete: bool


def known(table: Table, declared: Mapping[str, Type], time_zone: str) -> Known:
    """The table with its columns: of the declared types, else of those that its values have.

    Args:
        table: its key may be absent: it is the first column.
        time_zone: of times without one.

    Raises:
        TableError: it cannot be read, or has no such key; or, of a small file, something in it is
            wrong.
    """
    if table.format == MMDB:
        found = _types_of_members(mmdb.sample(table.path))
        return Known(replace(table, columns={**found, **declared}), False)
    text = read(table.path, SMALL)
    whole = records(text, table)
    if table.format == CSV:
        found = {each: type_of(map(kind_of_text, set(whole.column(each)))) for each in whole.names}
    else:
        found = _types_of_members(whole.rows)
    types = {**found, **declared}
    key = table.key or next(iter(types), "")
    for name in (key, *declared):
        if table.format == CSV and name not in found:
            raise TableError(_no_column(name, found))
    if key not in types:
        raise TableError(_no_column(key, types))
    made = replace(table, key=key, key_type=types[key], columns=types)
    if text.is_whole:
        load(made, time_zone)
    return Known(made, table.format == CSV)


def _no_column(name: str, names: Iterable[str]) -> str:
    if not name:
        return "has no columns"
    hint = nearest(name, names)
    return f"has no column '{name}'; {hint}" if hint else f"has no column '{name}'"


def _types_of_members(rows: Iterable[Any]) -> dict[str, Type]:
    """The types of all values that stand in records, by their paths."""
    kinds: dict[str, set[Type | None]] = {}
    for record in rows:
        if isinstance(record, dict):
            for name, value in flat(record):
                kinds.setdefault(name, set()).add(kind_of_value(value))
    return {name: type_of(found) for name, found in kinds.items()}
