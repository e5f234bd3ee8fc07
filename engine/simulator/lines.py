"""Turns values into the pieces of a line, csv or json, and a good line into a broken one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import shake_128
from typing import NamedTuple

#: What stands where a number should, in a line that is broken that way.
NO_NUMBER = "n/a"
FORMATS = ("csv", "json")

Defect = Callable[[bytes, int], bytes]


class Layout(NamedTuple):
    """How a format writes a row: its first field, a number; then the others; then its end.

    Args:
        head: a template for the first field.
        field: a name and a value to the field as it stands in the line, separator included.
        tail: what ends a row.
        defects: a good line and a random number to a broken line; each is one way to break it.
    """

    head: bytes
    field: Callable[[str, object], bytes]
    tail: bytes
    defects: Sequence[Defect]

    def broken(self, line: bytes, draw: int) -> bytes:
        """The line, broken in one of the ways that its format knows."""
        draw, kind = divmod(draw, len(self.defects))
        return self.defects[kind](line, draw)


def layout(format: str, sep: str, fields: Mapping[str, str]) -> Layout:
    """How rows of these fields (name to type, the first a number) look in csv or json."""
    return json_layout(fields) if format == "json" else csv_layout(sep.encode(), fields)


def csv_layout(sep: bytes, fields: Mapping[str, str]) -> Layout:
    """Values between separators, in the order of the fields."""
    numbers = [k for k, type in enumerate(fields.values()) if type != "StringType"]

    def field(name: str, value: object) -> bytes:
        return sep + str(value).encode()

    def too_short(line: bytes, draw: int) -> bytes:
        columns = line.split(sep)
        del columns[draw % len(columns)]
        return sep.join(columns)

    def too_long(line: bytes, draw: int) -> bytes:
        return line + sep + b"%d" % (draw % 1000)

    def text_for_a_number(line: bytes, draw: int) -> bytes:
        columns = line.split(sep)
        columns[numbers[draw % len(numbers)]] = NO_NUMBER.encode()
        return sep.join(columns)

    return Layout(b"%d", field, b"", (too_short, too_long, text_for_a_number, empty, noise))


def json_layout(fields: Mapping[str, str]) -> Layout:
    """One object a line. A missing member is null and an unknown one is ignored: no defects."""
    numbers = [name for name, type in fields.items() if type != "StringType"]

    def field(name: str, value: object) -> bytes:
        return f', "{name}": {json.dumps(value)}'.encode()

    def cut_off(line: bytes, draw: int) -> bytes:
        return line[: 1 + draw % (len(line) - 1)]

    def text_for_a_number(line: bytes, draw: int) -> bytes:
        row = json.loads(line)
        row[numbers[draw % len(numbers)]] = NO_NUMBER
        return json.dumps(row).encode()

    head = f'{{"{next(iter(fields))}": %d'.encode()
    return Layout(head, field, b"}", (cut_off, text_for_a_number, empty, noise))


def empty(line: bytes, draw: int) -> bytes:
    """Nothing."""
    return b""


def noise(line: bytes, draw: int) -> bytes:
    """Random bytes that are not UTF-8 (0xff begins no character).

    All are of the upper half, so free of line ends and quotes: one broken line must not swallow
    the next.
    """
    noise = shake_128(line + b"%d" % draw).digest(1 + draw % 40)
    return b"\xff" + bytes(byte | 0x80 for byte in noise)
