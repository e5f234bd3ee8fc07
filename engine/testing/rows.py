"""Rows of a test become records of the input, as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine import plan
from engine.source import nearest


class Misfit(Exception):
    """A row that is none of the input.

    Args:
        name: the field that it is about; None: the row.
    """

    def __init__(self, message: str, name: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.name = name
        self.hint = hint


def record(row: str | Mapping[str, Any], source: plan.Input) -> str:
    """A record: a text as it is, an object by the data structure; fields that it lacks are null.

    Raises:
        Misfit: the text has several lines, or the object a field that there is not.
    """
    if isinstance(row, str):
        if "\n" in row:
            raise Misfit("a record is one line", hint="write a row for each")
        return row
    known = [field.name for field in source.fields]
    for name in row:
        if name not in known:
            raise Misfit(f"the input has no field '{name}'", name, nearest(name, known))
    if source.format == "json":
        return _json(row, source)
    cells = [""] * (1 + max(field.index or 0 for field in source.fields))
    for field in source.fields:
        if field.name in row:
            cells[field.index or 0] = _cell(row[field.name], source.sep)
    return source.sep.join(cells)


def _json(row: Mapping[str, Any], source: plan.Input) -> str:
    whole: dict[str, Any] = {}
    for field in source.fields:
        if field.name not in row:
            continue
        *above, last = field.path or (field.name,)
        place = whole
        for step in above:
            place = place.setdefault(step, {})
        place[last] = row[field.name]
    return json.dumps(whole, ensure_ascii=False)


def _cell(value: Any, sep: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    # Quoted is what would be read as something else: an empty text is not null.
    if isinstance(value, str) and (
        not text or text != text.strip() or sep in text or '"' in text or "\r" in text
    ):
        return '"' + text.replace('"', '""') + '"'
    return text
