"""Declarations as values: what the catalog, the check and the compiler know of a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.declare.kinds import Kind, ResultRule
from engine.types import Type

if TYPE_CHECKING:
    from pyspark.sql import Column


@dataclass(frozen=True)
class Context:
    """What a function may ask for beside its arguments, by a keyword-only parameter ``context``.

    Args:
        types: the arguments' types as the function gets them.
        time_zone: ``processing.time_zone``.
        order: aggregations only: a column that sorts the rows of a window by event time, then by
            the source's order.
        before: derived aggregations only: a column, the last value of the window before. Where it
            is null the function's result is not taken.
        bases: derived aggregations only: the values of ``Derived.bases`` in this window.
    """

    types: tuple[Type, ...] = ()
    time_zone: str = "UTC"
    order: Any = None
    before: Any = None
    bases: tuple[Column, ...] = ()


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

    @cached_property
    def least(self) -> int:
        """The number of arguments that must be given."""
        return sum(1 for each in self.parameters if not each.optional and not each.repeats)

    @cached_property
    def most(self) -> int | None:
        """The number of arguments that may be given; None without a limit."""
        return None if any(each.repeats for each in self.parameters) else len(self.parameters)

    @property
    def takes_condition(self) -> bool:
        """Whether a condition may stand behind the arguments."""
        return False

    @property
    def signature(self) -> str:
        condition = ["[condition]"] if self.takes_condition else []
        return f"{self.name}({', '.join([*map(str, self.parameters), *condition])})"

    def type_of(self, types: Sequence[Type], unified: Type | None = None) -> Type:
        """The result's type for arguments of these types."""
        of = self.result
        return of if isinstance(of, Type) else of.of(list(types), unified)

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
        looks_up: the compiler joins a table of the config (``lookup``).
    """

    infix: str | None = None
    finite: bool = False
    keeps_infinity: bool = False
    python: bool = False
    folds: bool = False
    looks_up: bool = False


@dataclass(frozen=True)
class Aggregation(Declaration):
    """A function of one window's rows: a composition of Spark's aggregates.

    It takes a condition behind all of its arguments: where a row does not meet it, the arguments
    are null. (One of any number of arguments takes none: it could not be told from an argument.)

    Args:
        by_order: it asks for ``context.order``, which costs every row a column.
    """

    by_order: bool = False

    @property
    def takes_condition(self) -> bool:
        return bool(self.most)


@dataclass(frozen=True)
class Derived(Aggregation):
    """A function of a window and of the one before it, which have a number as their last value.

    It is no aggregate itself: each window keeps ``last`` and the ``bases`` of its argument, and the
    function gets the last value in the argument's place. Whole numbers and booleans come as long,
    others as double.

    Args:
        last: the aggregation that gives a window's last value.
        bases: what else it needs of this window: aggregations of the same argument.
        per_second: the function's result is divided by the time that it took.
    """

    last: Aggregation | None = None
    bases: tuple[Aggregation, ...] = ()
    per_second: bool = False

    @property
    def parts(self) -> tuple[Aggregation, ...]:
        """What each window keeps, the last value first."""
        assert self.last is not None
        return (self.last, *self.bases)
