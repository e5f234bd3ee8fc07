"""Differences become lines: what is expected above what was found, cells that differ marked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from engine.testing.compare import Difference, Row

#: What a terminal of 100 columns has room for, behind the blanks before a table.
_WIDTH = 96
#: Where a cell that does not differ is cut.
_LONGEST = 40
_GAP = "  "

#: Of a row: what it is, and its cells by column.
_Line = tuple[str, dict[str, str]]


def table(differences: Sequence[Difference], columns: Sequence[str]) -> Iterator[str]:
    """One table of all differences; where it is too wide one of each, folded where it has to be."""
    every = [list(_lines(each, columns)) for each in differences]
    whole = [line for lines in every for line in lines]
    if len(folds := list(_folds(whole, columns))) == 1:
        yield from _aligned(whole, folds[0])
        return
    for each, lines in zip(differences, every, strict=True):
        for names in _folds(lines, _telling(lines, columns, each.columns)):
            yield from _aligned(lines, names)


def cell(value: Any) -> str:
    """A value for people: a text without quotes, unless it would be taken for something else."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    try:
        is_taken = not isinstance(json.loads(value or "null"), dict | list)
    except ValueError:
        is_taken = value != value.strip() or not value.isprintable()
    return json.dumps(value, ensure_ascii=False) if is_taken else value


def _lines(each: Difference, columns: Sequence[str]) -> Iterator[_Line]:
    if each.expected is not None and each.found is not None:
        yield "expected", _cells(each.expected, columns, each.columns)
        found = _cells({**dict.fromkeys(each.columns), **each.found}, columns, each.columns)
        yield "found", {n: f"≠ {v}" if n in each.columns else v for n, v in found.items()}
    elif each.expected is not None:
        yield "missing", _cells(each.expected, columns)
    elif each.found is not None:
        yield "unexpected", _cells(each.found, columns)


def _cells(row: Row, columns: Sequence[str], whole: Sequence[str] = ()) -> dict[str, str]:
    if "retracted" in whole:
        row = {**row, "retracted": row.get("retracted") or False}
    cells = {name: cell(row[name]) for name in columns if name in row}
    return {
        name: text if name in whole or len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
        for name, text in cells.items()
    }


def _telling(
    lines: Sequence[_Line], columns: Sequence[str], differ: Sequence[str]
) -> Sequence[str]:
    """Those that differ, and as many of the others as stand beside them in a line."""
    telling = list(differ) or columns
    for name in columns:
        more = [each for each in columns if each in telling or each == name]
        if len(list(_folds(lines, more))) == 1:
            telling = more
    return telling


def _folds(lines: Sequence[_Line], columns: Sequence[str]) -> Iterator[list[str]]:
    """The columns that stand side by side, of those that any row has."""
    room = _WIDTH - max(len(label) for label, _ in lines)
    names: list[str] = []
    used = 0
    for name in (name for name in columns if any(name in cells for _, cells in lines)):
        width = len(_GAP) + _width(lines, name)
        if names and used + width > room:
            yield names
            names, used = [], 0
        names.append(name)
        used += width
    yield names


def _width(lines: Sequence[_Line], name: str) -> int:
    return max(len(name), *(len(cells.get(name, "")) for _, cells in lines))


def _aligned(lines: Sequence[_Line], names: Sequence[str]) -> Iterator[str]:
    labels = max(len(label) for label, _ in lines)
    for label, cells in [("", {name: name for name in names}), *lines]:
        parts = [cells.get(name, "").ljust(_width(lines, name)) for name in names]
        yield _GAP.join([label.ljust(labels), *parts]).rstrip()
