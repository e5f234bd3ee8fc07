"""An error of the JSON Schema becomes a sentence for people, with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.config import durations
from engine.json_text import escape
from engine.source import Problem, either, likely, names_secret, nearest

if TYPE_CHECKING:
    from engine.config.load import Document

#: JSON pointers.
Pointers: TypeAlias = tuple[str, ...]

#: Errors about members of an object, present or missing, that its other members say nothing of.
ABOUT_MEMBERS = ("additionalProperties", "required", "anyOf")
_ARTICLES = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def schema_problem(
    document: Document, error: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[Problem, Pointers]]:
    """The problems that one error tells, each with the pointers that it spoils, its own first."""
    node = document.root.at(path)
    assert node is not None
    pointer = "".join(f"/{escape(str(step))}" for step in path)
    match error.validator:
        case "additionalProperties":
            yield from _unknown(document, error, node, pointer)
        case "required" | "anyOf":
            yield _missing(document, error, node, path, pointer)
        case _:
            message, hint = _value(error, path)
            yield Problem(message, document.source, node.span.start, pointer, hint), (pointer,)


def _unknown(
    document: Document, error: Any, node: Any, pointer: str
) -> Iterator[tuple[Problem, Pointers]]:
    known = error.schema.get("properties", {})
    passed = tuple(error.schema.get("patternProperties", ()))
    what = "section" if not pointer else "option"
    for name in node.value:
        if name in known or any(re.search(each, name) for each in passed):
            continue
        hint = nearest(name, known)
        if not hint and len(known) <= 12:
            hint = f"known here: {', '.join(sorted(known))}" if known else "there is none here"
        place = node.keys[name].start
        below = f"{pointer}/{escape(name)}"
        # The one that was probably meant is not told to be missing.
        meant = [each for each in likely(name, known) if each not in node.value]
        spoiled = (below, *(f"{pointer}/{escape(each)}" for each in meant))
        yield Problem(f"unknown {what} '{name}'", document.source, place, below, hint), spoiled


def _missing(
    document: Document, error: Any, node: Any, path: tuple[str | int, ...], pointer: str
) -> tuple[Problem, Pointers]:
    if error.validator == "anyOf":
        name, about = "outputs", {}
    else:
        name = next(n for n in error.validator_value if f"'{n}' is a required" in error.message)
        about = error.schema.get("properties", {}).get(name, {})
    what = "section" if not path else "option"
    message = f"{place_name(path)} needs the {what} '{name}'"
    described = about.get("description", "").rstrip(".")
    hint = described[:1].lower() + described[1:]
    if about.get("required"):
        hint = f"with {', '.join(map(repr, about['required']))}"
    spoiled = f"{pointer}/{escape(name)}"
    return Problem(message, document.source, node.span.start, pointer, hint), (spoiled,)


def place_name(path: tuple[str | int, ...]) -> str:
    """How a sentence names a place of the config.

    Example:
        >>> place_name(("outputs", 0, "options"))
        "'outputs[0].options'"
    """
    told = ""
    for step in path:
        told += f"[{step}]" if isinstance(step, int) else f".{step}" if told else step
    return f"'{told}'" if told else "the config"


def _value(error: Any, path: tuple[str | int, ...]) -> tuple[str, str]:
    name = place_name(path[-1:] if isinstance(path[-1:][0], str) else path[-2:]) if path else ""
    name = name or "a config"
    wanted, found = error.validator_value, error.instance
    secret = any(names_secret(str(step)) for step in path)
    match error.validator:
        case "type":
            kinds = [wanted] if isinstance(wanted, str) else [k for k in wanted if k != "null"]
            told = " or ".join(_ARTICLES[kind] for kind in kinds)
            example = next(iter(error.schema.get("examples", ())), None)
            meant = isinstance(found, str) and isinstance(example, list)
            hint = f"such as {json.dumps(example)}" if meant else ""
            return f"{name} must be {told}, is {kind_of(found)}", hint
        case "enum" | "const" if not secret:
            known = [each for each in wanted if each is not None]
            hint = nearest(str(found), known) if isinstance(found, str) else ""
            return (
                f"{name} is {_shown(found)}, which is not known",
                hint or f"write {either(known)}",
            )
        case "minimum":
            return f"{name} must be at least {wanted}, is {_shown(found)}", ""
        case "exclusiveMinimum":
            return f"{name} must be more than {wanted}, is {_shown(found)}", ""
        case "maximum":
            return f"{name} must be at most {wanted}, is {_shown(found)}", ""
        case "minLength" | "minItems" | "minProperties":
            return f"{name} is empty", ""
        case "pattern" if wanted in (durations.PATTERN, durations.WINDOW_PATTERN):
            months = ["month"] if wanted == durations.WINDOW_PATTERN else []
            units = ", ".join(f"{unit}s" for unit in [*durations.UNITS_MS, *months])
            return f"{name} is no duration: {_shown(found)}", f"write '10 seconds'; units: {units}"
        case _:
            shown = "it" if secret else _shown(found)
            return f"{name} has a value that does not fit: {shown}", ""


def kind_of(value: Any) -> str:
    """What a JSON value is, for a sentence."""
    match value:
        case None:
            return "null"
        case bool():
            return f"{value}".lower()
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case _:
            return "an object"


def _shown(value: Any) -> str:
    text = f"'{value}'" if isinstance(value, str) else f"{value}"
    return text if len(text) <= 60 else text[:57] + "…"
