"""The operations of rules: each a declared function from Spark columns to a Spark column.

Null stands for unknown: unless a docstring says otherwise, a null argument gives null. An operation
that has no result for a row gives null as well; none may raise, so nothing here may use a Spark
function that does so in ANSI mode (division by zero, overflow, failed casts) on values unguarded.
"""

from __future__ import annotations

import re
import warnings
from functools import reduce
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from engine.declare import (
    Alike,
    Anything,
    Boolean,
    ConstantInteger,
    ConstantText,
    Context,
    Double,
    F,
    First,
    Float,
    Int,
    Integer,
    Kind,
    Long,
    Looked,
    Number,
    Real,
    ResultRule,
    Same,
    Scalar,
    String,
    Text,
    Time,
    Timestamp,
    Truth,
    operation,
)
from engine.types import NUMBERS, Type

if TYPE_CHECKING:
    from pyspark.sql import Column

# ---------------------------------------------------------------- arithmetic


@operation(infix="+", keeps_infinity=True)
def add(left: Number, right: Number) -> Same:
    """The sum of two numbers; null where it does not fit the type.

    Examples:
        add(2, 3) => 5
        2 + 0.5 => 2.5
        true + true => 2
        2 + null => null
        9223372036854775807 + 1 => null
        byte(127) + byte(1) => null
        byte(127) + 1 => 128
        1.7e308 + 1.7e308 => null
    """
    return F.try_add(left, right)


@operation(infix="-", keeps_infinity=True)
def sub(left: Number, right: Number) -> Same:
    """The difference of two numbers; null where it does not fit the type.

    Examples:
        sub(2, 3) => -1
        2 - 0.5 => 1.5
        5 - 2 - 1 => 2
        -9223372036854775808 - 1 => null
        2 - null => null
    """
    return F.try_subtract(left, right)


@operation(infix="*", keeps_infinity=True)
def mul(left: Number, right: Number) -> Same:
    """The product of two numbers; null where it does not fit the type.

    Examples:
        mul(2, 3) => 6
        2 * 0.5 => 1.0
        true * 3 => 3
        3037000500 * 3037000500 => null
        -9223372036854775808 * -1 => null
        1e200 * 1e200 => null
        1e200 * 1e200 * 0 => null
    """
    return F.try_multiply(left, right)


@operation(infix="/")
def mathdiv(left: Real, right: Real) -> Double:
    """The quotient of two numbers as a double; null where the divisor is 0.

    Examples:
        mathdiv(7, 2) => 3.5
        6 / 3 => 2.0
        -7 / 2 => -3.5
        1 / 0 => null
        0.0 / 0.0 => null
        1e308 / 1e-10 => null
        null / 2 => null
    """
    return F.try_divide(left, right)


@operation(infix="//")
def pydiv(left: Number, right: Number, *, context: Context) -> Same:
    """The quotient as Python gives it on the arguments' type: whole numbers are divided toward
    minus infinity, of fractions it is the true quotient. Null where the divisor is 0.

    Examples:
        pydiv(7, 2) => 3
        pydiv(-7, 2) => -4
        7 // -2 => -4
        -7 // -2 => 3
        7.0 // 2 => 3.5
        7 // 0 => null
        -9223372036854775808 // -1 => null
        -9223372036854775808 // 2 => -4611686018427387904
    """
    of = context.types[0]
    if of.is_fractional:
        return F.try_divide(left, right).cast(str(of))
    # The least number has no opposite: this is the one quotient that can overflow.
    divisor = F.when((right != 0) & (right != -1), right)
    toward_zero = F.call_function("div", left, divisor)
    rest = left % divisor
    floored = toward_zero - F.when((rest != 0) & ((rest < 0) != (right < 0)), 1).otherwise(0)
    return F.when(right == -1, _opposite(left, of)).otherwise(floored.cast(str(of)))


@operation(infix="%", aliases=("modulo",), finite=True)
def odd(left: Number, right: Number, *, context: Context) -> Same:
    """What division leaves, with the divisor's sign as in Python; null where the divisor is 0.

    Examples:
        odd(7, 2) => 1
        modulo(-7, 2) => 1
        7 % -2 => -1
        -7.5 % 2 => 0.5
        -8.0 % 2 => 0.0
        7.5 % -2.0 => -0.5
        -8 % 2 => 0
        7 % 0 => null
        7.5 % 0.0 => null
        -9223372036854775808 % -1 => 0
    """
    rest = F.try_mod(left, right)
    mended = F.when((rest != 0) & ((rest < 0) != (right < 0)), F.try_add(rest, right))
    of = context.types[0]
    # A zero that is left of a fraction has the dividend's sign, and would be written as -0.0.
    return mended.otherwise(rest + F.lit(0.0).cast(str(of)) if of.is_fractional else rest)


@operation(infix="-", keeps_infinity=True)
def neg(x: Number, *, context: Context) -> Same:
    """The opposite number; null for the least whole number, which has none.

    Examples:
        neg(3) => -3
        -(2.5) => -2.5
        - -3 => 3
        -true => -1
        neg(-9223372036854775808) => null
        neg(null) => null
    """
    return _opposite(x, context.types[0])


@operation(finite=True)
def abs_(x: Number, *, context: Context) -> Same:
    """The number without its sign, in its type; null for the least whole number.

    Examples:
        abs(-3) => 3
        abs(-2.5) => 2.5
        abs(true) => 1
        abs(-9223372036854775808) => null
        abs(null) => null
    """
    of = context.types[0]
    return F.abs(x) if of.is_fractional else F.when(x < 0, _opposite(x, of)).otherwise(x)


def _round_type(arguments: list[Type], unified: Type | None) -> Type:
    return Type.DOUBLE if len(arguments) > 1 and arguments[0].is_fractional else Type.LONG


Rounded: TypeAlias = Annotated["Column", ResultRule("long, or double with digits", _round_type)]


def _round_problem(x: Any, digits: int | None = None) -> str | None:
    if digits is None or -300 <= digits <= 300:
        return None
    return f"'digits' of round must be from -300 to 300, is {digits}"


@operation(verify=_round_problem)
def round_(x: Number, digits: ConstantInteger | None = None, *, context: Context) -> Rounded:
    """The nearest number with so many decimal digits, halves away from zero. Without digits it is a
    long (null where it does not fit); with digits, which may be negative, a whole number stays long
    and a fraction double.

    Examples:
        round(2.5) => 3
        round(-2.5) => -3
        round(0.49999999999999994) => 0
        round(2.675, 2) => 2.68
        round(1234.5, -2) => 1200.0
        round(1250, -2) => 1300
        round(7, 2) => 7
        round(1e30) => null
        round(9223372036854775807, -1) => null
        round(null) => null
    """
    if context.types[0].is_fractional:
        if digits is None:
            return F.round(x.cast("double"), 0).try_cast("long")
        return F.round(x.cast("double"), digits)
    if digits is None or digits >= 0:
        return x.cast("long")
    # As a decimal it cannot overflow on the way. No long has more than 19 digits.
    return F.round(x.cast("decimal(19,0)"), max(digits, -20)).try_cast("long")


@operation
def floor(x: Number, *, context: Context) -> Long:
    """The largest whole number that is not above; null where it does not fit a long.

    Examples:
        floor(2.7) => 2
        floor(-2.2) => -3
        floor(7) => 7
        floor(1e300) => null
        floor(null) => null
    """
    return _whole(x, F.floor, context)


@operation
def ceil(x: Number, *, context: Context) -> Long:
    """The smallest whole number that is not below; null where it does not fit a long.

    Examples:
        ceil(2.2) => 3
        ceil(-2.7) => -2
        ceil(7) => 7
        ceil(-1e300) => null
    """
    return _whole(x, F.ceil, context)


@operation
def sqrt(x: Real) -> Double:
    """The square root; null of a negative number.

    Examples:
        sqrt(9) => 3.0
        sqrt(2.25) => 1.5
        sqrt(-1) => null
        sqrt(null) => null
    """
    return F.sqrt(x)


@operation
def pow_(base: Real, exponent: Real) -> Double:
    """The base to the power of the exponent; null where there is none, or it is too large.

    Examples:
        pow(2, 10) => 1024.0
        pow(9, 0.5) => 3.0
        pow(0, 0) => 1.0
        pow(0, -1) => null
        pow(-8, 0.5) => null
        pow(10, 400) => null
    """
    return F.pow(base, exponent)


@operation
def ln(x: Real) -> Double:
    """The natural logarithm; null of 0 and of negative numbers.

    Examples:
        ln(1) => 0.0
        ln(exp(1)) => 1.0
        ln(0) => null
        ln(-1) => null
    """
    return F.ln(x)


@operation
def exp(x: Real) -> Double:
    """Euler's number to the power of x; null where it is too large.

    Examples:
        exp(0) => 1.0
        exp(-1000) => 0.0
        exp(1000) => null
    """
    return F.exp(x)


@operation(finite=True)
def least(first: Alike, second: Alike, *rest: Alike) -> Same:
    """The smallest of the values; nulls are skipped, of nothing but nulls it is null.

    Examples:
        least(3, 1, 2) => 1
        least(1, 0.5) => 0.5
        least('b', 'a') => 'a'
        least(3, null) => 3
        least(null, null) => null
    """
    return F.least(first, second, *rest)


@operation(finite=True)
def greatest(first: Alike, second: Alike, *rest: Alike) -> Same:
    """The largest of the values; nulls are skipped, of nothing but nulls it is null.

    Examples:
        greatest(3, 1, 2) => 3
        greatest(1, 0.5) => 1.0
        greatest(false, true) => true
        greatest(null, 3, null) => 3
    """
    return F.greatest(first, second, *rest)


# ---------------------------------------------------------------- comparisons


@operation(infix="<")
def lt(left: Alike, right: Alike) -> Boolean:
    """Whether the left value is less. Texts compare by their characters' code points.

    Examples:
        lt(1, 2) => true
        2 < 1.5 => false
        'abc' < 'abd' => true
        'Z' < 'a' => true
        false < true => true
        true < 2 => true
        1 < null => null
        timestamp(0) < timestamp(1) => true
    """
    return left < right


@operation(infix="<=")
def le(left: Alike, right: Alike) -> Boolean:
    """Whether the left value is less or equal.

    Examples:
        le(2, 2) => true
        3 <= 2.5 => false
        'b' <= 'a' => false
        null <= 1 => null
    """
    return left <= right


@operation(infix=">")
def gt(left: Alike, right: Alike) -> Boolean:
    """Whether the left value is greater.

    Examples:
        gt(2, 1) => true
        -1 > 1 => false
        'b' > 'a' => true
        null > null => null
    """
    return left > right


@operation(infix=">=")
def ge(left: Alike, right: Alike) -> Boolean:
    """Whether the left value is greater or equal.

    Examples:
        ge(2, 2) => true
        1 >= 1.5 => false
        true >= 1 => true
        1 >= null => null
    """
    return left >= right


@operation(infix="==")
def eq(left: Alike, right: Alike) -> Boolean:
    """Whether the values are equal; null where one of them is null (see is_null).

    Examples:
        eq(1, 1) => true
        1 == 1.0 => true
        1 == true => true
        'a' == 'A' => false
        0.0 == -0.0 => true
        null == null => null
    """
    return left == right


@operation(infix="!=")
def neq(left: Alike, right: Alike) -> Boolean:
    """Whether the values differ; null where one of them is null.

    Examples:
        neq(1, 2) => true
        1 != 1.0 => false
        'a' != 'A' => true
        1 != null => null
    """
    return left != right


@operation
def in_(x: Alike, value: Alike, *values: Alike) -> Boolean:
    """Whether x equals one of the values, as in SQL: null where it equals none and one is null.

    Examples:
        in('a', 'a', 'b') => true
        in(3, 1, 2.0) => false
        in(2, 1, 2.0) => true
        in(1, 1, null) => true
        in(3, 1, null) => null
        in(null, 1, 2) => null
    """
    return x.isin(value, *values)


# ---------------------------------------------------------------- logic


@operation(infix="and")
def and_(left: Truth, right: Truth, *rest: Truth) -> Boolean:
    """Whether all are true. 0, 0.0 and '' are false, all other numbers and texts are true; null is
    unknown, so the result is null unless another value decides.

    Examples:
        true and true => true
        true and false => false
        false and false => false
        and(true, true, false) => false
        1 and 'False' => true
        1 and '' => false
        0.0 and true => false
        true and null => null
        false and null => false
        null and null => null
        0 and null => false
        '' and null => false
    """
    return _halved(lambda one, other: one & other, [left, right, *rest])


@operation(infix="or")
def or_(left: Truth, right: Truth, *rest: Truth) -> Boolean:
    """Whether one is true. 0, 0.0 and '' are false, all other numbers and texts are true; null is
    unknown, so the result is null unless another value decides.

    Examples:
        true or false => true
        false or false => false
        true or true => true
        or(false, false, true) => true
        0 or 'False' => true
        0 or '' => false
        -0.5 or false => true
        true or null => true
        false or null => null
        null or null => null
        'x' or null => true
        0 or null => null
    """
    return _halved(lambda one, other: one | other, [left, right, *rest])


@operation(infix="not")
def not_(x: Truth) -> Boolean:
    """Whether the value is false. 0, 0.0 and '' are false, other numbers and texts are true.

    Examples:
        not true => false
        not(false) => true
        not 0 => true
        not 0.0 => true
        not 2.5 => false
        not '' => true
        not 'False' => false
        not null => null
    """
    return ~x


# ---------------------------------------------------------------- choice and null


@operation(finite=True)
def if_(condition: Truth, then: Alike, otherwise: Alike) -> Same:
    """The second argument where the condition is met, else the third; null is not met.

    Examples:
        if(2 > 1, 'yes', 'no') => 'yes'
        if(0, 'yes', 'no') => 'no'
        if(null, 'yes', 'no') => 'no'
        if(true, 1, 0.5) => 1.0
        if(false, 1, null) => null
    """
    return F.when(condition, then).otherwise(otherwise)


@operation(finite=True)
def when(condition: Truth, value: Alike) -> Same:
    """The value where the condition is met, else null.

    Examples:
        when(2 > 1, 'yes') => 'yes'
        when(1 > 2, 'yes') => null
        when('', 1) => null
        when(null, 1) => null
    """
    return F.when(condition, value)


@operation(finite=True)
def coalesce(first: Alike, second: Alike, *rest: Alike) -> Same:
    """The first of the values that is not null.

    Examples:
        coalesce(null, 2, 3) => 2
        coalesce(1 / 0, -1) => -1.0
        coalesce('', 'x') => ''
        coalesce(null, null) => null
    """
    return F.coalesce(first, second, *rest)


@operation
def is_null(x: Anything) -> Boolean:
    """Whether the value is null: unknown, absent, or without a result. Never null itself.

    Examples:
        is_null(null) => true
        is_null(1 / 0) => true
        is_null('') => false
        is_null(0) => false
    """
    return x.isNull()


@operation
def one(x: Anything) -> Long:
    """The number 1, whatever the argument, null too: what a sum needs to count rows.

    Examples:
        one('x') => 1
        one(0.5) => 1
        one(null) => 1
    """
    return F.lit(1).cast("long")


@operation(finite=True)
def id(x: Anything) -> First:
    """The value itself.

    Examples:
        id('x') => 'x'
        id(2.5) => 2.5
        id(null) => null
    """
    return x


@operation(folds=True)
def config(path: ConstantText) -> First:
    """The value that stands in this config under a path of names, such as 'input.options.sep'.

    It is a constant before anything runs.
    """
    raise TypeError(f"config('{path}') is replaced by its value before anything is compiled")


@operation(looks_up=True)
def lookup(table: ConstantText, key: Anything, column: ConstantText) -> Looked:
    """The column of a table's row that has this key; null where none has it, or the key is null.
    The tables are the config's `databases`; an mmdb file is asked by an address.

    In these examples 'cars' is a file of two lines, `plate,model,weight` and `A1,Beetle,840.5`.

    Examples:
        lookup('cars', 'A1', 'model') => 'Beetle'
        lookup('cars', concat('A', '1'), 'weight') => 840.5
        lookup('cars', 'a1', 'model') => null
        lookup('cars', null, 'weight') => null
    """
    raise TypeError(f"lookup('{table}', …, '{column}') is compiled to a join")


# ---------------------------------------------------------------- conversions

Byte: TypeAlias = Annotated["Column", Type.BYTE]
Short: TypeAlias = Annotated["Column", Type.SHORT]


@operation
def boolean(x: Scalar, *, context: Context) -> Boolean:
    """As a boolean. Of texts, true t yes y 1 are true and false f no n 0 are false, in any case,
    and all others null; of numbers, 0 is false.

    Examples:
        boolean('Yes') => true
        boolean('F') => false
        boolean('0') => false
        boolean('maybe') => null
        boolean('') => null
        boolean(0.0) => false
        boolean(-2) => true
        boolean(null) => null
    """
    return x != 0 if context.types[0].is_number else x.try_cast("boolean")


@operation
def byte(x: Scalar) -> Byte:
    """As a whole number of 8 bits, less its fraction; null where it does not fit.

    Examples:
        byte('12') => byte(12)
        byte(-128.9) => byte(-128)
        byte(128) => null
        byte('x') => null
    """
    return x.try_cast("byte")


@operation
def short(x: Scalar) -> Short:
    """As a whole number of 16 bits, less its fraction; null where it does not fit.

    Examples:
        short(' 12 ') => short(12)
        short(32767.9) => short(32767)
        short(32768) => null
    """
    return x.try_cast("short")


@operation
def int_(x: Scalar) -> Int:
    """As a whole number of 32 bits, less its fraction; null where it does not fit.

    Examples:
        int('12') => int(12)
        int(-2.7) => int(-2)
        int(true) => int(1)
        int(2147483648) => null
        int('2.7') => null
    """
    return x.try_cast("int")


@operation
def long(x: Scalar) -> Long:
    """As a whole number of 64 bits, less its fraction; null where it does not fit.

    Examples:
        long('9223372036854775807') => 9223372036854775807
        long('9223372036854775808') => null
        long(2.7) => 2
        long(-2.7) => -2
        long(true) => 1
        long('2.7') => null
        long('') => null
        long(1e19) => null
        long(null) => null
    """
    return x.try_cast("long")


@operation
def float_(x: Scalar, *, context: Context) -> Float:
    """As a number of 32 bits with a fraction; null where it is too large.

    Examples:
        float('2.5') => float(2.5)
        float(1) => float(1)
        float(1e300) => null
        float('NaN') => null
    """
    return _fraction(x, "float", context)


@operation
def double(x: Scalar, *, context: Context) -> Double:
    """As a number of 64 bits with a fraction; null for a text that is no number.

    Examples:
        double('2.5') => 2.5
        double(' -1e3 ') => -1000.0
        double(7) => 7.0
        double(false) => 0.0
        double('1e999') => null
        double('Infinity') => null
        double('NaN') => null
        double('1.5d') => null
        double('12 kg') => null
    """
    return _fraction(x, "double", context)


@operation
def string(x: Scalar) -> String:
    """As text: numbers in their shortest form, booleans as true and false.

    Examples:
        string(12) => '12'
        string(200.0) => '200.0'
        string(1e20) => '1.0E20'
        string(true) => 'true'
        string('x') => 'x'
        string(null) => null
    """
    return x.cast("string")


# ---------------------------------------------------------------- text


@operation
def concat(first: Text, second: Text, *rest: Text) -> String:
    """The texts one after another; null where one of them is null.

    Examples:
        concat('a', 'b') => 'ab'
        concat('a', '-', string(7)) => 'a-7'
        concat('a', null) => null
    """
    return F.concat(first, second, *rest)


@operation
def lower(text: Text) -> String:
    """The text in small letters.

    Examples:
        lower('Seal.T1') => 'seal.t1'
        lower('ÉÄ') => 'éä'
        lower(null) => null
    """
    return F.lower(text)


@operation
def upper(text: Text) -> String:
    """The text in capital letters.

    Examples:
        upper('seal.t1') => 'SEAL.T1'
        upper('é') => 'É'
    """
    return F.upper(text)


@operation
def trim(text: Text) -> String:
    """The text without blanks, tabs and line ends on both sides.

    Examples:
        trim('  a b ') => 'a b'
        trim('\\t\\n') => ''
        trim(null) => null
    """
    return F.btrim(text, F.lit(" \t\n\r\f\v"))


@operation
def length(text: Text) -> Long:
    """The number of characters.

    Examples:
        length('abc') => 3
        length('') => 0
        length('é😀') => 2
        length(null) => null
    """
    return F.length(text).cast("long")


@operation
def truncate(text: Text, count: Integer) -> String:
    """The first characters, as Python's text[:count]: a negative count leaves out the last ones.

    Examples:
        truncate('abcdef', 2) => 'ab'
        truncate('ab', 5) => 'ab'
        truncate('abc', 0) => ''
        truncate('abc', -1) => 'ab'
        truncate('abc', -5) => ''
        truncate('é😀x', 2) => 'é😀'
        truncate('abc', null) => null
    """
    return F.substr(text, F.lit(1), _taken(F.length(text), count))


@operation
def substring(text: Text, start: Integer, length: Integer | None = None) -> String:
    """The characters from start (from 0; negative from the end), as Python's text[start:][:length].

    Examples:
        substring('abcdef', 2) => 'cdef'
        substring('abcdef', 1, 3) => 'bcd'
        substring('abcdef', -2) => 'ef'
        substring('abcdef', -9, 2) => 'ab'
        substring('abcdef', 9) => ''
        substring('abcdef', 0, -1) => 'abcde'
        substring('abc', 9223372036854775807) => ''
        substring('é😀x', 1, 1) => '😀'
        substring('abc', null) => null
        substring(null, 1) => null
    """
    size = F.length(text)
    # Counted as Python counts: what text[:start] would take is what is left out here.
    begin = _taken(size, start)
    rest = size - begin
    return F.substr(text, begin + 1, rest if length is None else _taken(rest, length))


@operation
def replace(text: Text, old: Text, new: Text) -> String:
    """The text with every occurrence of the old part replaced by the new; an empty old part is
    found nowhere.

    Examples:
        replace('a-b-c', '-', '') => 'abc'
        replace('a.b', '.', '$1') => 'a$1b'
        replace('abc', '', 'x') => 'abc'
        replace('abc', null, 'x') => null
    """
    return F.replace(text, old, new)


#: What Python's reader of patterns finds wrong and Java's does too, whatever the dialect.
_PATTERN_MISTAKES = (
    "missing )",
    "unterminated character set",
    "unbalanced parenthesis",
    "bad escape (end of pattern)",
)


def _pattern_problem(text: Any, pattern: str) -> str | None:
    """What is surely wrong with a pattern, without a JVM at hand to ask."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(re.sub(r"\\Q.*?(\\E|$)", "", pattern, flags=re.DOTALL))
    except re.error as error:
        if error.msg.startswith(_PATTERN_MISTAKES):
            return f"the pattern '{pattern}' is not valid: {error.msg}"
    except (OverflowError, RecursionError):
        return f"the pattern '{pattern}' is not valid"
    return None


@operation(verify=_pattern_problem)
def matches(text: Text, pattern: ConstantText) -> Boolean:
    """Whether a regular expression (Java's dialect) is found anywhere in the text; `^` and `$` tie
    it to the ends. A pattern of nested repetitions, such as `(a+)+$`, can take very long on a text
    that almost fits.

    Examples:
        matches('sensor-12', '[0-9]+') => true
        matches('sensor-12', '^[0-9]+$') => false
        matches('a.b', 'a\\.b') => true
        matches('ABC', '(?i)abc') => true
        matches('', '') => true
        matches(null, 'a') => null

    Raises:
        ValueError: the JVM does not take the pattern.
    """
    _ask_java("java.util.regex.Pattern", "compile", pattern, "pattern")
    return text.rlike(pattern)


# ---------------------------------------------------------------- time


#: Numbers are seconds since 1970-01-01T00:00:00Z, texts are ISO 8601 or have a format.
Moment: TypeAlias = Annotated["Column", Kind("string or number", NUMBERS | {Type.STRING})]

#: Spark's letters for reading a time, and how often each may stand in a row.
_FORMAT_LETTERS = dict.fromkeys("MLdDHhKkms", 2) | {
    "y": 6, "M": 4, "L": 4, "D": 3, "S": 9, "a": 1, "G": 4, "z": 4, "Z": 5, "X": 5, "x": 5,
    "O": 4, "V": 2,
}  # fmt: skip
#: Runs that are short enough, and that Java has no meaning for all the same.
_FORMAT_GAPS = ("OO", "OOO", "V")
_ZONE_LETTERS = frozenset("VzOXxZ")


def _format_letters(format: str) -> list[str]:
    """The runs of one letter in a format, less what stands between single quotes."""
    return [run.group() for run in re.finditer(r"([A-Za-z])\1*", re.sub("'[^']*'", "", format))]


def _format_problem(x: Any, format: str | None = None) -> str | None:
    """What Spark would not take in a format for reading a time."""
    if format is None:
        return None
    if format.count("'") % 2:
        return f"the format '{format}' has a quote without its pair"
    unquoted = re.sub("'[^']*'", "", format)
    if found := re.search("[{}#]", unquoted):
        return f"the format '{format}' must have '{found.group()}' in single quotes"
    if any(end.count("]") > end.count("[") for end in accumulate(unquoted)):
        return f"the format '{format}' has a ']' without its '['"
    for run in _format_letters(format):
        if len(run) > _FORMAT_LETTERS.get(run[0], 0) or run in _FORMAT_GAPS:
            return f"the format '{format}' has no meaning for '{run}'"
    return None


@operation(verify=_format_problem)
def timestamp(x: Moment, format: ConstantText | None = None, *, context: Context) -> Timestamp:
    """A moment in time: of a number, so many seconds after 1970-01-01T00:00:00Z, fractions kept to
    the microsecond; of a text, ISO 8601 (with `T` or a blank, or a day alone), or what the format's
    pattern letters say (yyyy-MM-dd HH:mm:ss). A text without a zone is in `processing.time_zone`.
    Null outside the years 1 to 9999.

    Examples:
        timestamp('1970-01-01T00:00:01Z') => timestamp(1)
        timestamp('1970-01-01 02:00:01.5+02:00') => timestamp(1.5)
        timestamp('1970-01-02') => timestamp(86400)
        timestamp('01/02/1970 00:00', 'dd/MM/yyyy HH:mm') => timestamp(2678400)
        epoch(timestamp(1700000000.123456)) => 1700000000.123456
        epoch(timestamp(-1)) => -1.0
        timestamp('2026-02-30') => null
        timestamp('2026') => null
        timestamp('now') => null
        timestamp('x', 'yyyy') => null
        timestamp(1e30) => null
        timestamp(9223372036854775807) => null
        timestamp(null) => null

    Raises:
        ValueError: the JVM does not take the format.
    """
    if context.types[0] is not Type.STRING:
        return _from_seconds(x)
    if format is None:
        # Spark's cast would take '2026', '12:30', 'now' and more.
        iso = F.when(x.rlike(r"^\s*\d{4}-\d{2}-\d{2}(\s*$|[T ]\d{2}:\d{2})"), x)
        moment = iso.try_cast("timestamp")
        zoned: Any = x.rlike(":.*[Z+-]")
    else:
        _ask_java("java.time.format.DateTimeFormatter", "ofPattern", format, "format")
        moment = F.try_to_timestamp(x, F.lit(format))
        zoned = F.lit(any(run[0] in _ZONE_LETTERS for run in _format_letters(format)))
    if context.time_zone == "UTC":
        return moment
    return F.when(zoned, moment).otherwise(F.to_utc_timestamp(moment, context.time_zone))


@operation(finite=True)
def epoch(t: Time) -> Double:
    """The seconds since 1970-01-01T00:00:00Z, with the microseconds as a fraction.

    Examples:
        epoch(timestamp('1970-01-01T00:01:00Z')) => 60.0
        epoch(timestamp('1970-01-01T00:00:00.25Z')) => 0.25
        epoch(timestamp('1969-12-31T23:59:59Z')) => -1.0
        epoch(timestamp('x')) => null
    """
    return F.unix_micros(t).cast("double") / F.lit(1e6)


@operation
def hour(t: Time, *, context: Context) -> Long:
    """The hour of the day, 0 to 23, in `processing.time_zone`.

    Examples:
        hour(timestamp('2026-11-22T10:15:00Z')) => 10
        hour(timestamp('2026-11-22T10:15:00+02:00')) => 8
        hour(timestamp('x')) => null
    """
    return F.hour(_local(t, context)).cast("long")


@operation
def day_of_week(t: Time, *, context: Context) -> Long:
    """The day of the week, 1 (Monday) to 7 (Sunday), in `processing.time_zone`.

    Examples:
        day_of_week(timestamp('2026-11-22')) => 7
        day_of_week(timestamp('2026-11-23')) => 1
        day_of_week(timestamp('x')) => null
    """
    return (F.weekday(_local(t, context)) + 1).cast("long")


@operation
def date(t: Time, *, context: Context) -> Timestamp:
    """The moment at which the day began, in `processing.time_zone`.

    Examples:
        date(timestamp('2026-11-22T10:15:00Z')) => timestamp('2026-11-22T00:00:00Z')
        date(timestamp('1969-12-31T23:59:59Z')) => timestamp('1969-12-31')
        date(timestamp('x')) => null
    """
    day = F.date_trunc("day", _local(t, context))
    return day if context.time_zone == "UTC" else F.to_utc_timestamp(day, context.time_zone)


# ---------------------------------------------------------------- shared by some of the above


def _opposite(x: Column, of: Type) -> Column:
    if of.is_fractional:
        return F.negate(x)
    return F.try_subtract(F.lit(0).cast(str(of)), x)


def _whole(x: Column, to_whole: Any, context: Context) -> Column:
    """A floor or ceiling as a long. Spark's own would give the nearest long for one beyond it."""
    if not context.types[0].is_fractional:
        return x.cast("long")
    number = x.cast("double")
    return F.when((number >= -(2.0**63)) & (number < 2.0**63), to_whole(number))


def _fraction(x: Column, of: str, context: Context) -> Column:
    """A cast to float or double. Java reads `1.5d`, `2f` and `0x1p3` in a text; we do not."""
    if context.types[0] is not Type.STRING:
        return x.cast(of)
    return F.when(~x.rlike("[dDfFxX]"), x).try_cast(of)


def _halved(join: Any, values: list[Column]) -> Column:
    """The values joined as a balanced tree: a thousand of them would be too deep as a chain."""
    while len(values) > 1:
        pairs = [values[i : i + 2] for i in range(0, len(values), 2)]
        values = [reduce(join, pair) for pair in pairs]
    return values[0]


def _taken(size: Column, count: Column) -> Column:
    """How many characters Python's text[:count] takes of so many: null for a null count, and never
    more than there are, also of no text.
    """
    few = F.when(count >= size, size).when((count >= 0) & (count < size), count)
    return few.when(count < 0, F.greatest(size + count, F.lit(0))).cast("int")


def _from_seconds(x: Column) -> Column:
    """A moment of epoch seconds, as long as its year has four digits."""
    near = F.when((x >= -62135596800) & (x < 253402300800), x)
    return F.timestamp_micros(F.rint(near.cast("double") * 1e6).cast("long"))


def _local(t: Column, context: Context) -> Column:
    """The time on the wall; the session's own zone is UTC."""
    return t if context.time_zone == "UTC" else F.from_utc_timestamp(t, context.time_zone)


def _ask_java(of: str, maker: str, text: str, what: str) -> None:
    """Lets Java judge a constant before the first row: its mistakes would kill the query."""
    from pyspark import SparkContext

    context = SparkContext._active_spark_context
    if context is None or context._jvm is None:
        return
    java = reduce(getattr, [*of.split("."), maker], context._jvm)
    try:
        java(text)
    except Exception as error:
        told = str(getattr(error, "java_exception", error)).splitlines()[0]
        reason = told.partition("Exception: ")[2] or told
        raise ValueError(f"the {what} '{text}' is not valid: {reason}") from None
