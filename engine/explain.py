"""A plan becomes a text for people: every field with its type, every window with its state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from engine import plan
from engine.config.durations import readable
from engine.dsl.parser import INFIX
from engine.fusion import Unit, derived, key_types, parted, remembered_ms, shared_slots, units
from engine.plan import stream_columns
from engine.types import Type

_SYMBOLS = {name: (symbol, power) for symbol, (power, name) in INFIX.items()}
_CALL = 9
_FILLS = {
    plan.PREVIOUS: "previous: from the last window that has a value",
    plan.NULL: "null: none where the window before has no value",
    plan.LINEAR: "linear: from the last window that has a value, an equal share for each since",
}


def explained(query: plan.Query) -> str:
    """The plan, section by section."""
    sections = [
        (f"config {query.name}", _input(query)),
        ("fields", _fields(query)),
        ("rules", _rules(query)),
        ("tables", _tables(query)),
        ("time", _time(query)),
        *((f"aggregation {each.name}", _aggregation(each)) for each in query.aggregations),
        ("state", _state(query)),
        ("sessions", _sessions(query)),
        ("analysis", _analysis(query)),
        ("outputs", _outputs(query)),
    ]
    shown = [(title, list(lines)) for title, lines in sections]
    return "\n\n".join("\n  ".join([title, *lines]) for title, lines in shown if lines)


def _input(query: plan.Query) -> Iterator[str]:
    source = query.input
    told = [f"{name} {value}" for name, value in source.source.described().items()]
    text = source.format if source.format == "json" else f"csv, separated by {source.sep!r}"
    yield f"input    {', '.join([source.method, *told])}"
    yield f"records  {text}"
    yield f"batches  every {readable(query.batch_ms)}"
    if query.modules:
        yield f"modules  {', '.join(query.modules)}"


def _fields(query: plan.Query) -> list[str]:
    rows = []
    for field in query.input.fields:
        place = f"column {field.index}" if field.index is not None else ".".join(field.path)
        rows.append((field.name, str(field.type), place))
    return _table(rows)


def _rules(query: plan.Query) -> list[str]:
    return _table((each.name, str(each.type), text(each.expression)) for each in query.rules)


def _tables(query: plan.Query) -> Iterator[str]:
    rows = []
    for table in query.tables:
        columns = ", ".join(f"{name} {of}" for name, of in table.columns.items())
        how = f"joined by {table.key} {table.key_type}" if table.key else "asked by address"
        rows.append((table.name, table.file, how, columns))
    yield from _table(rows)
    if rows:
        yield "what has no such key is null; files are read again when they change"


def _time(query: plan.Query) -> Iterator[str]:
    if query.event_time is not None:
        unit = "" if query.event_time.type is Type.TIMESTAMP else ", seconds since 1970"
        yield f"event time        {query.event_time.name}{unit}"
    else:
        kind = "the record's own" if query.input.source.has_time else "arrival"
        yield f"event time        {kind}"
    yield f"time zone         {query.time_zone}"
    if query.aggregations:
        behind = readable(query.allowed_lateness_ms)
        yield f"watermark         {behind} behind the latest event time"
    if query.max_future_ms is not None:
        yield f"malformed beyond  {readable(query.max_future_ms)} in the future"


def _aggregation(aggregation: plan.Aggregation) -> Iterator[str]:
    yield f"window    {_window(aggregation.window)}"
    if aggregation.where is not None:
        yield f"where     {text(aggregation.where)}"
    keys = [f"{key.name} ({key.type})" for key in aggregation.keys]
    yield f"key       {', '.join(keys) or 'none: one row a window'}"
    measures = _table((m.name, str(m.type), text(m.expression)) for m in aggregation.measures)
    for index, line in enumerate(measures):
        yield f"{'measures' if index == 0 else '        '}  {line}"
    if derived(aggregation):
        yield f"gaps      {_FILLS[aggregation.fill]}"


def _window(window: plan.Window) -> str:
    match window:
        case plan.Tumbling():
            return f"tumbling, {window}"
        case plan.Hopping():
            often = f"{window.fewest}" if window.is_even else f"at most {window.fewest + 1}"
            return f"hopping, {window}; a row is in {often} of them"
        case plan.Calendar():
            weeks = ", from Monday" if window.unit == "week" else ""
            return f"calendar, {window}{weeks}"
        case plan.Session():
            return f"session, rows less than {readable(window.gap_ms)} apart"


def _state(query: plan.Query) -> Iterator[str]:
    fused, _ = parted(units(query.aggregations))
    if not fused:
        return
    if len(fused) == 1:
        yield "one stateful operator, one group a window and key"
    else:
        yield f"one stateful operator; a row enters it once for each of {len(fused)} groupings"
    if any(isinstance(unit.window, plan.Hopping) for unit in fused):
        yield "and once for each hopping window that it is in"
    yield "a window is kept until the watermark has passed its end"
    if query.deduplicate is not None:
        known_ms = remembered_ms(query.deduplicate, fused)
        longer = f" by {readable(known_ms)}" if known_ms else ""
        yield f"before it, an operator that drops duplicates by {query.deduplicate}"
        yield f"a row is known there until the watermark has passed its window's end{longer}"
    if len(fused) > 1:
        yield f"key       grouping, window end{''.join(f', {of}' for of in key_types(fused))}"
        columns = [
            f"{each.aggregate}({', '.join(map(str, each.types))})" for each in shared_slots(fused)
        ]
        yield f"columns   {', '.join(columns)}"
    for unit in fused:
        yield _grouping(unit)
        for aggregate in unit.aggregates:
            yield f"  keeps   {text(aggregate)}"
        for aggregate in unit.carried:
            yield f"  hands   {text(aggregate)} to the next window of its key"
    if any(unit.carried for unit in fused):
        yield "between batches, in the checkpoint: the windows that hand something on, those that"
        yield "may still be corrected and the last closed one of each key"


def _sessions(query: plan.Query) -> Iterator[str]:
    _, found = parted(units(query.aggregations))
    if not found:
        return
    yield "not in a stateful operator: Spark has none whose windows grow and are written again"
    yield "made in each batch, of its rows and those kept from the batches before"
    if len(found) < len(units(query.aggregations)):
        yield "the rows of each batch are read a second time for them"
    for unit in found:
        yield _grouping(unit)
        for aggregate in unit.aggregates:
            yield f"  makes   {text(aggregate)}"
    yield "between batches, in the checkpoint: the rows of sessions that may still go on, each with"
    yield "its time, the keys and what is aggregated"
    if query.deduplicate is not None:
        yield f"duplicates by {query.deduplicate} are told by these rows, and kept as long"


def _grouping(unit: Unit) -> str:
    names = ", ".join(member.name for member in unit.members)
    keys = ", ".join(key.name for key in unit.keys)
    return f"grouping  {names}: {unit.window} by ({keys})"


def _analysis(query: plan.Query) -> Iterator[str]:
    analysis = query.analysis
    if analysis is None or not analysis.rules:
        return
    for rule in analysis.rules:
        told = [f"{name} {value}" for name, value in rule.target.described().items()]
        yield ", ".join([f"{rule.name}: {rule.module} of {rule.aggregation}", *told])
        yield from (f"  {line}" for line in _judged(rule))
    if analysis.history is not None:
        within = readable(analysis.accuracy_ms)
        yield f"windows of the past are asked of {analysis.history.name}, within {within}"
    for each in analysis.targets:
        about = [f"{name} {value}" for name, value in each.target.described().items()]
        about += [f"{' and '.join(each.levels)} alone"] if each.levels else []
        about += [f"of {' and '.join(each.rules)}"] if each.rules else []
        yield f"tells {', '.join([each.name, *about])}"
    yield "between batches, in the checkpoint: the windows that may still be corrected, with their"
    yield "verdicts, and of each key the alarms that go on"


def _judged(rule: plan.AnalysisRule) -> Iterator[str]:
    options = rule.target
    yield "judges windows " + ("whenever they change" if options.early else "that are complete")
    backs = options.lookbacks()
    counts = [each.windows for each in backs if each.windows]
    if counts:
        first, last = min(counts), max(counts)
        which = f"windows {first} to {last}" if first < last else f"window {last}"
        yield f"asks for the {'window' if last == 1 else which} before"
    for each in backs:
        if each.days:
            ago = "a day" if each.days == 1 else f"{each.days} days"
            yield f"asks for the window {ago} before, by the clocks of {each.time_zone}"
    if options.repeat:
        yield f"tells an alarm that goes on again after {options.repeat}"
    if options.inhibited_by:
        yield f"is silent while {' or '.join(options.inhibited_by)} is critical"
    if options.flapping is not None:
        flapping = options.flapping
        yield f"is silent from {flapping.changes} changes within {flapping.within} on"


def _outputs(query: plan.Query) -> list[str]:
    lines = []
    for output in query.outputs:
        told = [f"{name} {value}" for name, value in output.target.described().items()]
        main = ["main"] if output.main else []
        lines.append(", ".join([output.name, *told, *main]))
        for stream in output.streams:
            columns = ", ".join(f"{c.name} {c.type}" for c in stream_columns(query, stream))
            lines.append(f"  takes {stream}: {columns}")
    return lines


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [tuple(row) for row in rows]
    if not cells:
        return []
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]) - 1)]
    return [
        "  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]])
        for row in cells
    ]


def text(expression: plan.Expression) -> str:
    """An expression as a user would write it: operators where there are, few parentheses."""
    done: dict[int, tuple[str, int]] = {}
    waiting = [(expression, False)]
    while waiting:  # chains are long: no recursion
        node, ready = waiting.pop()
        if isinstance(node, plan.Literal):
            done[id(node)] = (_literal(node.value), _CALL)
        elif isinstance(node, plan.Reference):
            done[id(node)] = (node.name, _CALL)
        elif not ready:
            waiting.append((node, True))
            waiting.extend((each, False) for each in node.arguments)
        else:
            done[id(node)] = _applied(node, [done[id(each)] for each in node.arguments])
    return done[id(expression)][0]


def _applied(node: plan.Call | plan.Aggregate, arguments: list[tuple[str, int]]) -> tuple[str, int]:
    name = node.operation.name if isinstance(node, plan.Call) else node.aggregation.name
    if isinstance(node, plan.Call) and len(arguments) == 2 and name in _SYMBOLS:
        symbol, power = _SYMBOLS[name]
        (left, left_power), (right, right_power) = arguments
        compares = power == INFIX["<"][0]
        left = f"({left})" if left_power < power or (compares and left_power == power) else left
        right = f"({right})" if right_power <= power else right
        return f"{left} {symbol} {right}", power
    return f"{name}({', '.join(each for each, _ in arguments)})", _CALL


def _literal(value: bool | int | float | str | None) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return "'" + escaped.replace("\n", "\\n").replace("\t", "\\t") + "'"
    return repr(value)
