"""The option ``deduplicate`` becomes the fields that it uses, or problems."""

from __future__ import annotations

from engine.check.expression import Scope
from engine.config.load import Document
from engine.source import Problems, nearest

_AT = ("processing", "deduplicate")


def check_duplicates(
    document: Document, scope: Scope, aggregates: bool, problems: Problems
) -> set[str]:
    """Checks ``deduplicate``; gives the fields that it uses.

    Args:
        aggregates: whether the config has aggregations.
    """
    node = document.root.at(_AT)
    if node is None or node.value is None:
        return set()
    if not aggregates:
        message = "there are no aggregations to keep duplicates out of"
        problems.add(document.problem(message, _AT, "'raw' has every row, as it came"))
    by = document.root.at((*_AT, "by"))
    used: set[str] = set()
    for index in range(len(by.value) if by is not None and isinstance(by.value, list) else 0):
        path = (*_AT, "by", index)
        each = document.good(*path)
        if each is None:
            continue
        name = str(each.value)
        if name not in scope.fields and not scope.is_open:
            hint = nearest(name, scope.fields)
            problems.add(document.problem(f"unknown field '{name}'", path, hint))
        elif name in used:
            problems.add(document.problem(f"'{name}' is in 'by' twice", path))
        used.add(name)
    return used
