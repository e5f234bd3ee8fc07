"""Spark's logical plans and expressions become frames and columns, where no function gives them.

They are not public; what makes them stands here alone, and tests fail when a version of Spark
changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pyspark import SparkContext
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql.classic.column import Column as ClassicColumn

#: What Spark makes of ``current_timestamp`` in a micro-batch.
_TIME = "current_batch_timestamp"


def frame_of(session: SparkSession, logical: Any) -> DataFrame:
    """A logical plan of the JVM as a frame."""
    jvm: Any = session._jvm
    datasets = getattr(jvm.org.apache.spark.sql.classic, "Dataset$").__getattr__("MODULE$")
    return DataFrame(datasets.ofRows(session._jsparkSession, logical), session)


def settled(frame: DataFrame) -> DataFrame:
    """The frame as one of rows that are there: what reads a micro-batch again is still a stream to
    Spark, which would not write it to files."""
    jvm: Any = frame.sparkSession._jvm
    of_rows = getattr(jvm.org.apache.spark.sql.execution, "LogicalRDD$").__getattr__("MODULE$")
    rows = frame._jdf.queryExecution().toRdd()
    return frame_of(frame.sparkSession, of_rows.fromDataset(rows, frame._jdf, False))


def expanded(frame: DataFrame, lists: Sequence[Sequence[Column]]) -> DataFrame:
    """A row for each list of columns, for each row of the frame.

    Spark has an operator for this, for the sake of grouping sets. ``inline(array(struct(…), …))``
    gives the same, but makes objects for every row, and costs about four times as much.

    Args:
        lists: one as long as the other; what stands at the same place has the same type, and the
            name that it has in the first.
    """
    session = frame.sparkSession
    jvm: Any = session._jvm
    # As a select, because Spark resolves and checks what is in it.
    select = frame.select(*[column for each in lists for column in each])
    resolved = select._jdf.queryExecution().analyzed()
    columns, width = resolved.projectList(), len(lists[0])
    starts = range(0, columns.size(), width)
    first = [columns.apply(place).toAttribute() for place in range(width)]
    expand = jvm.org.apache.spark.sql.catalyst.plans.logical.Expand(
        _seq(jvm, [columns.slice(start, start + width) for start in starts]),
        _seq(jvm, [each.newInstance().withNullability(True) for each in first]),
        resolved.child(),
    )
    return frame_of(session, expand)


def narrowed(
    session: SparkSession,
    nodes: Sequence[Any],
    arrived: Column,
    some: Callable[[DataFrame], DataFrame],
) -> DataFrame:
    """A plan over some rows of what it reads.

    Args:
        nodes: the plan from the top down, each node the first child of the one before (others
            are tables that rows are joined with); the last reads, and stands on a select.
        arrived: the time of the micro-batch. Spark puts it into that select when it plans the
            stream; in a plan that is made of the stream's it asks for it, by way of its settings,
            in every row, which took a fifth of all that late rows cost.
        some: what the last node gives, into fewer rows of it, with all of its columns and others.
    """
    jvm: Any = session._jvm
    read = _timed(session, nodes[-1], arrived)
    kept = some(frame_of(session, read))._jdf.queryExecution().analyzed()
    logical = jvm.org.apache.spark.sql.catalyst.plans.logical
    made = logical.Project(read.child().output(), kept)
    for node in reversed(nodes):
        beside = [node.children().apply(place) for place in range(1, node.children().size())]
        made = node.withNewChildren(_seq(jvm, [made, *beside]))
    return frame_of(session, made)


def whole_part(text: Column) -> Column:
    """What is before the point of a plain number, as a long: 516 of ``516``, ``+516.25``, ``516.``.

    Null where there is anything else in the text, an exponent too. A point without digits is 0.
    Spark's cast as it was before ANSI mode: the quickest look at a number that there is, and it
    raises nothing, where ``try_cast`` catches an exception for each text that is no whole number.
    """
    context = SparkContext._active_spark_context
    assert context is not None
    jvm: Any = context._jvm
    catalyst = jvm.org.apache.spark.sql.catalyst.expressions
    columns = jvm.org.apache.spark.sql.classic.ExpressionUtils
    long = jvm.org.apache.spark.sql.types.DataType.fromDDL("bigint")
    nothing = getattr(jvm.scala, "None$").__getattr__("MODULE$")
    mode = catalyst.EvalMode.LEGACY()
    return ClassicColumn(
        columns.column(catalyst.Cast(columns.expression(text._jc), long, nothing, mode))
    )


def _timed(session: SparkSession, read: Any, arrived: Column) -> Any:
    """What reads, with the time of the micro-batch in the select that it stands on."""
    jvm: Any = session._jvm
    select = read.child()
    columns = [select.projectList().apply(place) for place in range(select.output().size())]
    for place, column in enumerate(columns):
        if _batch_time(column) is not None:
            made = frame_of(session, select.child()).select(arrived.alias("time"))
            found = made._jdf.queryExecution().analyzed().projectList().apply(0)
            columns[place] = column.withNewChildren(found.children())
    logical = jvm.org.apache.spark.sql.catalyst.plans.logical
    timed = logical.Project(_seq(jvm, columns), select.child())
    return read.withNewChildren(_seq(jvm, [timed]))


def batch_time_ms(select: Any) -> int | None:
    """The time of its micro-batch that Spark has put into a select; None where there is none."""
    columns = [select.projectList().apply(place) for place in range(select.output().size())]
    return next((time for time in map(_batch_time, columns) if time is not None), None)


def asks_time(node: Any) -> bool:
    """Whether Spark has put the time of a micro-batch into a node's expressions."""
    return _TIME in node.expressions().toString()


def _batch_time(column: Any) -> int | None:
    of = column.children().headOption()
    if of.isDefined() and of.get().prettyName() == _TIME:
        return int(of.get().timestampMs())
    return None


def _seq(jvm: Any, items: Iterable[Any]) -> Any:
    """The items as a list of Scala's."""
    return jvm.scala.jdk.javaapi.CollectionConverters.asScala(list(items)).toSeq()
