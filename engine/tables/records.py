"""The text of a csv or JSON file becomes records, each with its place in the file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.tables.table import Table, TableError

#: A member's value, by its path: ``country.names.en``, ``subdivisions.0.iso_code``.
Members = Mapping[str, Any]


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


class CsvFile:
    """The rows of a csv file.

    Args:
        names: the columns, in the order of the rows' values.
    """

    def __init__(self, text: Text, table: Table) -> None:
        self.is_whole = text.is_whole
        self.reader = csv.reader(io.StringIO(text.text, newline=""), delimiter=table.sep)
        names = table.names
        if names is None:
            first = next(self._rows(), (1, []))[1]
            names = tuple(each.strip() for each in first)
        self.names = names
        repeated = [each for index, each in enumerate(names) if each in names[:index]]
        if repeated:
            raise TableError(f"two columns are called '{repeated[0]}'")

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """Each row and its place; empty lines are none."""
        wanted = len(self.names)
        for line, row in self._rows():
            if len(row) != wanted:
                columns = "column" if wanted == 1 else "columns"
                raise TableError(f"line {line} has {len(row)} values for {wanted} {columns}")
            yield f"line {line}", row

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        try:
            for row in self.reader:
                if row:
                    yield self.reader.line_num, row
        except csv.Error as error:
            if self.is_whole:
                raise TableError(f"line {self.reader.line_num}: {error}") from None


def json_records(text: Text) -> Iterator[tuple[str, Members]]:
    """The objects of one array, or one a line, each with its place."""
    found = _elements(text) if text.text.lstrip().startswith("[") else _lines(text)
    for place, value in found:
        if not isinstance(value, dict):
            raise TableError(f"{place} is no JSON object")
        yield place, value


def _constant(name: str) -> None:
    """A bare NaN is null; an infinity is nothing that JSON or a table can hold."""
    if name != "NaN":
        raise ValueError(f"'{name}' is no number")


def _elements(text: Text) -> Iterator[tuple[str, Any]]:
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
        except ValueError as error:
            if not text.is_whole:
                return
            raise TableError(f"record {number} is no JSON: {_reason(error)}") from None
        yield f"record {number}", value


def _lines(text: Text) -> Iterator[tuple[str, Any]]:
    decoder = json.JSONDecoder(parse_constant=_constant)
    for number, line in enumerate(text.text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = decoder.decode(line)
        except ValueError as error:
            raise TableError(f"line {number} is no JSON: {_reason(error)}") from None
        yield f"line {number}", value


def _reason(error: ValueError) -> str:
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
    """All values of a record that are neither objects nor lists, each with its path."""
    if isinstance(record, dict):
        members = [(str(name), value) for name, value in record.items()]
    else:
        members = [(str(index), value) for index, value in enumerate(record)]
    for name, value in members:
        path = f"{above}.{name}" if above else name
        if isinstance(value, dict | list):
            yield from flat(value, path)
        else:
            yield path, value
