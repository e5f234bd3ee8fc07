"""The text of a csv or JSON file becomes records, each with its place in the file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.tables.table import CSV, Table, TableError


@dataclass(frozen=True)
class Text:
    """What was read of a file; ``is_whole`` where that is all of it."""

    text: str
    is_whole: bool


def read(path: str, most: int | None = None) -> Text:
    """The file, or its first lines of at most so many bytes.

    Raises:
        TableError: it cannot be read, or is no text.
    """
    try:
        with open(path, "rb") as file:
            data = file.read() if most is None else file.read(most + 1)
    except FileNotFoundError:
        raise TableError("there is no such file") from None
    except OSError as error:
        raise TableError(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    is_whole = most is None or len(data) <= most
    if not is_whole:
        data = data[: data.rfind(b"\n") + 1 or most]
    try:
        return Text(data.decode("utf-8-sig", "strict" if is_whole else "ignore"), is_whole)
    except UnicodeDecodeError as error:
        raise TableError(f"is not a text in UTF-8 (byte {error.start + 1:,})") from None


@dataclass(frozen=True)
class Records:
    """The records of a file.

    Args:
        names: csv: the columns, in the order of a row's values.
        rows: csv: the values of each; JSON: the objects.
        lines: the line in which each ends, or from 1 its place in the array.
        counts: what ``lines`` count: ``line``, ``record``.
    """

    names: tuple[str, ...]
    rows: Sequence[Any]
    lines: Sequence[int]
    counts: str = "line"

    def place(self, row: int) -> str:
        return f"{self.counts} {self.lines[row]}"

    def column(self, name: str) -> list[Any]:
        """The values of a column, as they stand in the file."""
        if not self.names:
            return [member(row, name) for row in self.rows]
        if name not in self.names:
            raise TableError(f"has no column '{name}'")
        index = self.names.index(name)
        return [row[index] for row in self.rows]


def records(text: Text, table: Table) -> Records:
    """The records of a text; of one that is not whole the last may be missing.

    Raises:
        TableError: it is not of the table's format.
    """
    if table.format == CSV:
        return _csv(text, table)
    is_array = text.text.lstrip().startswith("[")
    found = list(_elements(text) if is_array else _lines(text))
    objects = [value for _, value in found]
    lines = [number for number, _ in found]
    made = Records((), objects, lines, "record" if is_array else "line")
    for row, value in enumerate(objects):
        if not isinstance(value, dict):
            raise TableError(f"{made.place(row)} is no JSON object")
    return made


def _csv(text: Text, table: Table) -> Records:
    # Strict: else a quote that is not closed would make all that follows one value.
    reader = csv.reader(io.StringIO(text.text, newline=""), delimiter=table.sep, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        for row in reader:
            if row:  # an empty line is none
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        if text.is_whole:
            raise TableError(f"line {reader.line_num}: {error}") from None
    names = table.names
    if names is None:
        names = tuple(each.strip() for each in rows[0]) if rows else ()
        del rows[:1], lines[:1]
    repeated = [each for index, each in enumerate(names) if each in names[:index]]
    if repeated:
        raise TableError(f"two columns are called '{repeated[0]}'")
    if not set(map(len, rows)) <= {len(names)}:
        line, found = next(
            (line, len(row))
            for line, row in zip(lines, rows, strict=True)
            if len(row) != len(names)
        )
        wanted = f"{len(names)} column{'' if len(names) == 1 else 's'}"
        values = f"{found} value{'' if found == 1 else 's'}"
        raise TableError(f"line {line} has {values} for {wanted}")
    return Records(names, rows, lines)


def _constant(name: str) -> None:
    """A bare NaN is null; an infinity is nothing that JSON or a table can hold."""
    if name != "NaN":
        raise ValueError(f"'{name}' is no number")


def _elements(text: Text) -> Iterator[tuple[int, Any]]:
    decoder = json.JSONDecoder(parse_constant=_constant)
    body = text.text
    at, number = body.index("[") + 1, 0
    while True:
        while body[at : at + 1].isspace() or body[at : at + 1] == ",":
            at += 1
        if body.startswith("]", at):
            if body[at + 1 :].strip():
                raise TableError("has something behind the array")
            return
        number += 1
        try:
            value, at = decoder.raw_decode(body, at)
        except (ValueError, RecursionError) as error:
            if not text.is_whole:
                return
            raise TableError(f"record {number} is no JSON: {_reason(error)}") from None
        yield number, value


def _lines(text: Text) -> Iterator[tuple[int, Any]]:
    decoder = json.JSONDecoder(parse_constant=_constant)
    for number, line in enumerate(text.text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = decoder.decode(line)
        except (ValueError, RecursionError) as error:
            raise TableError(f"line {number} is no JSON: {_reason(error)}") from None
        yield number, value


def _reason(error: Exception) -> str:
    told = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return told[:1].lower() + told[1:]


def member(record: Any, path: str) -> Any:
    """The value under a path of names; None where there is none."""
    if isinstance(record, dict) and path in record:
        return record[path]
    value = record
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def flat(record: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """All values of a record that are neither objects nor lists, each with its path: what
    ``member`` finds by it."""
    if isinstance(record, dict):
        members = [(str(name), value) for name, value in record.items()]
    else:
        members = [(str(index), value) for index, value in enumerate(record)]
    for name, value in members:
        path = f"{above}.{name}" if above else name
        is_inner = isinstance(value, dict | list)
        if "." in name and (above or is_inner):
            continue
        if is_inner:
            yield from flat(value, path)
        else:
            yield path, value
