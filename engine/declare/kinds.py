"""An annotation of a declared function becomes a kind of argument, or a type of result."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from engine.types import INTEGERS, NUMBERS, Type

if TYPE_CHECKING:
    from pyspark.sql import Column

_ALL = frozenset(Type) - {Type.NULL}
_ORDERED = NUMBERS | {Type.BOOLEAN}


@dataclass(frozen=True)
class Kind:
    """What a parameter takes, and what its column has become when the function gets it.

    Args:
        name: for messages and the reference.
        accepts: the argument's types; a null literal always fits.
        becomes: the type that the column is converted to (``BOOLEAN`` by Python's truth).
        unifies: all arguments of unifying parameters are widened to one common type.
        constant: the function gets a plain Python value, known before the start; no column.
    """

    name: str
    accepts: frozenset[Type]
    becomes: Type | None = None
    unifies: bool = False
    constant: bool = False


class ResultRule:
    """A result type that depends on the arguments."""

    def __init__(self, name: str, of: Callable[[list[Type], Type | None], Type]) -> None:
        self.name = name
        self.of = of

    def __repr__(self) -> str:
        return f"ResultRule({self.name})"


def _sum_type(arguments: list[Type], unified: Type | None) -> Type:
    return Type.DOUBLE if arguments and arguments[0].is_fractional else Type.LONG


def _first_type(arguments: list[Type], unified: Type | None) -> Type:
    return arguments[0] if arguments else Type.NULL


_SAME = ResultRule("the arguments' common type", lambda arguments, unified: unified or Type.NULL)
_FIRST = ResultRule("the argument's type", _first_type)
_COLUMN = ResultRule("the column's type", lambda arguments, unified: Type.STRING)
_SUM = ResultRule("long of integers and booleans, else double", _sum_type)

# What annotations may say. At run time they carry a Kind; for a type checker they are columns.
# A Number is never boolean: booleans become 0 and 1, as long where no wider number is beside them.
Number: TypeAlias = Annotated["Column", Kind("number", _ORDERED, unifies=True)]
#: A number as a double.
Real: TypeAlias = Annotated["Column", Kind("number", _ORDERED, becomes=Type.DOUBLE)]
#: A whole number (or boolean) as a long.
Integer: TypeAlias = Annotated[
    "Column", Kind("integer", INTEGERS | {Type.BOOLEAN}, becomes=Type.LONG)
]
Text: TypeAlias = Annotated["Column", Kind("string", frozenset({Type.STRING}))]
Time: TypeAlias = Annotated["Column", Kind("timestamp", frozenset({Type.TIMESTAMP}))]
#: A boolean, number or string, converted to boolean by Python's truth.
Truth: TypeAlias = Annotated[
    "Column", Kind("boolean, number or string", _ALL - {Type.TIMESTAMP}, becomes=Type.BOOLEAN)
]
#: Any type; all arguments of this kind must have a common type, and are widened to it.
Alike: TypeAlias = Annotated["Column", Kind("value", _ALL, unifies=True)]
#: Any type, left as it is. Take ``context.types`` where the function must know it.
Anything: TypeAlias = Annotated["Column", Kind("value", _ALL)]
#: Anything that a cast can start from: all but timestamps.
Scalar: TypeAlias = Annotated["Column", Kind("boolean, number or string", _ALL - {Type.TIMESTAMP})]
#: One number (or boolean) of an aggregation, left as it is.
Numeric: TypeAlias = Annotated["Column", Kind("number", _ORDERED)]
ConstantText: TypeAlias = Annotated[
    str, Kind("constant string", frozenset({Type.STRING}), constant=True)
]
ConstantInteger: TypeAlias = Annotated[int, Kind("constant integer", INTEGERS, constant=True)]
ConstantNumber: TypeAlias = Annotated[float, Kind("constant number", NUMBERS, constant=True)]

# What results may say.
Same: TypeAlias = Annotated["Column", _SAME]
First: TypeAlias = Annotated["Column", _FIRST]
#: What a table's column holds: the check knows it, not the declaration.
Looked: TypeAlias = Annotated["Column", _COLUMN]
SumType: TypeAlias = Annotated["Column", _SUM]
Boolean: TypeAlias = Annotated["Column", Type.BOOLEAN]
Int: TypeAlias = Annotated["Column", Type.INT]
Long: TypeAlias = Annotated["Column", Type.LONG]
Float: TypeAlias = Annotated["Column", Type.FLOAT]
Double: TypeAlias = Annotated["Column", Type.DOUBLE]
String: TypeAlias = Annotated["Column", Type.STRING]
Timestamp: TypeAlias = Annotated["Column", Type.TIMESTAMP]

#: Python's types in the signature of a scalar function, and what they are here.
PYTHON_TYPES: dict[type, Type] = {
    bool: Type.BOOLEAN,
    int: Type.LONG,
    float: Type.DOUBLE,
    str: Type.STRING,
    datetime: Type.TIMESTAMP,
}


def kind_of(hint: Any) -> Kind | None:
    """What a parameter of this annotation takes; None where it says nothing known."""
    for each in getattr(_not_none(hint), "__metadata__", ()):
        if isinstance(each, Kind):
            return each
    of = PYTHON_TYPES.get(_not_none(hint))
    if of is None:
        return None
    accepts = _ORDERED if of in (Type.LONG, Type.DOUBLE) else frozenset({of})
    if of is Type.LONG:
        accepts = INTEGERS | {Type.BOOLEAN}
    return Kind("number" if of is Type.DOUBLE else str(of), accepts, becomes=of)


def result_of(hint: Any) -> Type | ResultRule | None:
    """The type that an annotation says a function gives; None where it says nothing known."""
    for each in getattr(hint, "__metadata__", ()):
        if isinstance(each, Type | ResultRule):
            return each
        if isinstance(each, Kind) and each.becomes is not None:
            return each.becomes
        if isinstance(each, Kind) and len(each.accepts) == 1:
            return next(iter(each.accepts))
        if isinstance(each, Kind) and each.unifies:
            return _SAME
    return PYTHON_TYPES.get(_not_none(hint))


def _not_none(hint: Any) -> Any:
    """``float | None`` is declared like ``float``: every result may be null."""
    members = [each for each in typing.get_args(hint) if each is not type(None)]
    return members[0] if len(members) == 1 and type(None) in typing.get_args(hint) else hint
