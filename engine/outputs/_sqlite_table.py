"""A stream becomes a table in sqlite, and the statements that change its rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from engine.outputs import OutputError, Stream
from engine.outputs._names import quoted
from engine.types import Type

_TYPES = {Type.STRING: "TEXT", Type.TIMESTAMP: "TEXT", Type.FLOAT: "REAL", Type.DOUBLE: "REAL"}
#: Writers of one file take turns; each waits so long for the others before it says so.
_BUSY_SECONDS = 60


def connect(path: str) -> sqlite3.Connection:
    """A connection that commits each statement, and waits for its turn."""
    return sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)


def columns(names: Iterable[str]) -> list[str]:
    """The columns' names in the table: sqlite takes ``id`` and ``ID`` for one, so the second
    becomes ``ID_2``.

    Example:
        >>> columns(["id", "ID"])
        ['id', 'ID_2']
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        unique, count = name, 1
        while unique.lower() in taken:
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique.lower())
        found.append(unique)
    return found


def column_names(stream: Stream) -> list[str]:
    """The columns' names in the stream's table, in the stream's order."""
    return columns(column.name for column in stream.columns)


def make_table(connection: sqlite3.Connection, stream: Stream) -> None:
    """Makes the stream's table, or adds the columns that an older one lacks."""
    table = quoted(stream.name)
    declared = {
        name: _TYPES.get(column.type, "INTEGER")
        for name, column in zip(column_names(stream), stream.columns, strict=True)
    }
    present = connection.execute(f"PRAGMA table_info({table})").fetchall()
    if not present:
        lines = [f"{quoted(name)} {of}" for name, of in declared.items()]
        if stream.is_windowed:
            lines.append(f"PRIMARY KEY ({', '.join(map(quoted, _primary(stream)))})")
        connection.execute(f"CREATE TABLE {table} ({', '.join(lines)})")
        return
    known = {row[1].lower() for row in present}
    keys = {row[1] for row in present if row[5]}
    if stream.is_windowed and keys != set(_primary(stream)):
        told = ", ".join(sorted(keys)) or "none"
        raise OutputError(
            f"the table '{stream.name}' exists with another key ({told}); "
            "name another file, or drop the table"
        )
    for name, of in declared.items():
        if name.lower() not in known:
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {of}")


def insertion(stream: Stream) -> str:
    """What adds a row, its columns in the stream's order."""
    names = column_names(stream)
    places = ", ".join("?" * len(names))
    return f"INSERT INTO {quoted(stream.name)} ({', '.join(map(quoted, names))}) VALUES ({places})"


def deletion(stream: Stream) -> str:
    """What removes the row of a window; its identity is the values."""
    same = " AND ".join(f"{quoted(name)} = ?" for name in _primary(stream))
    return f"DELETE FROM {quoted(stream.name)} WHERE {same}"


def upsert(stream: Stream) -> str:
    """What puts a window's row in the place of one that is there."""
    primary = _primary(stream)
    updated = [quoted(name) for name in column_names(stream) if name not in primary]
    changes = ", ".join(f"{name} = excluded.{name}" for name in updated)
    conflict = ", ".join(map(quoted, primary))
    return f"{insertion(stream)} ON CONFLICT ({conflict}) DO UPDATE SET {changes}"


def _primary(stream: Stream) -> list[str]:
    """The names in the table of what identifies a window's row: its keys and its start."""
    named = dict(zip((each.name for each in stream.columns), column_names(stream), strict=True))
    return [named[name] for name in stream.identity]
