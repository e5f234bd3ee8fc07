"""A record that is a JSON object becomes typed fields, or a reason.

Most records have numbers where numbers belong, and are read in one go into Spark's types. The
others (a ``3.0`` for a long, a NaN, a wrong type) are read again, each declared member as a variant
that remembers what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from engine import plan
from engine.spark.parse import values
from engine.spark.parse.names import RECORD, TEXT, value
from engine.spark.parse.text import Read, without_marks
from engine.types import Type

_SIMPLE, _FAST, _TAKEN, _EXACT, _WHOLE = "_simple", "_fast", "_taken", "_exact", "_whole"
_BROKEN = "_broken"
_OPTIONS = {
    "mode": "PERMISSIVE",
    "columnNameOfCorruptRecord": _BROKEN,
    "allowSingleQuotes": "false",
}
#: An object whose only closing brace is its last character: nothing can stand behind it. (Braces as
#: numbers, for Spark cannot show compiled code in which they are not balanced.)
_OPENING = r"\A\s*+\x7b"
_SIMPLE_OBJECT = rf"{_OPENING}[^\x7d\ufffd]*+\x7d\s*+\z"
#: Spark reads bytes up to 255 and shorts by their own ways: all whole numbers are read as longs.
_FAST_TYPES: dict[Type, T.DataType] = {
    Type.BOOLEAN: T.BooleanType(),
    **dict.fromkeys((Type.BYTE, Type.SHORT, Type.INT, Type.LONG), T.LongType()),
    Type.FLOAT: T.FloatType(),
    Type.DOUBLE: T.DoubleType(),
}
_Tree: TypeAlias = dict[str, Any]


def read(frame: DataFrame, fields: Sequence[plan.InputField], time_zone: str) -> Read:
    """The frame with a value for each field, and what tells well-formed records from others."""
    record = F.col(RECORD).cast("string")
    members = _Members(fields)
    frame = frame.withColumn(_SIMPLE, record.rlike(_SIMPLE_OBJECT))
    is_text = F.col(_SIMPLE) | F.is_valid_utf8(record)
    frame = frame.withColumn(TEXT, F.when(is_text, without_marks(record)))
    frame = frame.withColumn(_FAST, F.from_json(TEXT, members.schema(exact=False), _OPTIONS))
    frame = frame.withColumn(_TAKEN, members.is_taken())
    exact = F.from_json(TEXT, members.schema(exact=True), _OPTIONS)
    frame = frame.withColumn(_EXACT, F.when(~F.col(_TAKEN), exact))
    typed = {value(index): members.value(field, time_zone) for index, field in enumerate(fields)}
    # Not `or`: Spark computes what stands twice behind it for every row, needed or not. Beside the
    # values: a select with `from_json` is compiled apart, so that their code, large for what is
    # rare, does not make the method of all that follows too long for Java's compiler (8,000 bytes).
    whole = F.when(F.col(_SIMPLE), F.lit(True)).otherwise(_is_whole())
    frame = frame.withColumns({**typed, _WHOLE: whole})
    return Read(frame, members.ok(), members.reason())


class _Members:
    """The declared members of a record."""

    def __init__(self, fields: Sequence[plan.InputField]) -> None:
        self.fields = fields
        self.tree: _Tree = {}
        for field in fields:
            *above, last = _path(field)
            node = self.tree
            for step in above:
                node = node.setdefault(step, {})
                if not isinstance(node, dict):
                    raise ValueError(f"the path of '{field.name}' goes through another field")
            if isinstance(node.get(last), dict):
                raise ValueError(f"the path of another field goes through '{field.name}'")
            # Two fields of one member are read exactly: it has one fast type.
            node[last] = field.type if node.get(last, field.type) is field.type else Type.NULL

    def schema(self, exact: bool) -> T.StructType:
        """What a record is read into: fast types where there are, or variants throughout."""
        fields = _struct(self.tree, exact).fields
        return T.StructType([*fields, T.StructField(_BROKEN, T.StringType())])

    def is_taken(self) -> Column:
        """Whether the fast reading is right: of nothing broken, and of no NaN or infinity, which
        Spark also takes from strings."""
        taken = F.col(_FAST).isNotNull() & F.col(_FAST).getField(_BROKEN).isNull()
        for field in self.fields:
            if self._is_fast(field) and field.type.is_fractional:
                number = _member(_FAST, field)
                taken = taken & (number.isNull() | (number - number == 0))
        return taken

    def value(self, field: plan.InputField, time_zone: str) -> Column:
        variant = _member(_EXACT, field)
        if not self._is_fast(field):
            variant = F.when(F.col(_TAKEN), _member(_FAST, field)).otherwise(variant)
            return _exact_value(variant, field, time_zone)
        fast = _member(_FAST, field)
        if field.type.is_integer and field.type is not Type.LONG:
            fast = fast.try_cast(str(field.type))
        return F.when(F.col(_TAKEN), fast).otherwise(_exact_value(variant, field, time_zone))

    def ok(self) -> Column:
        exact = F.col(_EXACT)
        ok = F.col(_WHOLE)
        ok = ok & (F.col(_TAKEN) | (exact.isNotNull() & exact.getField(_BROKEN).isNull()))
        for index, field in enumerate(self.fields):
            ok = ok & self._fits(index, field)
        return ok

    def reason(self) -> Column:
        """The first that is wrong."""
        text, broken = F.col(TEXT), F.col(_EXACT).getField(_BROKEN).isNotNull()
        no_object = ~F.coalesce(_is_whole(), F.lit(False))
        told = [
            F.when(text.isNull() | (F.trim(text, F.lit(" \t\r\n")) == ""), F.lit("empty record")),
            F.when(no_object, F.lit("not a JSON object")),
            F.when(broken, F.lit("a declared member cannot be read")),
        ]
        for index, field in enumerate(self.fields):
            wrong = ~F.coalesce(self._fits(index, field), F.lit(False))
            told.append(F.when(wrong, values.no_value(field, self._shown(field))))
        return F.coalesce(*told)

    def _fits(self, index: int, field: plan.InputField) -> Column:
        """Whether a member is of its field's type, or null or missing."""
        found = F.col(value(index))
        has_value = values.is_finite(found) if field.type.is_fractional else found.isNotNull()
        exact = _is_nothing(_member(_EXACT, field))
        fast = _member(_FAST, field)
        missing = fast.isNull() if self._is_fast(field) else _is_nothing(fast)
        return has_value | F.when(F.col(_TAKEN), missing).otherwise(exact)

    def _shown(self, field: plan.InputField) -> Column:
        fast = _member(_FAST, field)
        if self._is_fast(field):
            told = fast.cast("string")
        else:
            told = F.try_variant_get(fast, "$", "string")
        exact = F.try_variant_get(_member(_EXACT, field), "$", "string")
        return F.coalesce(F.when(F.col(_TAKEN), told).otherwise(exact), F.lit(""))

    def _is_fast(self, field: plan.InputField) -> bool:
        node: Any = self.tree
        for step in _path(field):
            node = node[step]
        return node in _FAST_TYPES


def _path(field: plan.InputField) -> tuple[str, ...]:
    return field.path or (field.name,)


def _struct(tree: _Tree, exact: bool) -> T.StructType:
    def of(node: Any) -> T.DataType:
        if isinstance(node, dict):
            return _struct(node, exact)
        return T.VariantType() if exact else _FAST_TYPES.get(node, T.VariantType())

    return T.StructType([T.StructField(name, of(node)) for name, node in tree.items()])


def _member(record: str, field: plan.InputField) -> Column:
    column = F.col(record)
    for step in _path(field):
        column = column.getField(step)
    return column


def _is_whole() -> Column:
    """Whether a record is an object and nothing else.

    Spark stops reading behind the object. In an array, with a member behind the array, it cannot:
    what is behind the object breaks the array, or is one more of its elements, or hides the member.
    """
    schema = f"_all ARRAY<STRUCT<{_BROKEN}: STRING>>, _end BOOLEAN"
    around = F.concat(F.lit('{"_all":['), F.col(TEXT), F.lit('],"_end":true}'))
    found = F.from_json(around, schema, _OPTIONS)
    is_one = (F.size(found.getField("_all")) == 1) & found.getField("_end")
    return F.col(TEXT).rlike(_OPENING) & is_one


def _is_nothing(variant: Column) -> Column:
    return variant.isNull() | F.is_variant_null(variant)


def _exact_value(variant: Column, field: plan.InputField, time_zone: str) -> Column:
    """The value of a member, null where it is not of its field's type."""

    def read_as(of: str) -> Column:
        return F.try_variant_get(variant, "$", of)

    kind = F.schema_of_variant(variant)
    is_number = _is_number(kind)
    match field.type:
        case Type.STRING:
            return F.when(kind == "STRING", read_as("string"))
        case Type.BOOLEAN:
            return F.when(kind == "BOOLEAN", read_as("boolean"))
        case Type.TIMESTAMP:
            text = values.typed(read_as("string"), field, time_zone)
            seconds = values.epoch_timestamp(read_as("double"))
            return F.when(kind == "STRING", text).when(is_number, seconds)
        case of if of.is_integer:
            number = read_as("double")
            from_double = F.when(number % 1 == 0, number.try_cast(str(of)))
            # Through a text, for a decimal cast to a whole number loses its fraction silently.
            plain = read_as("string").try_cast(str(of))
            return F.when(kind == "DOUBLE", from_double).when(is_number, plain)
        case of:
            return F.when(is_number, read_as(str(of)))


def _is_number(kind: Column) -> Column:
    return kind.isin("BIGINT", "DOUBLE") | kind.startswith("DECIMAL")
