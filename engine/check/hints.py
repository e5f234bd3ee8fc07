"""A mistake of types becomes a word about what to write instead."""

from __future__ import annotations

from engine.types import Type

#: What aggregates a window is often meant for the values of one row.
OF_ONE_ROW = {"min": "least(a, b)", "max": "greatest(a, b)"}


def type_hint(found: Type, wanted: frozenset[Type]) -> str:
    """For an argument that has another type than the parameter takes."""
    if found is Type.STRING and Type.DOUBLE in wanted:
        return "convert it: double(x), long(x)"
    if found is Type.TIMESTAMP and Type.DOUBLE in wanted:
        return "epoch(x) gives its seconds"
    if Type.STRING in wanted and len(wanted) == 1:
        return "convert it: string(x)"
    if Type.TIMESTAMP in wanted and len(wanted) == 1:
        return "convert it: timestamp(x)"
    return ""


def common_hint(one: Type, other: Type) -> str:
    """For two values that should be of one type."""
    pair = {one, other}
    if Type.TIMESTAMP in pair:
        return "convert the text: timestamp(x)" if Type.STRING in pair else "epoch(x) gives seconds"
    return "convert one of them: string(x), double(x)" if Type.STRING in pair else ""
