"""Every example in the docstrings of operations and aggregations is run through Spark."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from engine import plan
from engine.catalog import Catalog
from engine.check.expression import check_text
from engine.declare import Declaration, Derived, Example, Kind
from engine.spark.stages import add_columns, compile_expression
from engine.spark.tables import frame as table_frame
from engine.tables import Content, Known, Table
from engine.types import Type, common

CATALOG = Catalog.builtin()
NOT_RUNNING = {"config"}
CARS = Table("cars", "", "csv", "plate", Type.STRING, {"model": Type.STRING, "weight": Type.DOUBLE})


def examples(declared: dict[str, Any]) -> list[tuple[Declaration, Example]]:
    distinct = {id(each): each for each in declared.values()}.values()
    return [(declaration, example) for declaration in distinct for example in declaration.examples]


OPERATIONS = examples(CATALOG.operations)
#: Those of derived ones are run where windows are: in test_run_derived.
AGGREGATIONS = [each for each in examples(CATALOG.aggregations) if not isinstance(each[0], Derived)]


def told(case: tuple[Declaration, Example]) -> str:
    return f"{case[1].call} => {case[1].result}"


@pytest.mark.parametrize(
    "declaration",
    [*CATALOG.operations.values(), *CATALOG.aggregations.values()],
    ids=lambda each: each.name,
)
def test_each_declaration_has_a_docstring_and_examples(declaration: Declaration) -> None:
    assert declaration.doc
    assert declaration.examples or declaration.name in NOT_RUNNING


# ---------------------------------------------------------------- operations

MODES = ("constants", "columns", "interpreted")


def checked(call: str) -> plan.Expression:
    return check_text(call, {}, CATALOG, tables={CARS.name: Known(CARS, True)})


def lifted(expression: plan.Expression, columns: dict[str, plan.Literal]) -> plan.Expression:
    """The expression with a column in the place of each constant, so that none can be folded."""
    if not isinstance(expression, plan.Call):
        return expression
    call = expression
    arguments = []
    for index, argument in enumerate(call.arguments):
        kind = call.operation.parameter(index).kind
        if isinstance(argument, plan.Literal) and not kind.constant and call.type is not Type.NULL:
            literal = replace(argument, type=column_type(argument.type, kind, call.unified))
            name = f"c{len(columns)}"
            columns[name] = literal
            argument = plan.Reference(name, literal.type)
        arguments.append(lifted(argument, columns))
    return replace(call, arguments=tuple(arguments))


def column_type(of: Type, kind: Kind, unified: Type | None) -> Type:
    """The type of a column that holds a constant: of null, any type that fits there."""
    if of is not Type.NULL:
        return of
    if kind.unifies and unified not in (None, Type.NULL):
        assert unified is not None
        return unified
    return Type.LONG if Type.LONG in kind.accepts else min(kind.accepts, key=str)


@dataclass(frozen=True)
class Outcomes:
    """The one row in which all examples are computed, and its types."""

    row: Any
    types: dict[str, str]

    def value(self, name: str) -> tuple[str, Any]:
        return self.types[name], self.row[name]


@pytest.fixture(scope="module")
def outcomes(spark: SparkSession) -> dict[str, Outcomes]:
    """Every example's call as ``c0`` …, and what it should give as ``r0`` …, in each mode."""
    calls = {f"c{n}": checked(each.call) for n, (_, each) in enumerate(OPERATIONS)}
    results = {
        f"r{n}": check_text(each.result, {}, CATALOG) for n, (_, each) in enumerate(OPERATIONS)
    }
    columns: dict[str, plan.Literal] = {}
    in_columns = {name: lifted(each, columns) for name, each in calls.items()}
    schema = ", ".join(f"{name} {literal.type}" for name, literal in columns.items())
    values = spark.createDataFrame([tuple(each.value for each in columns.values())], schema)
    content = Content(["A1"], {"model": ["Beetle"], "weight": [840.5]})
    tables = [replace(CARS, held=table_frame(spark, CARS, content))]
    frames = {
        "constants": add_columns(spark.range(1), calls | results, "UTC", tables),
        "columns": add_columns(values, in_columns | results, "UTC", tables),
    }
    found = {mode: computed(frame) for mode, frame in frames.items()}
    spark.conf.set("spark.sql.codegen.wholeStage", "false")
    spark.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")
    try:
        found["interpreted"] = computed(add_columns(values, in_columns | results, "UTC", tables))
    finally:
        spark.conf.unset("spark.sql.codegen.wholeStage")
        spark.conf.unset("spark.sql.codegen.factoryMode")
    return found


def computed(frame: DataFrame) -> Outcomes:
    return Outcomes(frame.collect()[0], dict(frame.dtypes))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=map(told, OPERATIONS))
def test_an_operation_gives_what_its_example_says(
    outcomes: dict[str, Outcomes], number: int, mode: str
) -> None:
    found_type, found = outcomes[mode].value(f"c{number}")
    wanted_type, wanted = outcomes[mode].value(f"r{number}")
    assert repr(found) == repr(wanted)  # 1 equals true and 1.0
    assert wanted is None or found_type == wanted_type


@pytest.mark.parametrize("number", range(len(OPERATIONS)), ids=map(told, OPERATIONS))
def test_an_operations_column_has_the_type_that_the_check_says(
    outcomes: dict[str, Outcomes], number: int
) -> None:
    expression = checked(OPERATIONS[number][1].call)
    told_by_spark, _ = outcomes["columns"].value(f"c{number}")
    assert told_by_spark == SPARK_NAMES[expression.type]


SPARK_NAMES = {of: str(of) for of in Type} | {
    Type.BYTE: "tinyint",
    Type.SHORT: "smallint",
    Type.LONG: "bigint",
    Type.NULL: "void",
}


# ---------------------------------------------------------------- aggregations


@dataclass(frozen=True)
class Window:
    """An aggregation's example: the values of its rows, and the aggregate over their column."""

    values: list[Any]
    type: Type
    aggregate: plan.Expression


def window(example: Example, column: str) -> Window:
    """``name([1, 2], more)`` as rows and the aggregate ``name(column, more)``."""
    parts = re.fullmatch(r"(\w+)\(\[(.*)\](.*)\)", example.call)
    assert parts is not None, example
    name, listed, more = parts.groups()
    items = [check_text(each, {}, CATALOG) for each in listed.split(", ") if each]
    of = common(each.type for each in items)
    assert of is not None
    of = Type.LONG if of is Type.NULL else of
    values = [each.value for each in items if isinstance(each, plan.Literal)]
    assert len(values) == len(items)
    aggregate = check_text(f"{name}({column}{more})", {column: of}, CATALOG, aggregating=True)
    return Window(values, of, aggregate)


WINDOWS = [window(example, f"v{n}") for n, (_, example) in enumerate(AGGREGATIONS)]


def rows() -> Iterator[dict[str, Any]]:
    """Rows with a column for each example; an example with fewer values goes on with nulls."""
    for number in range(max(len(each.values) for each in WINDOWS)):
        row: dict[str, Any] = {"number": number}
        for n, each in enumerate(WINDOWS):
            row[f"v{n}"] = each.values[number] if number < len(each.values) else None
        yield row


SCHEMA = ", ".join(["number long", *(f"v{n} {each.type}" for n, each in enumerate(WINDOWS))])


def aggregated(frame: DataFrame) -> DataFrame:
    order = F.struct("number")
    columns = [
        compile_expression(each.aggregate, "UTC", order).alias(f"a{n}")
        for n, each in enumerate(WINDOWS)
    ]
    return frame.groupBy(F.lit(1).alias("key")).agg(*columns)


@pytest.fixture(scope="module")
def windows(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcomes]:
    """All examples in one group: of a static frame in two parts, and of a stream in update mode
    that gets one row a micro-batch, so that every aggregate goes through the state.
    """
    static = spark.createDataFrame(list(rows()), SCHEMA).repartition(2)
    folder = tmp_path_factory.mktemp("rows")
    for row in rows():
        (folder / f"{row['number']}.json").write_text(json.dumps(row))
    return {"static": computed(aggregated(static)), "streaming": streamed(spark, folder)}


def streamed(spark: SparkSession, folder: Path) -> Outcomes:
    stream = spark.readStream.schema(SCHEMA).option("maxFilesPerTrigger", 1).json(str(folder))
    batches: list[Outcomes] = []
    query = (
        aggregated(stream)
        .writeStream.outputMode("update")
        .foreachBatch(lambda frame, _: batches.append(computed(frame)))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    assert len(batches) == max(len(each.values) for each in WINDOWS)
    return batches[-1]


@pytest.mark.parametrize("mode", ["static", "streaming"])
@pytest.mark.parametrize("number", range(len(WINDOWS)), ids=map(told, AGGREGATIONS))
def test_an_aggregation_gives_what_its_example_says(
    windows: dict[str, Outcomes], number: int, mode: str
) -> None:
    found_type, found = windows[mode].value(f"a{number}")
    wanted = check_text(AGGREGATIONS[number][1].result, {}, CATALOG)
    assert isinstance(wanted, plan.Literal)
    assert repr(found) == repr(wanted.value)
    assert found_type == SPARK_NAMES[WINDOWS[number].aggregate.type]
