"""An annotated function becomes a declaration: its signature, its documentation, its examples."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, overload

from engine.declare.declaration import (
    Aggregation,
    Derived,
    Example,
    Operation,
    Parameter,
    Verify,
)
from engine.declare.kinds import ResultRule, kind_of, result_of
from engine.types import Type


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
    looks_up: bool = False,
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


def derived(
    last: Aggregation, *bases: Aggregation, per_second: bool = False
) -> Callable[[Callable[..., Any]], Derived]:
    """Declares a function of a window's last value (its argument), of that of the window before
    (``context.before``) and of what ``bases`` give in this window (``context.bases``).

    In an example, each argument is a list: the values of a window, one window a minute.

    Example:
        @derived(last)
        def delta(x: Numeric, *, context: Context) -> SumType:
            '''The last value less the last one of the window before.'''
            return F.try_subtract(x, context.before)
    """

    def declare(function: Callable[..., Any]) -> Derived:
        about = _declaration(function, ())
        return Derived(**about, by_order=True, last=last, bases=bases, per_second=per_second)

    return declare


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
    kind = kind_of(hint)
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


def _result(operation: str, hint: Any) -> Type | ResultRule:
    of = result_of(hint)
    if of is None:
        raise TypeError(f"'{operation}' needs an annotated result, such as '-> Double'")
    return of


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
