"""A config's path becomes a checked plan, or all of its problems. Nothing here imports pyspark."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import PurePath
from typing import Any

from engine import plan
from engine.catalog import Catalog, Conflict
from engine.check.aggregation import Aggregations, check_aggregations
from engine.check.analysis import check_analysis
from engine.check.databases import Tables, check_databases, used_tables
from engine.check.duplicates import check_duplicates
from engine.check.expression import Scope
from engine.check.outputs import check_outputs, check_written, instance, takes_raw
from engine.check.places import Places
from engine.check.structure import input_fields
from engine.check.transformation import Transformation, check_rules, tell_unused
from engine.check.windows import check_time_zone
from engine.config.durations import milliseconds
from engine.config.load import Document, load, read, validated
from engine.config.schema import schema_for
from engine.config.sections import DataField, ProcessingSection
from engine.json_text import parse
from engine.source import Problem, Problems, nearest
from engine.types import Type

#: What uses fields, beside rules.
_USING = tuple(f"/processing/{each}" for each in ("aggregations", "event_time", "deduplicate"))


@dataclass
class Checked:
    """What the check found.

    ``query`` is None where there are problems. ``not_yet`` tells parts of a correct config that
    the engine cannot run: it is valid, and refuses to run by half.
    """

    path: str
    problems: list[Problem]
    not_yet: list[Problem] = field(default_factory=list)
    query: plan.Query | None = None
    jars: str | None = None
    folder: str = "."
    places: Places | None = None


def check(path: str, environment: Mapping[str, str] | None = None, alone: bool = False) -> Checked:
    """Checks a config whole, in one pass, without a JVM.

    Args:
        alone: what its input and its outputs name need not be there.
    """
    problems = Problems()
    catalog = Catalog.builtin()
    known = os.environ if environment is None else environment
    document = load(path, partial(schema_for, catalog), known, problems)
    if document is None:
        return Checked(path, problems.sorted())
    document.alone = alone
    return _Check(document, catalog, problems, known).config()


class _Check:
    def __init__(
        self,
        document: Document,
        catalog: Catalog,
        problems: Problems,
        environment: Mapping[str, str],
    ) -> None:
        self.document = document
        self.catalog = catalog
        self.problems = problems
        self.environment = environment
        self.not_yet: list[Problem] = []

    def config(self) -> Checked:
        self.modules()
        source = self.source()
        types, fields, is_open = self.structure()
        config = self.document.root.plain()
        tables = check_databases(self.document, self.problems)
        scope = Scope(types, self.catalog, is_open, config=config, tables=tables)
        rules = check_rules(self.document, scope, self.problems)
        aggregations = self.aggregations(rules, source)
        used = self.times(rules.scope) | aggregations.used
        used |= check_duplicates(self.document, rules.scope, self.has_aggregations(), self.problems)
        writes = self.writes()
        if writes and not takes_raw(self.document) and self.knows_uses():
            tell_unused(self.document, rules, used, self.problems)
        outputs = check_outputs(
            self.document, self.catalog, aggregations, self.problems, self.not_yet
        )
        analysis = check_analysis(
            self.document,
            self.catalog,
            aggregations,
            outputs,
            rules.scope,
            self.problems,
            self.not_yet,
        )
        found = Checked(
            self.document.path,
            self.problems.sorted(),
            sorted(self.not_yet, key=lambda problem: problem.offset or 0),
            folder=os.path.dirname(self.document.path) or ".",
        )
        if not found.problems and not self.not_yet:
            query = self.query(source, fields, rules, aggregations, outputs, tables)
            query = replace(query, analysis=analysis)
            check_written(self.document, query, self.problems)
            found.problems = self.problems.sorted()
            found.query = None if found.problems else query
            found.jars = self.jars()
            found.places = Places(self.document, aggregations.places)
        return found

    def modules(self) -> None:
        """Adds the operations of the user's modules: beside the config, or installed."""
        folder = os.path.abspath(os.path.dirname(self.document.path) or ".")
        for place in (folder, os.getcwd()):
            if place not in sys.path:
                sys.path.insert(0, place)
        for path, name in self.strings("modules"):
            try:
                self.catalog.add(importlib.import_module(name))
            except ModuleNotFoundError as error:
                missing = error.name or name
                hint = f"it is looked for in {os.path.relpath(folder)} and where Python looks"
                if missing != name and not name.startswith(missing + "."):
                    hint = f"it imports '{missing}', which is not installed"
                self.problems.add(self.document.problem(f"there is no module '{name}'", path, hint))
            except Conflict as error:
                self.problems.add(self.document.problem(str(error), path, "rename yours"))
            except Exception as error:
                told = f"{type(error).__name__}: {error}".split("\n")[0]
                message = f"the module '{name}' cannot be imported"
                self.problems.add(self.document.problem(message, path, told))

    def strings(self, *path: str | int) -> list[tuple[tuple[str | int, ...], str]]:
        """The good strings of a list, each with its path."""
        node = self.document.root.at(path)
        if node is None or not isinstance(node.value, list):
            return []
        return [
            ((*path, index), each.value)
            for index, each in enumerate(node.value)
            if self.document.good(*path, index) is not None and isinstance(each.value, str)
        ]

    def source(self) -> Any:
        """The input, built; None where it has a problem."""
        method = self.document.good("input", "input_type")
        if method is None:
            return None
        if self.document.is_wrong("input", "options"):
            return None
        section = self.catalog.inputs[method.value]
        return instance(section, self.document, ("input",), self.problems)

    def format(self) -> str:
        node = self.document.good("input", "options", "format")
        if node is not None:
            return str(node.value)
        method = self.document.good("input", "input_type")
        return "json" if method is not None and method.value == "json" else "csv"

    def structure(self) -> tuple[dict[str, Type | None], tuple[plan.InputField, ...], bool]:
        """The fields' types, the fields, and whether some may be missing because of a problem."""
        node = self.document.root.at(("input", "data_structure"))
        if node is not None and isinstance(node.value, dict):
            if not node.value:
                return {}, (), True
            return *self.fields(self.document, ("input", "data_structure")), False
        if node is None or not isinstance(node.value, str) or not node.value:
            return {}, (), True
        document = self.structure_file(node.value)
        if document is None:
            return {}, (), True
        return *self.fields(document, ()), False

    def fields(
        self, document: Document, path: tuple[str | int, ...]
    ) -> tuple[dict[str, Type | None], tuple[plan.InputField, ...]]:
        """The fields' types, and the fields, of a data structure in this file or its own."""
        return input_fields(document, path, self.format(), self.catalog, self.problems)

    def structure_file(self, name: str) -> Document | None:
        """The data structure in a file of its own; its problems are told in that file."""
        path = self.document.beside(name)
        shown = os.path.relpath(path)
        shown = path if shown.startswith("..") else shown
        if not os.path.isfile(path):
            message = f"there is no file '{name}'"
            hint = "" if shown == name else f"looked for as {shown}"
            at = ("input", "data_structure")
            self.problems.add(self.document.problem(message, at, hint))
            return None
        source = read(shown, self.problems)
        root = parse(source, self.problems) if source is not None else None
        if source is None or root is None:
            return None
        field_schema = schema_of_structure()
        document = validated(
            shown, source, root, lambda _: field_schema, self.environment, self.problems
        )
        if document is None or not isinstance(document.root.value, dict) or not root.value:
            return None
        return document

    def aggregations(self, rules: Transformation, source: Any) -> Aggregations:
        batch = self.document.good("input", "options", "batchDuration")
        if self.document.good("input", "input_type") is None:
            batch = None  # nobody has judged the options
        default = 10 if source is None else source.batchDuration
        seconds = batch.value if batch is not None else default
        return check_aggregations(self.document, rules.scope, round(seconds * 1000), self.problems)

    def times(self, scope: Scope) -> set[str]:
        """Checks event_time and time_zone; gives the field that event_time uses."""
        check_time_zone(self.document, ("processing", "time_zone"), self.problems)
        at = ("processing", "event_time")
        node = self.document.good(*at)
        if node is None or node.value is None:
            return set()
        name = str(node.value)
        if name not in scope.fields:
            if not scope.is_open:
                hint = nearest(name, scope.fields)
                self.problems.add(self.document.problem(f"unknown field '{name}'", at, hint))
        elif (of := scope.fields[name]) not in (None, Type.TIMESTAMP) and not of.is_number:
            message = f"event_time must be a timestamp or a number of seconds, is {of}"
            hint = f"a rule can convert it: time: timestamp({name})"
            self.problems.add(self.document.problem(message, at, hint))
        return {name}

    def knows_uses(self) -> bool:
        """Whether all strings that could use a field could be read."""
        return not any(
            pointer.startswith(_USING) or pointer in ("/processing", "/outputs", "/output")
            for pointer in self.document.wrong
        )

    def has_aggregations(self) -> bool:
        """Whether there are some, good or bad."""
        node = self.document.root.at(("processing", "aggregations"))
        return node is not None and node.value != []

    def writes(self) -> bool:
        """Whether there is something to write; tells it where there is nothing."""
        if self.has_aggregations() or takes_raw(self.document):
            return True
        if self.document.good("processing") is not None:
            hint = "add 'aggregations', or take 'raw' in an output"
            message = "there is nothing to write: no aggregations, and no output takes 'raw'"
            self.problems.add(self.document.problem(message, ("processing",), hint))
        return False

    def query(
        self,
        source: Any,
        fields: tuple[plan.InputField, ...],
        rules: Transformation,
        aggregations: Aggregations,
        outputs: list[plan.Output],
        tables: Tables,
    ) -> plan.Query:
        """The plan of a config without problems."""
        from engine.config.build import build

        node = self.document.root.at(("processing",))
        assert node is not None
        section = build(ProcessingSection, node.plain())
        event_time = None
        if section.event_time is not None:
            event_time = self.reference(section.event_time, rules.scope)
        deduplicate = None
        if section.deduplicate is not None:
            by = tuple(self.reference(name, rules.scope) for name in section.deduplicate.by)
            within_ms = milliseconds(section.deduplicate.within)
            deduplicate = plan.Deduplicate(by, within_ms)
        name = self.document.root.at(("name",))
        method = self.document.root.at(("input", "input_type"))
        assert method is not None
        return plan.Query(
            name=str(name.value) if name is not None else PurePath(self.document.path).stem,
            input=plan.Input(method.value, source, source.format, source.sep, fields),
            rules=tuple(rules.rules),
            event_time=event_time,
            time_zone=section.time_zone,
            allowed_lateness_ms=milliseconds(section.allowed_lateness),
            max_future_ms=milliseconds(section.max_future) if section.max_future else None,
            aggregations=tuple(aggregations.found),
            outputs=tuple(outputs),
            batch_ms=round(source.batchDuration * 1000),
            modules=tuple(name for _, name in self.strings("modules")),
            spark=self.settings(),
            deduplicate=deduplicate,
            tables=used_tables(tables, rules.rules, aggregations.found),
        )

    def reference(self, name: str, scope: Scope) -> plan.Reference:
        """A field of a config without problems."""
        of = scope.fields[name]
        assert of is not None
        return plan.Reference(name, of)

    def settings(self) -> dict[str, str]:
        node = self.document.root.at(("engine", "spark"))
        values = node.plain() if node is not None else {}
        return {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in values.items()
        }

    def jars(self) -> str | None:
        node = self.document.root.at(("engine", "jars"))
        return self.document.beside(node.value) if node is not None and node.value else None


def schema_of_structure() -> dict[str, Any]:
    """The JSON Schema of a data structure in a file of its own."""
    from engine.config.schema import section_schema

    return {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": section_schema(DataField),
    }
