"""The beginning of a file becomes its columns and their types; no row is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from engine.source import nearest
from engine.tables import mmdb
from engine.tables.content import load
from engine.tables.records import CsvFile, Text, flat, json_records, read
from engine.tables.table import CSV, MMDB, Table, TableError
from engine.tables.values import kind_of_text, kind_of_value, type_of, types_of
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
        found: dict[str, set[Type]] = {}
        for record in mmdb.sample(table.path):
            if isinstance(record, dict):
                types_of(((name, kind_of_value(v)) for name, v in flat(record)), found)
        types = {name: type_of(kinds) for name, kinds in found.items()}
        return Known(replace(table, columns={**types, **declared}), False)
    text = read(table.path, SMALL)
    found = _kinds(table, text)
    types = {**{name: type_of(kinds) for name, kinds in found.items()}, **declared}
    key = table.key or next(iter(types), "")
    for name in (key, *declared):
        if table.format == CSV and name not in found:
            raise TableError(_no_column(name, found))
    if key not in types:
        raise TableError(_no_column(key, types))
    whole = replace(table, key=key, key_type=types[key], columns=types)
    if text.is_whole:
        load(whole, time_zone)
    return Known(whole, table.format == CSV)


def _no_column(name: str, names: Iterable[str]) -> str:
    if not name:
        return "has no columns"
    hint = nearest(name, names)
    return f"has no column '{name}'; {hint}" if hint else f"has no column '{name}'"


def _kinds(table: Table, text: Text) -> dict[str, set[Type]]:
    """The types that the values of each column have."""
    found: dict[str, set[Type]] = {}
    if table.format == CSV:
        file = CsvFile(text, table)
        found = {name: set() for name in file.names}
        for _, row in file.rows():
            types_of(zip(file.names, map(kind_of_text, row), strict=True), found)
        return found
    for _, record in json_records(text):
        types_of(((name, kind_of_value(value)) for name, value in flat(record)), found)
    return found
