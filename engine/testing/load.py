"""A file of tests becomes cases that can run, or all of its problems and its config's."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine import plan
from engine.check.config import check
from engine.config.load import Document, load
from engine.config.schema import section_schema
from engine.source import Problem, Problems, nearest
from engine.testing import SUFFIX
from engine.testing.compare import moment
from engine.testing.rows import Misfit, record
from engine.testing.sections import TestsFile

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Expected:
    """What is said of a step, or of all steps together.

    Args:
        rows: by stream; None: nothing is said.
        ledger: as the file has it; None: nothing is said.
        path: of the step, or the test, in the file.
    """

    rows: Mapping[str, Sequence[Mapping[str, Any]]] | None
    ledger: Mapping[str, Any] | None
    path: Path

    @property
    def is_silent(self) -> bool:
        return self.rows is None and self.ledger is None


@dataclass(frozen=True)
class Step:
    """A micro-batch.

    Args:
        records: the input's, as text.
        at: when they arrive; None: while the test runs.
    """

    records: tuple[str, ...]
    at: datetime | None
    expected: Expected


@dataclass(frozen=True)
class Case:
    """One test.

    Args:
        final: of all steps together; None: of a test of one step.
        ignore: streams.
        rules: those of the analysis that it is about; None: all.
    """

    name: str
    steps: tuple[Step, ...]
    final: Expected | None
    ignore: frozenset[str]
    rules: frozenset[str] | None
    exact: bool
    tolerance: float
    query: plan.Query
    jars: str | None
    document: Document
    path: Path

    @property
    def line(self) -> int:
        """Where it begins in its file, from 1."""
        return self.line_of(self.path)

    def line_of(self, path: Path) -> int:
        node = self.document.root.at(path)
        return self.document.source.position(node.span.start)[0] if node is not None else 1


@dataclass
class Loaded:
    """A file of tests; without cases where there are problems."""

    path: str
    problems: list[Problem]
    cases: list[Case]
    document: Document | None = None


def load_tests(path: str, environment: Mapping[str, str] | None = None) -> Loaded:
    """Reads and checks a file of tests, and the config that it tests."""
    problems = Problems()
    known = dict(os.environ if environment is None else environment)
    document = load(path, lambda _: section_schema(TestsFile), known, problems)
    if document is None or problems.found or document.wrong:
        return Loaded(path, problems.sorted(), [], document)
    plain = document.root.plain()
    config = _config(document, plain, problems)
    if config is None:
        return Loaded(path, problems.sorted(), [], document)
    checked = check(config, {**known, **plain.get("environment", {})}, alone=True)
    found = [*checked.problems, *checked.not_yet]
    if checked.query is None or found:
        return Loaded(path, found, [], document)
    cases = list(_Cases(document, checked.query, checked.jars, problems).all(plain))
    told = problems.sorted()
    return Loaded(path, told, [] if told else cases, document)


def _config(document: Document, plain: Mapping[str, Any], problems: Problems) -> str | None:
    """The path of the config that is tested."""
    named = plain.get("config")
    if named is not None:
        path = document.beside(named)
        at: Path = ("config",)
    else:
        path, at = document.path.removesuffix(SUFFIX) + ".json", ()
    if not os.path.isfile(path):
        message = f"there is no config '{path}'"
        problems.add(document.problem(message, at, "name it: 'config'"))
        return None
    return path


class _Cases:
    def __init__(
        self, document: Document, query: plan.Query, jars: str | None, problems: Problems
    ) -> None:
        self.document = document
        self.query = query
        self.jars = jars
        self.problems = problems
        names = [each.name for each in query.aggregations]
        alerts = [plan.ALERTS] if query.analysis is not None else []
        self.streams = {
            name: {column.name for column in plan.stream_columns(query, name)}
            for name in (*names, *plan.ROWS, *alerts)
        }

    def all(self, plain: Mapping[str, Any]) -> Iterator[Case]:
        for index, each in enumerate(plain["tests"]):
            path: Path = ("tests", index)
            for name in ("input", "at"):
                if "steps" in each and name in each:
                    message = f"a test that has 'steps' has no '{name}' of its own"
                    self.problems.add(self.document.problem(message, (*path, name)))
            for place, name in enumerate(each.get("ignore", ())):
                self.stream(name, (*path, "ignore", place))
            for place, name in enumerate(each.get("rules", ())):
                self.rule(name, (*path, "rules", place))
            yield Case(
                each["name"],
                tuple(self.steps(each, path)),
                self.expected(each, path) if "steps" in each else None,
                frozenset(each.get("ignore", ())),
                frozenset(each["rules"]) if "rules" in each else None,
                each.get("exact", False),
                each.get("tolerance", 0),
                self.query,
                self.jars,
                self.document,
                path,
            )

    def steps(self, case: Mapping[str, Any], path: Path) -> Iterator[Step]:
        """Those of a case; a step without a time arrives with the one before it."""
        if "steps" in case:
            told = [(step, (*path, "steps", at)) for at, step in enumerate(case["steps"])]
        else:
            told = [(case, path)]
        before: datetime | None = None
        for place, (step, at) in enumerate(told):
            time = self.arrival(step, at, before, is_first=place == 0) or before
            yield self.step(step, time, at)
            before = time

    def arrival(
        self, step: Mapping[str, Any], path: Path, before: datetime | None, is_first: bool
    ) -> datetime | None:
        if step.get("at") is None:
            if is_first and self.query.event_time is None:
                message = "the config goes by the time of arrival, and this has none"
                self.problems.add(self.document.problem(message, path, "say when: 'at'"))
            return None
        at: Path = (*path, "at")
        time = moment(step["at"])
        if time is None:
            hint = "write it as '2026-08-01T00:10:00Z'"
            self.problems.add(self.document.problem(f"'{step['at']}' is no time", at, hint))
        elif not is_first and (before is None or time < before):
            told = "has no time" if before is None else f"arrives at {before.isoformat()}"
            message = f"steps arrive in their order: the one before {told}"
            self.problems.add(self.document.problem(message, at))
        return time

    def rule(self, name: str, path: Path) -> None:
        analysis = self.query.analysis
        known = [each.name for each in analysis.rules] if analysis is not None else []
        if name not in known:
            hint = nearest(name, known)
            self.problems.add(self.document.problem(f"there is no rule '{name}'", path, hint))

    def step(self, step: Mapping[str, Any], time: datetime | None, path: Path) -> Step:
        records = []
        for index, row in enumerate(step.get("input", ())):
            try:
                records.append(record(row, self.query.input))
            except Misfit as error:
                at: Path = (*path, "input", index)
                place = (*at, error.name) if error.name is not None else at
                self.problems.add(self.document.problem(error.message, place, error.hint))
        return Step(tuple(records), time, self.expected(step, path))

    def expected(self, told: Mapping[str, Any], path: Path) -> Expected:
        expect, ledger = told.get("expect"), told.get("ledger")
        if expect is not None:
            self.rows(expect, (*path, "expect"))
        known = [each.name for each in self.query.aggregations]
        for name in (ledger or {}).get("aggregations", {}):
            if name not in known:
                message, at = f"there is no aggregation '{name}'", (*path, "ledger", "aggregations")
                hint = nearest(name, known)
                self.problems.add(self.document.problem(message, (*at, name), hint))
        return Expected(expect, ledger, path)

    def rows(self, expect: Mapping[str, Any], path: Path) -> None:
        for stream, rows in expect.items():
            at = (*path, stream)
            if not self.stream(stream, at):
                continue
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                message = f"the rows of '{stream}' are a list of objects"
                self.problems.add(self.document.problem(message, at))
                continue
            known = {*self.streams[stream], "retracted"}
            for index, row in enumerate(rows):
                for name in row:
                    if name not in known:
                        message = f"'{stream}' has no column '{name}'"
                        place = (*at, index, name)
                        self.problems.add(
                            self.document.problem(message, place, nearest(name, known))
                        )

    def stream(self, name: str, path: Path) -> bool:
        if name in self.streams:
            return True
        hint = nearest(name, self.streams) or f"known: {', '.join(sorted(self.streams))}"
        self.problems.add(self.document.problem(f"there is no stream '{name}'", path, hint))
        return False
