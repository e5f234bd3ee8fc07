"""``${NAME}`` and ``${NAME:-default}`` in a config's strings become values of the environment.

It happens behind the parser, on the leaves, so that a value can never change the structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.json_text import Node
from engine.source import Problem, Problems, Source, nearest

_VARIABLE = re.compile(r"\$(\$\{)|\$\{([^}]*)(\}?)")
_INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)


def interpolate(
    root: Node, source: Source, environment: Mapping[str, str], problems: Problems
) -> set[str]:
    """Replaces the variables in all strings below ``root``, in place.

    Returns:
        The pointers of the strings that could not be replaced; each has its problem.
    """
    failed: set[str] = set()
    for pointer, node in root.walk():
        if isinstance(node.value, str) and "${" in node.value:
            wrong = _replace(node, environment)
            for message, index, hint in wrong:
                problems.add(Problem(message, source, node.offset(index), pointer, hint))
                failed.add(pointer)
    return failed


def _replace(node: Node, environment: Mapping[str, str]) -> list[tuple[str, int, str]]:
    text = node.value
    parts: list[str] = []
    offsets: list[int] = []
    wrong: list[tuple[str, int, str]] = []
    at = 0
    for found in _VARIABLE.finditer(text):
        parts.append(text[at : found.start()])
        offsets += [node.offset(i) for i in range(at, found.start())]
        at = found.end()
        value, problem = ("${", None) if found.group(1) else _value(found, environment)
        if problem is not None:
            wrong.append((problem[0], found.start(), problem[1]))
        parts.append(value)
        offsets += [node.offset(found.start())] * len(value)
    parts.append(text[at:])
    offsets += [node.offset(i) for i in range(at, len(text) + 1)]
    whole = _VARIABLE.fullmatch(text)
    node.variable = whole is not None and whole.group(1) is None
    node.offsets, node.value = offsets, "".join(parts)
    return wrong


def _value(
    found: re.Match[str], environment: Mapping[str, str]
) -> tuple[str, tuple[str, str] | None]:
    if not found.group(3):
        return "", ("'${' is not closed", "write ${NAME}, or $${ for the characters themselves")
    inside = _INSIDE.fullmatch(found.group(2))
    if inside is None:
        name = found.group(2)
        return "", (f"'{name}' is no name of a variable", "write ${NAME} or ${NAME:-default}")
    name, default = inside.groups()
    if name in environment:
        return environment[name], None
    if default is not None:
        return default, None
    hint = nearest(name, environment) or f"${{{name}:-default}} gives it a default"
    return "", (f"the environment variable '{name}' is not set", hint)
