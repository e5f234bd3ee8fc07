"""Rules on columns: against Python, in time zones, as long chains, with a user's functions."""

from __future__ import annotations

import importlib
import math
import operator
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from engine import plan
from engine.catalog import Catalog
from engine.check.expression import check_text
from engine.declare import Double, F, Number, operation, scalar
from engine.spark.stages import add_columns, apply_rules
from engine.types import Type

CATALOG = Catalog.builtin()


def rules(texts: dict[str, str], fields: dict[str, Type], catalog: Catalog = CATALOG) -> Any:
    known = dict(fields)
    for name, text in texts.items():
        expression = check_text(text, known, catalog)
        known[name] = expression.type
        yield plan.Rule(name, expression)


def answers(frame: DataFrame, text: str, fields: dict[str, Type], zone: str = "UTC") -> list[Any]:
    """What a rule gives for each row of the frame."""
    found = apply_rules(frame, rules({"_out": text}, fields), zone).select("_out")
    return [row[0] for row in found.collect()]


# ---------------------------------------------------------------- against plain Python

LONGS = (-(2**63), 2**63 - 1)
Pair = tuple[Any, Any]


def fitting(value: Any) -> Any:
    """A result as the rules have it: null for what fits neither a long nor a finite double."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if LONGS[0] <= value <= LONGS[1] else None
    return value if not isinstance(value, float) or math.isfinite(value) else None


def as_in_python(compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def value(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        try:
            return fitting(compute(left, right))
        except (ZeroDivisionError, OverflowError):
            return None

    return value


def both(left: Any, right: Any) -> bool | None:
    truths = [None if each is None else bool(each) for each in (left, right)]
    return False if False in truths else None if None in truths else True


def either(left: Any, right: Any) -> bool | None:
    truths = [None if each is None else bool(each) for each in (left, right)]
    return True if True in truths else None if None in truths else False


NUMERIC = {
    "a + b": as_in_python(operator.add),
    "a - b": as_in_python(operator.sub),
    "a * b": as_in_python(operator.mul),
    "a / b": as_in_python(lambda a, b: float(a) / float(b)),
    "a % b": as_in_python(lambda a, b: a % b + 0),  # no -0.0
    "a < b": as_in_python(operator.lt),
    "a <= b": as_in_python(operator.le),
    "a > b": as_in_python(operator.gt),
    "a >= b": as_in_python(operator.ge),
    "a == b": as_in_python(operator.eq),
    "a != b": as_in_python(operator.ne),
    "a and b": both,
    "a or b": either,
    "not a": lambda a, b: None if a is None else not a,
    "-a": lambda a, b: None if a is None else fitting(-a),
    "abs(a)": lambda a, b: None if a is None else fitting(abs(a)),
    "floor(a)": lambda a, b: None if a is None else fitting(math.floor(a)),
    "ceil(a)": lambda a, b: None if a is None else fitting(math.ceil(a)),
}
# Each example is a Spark job of hundreds of rows, and its message names the row: nothing to shrink.
PROPERTY = settings(max_examples=3, deadline=None, phases=[Phase.generate])
edges = st.sampled_from([0, 1, -1, 2, -2, 7, -7, *LONGS, LONGS[0] + 1, 2**53 + 1, None])
longs = edges | st.integers(*LONGS) | st.integers(-10, 10)
doubles = (
    st.sampled_from([0.0, -0.0, 0.5, -7.5, 1e308, -1e308, 5e-324, 2.0**63, None])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-20, 20).map(lambda n: n / 4)
)


def check_against_python(
    spark: SparkSession, pairs: Sequence[Pair], of: Type, cases: dict[str, Any]
) -> None:
    fields = {"a": of, "b": of}
    frame = spark.createDataFrame(list(pairs), f"a {of}, b {of}")
    named = {f"c{n}": check_text(text, fields, CATALOG) for n, text in enumerate(cases)}
    for row in add_columns(frame, named, "UTC").collect():
        for n, (text, expected) in enumerate(cases.items()):
            wanted = expected(row.a, row.b)
            assert repr(row[f"c{n}"]) == repr(wanted), f"{text} of {row.a!r} and {row.b!r}"


@PROPERTY
@given(pairs=st.lists(st.tuples(longs, longs), min_size=200, max_size=400))
def test_whole_numbers_compute_as_in_python(spark: SparkSession, pairs: list[Pair]) -> None:
    cases = NUMERIC | {"a // b": as_in_python(operator.floordiv)}
    check_against_python(spark, pairs, Type.LONG, cases)


@PROPERTY
@given(pairs=st.lists(st.tuples(doubles, doubles), min_size=200, max_size=400))
def test_fractions_compute_as_in_python(spark: SparkSession, pairs: list[Pair]) -> None:
    cases = NUMERIC | {"a // b": as_in_python(operator.truediv)}
    check_against_python(spark, pairs, Type.DOUBLE, cases)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.none()
places = st.integers(-10, 10) | st.sampled_from([*LONGS, None])


@PROPERTY
@given(lines=st.lists(st.tuples(texts, places, places), min_size=200, max_size=400))
def test_parts_of_texts_count_as_in_python(spark: SparkSession, lines: list[Any]) -> None:
    fields = {"t": Type.STRING, "i": Type.LONG, "n": Type.LONG}
    cases: dict[str, Callable[..., Any]] = {
        "truncate(t, i)": lambda t, i, n: None if None in (t, i) else t[:i],
        "substring(t, i)": lambda t, i, n: None if None in (t, i) else t[i:],
        "substring(t, i, n)": lambda t, i, n: None if None in (t, i, n) else t[i:][:n],
        "length(t)": lambda t, i, n: None if t is None else len(t),
        "not t": lambda t, i, n: None if t is None else not t,
    }
    frame = spark.createDataFrame(lines, "t string, i long, n long")
    named = {f"c{n}": check_text(text, fields, CATALOG) for n, text in enumerate(cases)}
    for row in add_columns(frame, named, "UTC").collect():
        for n, (text, expected) in enumerate(cases.items()):
            assert row[f"c{n}"] == expected(row.t, row.i, row.n), f"{text} of {row[:3]}"


# ---------------------------------------------------------------- rules

FIELDS = {"a": Type.LONG, "x": Type.DOUBLE, "t": Type.STRING}


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    rows = [(1, 0.5, "one"), (2, -4.0, "two"), (None, None, None)]
    return spark.createDataFrame(rows, "a long, x double, t string")


def test_a_rule_sees_the_rules_before_it_and_hides_a_field_of_its_name(frame: DataFrame) -> None:
    texts = {"b": "a + 1", "a": "x * 2", "c": "a + b", "t": "length(t)"}
    found = apply_rules(frame, rules(texts, FIELDS), "UTC")
    assert found.columns == ["x", "b", "a", "c", "t"]
    assert [tuple(row) for row in found.collect()] == [
        (0.5, 2, 1.0, 3.0, 3),
        (-4.0, 3, -8.0, -5.0, 3),
        (None, None, None, None, None),
    ]


def test_names_of_any_characters_are_columns(spark: SparkSession) -> None:
    odd = spark.createDataFrame([(1, 2)], "`a.b` long, `c``d` long")
    total = plan.Rule(
        "e f",
        plan.Call(
            CATALOG.operations["add"],
            (plan.Reference("a.b", Type.LONG), plan.Reference("c`d", Type.LONG)),
            Type.LONG,
            Type.LONG,
        ),
    )
    assert apply_rules(odd, [total], "UTC").collect()[0]["e f"] == 3


def test_an_infinity_on_the_way_is_null_at_the_end_of_a_chain(frame: DataFrame) -> None:
    assert answers(frame, "x * 1e308 * 1e10 * 0 + 1", FIELDS) == [None, None, None]
    assert answers(frame, "coalesce(x * 1e308 * 1e10, 7)", FIELDS) == [7.0, 7.0, 7.0]
    assert answers(frame, "x * 1e308 * 1e10 > 1", FIELDS) == [None, None, None]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (" + ".join(["a"] * 1000), [1000, 2000, None]),
        (" + ".join(["x"] * 1000), [500.0, -4000.0, None]),
        (" and ".join(["a"] * 1000), [True, True, None]),
        ("(" * 60 + "x" + " / 2)" * 60, [0.5 / 2**60, -4.0 / 2**60, None]),
        ("(" * 60 + "a" + " % 7)" * 60, [1, 2, None]),
        ("if(a > 1, 1, " * 60 + "a" + ")" * 60, [1, 1, None]),
    ],
    ids=["sums", "sums of fractions", "conditions", "quotients", "remainders", "choices"],
)
def test_long_and_deep_expressions_are_computed_also_below_a_filter(
    frame: DataFrame, text: str, wanted: list[Any]
) -> None:
    found = apply_rules(frame, rules({"out": text}, FIELDS), "UTC")
    assert [row.out for row in found.collect()] == wanted
    kept = found.filter("out is not null").groupBy("t").agg({"out": "max"})
    assert len(kept.collect()) == 2


def test_long_rules_run_in_a_stream_with_a_watermark(spark: SparkSession, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.json").write_text(f'{{"a": {number + 1}, "x": 0.5}}\n')
    stream = spark.readStream.schema("a long, x double").json(str(tmp_path))
    texts = {"time": "timestamp(a)", "long": " + ".join(["a"] * 200), "deep": "x" + " / 2" * 60}
    fields = {"a": Type.LONG, "x": Type.DOUBLE}
    rows = apply_rules(stream.select("a", "x"), rules(texts, fields), "UTC").filter("deep > 0")
    counts = rows.withWatermark("time", "1 minute").groupBy(F.window("time", "1 minute"))
    found: list[int] = []
    query = (
        counts.agg(F.sum("long").alias("sum"))
        .writeStream.outputMode("update")
        .foreachBatch(lambda frame, _: found.extend(row["sum"] for row in frame.collect()))
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    assert found == [1200]


def test_an_expression_that_repeats_itself_grows_with_its_parts_only(frame: DataFrame) -> None:
    doubling = {f"r{n + 1}": f"r{n} / 2 + r{n} / 2" for n in range(40)}
    found = apply_rules(frame, rules({"r0": "x"} | doubling, FIELDS), "UTC")
    assert [row.r40 for row in found.filter("r40 != 0").collect()] == [0.5, -4.0]


@pytest.mark.parametrize("pattern", ["{x", "a{2,1}", "(?<n>a)(?<n>b)"])
def test_a_pattern_that_only_java_refuses_is_told_before_the_first_row(
    frame: DataFrame, pattern: str
) -> None:
    with pytest.raises(ValueError, match=r"^the pattern '.*' is not valid: .+"):
        answers(frame, f"matches(t, '{pattern}')", FIELDS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("matches(t, '(')", "the pattern '(' is not valid: missing ), unterminated subpattern"),
        ("matches(t, '[')", "the pattern '[' is not valid: unterminated character set"),
        ("timestamp(t, 'yyyy-bb')", "the format 'yyyy-bb' has no meaning for 'bb'"),
        ("timestamp(t, 'yyyy-YY')", "the format 'yyyy-YY' has no meaning for 'YY'"),
        ("timestamp(t, 'h\\'')", "the format 'h'' has a quote without its pair"),
        ("timestamp(t, '{yyyy}')", "the format '{yyyy}' must have '{' in single quotes"),
        ("timestamp(t, '[yyyy]-MM]')", "the format '[yyyy]-MM]' has a ']' without its '['"),
        ("timestamp(t, 'HH:mm OO')", "the format 'HH:mm OO' has no meaning for 'OO'"),
        ("timestamp(t, 'HH:mm V')", "the format 'HH:mm V' has no meaning for 'V'"),
        ("round(x, 400)", "'digits' of round must be from -300 to 300, is 400"),
    ],
)
def test_a_constant_that_cannot_work_is_a_problem_of_the_check(text: str, told: str) -> None:
    with pytest.raises(Exception, match=r".+") as raised:
        check_text(text, FIELDS, CATALOG)
    assert told in str(raised.value)


@pytest.mark.parametrize("pattern", [r"\p{L}+", "a++", r"\Q(\E", "[a-z&&[^b]]", "^*"])
def test_a_pattern_of_javas_own_is_taken(frame: DataFrame, pattern: str) -> None:
    assert len(answers(frame, f"matches(t, '{pattern}')", FIELDS)) == 3


# ---------------------------------------------------------------- time zones


@pytest.mark.parametrize(
    ("zone", "text", "wanted"),
    [
        ("Europe/Athens", "epoch(timestamp('2026-07-01 03:00:00'))", 1782864000.0),
        ("Europe/Athens", "epoch(timestamp('2026-01-01'))", 1767218400.0),
        ("Europe/Athens", "epoch(timestamp('2026-07-01T00:00:00Z'))", 1782864000.0),
        ("Europe/Athens", "epoch(timestamp('2026-07-01T03:00:00.25+03:00'))", 1782864000.25),
        ("Europe/Athens", "epoch(timestamp('1/7/2026 3', 'd/M/yyyy H'))", 1782864000.0),
        ("Europe/Athens", "epoch(timestamp('1/7/2026 0 +0000', 'd/M/yyyy H Z'))", 1782864000.0),
        ("Europe/Athens", "hour(timestamp('2026-07-01T00:00:00Z'))", 3),
        ("Europe/Athens", "day_of_week(timestamp('2026-07-05T22:00:00Z'))", 1),
        ("Europe/Athens", "epoch(date(timestamp('2026-07-01T22:00:00Z')))", 1782939600.0),
        ("Asia/Kolkata", "hour(timestamp(0))", 5),
        ("America/Los_Angeles", "day_of_week(timestamp('2026-11-23T07:59:59Z'))", 7),
        # The clocks go from 0 to 1 in the night of that day: it begins at 1.
        ("America/Santiago", "epoch(date(timestamp('2026-09-06T12:00:00Z')))", 1788667200.0),
    ],
)
def test_times_of_the_wall_are_in_the_time_zone(
    spark: SparkSession, zone: str, text: str, wanted: Any
) -> None:
    assert answers(spark.range(1), text, {}, zone) == [wanted]


# ---------------------------------------------------------------- a user's operations


@scalar
def plate(text: str) -> str:
    """A number plate without blanks and dashes."""
    return text.replace("-", "").replace(" ", "")


@scalar
def tenth(number: int) -> float:
    """Ten divided by a number; fails where that is 0."""
    return 10 / number


@scalar
def power(base: int, exponent: int = 2) -> int:
    """A power of whole numbers; often too large for a long."""
    return base**exponent


@scalar
def broken(number: int) -> int:
    """Gives text where it says that it gives a number."""
    return str(number)  # type: ignore[return-value]


@scalar
def infinite(number: float) -> float:
    """An infinity."""
    return number * math.inf


@scalar
def noon(moment: datetime) -> datetime:
    """The noon of a moment's day."""
    return moment.replace(hour=12, minute=0, second=0, microsecond=0)


@scalar
def surrogate(text: str) -> str:
    """Half a character, which no text may hold."""
    return "\ud800" if text == "one" else text


@scalar
def answer() -> int:
    """Takes nothing."""
    return 42


@operation
def middle(left: Number, right: Number) -> Double:
    """The middle of two numbers, in columns."""
    return (left + right) / F.lit(2)


def users() -> Catalog:
    catalog = Catalog.builtin()
    catalog.add(importlib.import_module(__name__))
    return catalog


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("plate(concat(t, '- 1'))", ["one1", "two1", None]),
        ("tenth(a - 1)", [None, 10.0, None]),
        ("power(a + 1)", [4, 9, None]),
        ("power(a, 63)", [1, None, None]),
        ("broken(a)", [None, None, None]),
        ("infinite(x)", [None, None, None]),
        ("infinite(a)", [None, None, None]),
        ("epoch(noon(timestamp(a)))", [36000.0, 36000.0, None]),
        ("surrogate(t)", [None, "two", None]),
        ("answer() + 1", [43, 43, 43]),
        ("middle(a, x)", [0.75, -1.0, None]),
        ("if(a == 1, tenth(a - 1), tenth(a))", [None, 5.0, None]),
        ("length(plate(plate(t))) + power(a)", [4, 7, None]),
    ],
)
def test_a_users_functions_run(frame: DataFrame, text: str, wanted: list[Any]) -> None:
    out = apply_rules(frame, rules({"out": text}, FIELDS, users()), "Europe/Athens")
    assert [row.out for row in out.collect()] == wanted


def test_a_functions_moments_are_in_the_time_zone(spark: SparkSession) -> None:
    expression = check_text("noon(timestamp('2026-07-01T23:00:00Z'))", {}, users())
    row = add_columns(spark.range(1), {"out": expression}, "Europe/Athens").collect()[0]
    noon_in_athens = datetime(2026, 7, 2, 9, tzinfo=timezone.utc)
    assert row.out.replace(tzinfo=timezone.utc) == noon_in_athens
