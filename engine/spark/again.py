"""A plan that is made once serves for all micro-batches.

To make a plan's hundreds of columns from Python takes longer than to run it over few rows. Two
micro-batches differ in what they read, and in a few numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from pyspark import SparkContext
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.classic.column import Column as ClassicColumn

from engine.spark.logical import frame_of

_LEAST = -(2**63)


class Frames:
    """Frames, each made once, and then again of other rows."""

    def __init__(self) -> None:
        self._made: dict[Hashable, tuple[str, _Part]] = {}

    def of(
        self, key: Hashable, make: Callable[..., DataFrame], *frames: DataFrame | None
    ) -> DataFrame:
        """What a function makes of frames; it is not called again where it was, for this key.

        Args:
            key: what tells the function, and all that it goes by, from others.
            frames: with the same columns as before under this key. Each but the first is itself a
                part of a union, behind what is made of the first.
        """
        there = [each for each in frames if each is not None]
        read = [each._jdf.queryExecution().analyzed() for each in there]
        shape = tuple(each is not None for each in frames)
        return self.over((key, shape), partial(make, *frames), there[0].sparkSession, read)

    def over(
        self,
        key: Hashable,
        make: Callable[[], DataFrame],
        session: SparkSession,
        read: Sequence[Any],
    ) -> DataFrame:
        """As ``of``; what is read are parts of the logical plan of the frame that is made."""
        # Columns are known by their ids; those of a union have the ids of what is first in it.
        ids = read[0].output().toString()
        if key not in self._made or self._made[key][0] != ids:
            self._made[key] = ids, _emptied(make(), read)
        return frame_of(session, _made(self._made[key][1], read))


@dataclass(frozen=True)
class _Node:
    """A node of a logical plan above what is read.

    Args:
        parts: its children that are made anew, by their places.
    """

    node: Any
    parts: Mapping[int, _Part]


#: A node, or a place in what is read.
_Part: TypeAlias = _Node | int


def _emptied(frame: DataFrame, read: Sequence[Any]) -> _Part:
    """The plan of a frame without what it reads, which nobody needs behind its micro-batch."""
    jvm: Any = frame.sparkSession._jvm
    plans = jvm.org.apache.spark.sql.catalyst.plans.logical
    relation = getattr(plans, "LocalRelation$").__getattr__("MODULE$")
    nothing = [relation.apply(each.output()) for each in read]
    whole = _part(jvm, frame._jdf.queryExecution().analyzed(), read)
    return _part(jvm, _made(whole, nothing), nothing)


def _part(jvm: Any, plan: Any, read: Sequence[Any]) -> _Part:
    """A plan, as far as it changes with what it reads."""
    places = jvm.java.util.IdentityHashMap()
    for place, each in enumerate(read):
        places.put(each, place)

    def part(node: Any) -> _Part | None:
        if (place := places.get(node)) is not None:
            return int(place)
        children = node.children()
        parts = {n: part(children.apply(n)) for n in range(children.size())}
        found = {n: each for n, each in parts.items() if each is not None}
        return _Node(node, found) if found else None

    root = part(plan)
    assert root is not None, "a plan that does not read what it is made of"
    return root


def _made(part: _Part, read: Sequence[Any]) -> Any:
    if isinstance(part, int):
        return read[part]
    children = part.node.children()
    for place, child in part.parts.items():
        children = children.updated(place, _made(child, read))
    return part.node.withNewChildren(children)


class Number:
    """A number in a plan that is told anew before each time that the plan runs.

    It does not stand in the code that Spark generates: code with another number is new code, to be
    compiled in every micro-batch. An array is kept beside the code, as long as its index, here
    always 0, is found row by row.
    """

    def __init__(self) -> None:
        context = SparkContext._active_spark_context
        assert context is not None
        jvm: Any = context._jvm
        catalyst = jvm.org.apache.spark.sql.catalyst.expressions
        types = jvm.org.apache.spark.sql.types
        columns = jvm.org.apache.spark.sql.classic.ExpressionUtils
        longs = context._gateway.new_array(jvm.long, 1)  # type: ignore[union-attr]
        self._held = catalyst.UnsafeArrayData.fromPrimitiveArray(longs)
        of = types.ArrayType(types.DataType.fromDDL("bigint"), False)
        self._array = ClassicColumn(columns.column(catalyst.Literal(self._held, of)))

    def tell(self, number: int | None) -> None:
        """The number from now on; None is less than all others."""
        self._held.setLong(0, _LEAST if number is None else number)

    def beside(self, time: Column) -> Column:
        """The number, in a row; null where a time of the row is null."""
        return F.get(self._array, F.pmod(F.unix_micros(time), F.lit(1)))

    def alone(self) -> Column:
        """The number, where there is no time to find it by."""
        return F.get(self._array, F.pmod(F.spark_partition_id(), F.lit(1)))
