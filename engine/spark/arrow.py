"""A DataFrame through a Python function that takes and gives Arrow batches, without pandas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from pyspark.sql import DataFrame
from pyspark.sql.udf import UserDefinedFunction
from pyspark.util import PythonEvalType

if TYPE_CHECKING:
    import pyarrow

BatchFunction: TypeAlias = Callable[
    [Iterator["pyarrow.RecordBatch"]], Iterator["pyarrow.RecordBatch"]
]


def map_in_arrow(frame: DataFrame, function: BatchFunction, schema: str) -> DataFrame:
    """What ``DataFrame.mapInArrow`` gives.

    That one asks for pandas on the driver, which neither it nor its workers ever use: here is what
    it does without the question.

    Args:
        function: called once a partition, in a worker; it must take all that it is given.
        schema: of the rows that it gives, as DDL.
    """
    made = UserDefinedFunction(
        function, returnType=schema, evalType=PythonEvalType.SQL_MAP_ARROW_ITER_UDF
    )
    column = made(*[frame[name] for name in frame.columns])
    return DataFrame(frame._jdf.mapInArrow(column._jc, False, None), frame.sparkSession)
