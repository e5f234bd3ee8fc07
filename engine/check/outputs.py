"""The outputs of a config become targets with the streams that each one takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine import plan
from engine.catalog import Catalog
from engine.check.aggregation import Aggregations
from engine.config.build import build
from engine.config.load import Document
from engine.source import Problem, Problems, nearest

Path = tuple[str | int, ...]


def output_paths(document: Document) -> list[Path]:
    """Where the outputs stand: ``outputs``, or the older ``output``."""
    if (node := document.root.at(("outputs",))) is not None and isinstance(node.value, list):
        return [("outputs", index) for index in range(len(node.value))]
    return [("output",)] if document.has("output") else []


def check_outputs(
    document: Document,
    catalog: Catalog,
    aggregations: Aggregations,
    problems: Problems,
    not_yet: list[Problem],
) -> list[plan.Output]:
    """Builds every output; tells unknown streams, wrong options, and what does not run yet."""
    found: list[plan.Output] = []
    for path in output_paths(document):
        streams = _streams(document, path, aggregations, problems)
        target = _target(document, path, catalog, problems, not_yet)
        if target is not None and streams is not None:
            _check_streams(document, path, target, streams, aggregations, problems)
            main = document.good(*path, "main")
            name = _name(target.METHOD, found)
            is_main = bool(main.value) if main is not None else False
            found.append(plan.Output(name, target.METHOD, target, tuple(streams), is_main))
    if document.has("outputs") and document.has("output"):
        hint = "move it into the list 'outputs'"
        problems.add(document.problem("the config has 'outputs' and 'output'", ("output",), hint))
    return found


def check_written(document: Document, query: plan.Query, problems: Problems) -> None:
    """Tells what outputs cannot write of the streams that they take."""
    for path, output in zip(output_paths(document), query.outputs, strict=True):
        streams = {name: plan.stream_columns(query, name) for name in output.streams}
        output.target.check_streams(streams, Teller(document, (*path, "options"), problems))


def _check_streams(
    document: Document,
    path: Path,
    target: Any,
    streams: Sequence[str],
    aggregations: Aggregations,
    problems: Problems,
) -> None:
    """Tells streams that the output cannot take: sessions, where it cannot remove those that are no
    more; rows that are no window's, where it has no place for them."""
    for each in aggregations.found:
        if not isinstance(each.window, plan.Session) or each.name not in streams:
            continue
        if not target.removes(each.name, streams):
            message = f"the output '{target.METHOD}' cannot take the sessions of '{each.name}'"
            hint = "two of them may become one, and it cannot remove what it has written"
            problems.add(document.problem(message, (*path, "method"), hint))
    for name in plan.ROWS:
        if name in streams and not target.TAKES_ROWS:
            message = f"the output '{target.METHOD}' cannot take the stream '{name}'"
            hint = "it takes windows; such rows have no keys by which they would stay apart"
            problems.add(document.problem(message, (*path, "streams"), hint))


def _name(method: str, before: Sequence[plan.Output]) -> str:
    """``sqlite``; a second one is ``sqlite 2``."""
    count = sum(1 for each in before if each.method == method)
    return method if count == 0 else f"{method} {count + 1}"


def _target(
    document: Document, path: Path, catalog: Catalog, problems: Problems, not_yet: list[Problem]
) -> Any:
    method = document.good(*path, "method")
    if method is None:
        return None
    section = catalog.outputs[method.value]
    if not section.RUNS:
        message = f"the output '{method.value}' does not run yet"
        not_yet.append(document.problem(message, (*path, "method")))
    if document.is_wrong(*path, "options"):
        return None
    return instance(section, document, path, problems)


def instance(section: Any, document: Document, path: Path, problems: Problems, *more: Any) -> Any:
    """A method built from ``path/options``, its own check told there; None on problems. Of a config
    that stands alone it is not asked: it would look for what need not be there.

    Args:
        more: for its check.
    """
    node = document.root.at((*path, "options"))
    target = build(section, node.plain() if node is not None else {}, document.beside)
    say = Teller(document, (*path, "options"), problems)
    if not document.alone:
        target.check(say, *more)
    return None if say.told else target


@dataclass
class Teller:
    """Takes the problems that a method finds in its options, which are at a path, named from these
    on."""

    document: Document
    path: Path
    problems: Problems
    told: bool = False

    def __call__(self, name: str, message: str, hint: str) -> None:
        place: Path = self.path
        for step in name.split("/") if name else ():
            above = self.document.root.at(place)
            in_list = above is not None and isinstance(above.value, list)
            place = (*place, int(step) if in_list else step)
        while not self.document.has(*place):
            place = place[:-1]
        self.problems.add(self.document.problem(message, place, hint))
        self.told = True


def _streams(
    document: Document,
    path: Path,
    aggregations: Aggregations,
    problems: Problems,
) -> list[str] | None:
    named = [name for name in aggregations.names if name is not None]
    if not document.has(*path, "streams"):
        # Where none takes rows there is nothing to write at all, which is told once.
        is_without = not aggregations.names and not document.has("processing", "aggregations")
        if is_without and takes_raw(document):
            hint = 'write "streams": ["raw"]'
            message = "the output takes the aggregations, and there are none"
            problems.add(document.problem(message, path, hint))
        return named
    node = document.good(*path, "streams")
    if node is None:
        return None
    taken: list[str] = []
    for index, each in enumerate(node.value):
        at = (*path, "streams", index)
        known = {*named, *plan.STREAMS}
        if each.value not in known:
            if None not in aggregations.names:
                hint = nearest(each.value, known) or f"known: {', '.join(sorted(known))}"
                problems.add(document.problem(f"unknown stream '{each.value}'", at, hint))
            continue
        if each.value == plan.ALERTS and not document.has("analysis"):
            message = "the output takes alerts, and there is no analysis"
            problems.add(document.problem(message, at, "section 'analysis' says what is alarming"))
        taken += named if each.value == plan.AGGREGATED else [each.value]
    return list(dict.fromkeys(taken))


def takes_raw(document: Document) -> bool:
    """Whether an output takes ``raw``, as far as can be seen: then every rule is used."""
    for path in output_paths(document):
        node = document.root.at((*path, "streams"))
        streams = node.value if node is not None and isinstance(node.value, list) else []
        if any(each.value in (plan.RAW, plan.LATE) for each in streams):
            return True
    return False
