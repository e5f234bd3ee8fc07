"""The data structure becomes input fields: names, types, and where in a record they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine import plan
from engine.catalog import Catalog
from engine.config.load import Document
from engine.dsl.parser import WORDS
from engine.source import Problem, Problems
from engine.types import FIELD_TYPES, Type

RESERVED = ("aggregation", "stream", plan.WINDOW_START, plan.WINDOW_END)


def name_problem(name: str) -> tuple[str, str] | None:
    """Why no field may have this name: a message and a hint."""
    if not name.isidentifier() or name in WORDS:
        what = "is a word of the language" if name in WORDS else "is no name"
        return f"'{name}' {what}", "a field's name has letters, digits and _, and no digit first"
    if name.startswith("_"):
        return f"'{name}' begins with '_'", "such names are the engine's own"
    if name in RESERVED:
        return f"the name '{name}' is the engine's own", "choose another name"
    return None


def input_fields(
    document: Document,
    path: tuple[str | int, ...],
    format: str,
    catalog: Catalog,
    problems: Problems,
) -> tuple[dict[str, Type | None], tuple[plan.InputField, ...]]:
    """The fields of the data structure at ``path``.

    Args:
        format: how records are written, csv or json.
        catalog: its operation ``timestamp`` judges how a time is written, here as in rules.

    Returns:
        Each field's type (None where its declaration has a problem), and the fields in order.
    """
    node = document.root.at(path)
    types: dict[str, Type | None] = {}
    fields: list[plan.InputField] = []
    taken: dict[int, str] = {}
    assert node is not None
    for name, member in node.value.items():
        place = node.keys[name]
        pointer = document.problem("", (*path, name)).pointer
        types[name] = None
        wrong = name_problem(name)
        if wrong is not None:
            problems.add(Problem(wrong[0], document.source, place.start, pointer, wrong[1]))
            continue
        if document.good(*path, name) is None:
            continue
        declared = member.plain()
        types[name] = FIELD_TYPES[declared["type"]]
        index = declared.get("index")
        if format == "csv" and (told := _index_problem(name, index, taken)) is not None:
            at = (*path, name, "index") if index is not None else (*path, name)
            problems.add(document.problem(told[0], at, told[1]))
            continue
        if (told := _format_problem(name, declared, catalog)) is not None:
            problems.add(document.problem(told[0], (*path, name, "format"), told[1]))
        steps = tuple(declared.get("path", name).split("."))
        fields.append(
            plan.InputField(
                name, FIELD_TYPES[declared["type"]], index, steps, declared.get("format")
            )
        )
    return types, tuple(fields)


def _index_problem(name: str, index: int | None, taken: dict[int, str]) -> tuple[str, str] | None:
    if index is None:
        return f"'{name}' needs the option 'index'", "the column in the record, from 0"
    if index in taken:
        return f"'{name}' and '{taken[index]}' have the same index {index}", ""
    taken[index] = name
    return None


def _format_problem(
    name: str, declared: Mapping[str, Any], catalog: Catalog
) -> tuple[str, str] | None:
    format, verify = declared.get("format"), catalog.operations["timestamp"].verify
    if format is None:
        return None
    if FIELD_TYPES[declared["type"]] is not Type.TIMESTAMP:
        return f"'format' is for timestamps, '{name}' is {declared['type']}", ""
    told = verify(None, format) if verify is not None else None
    hint = "write it such as yyyy-MM-dd'T'HH:mm:ss, with text in single quotes"
    return None if told is None else (told, hint)
