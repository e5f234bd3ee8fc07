"""The catalog becomes the reference, as Markdown: of the DSL, and of a config's options."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from engine.catalog import OPERATION_MODULES, Catalog, Conflict
from engine.config.schema import schema
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
        "Functions of a window's rows, for the rules of an aggregation. A condition is a boolean",
        "such as `sensor == 'HVAC1'`; rows that do not meet it are skipped.\n",
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


def config(catalog: Catalog) -> str:
    """The reference of a config's options: a table for each section and each method."""
    whole = schema(catalog)
    parts = [
        "# The options of a config",
        "",
        "Made by `ts-engine schema --format markdown`; required options are **bold**.",
        "Durations are written with their unit: `10 seconds`, `2 days`.",
        "",
        *_section("config", whole),
    ]
    return "\n".join(parts)


def _section(name: str, section: Mapping[str, Any]) -> Iterator[str]:
    """A section's table, then those of the sections in it."""
    yield f"## {name}"
    yield ""
    yield from (section.get("description", ""), "")
    yield from ("| option | takes | default | |", "| --- | --- | --- | --- |")
    required = section.get("required", ())
    inner: list[tuple[str, Mapping[str, Any]]] = []
    for option, about in section.get("properties", {}).items():
        shown = f"**`{option}`**" if option in required else f"`{option}`"
        default = f"`{json.dumps(about['default'])}`" if "default" in about else ""
        yield f"| {shown} | {_takes(about)} | {default} | {_cell(about)} |"
        inner += _inner(name, option, about)
    for pattern in section.get("patternProperties", {}):
        yield f"| `{pattern.strip('^').replace(chr(92), '')}…` | string, number, boolean | | |"
    yield ""
    for condition in section.get("allOf", ()):
        (method,) = [each["const"] for each in condition["if"]["properties"].values()]
        options = condition["then"]["properties"]["options"]
        inner.append((f"{name}: {method}", options))
    for each in inner:
        yield from _section(*each)


def _inner(
    name: str, option: str, about: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    path = option if name == "config" else f"{name}.{option}"
    items, more = about.get("items", {}), about.get("additionalProperties", {})
    if "properties" in about:
        yield path, about
    elif "properties" in items:
        yield f"{path}[]", items
    elif isinstance(more, dict) and "properties" in more:
        yield f"{path}.NAME", more


def _takes(about: Mapping[str, Any]) -> str:
    if "enum" in about and len(about["enum"]) <= 6:
        return ", ".join(f"`{json.dumps(each)}`" for each in about["enum"])
    of = about.get("type", "")
    return ", ".join(of) if isinstance(of, list) else str(of)


def _cell(about: Mapping[str, Any]) -> str:
    told = [about.get("description", "")]
    told += [f"e.g. `{json.dumps(each, ensure_ascii=False)}`" for each in about.get("examples", ())]
    return "; ".join(each for each in told if each).replace("|", "\\|")
