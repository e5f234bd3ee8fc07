"""Records become fields or reasons: the cases stand in tests/parse, a line each."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from engine.plan import InputField
from engine.spark.parse import parse, record_text
from engine.types import Type
from tests.spark_session import spark  # noqa: F401

CASES = Path(__file__).parent / "parse"
TYPES = [of for of in Type if of is not Type.NULL]
FIELDS = [InputField(str(of), of, index) for index, of in enumerate(TYPES)]
DEEP = InputField("deep", Type.LONG, path=("a", "b"))
STRINGS = [InputField("first", Type.STRING, 0), InputField("last", Type.STRING, 2)]


def read(
    spark: SparkSession,  # noqa: F811
    records: Sequence[str | bytes | None],
    fields: Sequence[InputField],
    format: str = "csv",
    sep: str = ",",
    time_zone: str = "UTC",
) -> list[Row]:
    """The records' rows in their order, times as text."""
    of = T.BinaryType() if any(isinstance(each, bytes) for each in records) else T.StringType()
    schema = T.StructType([T.StructField("_at", T.IntegerType()), T.StructField("_record", of)])
    frame = spark.createDataFrame(list(enumerate(records)), schema)
    parsed = parse(frame, fields, format=format, sep=sep, time_zone=time_zone)
    return sorted(_with_times_as_text(parsed).collect(), key=lambda row: row["_at"])


def _with_times_as_text(frame: DataFrame) -> DataFrame:
    return frame.select(
        *[
            F.col(each.name).cast("string").alias(each.name)
            if isinstance(each.dataType, T.TimestampType)
            else F.col(each.name)
            for each in frame.schema.fields
        ]
    )


def cases(file: str) -> list[list[str]]:
    lines = (CASES / file).read_text("utf-8").split("\n")
    return [line for line in lines if line and not line.startswith("#")]


def outcome(row: Row, fields: Iterable[InputField]) -> dict[str, Any] | str:
    """The fields that are not null, or ``! reason``."""
    assert row["_ok"] is (row["_reason"] is None)
    if not row["_ok"]:
        return f"! {row['_reason']}"
    return {each.name: row[each.name] for each in fields if row[each.name] is not None}


def differences(told: Sequence[str], found: Sequence[Any], wanted: Sequence[Any]) -> list[str]:
    rows = zip(told, found, wanted, strict=True)
    return [f"{text}: {was!r}" for text, was, want in rows if was != want]


def test_a_cell_is_a_value_of_its_type_or_the_record_says_why_not(spark):  # noqa: F811
    lines, records, wanted = cases("cells.txt"), [], []
    for line in lines:
        of, cell, result = line.split(" | ", 2)
        cells = {of: json.loads(cell)}
        records.append(",".join(cells.get(str(each), "") for each in TYPES))
        value = result if result.startswith("!") else json.loads(result)
        is_value = not isinstance(value, str) or not value.startswith("!")
        wanted.append({} if value is None else {of: value} if is_value else value)
    found = [outcome(row, FIELDS) for row in read(spark, records, FIELDS)]
    assert differences(lines, found, wanted) == []
    # Kafka's records are bytes.
    as_bytes = read(spark, [each.encode() for each in records], FIELDS)
    assert [outcome(row, FIELDS) for row in as_bytes] == found


def test_a_record_has_as_many_columns_as_the_highest_index_says(spark):  # noqa: F811
    lines = [(line, *line.split(" | ", 2)) for line in cases("records.txt")]
    wrong = []
    for sep in dict.fromkeys(each[1] for each in lines):
        mine = [each for each in lines if each[1] == sep]
        records = [json.loads(each[2]) for each in mine]
        wanted = [each[3] if each[3].startswith("!") else json.loads(each[3]) for each in mine]
        rows = read(spark, records, STRINGS, sep=json.loads(sep))
        found = [
            [row["first"], row["last"]] if row["_ok"] else f"! {row['_reason']}" for row in rows
        ]
        wrong += differences([each[0] for each in mine], found, wanted)
    assert wrong == []


def test_a_json_record_is_an_object_of_the_declared_types_or_says_why_not(spark):  # noqa: F811
    fields = [*FIELDS, DEEP]
    pairs = [line.rpartition(" | ") for line in cases("json.txt")]
    wanted = [want if want.startswith("!") else json.loads(want) for _, _, want in pairs]
    records = [record for record, _, _ in pairs]
    found = [outcome(row, fields) for row in read(spark, records, fields, "json")]
    assert differences(records, found, wanted) == []
    # The same with a byte-order mark in front and a carriage return behind, as bytes.
    marked = [f"\ufeff{record}\r".encode() for record in records]
    assert [outcome(row, fields) for row in read(spark, marked, fields, "json")] == found


ODD = {
    b"": "! empty record",
    b"\r": "! empty record",
    b"\xef\xbb\xbf": "! empty record",
    b"\xff\xfe1\x00": "! not valid UTF-8",
    b"caf\xe9": "! not valid UTF-8",
    b"\xed\xa0\x80": "! not valid UTF-8",
    b"\xc0\x80": "! not valid UTF-8",
    None: "! empty record",
}


@pytest.mark.parametrize("format", ["csv", "json"])
def test_what_is_no_text_is_malformed_and_can_be_shown(spark, format):  # noqa: F811
    fields = [InputField("text", Type.STRING, 0)]
    blank = {b" \t": "! empty record"} if format == "json" else {b" \t": {"text": " \t"}}
    odd = {**ODD, **blank}
    rows = read(spark, list(odd), fields, format)
    assert [outcome(row, fields) for row in rows] == list(odd.values())
    shown = spark.createDataFrame([(b"a\xffb",)], "value binary").select(
        record_text(F.col("value"))
    )
    assert shown.first()[0] == "a\ufffdb"


def test_a_field_may_be_called_like_the_column_of_the_record(spark):  # noqa: F811
    row = read(spark, ["x,5"], [InputField("value", Type.LONG, 1)])[0]
    assert (row["value"], row["_record"], row["_ok"]) == (5, "x,5", True)


ZONED = [
    ("Europe/Athens", None, "2024-07-01T12:00:00", "2024-07-01 09:00:00"),
    ("Europe/Athens", None, "2024-01-01", "2023-12-31 22:00:00"),
    ("Europe/Athens", None, "2024-07-01T12:00", "2024-07-01 09:00:00"),
    ("Europe/Athens", None, "2024-07-01T12:00:00.25Z", "2024-07-01 12:00:00.25"),
    ("+05:30", None, "2024-07-01 12:00:00.25", "2024-07-01 06:30:00.25"),
    ("America/St_Johns", None, "2024-01-01 12:00:00", "2024-01-01 15:30:00"),
    ("Etc/GMT-3", None, "2024-01-01 12:00:00", "2024-01-01 09:00:00"),
    ("UTC", "dd/MM/yyyy HH:mm", "31/12/2024 10:30", "2024-12-31 10:30:00"),
    ("Europe/Athens", "dd/MM/yyyy HH:mm", " 31/12/2024 10:30 ", "2024-12-31 08:30:00"),
    ("Europe/Athens", "yyyyMMdd", "20241231", "2024-12-30 22:00:00"),
    (
        "Europe/Athens",
        "yyyy-MM-dd'Z'HH:mm:ss.SSS",
        "2024-12-31Z10:30:00.500",
        "2024-12-31 08:30:00.5",
    ),
    ("Europe/Athens", "yyyy-MM-dd HH:mm:ssXXX", "2024-12-31 10:30:00+01:00", "2024-12-31 09:30:00"),
    ("Europe/Athens", "dd/MM/yyyy", "2024-12-31", None),
    ("Europe/Athens", "dd/MM/yyyy", "31/02/2024", None),
    ("Europe/Athens", "dd/MM/yyyy", "31/12/2024 10:30", None),
]


def test_a_time_without_a_zone_is_in_the_zone_of_the_config(spark):  # noqa: F811
    wrong = []
    for time_zone, pattern, text, wanted in ZONED:
        field = InputField("at", Type.TIMESTAMP, 0, ("at",), pattern)
        found = read(spark, [text], [field], time_zone=time_zone)[0]
        if (found["at"], found["_ok"]) != (wanted, wanted is not None):
            wrong.append((time_zone, pattern, text, found["at"], found["_reason"]))
    assert wrong == []


def test_two_fields_can_be_read_from_one_member(spark):  # noqa: F811
    fields = [
        InputField("at", Type.TIMESTAMP, path=("t",)),
        InputField("seconds", Type.LONG, path=("t",)),
        InputField("half", Type.DOUBLE, path=("t",)),
    ]
    row = read(spark, ['{"t": 60}'], fields, "json")[0]
    assert outcome(row, fields) == {"at": "1970-01-01 00:01:00", "seconds": 60, "half": 60.0}


LONG = 10_000_000
HUGE_CSV = {
    "one column": ("x" * LONG, "expected 3 columns, found 1"),
    "all separators": ("," * LONG, f"expected 3 columns, found {LONG + 1}"),
    "all quotes": ('"' * LONG + ",,", None),
    "quoted separators": (',,"' + "," * LONG + '"', None),
    "quoted columns": (",".join(['""'] * (LONG // 3)), f"expected 3 columns, found {LONG // 3}"),
    "a quote that never closes": ('"' + '""' * (LONG // 2), "a quote is not closed"),
}
HUGE_JSON = {
    "a long string": ('{"first": "' + "x" * LONG + '"}', None),
    "deep arrays": ("[" * LONG, "not a JSON object"),
    "deep objects": ('{"a":' * (LONG // 5), "not a JSON object"),
    "deep and closed": ('{"a":' + "[" * 10_000 + "]" * 10_000 + "}", "not a JSON object"),
    "deep and declared": ('{"first":' + "[" * 10_000 + "]" * 10_000 + "}", "not a JSON object"),
    "many members": ("{" + ",".join(['"a":1'] * (LONG // 6)) + "}", None),
    "braces": ("{}" * (LONG // 2), "not a JSON object"),
    "digits": ('{"first":' + "1" * LONG + "}", "not a JSON object"),
    "a long number": ('{"first":"' + "1" * LONG + '","last": 5}', "'last' is not a string: '5'"),
}


@pytest.mark.parametrize(("format", "huge"), [("csv", HUGE_CSV), ("json", HUGE_JSON)])
def test_a_record_of_ten_megabytes_is_read_or_refused(spark, format, huge):  # noqa: F811
    rows = read(spark, [text for text, _ in huge.values()], STRINGS, format)
    found = {name: row["_reason"] for name, row in zip(huge, rows, strict=True)}
    assert found == {name: reason for name, (_, reason) in huge.items()}
    assert [len(row["_record"]) for row in rows] == [len(text) for text, _ in huge.values()]


ALPHABET = [
    *'",\r\n;|\t {}[]:\\',
    "a",
    "é",
    "😀",
    "\ufeff",
    "1",
    ".",
    "-",
    "e",
    "d",
    "NaN",
    "x",
    '""',
]


def test_random_bytes_are_read_or_refused(spark):  # noqa: F811
    draw = random.Random(3)
    pieces = [each.encode() for each in ALPHABET] + [b"\xff", b"\x00", b"\xed\xa0\x80", b"true"]
    records = [draw.randbytes(draw.randrange(40)) for _ in range(3_000)]
    records += [b"".join(draw.choices(pieces, k=draw.randrange(30))) for _ in range(12_000)]
    sparse = [*pieces, *[b""] * 9 * len(pieces)]
    records += [b",".join(draw.choices(sparse, k=9)) for _ in range(5_000)]
    records += [
        b'{"%s":%s}' % (str(of).encode(), b"".join(draw.choices(pieces, k=2)))
        for of in TYPES
        for _ in range(500)
    ]
    for format in ("csv", "json"):
        rows = read(spark, records, FIELDS, format)
        assert len(rows) == len(records)
        assert {row["_ok"] is (row["_reason"] is None) for row in rows} == {True}
        assert {row["_ok"] for row in rows} == {True, False}


@pytest.mark.parametrize("sep", [",", ";"])
def test_well_formed_records_are_read_as_pythons_csv_reads_them(spark, sep):  # noqa: F811
    draw = random.Random(4)
    records, wanted = [], []
    for _ in range(5_000):
        cells = ["".join(draw.choices(ALPHABET, k=draw.randrange(6))) for _ in range(3)]
        # `\r` ends no record here but one that is not quoted would be taken for the line's end.
        quoting = (
            csv.QUOTE_ALL
            if "\r" in cells[2] or cells[0][:1] == "\ufeff"
            else draw.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
        )
        line = io.StringIO()
        csv.writer(line, delimiter=sep, quoting=quoting, lineterminator="").writerow(cells)
        records.append(line.getvalue())
        is_null = quoting == csv.QUOTE_MINIMAL
        wanted.append([None if each == "" and is_null else each for each in (cells[0], cells[2])])
    found = [
        [row["first"], row["last"], row["_ok"]] for row in read(spark, records, STRINGS, sep=sep)
    ]
    assert differences(records, found, [[*each, True] for each in wanted]) == []


def test_well_formed_objects_are_read_as_pythons_json_reads_them(spark):  # noqa: F811
    draw = random.Random(5)
    makers = {
        "long": lambda: draw.choice([draw.randrange(-(2**63), 2**63), draw.randrange(100)]),
        "double": lambda: draw.choice(
            [draw.gauss(0, 1), draw.random() * 10 ** draw.randrange(300), 7]
        ),
        "boolean": lambda: draw.random() < 0.5,
        "string": lambda: "".join(draw.choices(ALPHABET, k=draw.randrange(8))),
        "int": lambda: draw.randrange(-(2**31), 2**31),
        "other": lambda: draw.choice([{"long": [1, {"x": "}"}]}, "}", [], None, 1.5]),
    }
    wanted = []
    for _ in range(5_000):
        names = draw.sample(list(makers), k=draw.randrange(1, len(makers)))
        wanted.append({name: draw.choice([makers[name](), makers[name](), None]) for name in names})
    records = [
        json.dumps(each, ensure_ascii=draw.random() < 0.5, indent=draw.choice([None, 1]))
        for each in wanted
    ]
    found = [outcome(row, FIELDS) for row in read(spark, records, FIELDS, "json")]
    declared = [
        {name: value for name, value in each.items() if name != "other" and value is not None}
        for each in wanted
    ]
    assert differences(records, found, declared) == []


@pytest.mark.parametrize("format", ["csv", "json"])
def test_a_filter_does_not_make_values_be_read_twice(spark, format):  # noqa: F811
    frame = spark.range(10).select(
        F.col("id").cast("string").alias("_record"), F.lit(1).alias("_part")
    )
    parsed = parse(frame, FIELDS, format=format, sep=",", time_zone="UTC")
    plan = parsed.filter("_ok").select("long", "_part")._jdf.queryExecution().optimizedPlan()
    text = plan.toString()
    once = {"csv": "split(", "json": "_fast"}[format]
    lines = [line for line in text.split("\n") if line.lstrip(" +-:").startswith("Filter")]
    assert len(lines) == 1
    assert "_ok" in lines[0]
    assert len(lines[0]) < 80
    # Nothing of the reason is computed where it is not asked for, and records are split once.
    assert "is not a" not in text
    assert "_reason" not in text
    if format == "csv":
        assert text.count(once) == 1
