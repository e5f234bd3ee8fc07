"""The DSL's static types: their names, how they widen, and what a data structure may call them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Type(Enum):
    """A type that a field, a rule or an expression can have.

    The value is the name that users read and write. ``NULL`` is the type of the literal ``null``
    alone: it fits everywhere and is the type of no field.
    """

    BOOLEAN = "boolean"
    BYTE = "byte"
    SHORT = "short"
    INT = "int"
    LONG = "long"
    FLOAT = "float"
    DOUBLE = "double"
    STRING = "string"
    TIMESTAMP = "timestamp"
    NULL = "null"

    def __str__(self) -> str:
        return self.value

    @property
    def is_integer(self) -> bool:
        return self in INTEGERS

    @property
    def is_fractional(self) -> bool:
        return self in FRACTIONS

    @property
    def is_number(self) -> bool:
        return self in NUMBERS


#: Every number widens to the ones after it; a boolean counts as 0 or 1.
WIDENING = (
    Type.BOOLEAN,
    Type.BYTE,
    Type.SHORT,
    Type.INT,
    Type.LONG,
    Type.FLOAT,
    Type.DOUBLE,
)
INTEGERS = frozenset({Type.BYTE, Type.SHORT, Type.INT, Type.LONG})
FRACTIONS = frozenset({Type.FLOAT, Type.DOUBLE})
NUMBERS = INTEGERS | FRACTIONS

#: What a data structure may write for a type: the DSL's names and Spark's.
FIELD_TYPES: dict[str, Type] = {
    "boolean": Type.BOOLEAN,
    "byte": Type.BYTE,
    "short": Type.SHORT,
    "int": Type.INT,
    "long": Type.LONG,
    "float": Type.FLOAT,
    "double": Type.DOUBLE,
    "string": Type.STRING,
    "timestamp": Type.TIMESTAMP,
    "BooleanType": Type.BOOLEAN,
    "ByteType": Type.BYTE,
    "ShortType": Type.SHORT,
    "IntegerType": Type.INT,
    "LongType": Type.LONG,
    "FloatType": Type.FLOAT,
    "DoubleType": Type.DOUBLE,
    "StringType": Type.STRING,
    "TimestampType": Type.TIMESTAMP,
    "DateType": Type.TIMESTAMP,
}


def common(types: Iterable[Type]) -> Type | None:
    """The narrowest type that all of these widen to, or None where there is none.

    ``NULL`` fits any type; of nothing but nulls the common type is ``NULL``.

    Example:
        >>> common([Type.INT, Type.NULL, Type.DOUBLE])
        <Type.DOUBLE: 'double'>
        >>> common([Type.INT, Type.STRING]) is None
        True
    """
    known = {each for each in types if each is not Type.NULL}
    if not known:
        return Type.NULL
    if len(known) == 1:
        return known.pop()
    if known <= set(WIDENING):
        return max(known, key=WIDENING.index)
    return None
