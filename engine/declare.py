"""How operations and aggregations are declared: one annotated function, from which all else comes.

A declaration is a value, not an entry in a registry: importing a module that declares operations
changes nothing anywhere. The catalog collects them from the modules that a config names.

    from engine.declare import F, Number, Same, operation

    @operation(infix="+")
    def add(left: Number, right: Number) -> Same:
        '''The sum of two numbers; null where it does not fit the type.

        Examples:
            add(2, 3) => 5
            add(2, 0.5) => 2.5
            2 + null => null
        '''
        return F.try_add(left, right)
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, overload

from engine.types import INTEGERS, NUMBERS, Type

if TYPE_CHECKING:
    from pyspark.sql import Column

_ALL = frozenset(Type) - {Type.NULL}
_ORDERED = NUMBERS | {Type.BOOLEAN}


class _Functions:
    """``pyspark.sql.functions``, imported when the first of them is used.

    So a module of operations can be read by the check, which must not import pyspark.
    """

    def __getattr__(self, name: str) -> Any:
        from pyspark.sql import functions

        return getattr(functions, name)


if TYPE_CHECKING:
    from pyspark.sql import functions as F
else:
    F = _Functions()


@dataclass(frozen=True)
class Kind:
    """What a parameter takes, and what its column has become when the function gets it.

    Args:
        name: for messages and the reference.
        accepts: the argument's types; a null literal always fits.
        becomes: the type that the column is converted to (``BOOLEAN`` by Python's truth).
        unifies: all arguments of unifying parameters are widened to one common type.
        constant: the function gets a plain Python value, known before the start; no column.
    """

    name: str
    accepts: frozenset[Type]
    becomes: Type | None = None
    unifies: bool = False
    constant: bool = False


class ResultRule:
    """A result type that depends on the arguments."""

    def __init__(self, name: str, of: Callable[[list[Type], Type | None], Type]) -> None:
        self.name = name
        self.of = of

    def __repr__(self) -> str:
        return f"ResultRule({self.name})"


def _sum_type(arguments: list[Type], unified: Type | None) -> Type:
    return Type.DOUBLE if arguments and arguments[0].is_fractional else Type.LONG


def _first_type(arguments: list[Type], unified: Type | None) -> Type:
    return arguments[0] if arguments else Type.NULL


_SAME = ResultRule("the arguments' common type", lambda arguments, unified: unified or Type.NULL)
_FIRST = ResultRule("the argument's type", _first_type)
_SUM = ResultRule("long of integers and booleans, else double", _sum_type)

# What annotations may say. At run time they carry a Kind; for a type checker they are columns.
# A Number is never boolean: booleans become 0 and 1, as long where no wider number is beside them.
Number: TypeAlias = Annotated["Column", Kind("number", _ORDERED, unifies=True)]
#: A number as a double.
Real: TypeAlias = Annotated["Column", Kind("number", _ORDERED, becomes=Type.DOUBLE)]
#: A whole number (or boolean) as a long.
Integer: TypeAlias = Annotated[
    "Column", Kind("integer", INTEGERS | {Type.BOOLEAN}, becomes=Type.LONG)
]
Text: TypeAlias = Annotated["Column", Kind("string", frozenset({Type.STRING}))]
Time: TypeAlias = Annotated["Column", Kind("timestamp", frozenset({Type.TIMESTAMP}))]
#: A boolean, number or string, converted to boolean by Python's truth.
Truth: TypeAlias = Annotated[
    "Column", Kind("boolean, number or string", _ALL - {Type.TIMESTAMP}, becomes=Type.BOOLEAN)
]
#: Any type; all arguments of this kind must have a common type, and are widened to it.
Alike: TypeAlias = Annotated["Column", Kind("value", _ALL, unifies=True)]
#: Any type, left as it is. Take ``context.types`` where the function must know it.
Anything: TypeAlias = Annotated["Column", Kind("value", _ALL)]
#: Anything that a cast can start from: all but timestamps.
Scalar: TypeAlias = Annotated["Column", Kind("boolean, number or string", _ALL - {Type.TIMESTAMP})]
#: One number (or boolean) of an aggregation, left as it is.
Numeric: TypeAlias = Annotated["Column", Kind("number", _ORDERED)]
ConstantText: TypeAlias = Annotated[
    str, Kind("constant string", frozenset({Type.STRING}), constant=True)
]
ConstantInteger: TypeAlias = Annotated[int, Kind("constant integer", INTEGERS, constant=True)]
ConstantNumber: TypeAlias = Annotated[float, Kind("constant number", NUMBERS, constant=True)]

# What results may say.
Same: TypeAlias = Annotated["Column", _SAME]
First: TypeAlias = Annotated["Column", _FIRST]
SumType: TypeAlias = Annotated["Column", _SUM]
Boolean: TypeAlias = Annotated["Column", Type.BOOLEAN]
Int: TypeAlias = Annotated["Column", Type.INT]
Long: TypeAlias = Annotated["Column", Type.LONG]
Float: TypeAlias = Annotated["Column", Type.FLOAT]
Double: TypeAlias = Annotated["Column", Type.DOUBLE]
String: TypeAlias = Annotated["Column", Type.STRING]
Timestamp: TypeAlias = Annotated["Column", Type.TIMESTAMP]

#: Python's types in the signature of a scalar function, and what they are here.
PYTHON_TYPES: dict[type, Type] = {
    bool: Type.BOOLEAN,
    int: Type.LONG,
    float: Type.DOUBLE,
    str: Type.STRING,
    datetime: Type.TIMESTAMP,
}


@dataclass(frozen=True)
class Context:
    """What a function may ask for beside its arguments, by a keyword-only parameter ``context``.

    Args:
        types: the arguments' types as the function gets them.
        time_zone: ``processing.time_zone``.
        order: aggregations only: a column that sorts the rows of a window by event time, then by
            the source's order.
    """

    types: tuple[Type, ...] = ()
    time_zone: str = "UTC"
    order: Column | None = None


@dataclass(frozen=True)
class Parameter:
    """One parameter of an operation or aggregation."""

    name: str
    kind: Kind
    optional: bool = False
    default: Any = None
    repeats: bool = False

    def __str__(self) -> str:
        told = f"{self.name}: {self.kind.name}"
        if self.repeats:
            return f"*{told}"
        return f"[{told}]" if self.optional else told


@dataclass(frozen=True)
class Example:
    """One line of a docstring's examples: both sides are expressions of the DSL."""

    call: str
    result: str


#: Gets the arguments as they stand, a constant as its value and all else as None; tells what is
#: wrong with them, or None.
Verify: TypeAlias = Callable[..., "str | None"]


@dataclass(frozen=True)
class Declaration:
    """What operations and aggregations have in common.

    Args:
        verify: judges the constant arguments, so that what they say cannot fail on a row.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    result: Type | ResultRule
    doc: str
    examples: tuple[Example, ...]
    module: str
    takes_context: bool
    aliases: tuple[str, ...] = ()
    verify: Verify | None = None

    @property
    def least(self) -> int:
        """The number of arguments that must be given."""
        return sum(1 for each in self.parameters if not each.optional and not each.repeats)

    @property
    def most(self) -> int | None:
        """The number of arguments that may be given; None without a limit."""
        return None if any(each.repeats for each in self.parameters) else len(self.parameters)

    @property
    def signature(self) -> str:
        return f"{self.name}({', '.join(map(str, self.parameters))})"

    def parameter(self, index: int) -> Parameter:
        """The parameter that takes the argument ``index`` (from 0)."""
        return self.parameters[min(index, len(self.parameters) - 1)]


@dataclass(frozen=True)
class Operation(Declaration):
    """A function of one row's values.

    Args:
        infix: the operator that stands for it.
        finite: its result cannot be NaN or infinite, so nothing guards it.
        keeps_infinity: NaN and infinities go through it (``+ - *``), so one guard at the end of a
            chain of such operations is enough.
        python: a scalar Python function, which runs as an Arrow UDF.
        folds: the check replaces it by a constant (``config``).
    """

    infix: str | None = None
    finite: bool = False
    keeps_infinity: bool = False
    python: bool = False
    folds: bool = False


@dataclass(frozen=True)
class Aggregation(Declaration):
    """A function of one window's rows: a composition of Spark's aggregates.

    Args:
        by_order: it asks for ``context.order``, which costs every row a column.
    """

    by_order: bool = False


@overload
def operation(function: Callable[..., Any], /) -> Operation: ...
@overload
def operation(
    *,
    infix: str | None = None,
    aliases: tuple[str, ...] = (),
    finite: bool = False,
    keeps_infinity: bool = False,
    folds: bool = False,
    verify: Verify | None = None,
) -> Callable[[Callable[..., Any]], Operation]: ...


def operation(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Declares an operation in Spark columns. The name is the function's, less a trailing ``_``.

    A result that has no value for a row must be null, never an exception. NaN and infinity need no
    care: the compiler makes them null behind every operation that gives a float or double.

    Raises:
        TypeError: an annotation is missing or says nothing that the DSL knows.
    """

    def declare(function: Callable[..., Any]) -> Operation:
        return Operation(**_declaration(function, options.pop("aliases", ())), **options)

    return declare(function) if function is not None else declare


def scalar(function: Callable[..., Any], /) -> Operation:
    """Declares an operation by a Python function of plain values (bool, int, float, str, datetime).

    It runs as an Arrow UDF in Python workers: some microseconds a row, where a column expression
    takes nanoseconds. It is not called where an argument is null; an exception gives null.

    Example:
        @scalar
        def plate(text: str) -> str:
            '''A number plate without blanks and dashes.

            Examples:
                plate('AB-C 12') => 'ABC12'
            '''
            return text.replace("-", "").replace(" ", "")
    """
    return Operation(**_declaration(function, ()), python=True)


@overload
def aggregation(function: Callable[..., Any], /) -> Aggregation: ...
@overload
def aggregation(
    *, verify: Verify | None = None, by_order: bool = False
) -> Callable[[Callable[..., Any]], Aggregation]: ...


def aggregation(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Declares an aggregation by a composition of Spark's aggregates. Nulls are to be skipped.

    Example:
        @aggregation
        def spread(x: Number) -> Same:
            '''The largest value less the smallest.'''
            return F.max(x) - F.min(x)
    """

    def declare(function: Callable[..., Any]) -> Aggregation:
        return Aggregation(**_declaration(function, ()), **options)

    return declare(function) if function is not None else declare


def _declaration(function: Callable[..., Any], aliases: tuple[str, ...]) -> dict[str, Any]:
    name = function.__name__.rstrip("_")
    hints = inspect.get_annotations(function, eval_str=True)
    signature = inspect.signature(function)
    parameters = tuple(
        _parameter(name, each, hints.get(each.name))
        for each in signature.parameters.values()
        if each.kind is not inspect.Parameter.KEYWORD_ONLY
    )
    doc, examples = _documentation(function)
    return {
        "name": name,
        "function": function,
        "parameters": parameters,
        "result": _result(name, hints.get("return")),
        "doc": doc,
        "examples": examples,
        "module": function.__module__,
        "takes_context": "context" in signature.parameters,
        "aliases": aliases,
    }


def _parameter(operation: str, parameter: inspect.Parameter, hint: Any) -> Parameter:
    kind = _kind(hint)
    if kind is None:
        raise TypeError(
            f"the parameter '{parameter.name}' of '{operation}' needs an annotation of "
            "engine.declare (or bool, int, float, str, datetime)"
        )
    optional = parameter.default is not inspect.Parameter.empty
    return Parameter(
        parameter.name,
        kind,
        optional,
        parameter.default if optional else None,
        parameter.kind is inspect.Parameter.VAR_POSITIONAL,
    )


def _kind(hint: Any) -> Kind | None:
    for each in getattr(_not_none(hint), "__metadata__", ()):
        if isinstance(each, Kind):
            return each
    of = PYTHON_TYPES.get(_not_none(hint))
    if of is None:
        return None
    accepts = _ORDERED if of in (Type.LONG, Type.DOUBLE) else frozenset({of})
    if of is Type.LONG:
        accepts = INTEGERS | {Type.BOOLEAN}
    return Kind("number" if of is Type.DOUBLE else str(of), accepts, becomes=of)


def _result(operation: str, hint: Any) -> Type | ResultRule:
    for each in getattr(hint, "__metadata__", ()):
        if isinstance(each, Type | ResultRule):
            return each
        if isinstance(each, Kind) and each.becomes is not None:
            return each.becomes
        if isinstance(each, Kind) and len(each.accepts) == 1:
            return next(iter(each.accepts))
        if isinstance(each, Kind) and each.unifies:
            return _SAME
    of = PYTHON_TYPES.get(_not_none(hint))
    if of is None:
        raise TypeError(f"'{operation}' needs an annotated result, such as '-> Double'")
    return of


def _not_none(hint: Any) -> Any:
    """``float | None`` is declared like ``float``: every result may be null."""
    members = [each for each in typing.get_args(hint) if each is not type(None)]
    return members[0] if len(members) == 1 and type(None) in typing.get_args(hint) else hint


def _documentation(function: Callable[..., Any]) -> tuple[str, tuple[Example, ...]]:
    text = inspect.getdoc(function) or ""
    prose, _, listed = text.partition("\nExamples:\n")
    examples = []
    for row in listed.splitlines():
        call, arrow, result = row.strip().rpartition(" => ")
        if arrow:
            examples.append(Example(call.strip(), result.strip()))
        elif row.strip() and not row.startswith(" "):
            break
    return prose.strip(), tuple(examples)


_MISSING = object()


@dataclass(frozen=True)
class Option:
    """What a field of a config's dataclass says beside its type: for schema and reference."""

    doc: str
    example: Any = None
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    choices: tuple[Any, ...] = ()
    secret: bool = False
    name: str | None = None  # the option's name in the file, where Python cannot spell it
    aliases: tuple[str, ...] = ()
    format: str | None = None  # duration | rule | size
    nonempty: bool = False
    prefix: str = ""  # takes all options whose names begin so, as a mapping
    extra: Mapping[str, Any] = field(default_factory=dict)


def option(doc: str, default: Any = _MISSING, **about: Any) -> Any:
    """A field of a frozen dataclass of options; without a default it is required.

    Args:
        doc: one line for the reference; the schema's description.
        default: the value when the config is silent.
        about: the other members of ``Option``.
    """
    metadata = {"option": Option(doc, **about)}
    if default is _MISSING:
        return field(metadata=metadata)
    if isinstance(default, dict | list):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)
