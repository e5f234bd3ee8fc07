"""The catalog becomes the reference of the DSL, as Markdown: ``ts-engine operations``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.catalog import OPERATION_MODULES, Catalog, Conflict
from engine.declare import Aggregation, Declaration, Operation, ResultRule
from engine.source import nearest


def operations(names: Sequence[str], modules: Sequence[str]) -> tuple[str, list[str]]:
    """The reference of these operations (of all when there are none), and what is unknown."""
    try:
        catalog = Catalog.from_modules([*OPERATION_MODULES, *modules])
    except (ImportError, Conflict) as error:
        return "", [str(error)]
    every = {**catalog.operations, **catalog.aggregations}
    unknown = [
        "; ".join(filter(None, [f"unknown operation '{name}'", nearest(name, every)]))
        for name in names
        if name not in every
    ]
    if names:
        declared: list[Declaration] = []
        for name in names:
            found = (catalog.operations.get(name), catalog.aggregations.get(name))
            declared += [each for each in found if each is not None]
        return "\n".join(map(_entry, declared)), unknown
    return _whole(catalog), unknown


def _whole(catalog: Catalog) -> str:
    parts = [
        "# Operations\n",
        "Functions of one row's values, for rules and conditions.\n",
        *map(_entry, _unique(catalog.operations.values())),
        "# Aggregations\n",
        "Functions of a window's rows, for the rules of an aggregation.\n",
        *map(_entry, _unique(catalog.aggregations.values())),
    ]
    return "\n".join(parts)


def _unique(declared: Iterable[Declaration]) -> list[Declaration]:
    return sorted({each.name: each for each in declared}.values(), key=lambda each: each.name)


def _entry(declaration: Declaration) -> str:
    result = declaration.result
    told = result.name if isinstance(result, ResultRule) else str(result)
    lines = [f"## {declaration.name}", "", f"    {declaration.signature} -> {told}", ""]
    if isinstance(declaration, Operation) and declaration.infix:
        lines += [f"Operator: `{declaration.infix}`", ""]
    if declaration.aliases:
        lines += [f"Also called: {', '.join(f'`{each}`' for each in declaration.aliases)}", ""]
    if isinstance(declaration, Aggregation | Operation) and declaration.doc:
        lines += [declaration.doc, ""]
    if declaration.examples:
        lines += [*(f"    {each.call} => {each.result}" for each in declaration.examples), ""]
    return "\n".join(lines)
