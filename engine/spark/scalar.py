"""A scalar Python function becomes a column: an Arrow UDF, null where it has no result."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyspark.sql import Column
from pyspark.sql import functions as F

from engine.declare import Operation
from engine.spark.arrow import ARROW
from engine.types import Type

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def scalar_column(
    operation: Operation,
    result: Type,
    types: Sequence[Type],
    arguments: Sequence[Column],
    time_zone: str,
) -> Column:
    """The function's value for each row, in a Python worker.

    Null where an argument is null, where it raises, and where it gives a value that is not of its
    result's type: a whole number beyond a long, NaN, an infinity, a text that is not Unicode.
    Moments are aware datetimes in the time zone; a naive one that comes back is taken to be there.
    """
    compute = _column_function(operation.function, result, tuple(types), time_zone)
    declare: Any = F.arrow_udf  # its type tells only some of what it takes
    # Arrow UDFs without an argument do not know how many rows there are.
    column: Column = declare(compute, str(result))(*arguments or [F.lit(True)])
    return column


def _column_function(
    function: Callable[..., Any], result: Type, types: tuple[Type, ...], time_zone: str
) -> Callable[..., pa.Array]:
    zone = ZoneInfo(time_zone) if Type.TIMESTAMP in (*types, result) else None
    fitting = _FITTING[result]

    def value(row: tuple[Any, ...]) -> Any:
        if None in row:
            return None
        try:
            return fitting(function(*row), zone)
        except Exception:  # of the user's function, on this one row
            return None

    def compute(*columns: pa.Array) -> pa.Array:
        if not types:
            rows = [()] * len(columns[0])
        else:
            read = [_values(each, of, zone) for each, of in zip(columns, types, strict=True)]
            rows = list(zip(*read, strict=True))
        found = [value(row) for row in rows]
        if result is Type.TIMESTAMP:
            return pa.array(found, pa.int64()).cast(ARROW[result])
        return pa.array(found, ARROW[result])

    # Spark reads the annotations to tell what kind of UDF it is; ours must not depend on that.
    compute.__annotations__ = {"columns": pa.Array, "return": pa.Array}
    return compute


def _values(column: pa.Array, of: Type, zone: ZoneInfo | None) -> list[Any]:
    if of is not Type.TIMESTAMP:
        plain: list[Any] = column.to_pylist()
        return plain
    return [_moment(each, zone) for each in column.cast(pa.int64()).to_pylist()]


def _moment(micros: int | None, zone: ZoneInfo | None) -> datetime | None:
    if micros is None:
        return None
    try:
        return (_EPOCH + micros * _MICROSECOND).astimezone(zone)
    except OverflowError:  # before the year 1 or after 9999
        return None


def _boolean(value: Any, zone: ZoneInfo | None) -> bool | None:
    return value if isinstance(value, bool) else None


def _long(value: Any, zone: ZoneInfo | None) -> int | None:
    return int(value) if isinstance(value, int) and -(2**63) <= value < 2**63 else None


def _double(value: Any, zone: ZoneInfo | None) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _string(value: Any, zone: ZoneInfo | None) -> str | None:
    if not isinstance(value, str):
        return None
    value.encode()  # a lone surrogate raises here, on its row, and not in Arrow, on all of them
    return value


def _timestamp(value: Any, zone: ZoneInfo | None) -> int | None:
    if not isinstance(value, datetime):
        return None
    aware = value if value.tzinfo is not None else value.replace(tzinfo=zone)
    return (aware - _EPOCH) // _MICROSECOND


_FITTING: dict[Type, Callable[[Any, ZoneInfo | None], Any]] = {
    Type.BOOLEAN: _boolean,
    Type.LONG: _long,
    Type.DOUBLE: _double,
    Type.STRING: _string,
    Type.TIMESTAMP: _timestamp,
}
