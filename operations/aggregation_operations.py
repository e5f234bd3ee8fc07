"""The aggregations of windows: each a declared function from columns to a composition of Spark's
aggregates, or of a window and the one before it.

Nulls are skipped. An aggregation of no values is null, unless its docstring says otherwise. Only
those that go by time (``first last growth``) depend on the order of the rows (sums of fractions to
within rounding). An example's list is the argument's value in each row, in the order of time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.declare import (
    Anything,
    ConstantNumber,
    Context,
    Double,
    F,
    First,
    Long,
    Numeric,
    Real,
    SumType,
    aggregation,
    derived,
)
from engine.types import Type

if TYPE_CHECKING:
    from pyspark.sql import Column


@aggregation
def sum_(x: Numeric, *, context: Context) -> SumType:
    """The sum: of whole numbers exact (null where it does not fit a long), of booleans the number
    of true ones.

    Examples:
        sum([1, 2, null]) => 3
        sum([0.5, 0.25]) => 0.75
        sum([true, false, true]) => 2
        sum([9223372036854775807, 1, -1]) => 9223372036854775807
        sum([9223372036854775807, 1]) => null
        sum([-9223372036854775808, -1]) => null
        sum([-5, 3]) => -2
        sum([1.7e308, 1.7e308]) => null
        sum([null]) => null
        sum([]) => null
    """
    of = context.types[0]
    if of is Type.BOOLEAN:
        return F.sum(x.cast("int"))
    return _exact_sum(x) if of is Type.LONG else F.sum(x)


def _exact_sum(x: Column) -> Column:
    """The sum of longs, from plain sums of their upper and lower halves, neither of which can
    overflow: so it is null only where the true sum does not fit, whatever the order of the rows.
    """
    half = F.lit(0xFFFFFFFF)
    low = F.sum(x.bitwiseAND(half))
    high = F.sum(F.shiftright(x, 32)) + F.shiftright(low, 32)
    whole = F.shiftleft(high, 32).bitwiseOR(low.bitwiseAND(half))
    return F.when(high.between(-(2**31), 2**31 - 1), whole)


@aggregation
def mul(x: Numeric, *, context: Context) -> SumType:
    """The product: of whole numbers exact (null where it does not fit a long; the whole numbers
    other than 0 and 1 are kept until the window ends), of fractions a double. Of two aggregates,
    ``mul(sum(a), sum(b))``, it is the operation of this name.

    Examples:
        mul([2, 3, null]) => 6
        mul([0.5, 3.0]) => 1.5
        mul([true, false]) => 0
        mul([4611686018427387904, 4, 0]) => 0
        mul([4611686018427387904, 4]) => null
        mul([4611686018427387904, -2]) => -9223372036854775808
        mul([3037000499, 3037000499, -1]) => -9223372030926249001
        mul([1, 1]) => 1
        mul([1e200, 1e200]) => null
        mul([null]) => null
    """
    if context.types[0].is_fractional:
        return F.product(x)
    whole = x.cast("long")
    factors = F.collect_list(F.when(~whole.isin(0, 1), whole.cast("decimal(19,0)")))
    # Without zeros no partial product is larger than the whole: one that exceeds 38 digits decides.
    product = F.aggregate(
        factors,
        F.lit(1).cast("decimal(38,0)"),
        lambda partial, factor: F.try_multiply(partial, factor).try_cast("decimal(38,0)"),
    )
    result = F.when(F.max(whole == 0), F.lit(0).cast("long")).otherwise(product.try_cast("long"))
    return F.when(F.count(x) > 0, result)


@aggregation
def max_(x: Anything) -> First:
    """The largest value, in its type: a number, text, moment or boolean.

    Examples:
        max([1, 3, 2, null]) => 3
        max([0.5, -1.0]) => 0.5
        max(['a', 'b']) => 'b'
        max([false, true]) => true
        max([null]) => null
    """
    return F.max(x)


@aggregation
def min_(x: Anything) -> First:
    """The smallest value, in its type: a number, text, moment or boolean.

    Examples:
        min([1, 3, 2, null]) => 1
        min([0.5, -1.0]) => -1.0
        min(['a', 'b']) => 'a'
        min([false, true]) => false
    """
    return F.min(x)


@aggregation
def count(x: Anything | None = None) -> Long:
    """The number of rows; with an argument, of its values that are not null. 0 of nothing.
    ``count(1, condition)`` counts the rows that meet a condition.

    Examples:
        count([1, null, 3]) => 2
        count(['a']) => 1
        count([null]) => 0
        count([]) => 0
    """
    return F.count(F.lit(1) if x is None else x)


@aggregation
def mean(x: Numeric, *, context: Context) -> Double:
    """The arithmetic mean as a double; of booleans, the share of the true ones.

    Examples:
        mean([1, 2, null]) => 1.5
        mean([0.5, 1.0]) => 0.75
        mean([true, false]) => 0.5
        mean([9223372036854775807, 9223372036854775807]) => 9223372036854775807.0
        mean([null]) => null
    """
    return F.avg(x.cast("int") if context.types[0] is Type.BOOLEAN else x)


@aggregation(by_order=True)
def first(x: Anything, *, context: Context) -> First:
    """The earliest value that is not null, by event time, then by the order of the source.

    Examples:
        first([3, 1, 2]) => 3
        first([null, 1, 2]) => 1
        first(['b', 'a']) => 'b'
        first([null]) => null
    """
    return F.min_by(x, F.when(x.isNotNull(), context.order))


@aggregation(by_order=True)
def last(x: Anything, *, context: Context) -> First:
    """The latest value that is not null, by event time, then by the order of the source.

    Examples:
        last([3, 1, 2]) => 2
        last([3, 1, null]) => 1
        last([true, false]) => false
    """
    return F.max_by(x, F.when(x.isNotNull(), context.order))


@aggregation(by_order=True)
def growth(x: Numeric, *, context: Context) -> SumType:
    """What a counter has grown by inside the window: the sum of the steps from each value to the
    next, by event time; a value that is smaller than the one before is a counter that began again
    at 0. 0 of a single value. It keeps every value until the window ends.

    Examples:
        growth([10, 12, null, 15]) => 5
        growth([10, 12, 3, 4]) => 6
        growth([0.5, 0.75, 0.25]) => 0.5
        growth([7]) => 0
        growth([-9223372036854775808, 9223372036854775807]) => null
        growth([null]) => null
    """
    value = x.cast("double" if context.types[0].is_fractional else "long")
    timed = F.collect_list(F.when(x.isNotNull(), F.struct(context.order, value.alias("value"))))
    values = F.transform(F.array_sort(timed), lambda each: each["value"])
    steps = F.zip_with(
        F.slice(values, 1, F.greatest(F.size(values) - 1, F.lit(0))),
        F.slice(values, 2, F.size(values)),
        lambda value, following: _step(value, following),
    )
    zero = F.lit(0).cast("double" if context.types[0].is_fractional else "long")
    return F.when(F.size(values) > 0, F.aggregate(steps, zero, lambda a, b: F.try_add(a, b)))


def _step(value: Column, following: Column) -> Column:
    """What a counter has grown by from one value to the next, where it may have begun again."""
    return F.when(following >= value, F.try_subtract(following, value)).otherwise(following)


@aggregation
def stddev(x: Real) -> Double:
    """The standard deviation of the sample; null of a single value.

    Examples:
        stddev([1, 3]) => 1.4142135623730951
        stddev([2, 2, null]) => 0.0
        stddev([1]) => null
    """
    return F.stddev_samp(x)


@aggregation
def variance(x: Real) -> Double:
    """The variance of the sample; null of a single value.

    Examples:
        variance([1, 3]) => 2.0
        variance([1, 2, 3, null]) => 1.0
        variance([1]) => null
    """
    return F.var_samp(x)


@aggregation
def median(x: Real) -> Double:
    """The exact middle value, or the mean of the two in the middle. It keeps every distinct value
    until the window ends.

    Examples:
        median([3, 1, 2]) => 2.0
        median([4, 1, 2, 3]) => 2.5
        median([null, 7]) => 7.0
        median([null]) => null
    """
    return F.percentile(x, F.lit(0.5))


def _percentile_problem(x: Any, p: float) -> str | None:
    return None if 0 <= p <= 100 else f"'p' of percentile must be from 0 to 100, is {p}"


@aggregation(verify=_percentile_problem)
def percentile(x: Real, p: ConstantNumber) -> Double:
    """The exact value below which p percent of the values lie (p from 0 to 100), interpolated
    between neighbours. It keeps every distinct value until the window ends.

    Examples:
        percentile([1, 2, 3, 4, 5], 50) => 3.0
        percentile([1, 2, 3, 4], 25) => 1.75
        percentile([10, 20, null], 0) => 10.0
        percentile([10, 20], 100) => 20.0
        percentile([10, 20], 12.5) => 11.25
    """
    return F.percentile(x, F.lit(p / 100.0))


@aggregation
def distinct(x: Anything, *, context: Context) -> Long:
    """The exact number of different values. It keeps each of them until the window ends. 0 of
    nothing.

    Examples:
        distinct([1, 2, 1, null]) => 2
        distinct(['a', 'A']) => 2
        distinct([0.0, -0.0]) => 1
        distinct([null]) => 0
    """
    # Spark's sets tell -0.0 from 0.0; adding zero makes them one.
    value = x + F.lit(0.0).cast(str(context.types[0])) if context.types[0].is_fractional else x
    return F.size(F.collect_set(value)).cast("long")


@derived(last)
def delta(x: Numeric, *, context: Context) -> SumType:
    """The last value less the last value of the window before. Null in a key's first window.

    The window before ends where this one begins, also of hopping windows. Where there is none, or
    none with a value, the option 'fill' of the aggregation decides: 'previous' goes on from the
    last window that has one, 'null' gives null, 'linear' divides the difference by the number of
    windows (in fractions). A late row corrects its window and the one behind it.

    Examples:
        delta([3, 5], [9]) => 4
        delta([3], [5, null], [4]) => -1
        delta([0.5], [0.75]) => 0.25
        delta([3], [null]) => null
        delta([3], [null], [5]) => 2
        delta([3]) => null
    """
    return F.try_subtract(x, context.before)


@derived(last, first, growth)
def increase(x: Numeric, *, context: Context) -> SumType:
    """What a counter has grown by since the last value of the window before: the sum of the steps
    from each value to the next, by event time; a value that is smaller than the one before is a
    counter that began again at 0. Null in a key's first window. The windows before are found, and
    missing ones filled, as for delta. It keeps every value until the window ends.

    Examples:
        increase([3, 5], [9, 12]) => 7
        increase([3, 5], [2, 6, 1]) => 7
        increase([0.5], [0.75]) => 0.25
        increase([5], [null], [7]) => 2
        increase([3, 5]) => null
    """
    earliest, grown = context.bases
    return F.try_add(_step(context.before, earliest), grown)


@derived(last, first, growth, per_second=True)
def rate(x: Numeric, *, context: Context) -> Double:
    """The increase of a counter per second: from the end of the window before to the end of this
    one. Null in a key's first window; with the fill 'null', also behind a missing window.

    Examples:
        rate([0], [90]) => 1.5
        rate([0, 600], [30]) => 0.5
        rate([0], [null], [90]) => 0.75
        rate([0]) => null
    """
    earliest, grown = context.bases
    return F.try_add(_step(context.before, earliest), grown)
