"""The checked plan of a config: typed, frozen and pure; all that runs is compiled from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engine.config.durations import readable
from engine.declare import Aggregation as AggregationDeclaration
from engine.declare import Derived, Operation
from engine.tables import Table
from engine.types import Type

LATE, MALFORMED, RAW, ALERTS, AGGREGATED = "late", "malformed", "raw", "alerts", "aggregated"
#: Streams that are not aggregations; no aggregation may take their names.
STREAMS = (RAW, LATE, MALFORMED, ALERTS, AGGREGATED)
#: Those of rows, and not of windows.
ROWS = (RAW, LATE, MALFORMED)
WINDOW_START, WINDOW_END = "window_start", "window_end"
#: How windows that are missing count in derived measures: they do not, the one behind them has none
#: before it, or each has its share of the difference.
PREVIOUS, NULL, LINEAR = "previous", "null", "linear"


@dataclass(frozen=True)
class Literal:
    """A constant. Longs and doubles as Python's int and float, ``null`` as None."""

    value: bool | int | float | str | None
    type: Type


@dataclass(frozen=True)
class Reference:
    """A field: of the input, or of a rule before this one."""

    name: str
    type: Type


@dataclass(frozen=True)
class Call:
    """An operation on its arguments.

    ``unified`` is the common type to which the arguments of unifying parameters are widened; None
    where the operation has no such parameter. Arguments of constant parameters are literals.
    """

    operation: Operation
    arguments: tuple[Expression, ...]
    type: Type
    unified: Type | None = None


@dataclass(frozen=True)
class Aggregate:
    """An aggregation on its arguments: a leaf of a measure's expression."""

    aggregation: AggregationDeclaration
    arguments: tuple[Expression, ...]
    type: Type
    unified: Type | None = None


Expression: TypeAlias = Literal | Reference | Call | Aggregate


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and all below it, from the top, without recursion: chains may be long."""
    waiting = [expression]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Call | Aggregate):
            waiting.extend(reversed(node.arguments))


@dataclass(frozen=True)
class InputField:
    """A field of the data structure.

    Args:
        name: as rules name it.
        type: what its text must fit.
        index: csv: the column, from 0.
        path: json: the member's names from the top; a field without a path is a member of its name.
        format: of a timestamp's text, in Spark's pattern letters; None is ISO 8601.
    """

    name: str
    type: Type
    index: int | None = None
    path: tuple[str, ...] = ()
    format: str | None = None


@dataclass(frozen=True)
class Input:
    """Where records come from and how a record's text is read.

    ``source`` is the checked input of the config: an instance of a class in ``engine.inputs``.
    """

    method: str
    source: Any
    format: str
    sep: str
    fields: tuple[InputField, ...]


@dataclass(frozen=True)
class Rule:
    """What a name is computed from: a field of the transformation, over a row's fields, or a
    measure of an aggregation, over aggregates.
    """

    name: str
    expression: Expression

    @property
    def type(self) -> Type:
        return self.expression.type


@dataclass(frozen=True)
class Tumbling:
    """Windows of one size, side by side, aligned to 1970-01-01T00:00:00Z."""

    size_ms: int

    def __str__(self) -> str:
        return readable(self.size_ms)


@dataclass(frozen=True)
class Hopping:
    """Windows of one size, one every ``slide_ms`` from 1970-01-01T00:00:00Z on and before, so that
    a row is in several; ``slide_ms`` is less than ``size_ms`` and need not divide it."""

    size_ms: int
    slide_ms: int

    @property
    def fewest(self) -> int:
        """In how many windows a row is, at least."""
        return self.size_ms // self.slide_ms

    @property
    def is_even(self) -> bool:
        """Whether each row is in so many; else some are in one more."""
        return self.size_ms % self.slide_ms == 0

    def __str__(self) -> str:
        return f"{readable(self.size_ms)} every {readable(self.slide_ms)}"


@dataclass(frozen=True)
class Calendar:
    """Windows of whole days, weeks or months of a time zone, side by side; an hour more or less
    where its clocks change. Several in one are counted from 1970-01-01, weeks from the Monday
    before.

    Args:
        unit: day, week or month.
    """

    count: int
    unit: str
    time_zone: str

    def __str__(self) -> str:
        plural = "" if self.count == 1 else "s"
        return f"{self.count} {self.unit}{plural} in {self.time_zone}"


@dataclass(frozen=True)
class Session:
    """Windows that last as long as rows of a key follow each other by less than ``gap_ms``: from
    the first of them to the gap behind the last."""

    gap_ms: int

    def __str__(self) -> str:
        return f"sessions with a gap of {readable(self.gap_ms)}"


Window: TypeAlias = Tumbling | Hopping | Calendar | Session


@dataclass(frozen=True)
class Aggregation:
    """One aggregation of the config: rows that meet ``where``, by keys, in windows.

    ``fill`` says how missing windows count in derived measures.
    """

    name: str
    window: Window
    keys: tuple[Reference, ...]
    measures: tuple[Rule, ...]
    where: Expression | None = None
    fill: str = PREVIOUS


@dataclass(frozen=True)
class Deduplicate:
    """When a row repeats another one: these fields are equal, and none of them null, and their
    event times no further apart."""

    by: tuple[Reference, ...]
    within_ms: int

    def __str__(self) -> str:
        names = ", ".join(each.name for each in self.by)
        return f"({names}) within {readable(self.within_ms)}"


@dataclass(frozen=True)
class Output:
    """An output and the streams that it takes, by name (``aggregated`` already resolved).

    ``target`` is the checked output of the config: an instance of a class in ``engine.outputs``.
    """

    name: str
    method: str
    target: Any
    streams: tuple[str, ...]
    main: bool = False


@dataclass(frozen=True)
class AnalysisRule:
    """A rule that judges the windows of one aggregation.

    Args:
        module: as the config names it.
        target: the checked options: an instance of a class in ``engine.analysis``.
        conditions: what the options say in the DSL, over measures and keys, by where it stands.
    """

    name: str
    module: str
    target: Any
    aggregation: str
    conditions: Mapping[str, Expression] = field(default_factory=dict)


@dataclass(frozen=True)
class Told:
    """Who is told of alerts, and of which.

    Args:
        name: the method; a second one of it is ``kafka 2``.
        target: the checked options: an instance of a class in ``engine.alerts``.
        levels: all when empty. What ends an alert goes where that went.
        rules: all when empty.
    """

    name: str
    method: str
    target: Any
    levels: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def wants(self, alert: Mapping[str, Any]) -> bool:
        if self.rules and alert["AnalysisModule"] not in self.rules:
            return False
        levels = {alert["level"], alert["previous"]}
        return not self.levels or not levels.isdisjoint(self.levels)


@dataclass(frozen=True)
class Analysis:
    """What is alarming, and who is told.

    Args:
        history: what answers about the past: one of the outputs, or another store of which only the
            target counts; None where no rule asks.
        accuracy_ms: by how much a window of the past may be off.
        targets: who is told.
    """

    rules: tuple[AnalysisRule, ...]
    history: Output | None = None
    accuracy_ms: int = 3000
    targets: tuple[Told, ...] = ()


@dataclass(frozen=True)
class Query:
    """A whole config, checked.

    Args:
        event_time: the field that says when a row happened (timestamp, or a number of epoch
            seconds); None takes the record's own time, or its arrival.
        allowed_lateness_ms: how long after a window's end its rows still count.
        max_future_ms: a row dated further ahead of its arrival is malformed; None: no limit.
        batch_ms: time between micro-batches.
        deduplicate: which rows are not aggregated, because one like them came before.
        spark: settings of the session that the config names.
        tables: those that lookups ask, each with the columns that are looked up.
        analysis: None where nothing is alarming.
    """

    name: str
    input: Input
    rules: tuple[Rule, ...]
    event_time: Reference | None
    time_zone: str
    allowed_lateness_ms: int
    max_future_ms: int | None
    aggregations: tuple[Aggregation, ...]
    outputs: tuple[Output, ...]
    batch_ms: int
    modules: tuple[str, ...] = ()
    spark: Mapping[str, str] = field(default_factory=dict)
    deduplicate: Deduplicate | None = None
    tables: tuple[Table, ...] = ()
    analysis: Analysis | None = None

    @property
    def fields(self) -> dict[str, Type]:
        """The fields after the transformation, in order, hidden ones replaced."""
        found = {each.name: each.type for each in self.input.fields}
        for rule in self.rules:
            found.pop(rule.name, None)
            found[rule.name] = rule.type
        return found

    @property
    def has_sessions(self) -> bool:
        return any(isinstance(each.window, Session) for each in self.aggregations)

    @property
    def packages(self) -> tuple[str, ...]:
        """The user's modules that tasks import: of operations, and of analyses."""
        rules = self.analysis.rules if self.analysis is not None else ()
        places = [getattr(rule.target, "place", None) for rule in rules]
        return (*self.modules, *(place.partition(":")[0] for place in places if place))

    def takes(self, stream: str) -> bool:
        """Whether any output takes this stream."""
        return any(stream in output.streams for output in self.outputs)


@dataclass(frozen=True)
class Column:
    """A column of a stream as outputs see it."""

    name: str
    type: Type
    role: str  # time | key | measure | field | origin


_BOUNDS = (
    Column(WINDOW_START, Type.TIMESTAMP, "time"),
    Column(WINDOW_END, Type.TIMESTAMP, "time"),
)
#: Of an alert: its window, what tells it from any other, and what it says.
ALERT_COLUMNS = (
    *_BOUNDS,
    *(Column(name, Type.STRING, "key") for name in ("rule", "series", "field")),
    Column("revision", Type.LONG, "key"),
    *(Column(name, Type.STRING, "measure") for name in ("id", "kind", "level", "previous")),
    *(Column(name, Type.DOUBLE, "measure") for name in ("value", "lower_bound", "upper_bound")),
    Column("since", Type.TIMESTAMP, "measure"),
    *(Column(name, Type.STRING, "measure") for name in ("corrects", "message")),
)


def provenance(query: Query) -> tuple[Column, ...]:
    """The columns that say where a raw, late or malformed row came from."""
    return (
        *(Column(name, of, "origin") for name, of in query.input.source.origin),
        Column("_arrived", Type.TIMESTAMP, "origin"),
        Column("_batch", Type.LONG, "origin"),
    )


def stream_columns(query: Query, stream: str) -> tuple[Column, ...]:
    """The columns of a stream, in their order."""
    rows = tuple(Column(name, of, "field") for name, of in query.fields.items())
    if stream == MALFORMED:
        told = (Column("reason", Type.STRING, "field"), Column("record", Type.STRING, "field"))
        return (*told, *provenance(query))
    if stream == RAW:
        return (*rows, *provenance(query))
    if stream == ALERTS:
        return ALERT_COLUMNS
    if stream == LATE:
        return (Column("aggregation", Type.STRING, "field"), *_BOUNDS, *rows, *provenance(query))
    aggregation = next(each for each in query.aggregations if each.name == stream)
    keys = (Column(key.name, key.type, "key") for key in aggregation.keys)
    measures = (Column(each.name, each.type, "measure") for each in aggregation.measures)
    return (*_BOUNDS, *keys, *measures)


def derived(expression: Expression) -> Iterator[Aggregate]:
    """The aggregates in an expression that need the window before."""
    for node in walk(expression):
        if isinstance(node, Aggregate) and isinstance(node.aggregation, Derived):
            yield node


def lookups(expression: Expression) -> Iterator[Call]:
    """The lookups in tables that are in an expression."""
    for node in walk(expression):
        if isinstance(node, Call) and node.operation.looks_up:
            yield node


def asked(lookup: Call) -> tuple[str, Expression, str]:
    """What a lookup asks: the table, the key, the column."""
    table, key, column = lookup.arguments
    assert isinstance(table, Literal)
    assert isinstance(column, Literal)
    return str(table.value), key, str(column.value)


def rewritten(expression: Expression, replacement: Callable[[Aggregate], Expression]) -> Expression:
    """The expression with its aggregates replaced; without recursion, as chains may be long."""
    done: dict[int, Expression] = {}
    waiting = [(expression, False)]
    while waiting:
        node, ready = waiting.pop()
        if id(node) in done:
            continue
        if isinstance(node, Aggregate):
            done[id(node)] = replacement(node)
        elif not isinstance(node, Call):
            done[id(node)] = node
        elif ready:
            arguments = tuple(done[id(each)] for each in node.arguments)
            done[id(node)] = Call(node.operation, arguments, node.type, node.unified)
        else:
            waiting.append((node, True))
            waiting.extend((each, False) for each in node.arguments)
    return done[id(expression)]
