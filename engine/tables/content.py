"""A csv or JSON file becomes columns of values, each key once; or the first thing wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.tables.records import Records, read, records
from engine.tables.table import CSV, Table, TableError
from engine.tables.values import Convert, from_text, from_value
from engine.types import Type

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
    found = records(read(table.path), table)
    make = from_text if table.format == CSV else from_value
    key = found.column(table.key)
    keys = _converted(found, table.key, key, make(table.key_type, time_zone), table.key_type)
    _check_keys(table, found, keys, key)
    columns = {
        name: _converted(found, name, found.column(name), make(of, time_zone), of)
        for name, of in table.columns.items()
    }
    return Content(keys, columns)


def _converted(
    found: Records, name: str, raw: Sequence[Any], convert: Convert, of: Type
) -> list[Any]:
    try:
        return [convert(each) for each in raw]
    except (ValueError, OverflowError):
        row = next(n for n, each in enumerate(raw) if not _fits(each, convert))
        article = "an" if of is Type.INT else "a"
        message = f"'{name}' is not {article} {of}: {_quoted(raw[row])}"
        raise TableError(f"{found.place(row)}: {message}") from None


def _fits(raw: Any, convert: Convert) -> bool:
    try:
        convert(raw)
    except (ValueError, OverflowError):
        return False
    return True


def _check_keys(table: Table, found: Records, keys: list[Any], raw: Sequence[Any]) -> None:
    rows: dict[Any, int] = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))
    if None in rows:
        place = found.place(rows[None])
        raise TableError(f"{place} has no key: '{table.key}' is empty")
    if len(rows) < len(keys):
        row = next(n for n, key in enumerate(keys) if rows[key] != n)
        places = f"{found.place(rows[keys[row]])} and {found.place(row)}"
        raise TableError(f"{places} have the same key {_quoted(raw[row])}")


def _quoted(raw: Any) -> str:
    text = str(raw)
    return f"'{text[:_SHOWN]}…'" if len(text) > _SHOWN else f"'{text}'"
