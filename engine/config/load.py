"""A config's path becomes a document: values with places, variables replaced, schema checked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.config import environment as variables
from engine.config.messages import ABOUT_MEMBERS, schema_problem
from engine.json_text import Node, escape, parse
from engine.source import Problem, Problems, Source, Span, names_secret, nearest

MOST_BYTES = 2_000_000

#: Gives the JSON Schema that a config of these values must fit.
SchemaOf = Callable[[Node], Mapping[str, Any]]


@dataclass
class Document:
    """A config as far as it could be read.

    ``wrong`` holds the pointers of values that have a problem already: what depends on them is not
    checked, so that one mistake is told once.
    """

    path: str
    source: Source
    root: Node
    wrong: set[str] = field(default_factory=set)
    alone: bool = False

    def good(self, *path: str | int) -> Node | None:
        """The node at a path, unless it is absent, or it or a part of it has a problem."""
        return None if self.is_wrong(*path) else self.root.at(path)

    def is_wrong(self, *path: str | int) -> bool:
        """Whether a value, present or missing, has a problem, or a part of it has."""
        pointer = pointer_of(path)
        return any(_within(each, pointer) for each in self.wrong)

    def has(self, *path: str | int) -> bool:
        return self.root.at(path) is not None

    def problem(
        self, message: str, path: tuple[str | int, ...], hint: str = "", index: int | None = None
    ) -> Problem:
        """A problem of the value at a path, or at the character ``index`` of its string."""
        node = self.root.at(path)
        assert node is not None
        offset = node.span.start if index is None else node.offset(index)
        return Problem(message, self.source, offset, pointer_of(path), hint)

    def beside(self, path: str) -> str:
        """A path of the config, relative to the config's folder; URLs stay as they are."""
        if "://" in path or os.path.isabs(path):
            return path
        return os.path.normpath(os.path.join(os.path.dirname(self.path), path))


def pointer_of(path: tuple[str | int, ...]) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join(f"/{escape(str(step))}" for step in path)


def _above(pointer: str, above: str) -> bool:
    return pointer == above or pointer.startswith(above + "/")


def _within(pointer: str, other: str) -> bool:
    return _above(pointer, other) or _above(other, pointer)


def read(path: str, problems: Problems) -> Source | None:
    """The text of a file, or None with the reason among the problems."""
    named = os.path.normpath(path) if path else path
    empty = Source(path, "")
    try:
        if os.path.isdir(named):
            problems.add(Problem("is a folder", empty, hint="name the file in it"))
            return None
        if os.path.getsize(named) > MOST_BYTES:
            size = f"{os.path.getsize(named) / 1e6:.1f} MB"
            limit = f"at most {MOST_BYTES // 1_000_000} MB"
            problems.add(Problem(f"the file has {size}; {limit} are read", empty))
            return None
        with open(named, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        problems.add(Problem("there is no such file", empty, hint=_neighbour(path)))
        return None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        problems.add(Problem(f"cannot be read: {reason.lower()}", empty))
        return None
    return _decoded(path, data, problems)


def _decoded(path: str, data: bytes, problems: Problems) -> Source | None:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        message = f"is not a text in UTF-8 (byte {error.start + 1:,})"
        problems.add(Problem(message, Source(path, ""), hint=hint))
        return None
    if "\0" in text:
        problems.add(Problem("is not a text: it holds zero bytes", Source(path, "")))
        return None
    return Source(path, text, hides_secret_lines=True)


def _neighbour(path: str) -> str:
    folder = os.path.dirname(path)
    try:
        names = [name for name in os.listdir(folder or ".") if name.endswith(".json")]
    except OSError:
        return ""
    return nearest(os.path.basename(path), names)


def load(
    path: str,
    schema: SchemaOf,
    environment: Mapping[str, str],
    problems: Problems,
) -> Document | None:
    """Reads, parses, replaces variables, validates; None where nothing is left to go on with."""
    source = read(path, problems)
    if source is None:
        return None
    root = parse(source, problems)
    if root is None:
        return None
    return validated(path, source, root, schema, environment, problems)


def validated(
    path: str,
    source: Source,
    root: Node,
    schema: SchemaOf,
    environment: Mapping[str, str],
    problems: Problems,
) -> Document | None:
    """The document of a parsed text, its schema's problems told."""
    hidden = replace(source, secrets=_secrets(root), hides_secret_lines=False)
    problems.found = [
        replace(p, source=hidden) if p.source is source else p for p in problems.found
    ]
    failed = variables.interpolate(root, hidden, environment, problems)
    document = Document(path, hidden, root, failed)
    _validate(document, schema(root), problems)
    return document


def _secrets(root: Node) -> tuple[Span, ...]:
    spans = []
    for _, node in root.walk():
        if isinstance(node.value, dict):
            for name, member in node.value.items():
                if names_secret(name) and not isinstance(member.value, dict):
                    spans.append(member.span)
    return tuple(sorted(spans))


def _validate(document: Document, schema: Mapping[str, Any], problems: Problems) -> None:
    # The import costs a tenth of a second, so it stands where a config is really validated.
    from jsonschema import Draft7Validator

    validator = Draft7Validator(dict(schema))
    plain = document.root.plain()
    errors = list(validator.iter_errors(plain))
    if _convert(document, errors):
        plain = document.root.plain()
        errors = list(validator.iter_errors(plain))
    # What is unknown first: it may be what is missing.
    for error in sorted(errors, key=lambda each: bool(each.validator != "additionalProperties")):
        related = _above if error.validator in ABOUT_MEMBERS else _within
        for problem, spoiled in schema_problem(document, error, tuple(error.absolute_path)):
            if not any(related(spoiled[0], each) for each in document.wrong if each):
                problems.add(problem)
                document.wrong.update(spoiled)


def _convert(document: Document, errors: list[Any]) -> bool:
    """Makes ``"${PORT}"`` a number or boolean where the schema wants one."""
    changed = False
    for error in errors:
        node = document.root.at(tuple(error.absolute_path))
        if error.validator != "type" or node is None or not node.variable:
            continue
        try:
            value = json.loads(node.value)
        except ValueError:
            continue
        if isinstance(value, bool | int | float):
            node.value, changed = value, True
    return changed
