"""A lookup becomes columns beside its row: by a join with the table, or a question to a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from engine.spark.tables import KEY, arrow_column, place_column
from engine.tables import MMDB, Table, mmdb
from engine.tables.records import member
from engine.tables.values import Convert, from_value
from engine.types import Type


@dataclass(frozen=True)
class Lookup:
    """All columns of a table's row that has a key.

    Args:
        key: what is looked up: a column or a constant.
        of: the key's type in the plan.
        number: tells its columns from those of other lookups.
        time_zone: of times without one.
    """

    table: Table
    key: Column
    of: Type
    number: int
    time_zone: str

    def column(self, name: str) -> Column:
        """A column of the row that was found."""
        place = list(self.table.columns).index(name)
        if self.table.format == MMDB:
            return F.col(self._found).getField(place_column(place))
        return F.col(f"{self._found}{place_column(place)}")

    def onto(self, frame: DataFrame) -> DataFrame:
        """The frame, as many rows as before, with the columns that are found."""
        key = _as_key(self.key, self.of, self.table.key_type)
        if self.table.format == MMDB:
            return frame.withColumn(self._found, _asked(self.table, key, self.time_zone))
        held: DataFrame = self.table.held
        ours = [F.col(name).alias(f"{self._found}{name}") for name in held.columns]
        # A key stands in one row of a table: each row of the frame finds one at most.
        found = frame.join(
            F.broadcast(held.select(*ours)), key == F.col(f"{self._found}{KEY}"), "left"
        )
        return found.drop(f"{self._found}{KEY}")

    @property
    def _found(self) -> str:
        return f"_l{self.number}"


def _as_key(key: Column, of: Type, wanted: Type) -> Column:
    """The key in the type of the table's keys; null where it has no such value.

    Not both in a common type: two long keys may be one double, and a row would find both.
    """
    if of is wanted:
        return key
    cast = key.try_cast(str(wanted))
    return cast if of is Type.NULL else F.when(cast == key, cast)


def _asked(table: Table, address: Column, time_zone: str) -> Column:
    """A struct of the table's columns, of what the file knows of an address."""
    fields = ", ".join(f"{place_column(n)}: {of}" for n, of in enumerate(table.columns.values()))
    declare: Any = F.arrow_udf  # its type tells only some of what it takes
    ask = declare(_question(table, time_zone), f"struct<{fields}>")
    # What is not deterministic Spark computes once, where it stands.
    column: Column = ask.asNondeterministic()(address)
    return column


def _question(table: Table, time_zone: str) -> Callable[[pa.Array], pa.Array]:
    """What workers do with a batch of addresses: the file is asked once for each distinct one."""
    held, columns = str(table.held), dict(table.columns)
    names = [place_column(place) for place in range(len(columns))]
    converts = [from_value(of, time_zone) for of in columns.values()]

    def answer(addresses: pa.Array) -> pa.Array:
        database = mmdb.reader(SparkFiles.get(held))
        distinct = addresses.dictionary_encode()
        records = [mmdb.found(database, each) for each in distinct.dictionary.to_pylist()]
        found = []
        for (name, of), convert in zip(columns.items(), converts, strict=True):
            values = [_fitting(convert, member(each, name)) for each in records]
            found.append(arrow_column(values, of))
        return pa.StructArray.from_arrays(found, names).take(distinct.indices)

    # Spark reads the annotations to tell what kind of UDF it is; ours must not depend on that.
    answer.__annotations__ = {"addresses": pa.Array, "return": pa.Array}
    return answer


def _fitting(convert: Convert, value: Any) -> Any:
    """The value, null where it is not of its column's type: other records have another one."""
    try:
        return convert(value)
    except (ValueError, OverflowError):
        return None
