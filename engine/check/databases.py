"""The databases of a config become tables with typed columns, and lookups in them typed calls."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from zoneinfo import ZoneInfo

from engine import plan
from engine.check.hints import common_hint
from engine.config.build import build
from engine.config.load import Document
from engine.config.sections import DatabaseSection
from engine.declare import Operation
from engine.dsl.tree import Apply
from engine.source import Problem, Problems, either, nearest
from engine.tables import CSV, MMDB, Known, Table, TableError, known
from engine.types import FIELD_TYPES, Type

FORMATS = {".csv": "csv", ".json": "json", ".mmdb": "mmdb"}
#: The tables of a config by name; None where one has a problem, told already.
Tables = Mapping[str, Known | None]


def check_databases(document: Document, problems: Problems) -> dict[str, Known | None]:
    """The tables that are declared; tells files that are missing or have something wrong."""
    node = document.root.at(("databases",))
    if node is None or not isinstance(node.value, dict):
        return {}
    return {name: _table(document, name, problems) for name in node.value}


def _table(document: Document, name: str, problems: Problems) -> Known | None:
    node = document.good("databases", name)
    if node is None:
        return None
    at: tuple[str, ...] = ("databases", name)
    at = at if isinstance(node.value, str) else (*at, "path")
    values = {"path": node.value} if isinstance(node.value, str) else node.plain()
    section = build(DatabaseSection, values)
    format = FORMATS.get(os.path.splitext(section.path)[1])
    path = document.beside(section.path)
    told: Problem | None = None
    if format is None:
        hint = f"it ends with {either(FORMATS)}"
        told = document.problem(f"'{section.path}' is no table that can be read", at, hint)
    elif format == MMDB and section.key is not None:
        hint = "leave 'key' out"
        message = "an mmdb file is asked by address, and has no key"
        told = document.problem(message, (*at[:-1], "key"), hint)
    elif format == CSV and not section.header and not section.columns:
        message = "a file without a header needs its columns"
        told = document.problem(message, (*at[:-1], "header"), "name them all in 'columns'")
    elif not os.path.isfile(path):
        told = document.problem(f"there is no file '{section.path}'", at)
    if told is not None:
        problems.add(told)
        return None
    assert format is not None
    declared = {column: FIELD_TYPES[of] for column, of in section.columns.items()}
    names = None if section.header else tuple(section.columns)
    table = Table(name, path, format, section.key or "", sep=section.sep, names=names)
    try:
        return known(table, declared, _zone(document))
    except TableError as error:
        problems.add(document.problem(f"{table.file}: {error}", at))
        return None


def _zone(document: Document) -> str:
    """The zone of times without one; UTC where the config's is wrong, which is told elsewhere."""
    node = document.good("processing", "time_zone")
    try:
        ZoneInfo(node.value if node is not None else "UTC")
    except (ValueError, OSError, TypeError):
        return "UTC"
    return str(node.value) if node is not None else "UTC"


def looked_up(
    operation: Operation, node: Apply, arguments: Sequence[plan.Expression], tables: Tables
) -> plan.Call | tuple[str, int, str] | None:
    """A lookup with the type of its column; or what is wrong with which argument, and a hint; None
    where its table has a problem, told already."""
    call = plan.Call(operation, tuple(arguments), Type.STRING)
    name, key, wanted = plan.asked(call)
    if name not in tables:
        hint = nearest(name, tables) or "the section 'databases' names tables and their files"
        return f"there is no table '{name}'", 0, hint
    found = tables[name]
    if found is None:
        return None
    table = found.table
    if wanted not in table.columns:
        hint = nearest(wanted, table.columns)
        if not hint and not found.is_complete:
            hint = "if only some of its records have it, name it in the table's 'columns'"
        return f"the table '{name}' has no column '{wanted}'", 2, hint
    of = table.key_type
    if key.type not in (of, Type.NULL) and not (key.type.is_number and of.is_number):
        what = "is asked by an address, a string" if table.format == MMDB else f"has {of} keys"
        return f"the table '{name}' {what}, here {key.type}", 1, common_hint(of, key.type)
    return replace(call, type=table.columns[wanted])


def used_tables(
    tables: Tables,
    rules: Iterable[plan.Rule],
    aggregations: Iterable[plan.Aggregation],
) -> tuple[Table, ...]:
    """The tables that are asked, each with the columns that are looked up."""
    measures = [(each.where, *(m.expression for m in each.measures)) for each in aggregations]
    roots = [*(rule.expression for rule in rules), *(each for some in measures for each in some)]
    asked: dict[str, dict[str, Type]] = {}
    for call in (node for root in roots if root is not None for node in plan.lookups(root)):
        name, _, column = plan.asked(call)
        asked.setdefault(name, {})[column] = call.type
    found = {name: each.table for name, each in tables.items() if each is not None}
    return tuple(
        replace(found[name], columns=dict(sorted(columns.items())))
        for name, columns in sorted(asked.items())
    )
