"""A JSON text becomes values that know their places, down to the character of a string.

The standard library's parser says where a syntax error is, but not where a value was, keeps the
last of two members of one name in silence, and stops at the first mistake. This one finds every
trailing comma and duplicate member, and maps each character of a string back to the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.source import Problem, Problems, Source, Span

#: Configs have some ten levels; past this the parser's own stack would be at risk.
MOST_NESTED = 100

_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_WORD = re.compile(r"[^\W\d]\w*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_CONSTANTS = {"true": True, "false": False, "null": None}
_PYTHON_CONSTANTS = {"True": "true", "False": "false", "None": "null"}
_LESS_THAN_JSON = {
    "'": "strings stand in double quotes",
    "/": "JSON has no comments",
    "#": "JSON has no comments",
}


@dataclass
class Node:
    """A value with its place.

    ``value`` is a dict of nodes, a list of nodes, or a plain str, int, float, bool or None.
    ``keys`` says where the names of an object's members stand. ``offsets`` is set where a string's
    characters do not simply follow its opening quote (escapes, variables).
    """

    value: Any
    span: Span
    keys: dict[str, Span] = field(default_factory=dict)
    offsets: list[int] | None = None
    variable: bool = False  # the string was nothing but one ${NAME}

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def offset(self, index: int) -> int:
        """Where the character ``index`` of a string stands in the source."""
        if self.offsets is None:
            return self.span.start + 1 + index
        return self.offsets[min(index, len(self.offsets) - 1)]

    def at(self, path: tuple[str | int, ...] | list[str | int]) -> Node | None:
        """The node at a path of member names and indexes, or None."""
        node = self
        for step in path:
            try:
                node = node.value[step]
            except (KeyError, IndexError, TypeError):
                return None
        return node

    def walk(self, pointer: str = "") -> Iterator[tuple[str, Node]]:
        """This node and all below it, each with its JSON pointer."""
        yield pointer, self
        if isinstance(self.value, dict):
            for name, node in self.value.items():
                yield from node.walk(f"{pointer}/{escape(name)}")
        elif isinstance(self.value, list):
            for index, node in enumerate(self.value):
                yield from node.walk(f"{pointer}/{index}")


def escape(name: str) -> str:
    """A member's name as a part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def parse(source: Source, problems: Problems) -> Node | None:
    """The value of a JSON text, or None where its syntax leaves none; says every problem."""
    parser = _Parser(source, problems)
    try:
        return parser.document()
    except _Stopped:
        return None


class _Stopped(Exception):
    """The rest of the text cannot be understood; the problem has been told."""


class _Parser:
    def __init__(self, source: Source, problems: Problems) -> None:
        self.source = source
        self.text = source.text
        self.problems = problems
        self.at = 0
        self.open: list[int] = []

    def document(self) -> Node:
        if self.text.startswith("\ufeff"):
            hint = "save the file as UTF-8 without it"
            self.tell("the file begins with a byte-order mark", 0, hint)
            self.at = 1
        self.blanks()
        if self.at == len(self.text):
            self.stop("the file is empty", 0, "a config is a JSON object")
        node = self.value()
        self.blanks()
        if self.at < len(self.text):
            self.stop(f"expected the end of the file, found {self.found()}", self.at)
        return node

    def tell(self, message: str, offset: int, hint: str = "") -> None:
        self.problems.add(Problem(message, self.source, offset, "", hint))

    def stop(self, message: str, offset: int, hint: str = "") -> None:
        self.tell(message, offset, hint)
        raise _Stopped

    def blanks(self) -> None:
        found = _BLANK.match(self.text, self.at)
        self.at = found.end() if found else self.at

    def found(self) -> str:
        if self.at >= len(self.text):
            return "the end of the file"
        word = _WORD.match(self.text, self.at) or _NUMBER.match(self.text, self.at)
        shown = word.group()[:40] if word and word.group() else self.text[self.at]
        return f"'{shown}'" if shown.isprintable() else f"the character U+{ord(shown):04X}"

    def expected(self, what: str) -> None:
        hint = ""
        if self.at < len(self.text):
            hint = _LESS_THAN_JSON.get(self.text[self.at], "")
        elif self.open:
            line, column = self.source.position(self.open[-1])
            opened = self.text[self.open[-1]]
            hint = f"the '{opened}' of line {line}, column {column} is not closed"
        self.stop(f"expected {what}, found {self.found()}", self.at, hint)

    def value(self) -> Node:
        start = self.at
        first = self.text[start : start + 1]
        if first == "{":
            return self.object()
        if first == "[":
            return self.array()
        if first == '"':
            text, offsets = self.string()
            return Node(text, Span(start, self.at), offsets=offsets)
        number = _NUMBER.match(self.text, start)
        if number:
            return self.number(number)
        word = _WORD.match(self.text, start)
        if word and word.group() in _CONSTANTS:
            self.at = word.end()
            return Node(_CONSTANTS[word.group()], Span(start, self.at))
        if word and word.group() in _PYTHON_CONSTANTS:
            wanted = _PYTHON_CONSTANTS[word.group()]
            self.stop(f"expected a value, found '{word.group()}'", start, f"write {wanted}")
        if word:
            self.stop(
                f"expected a value, found '{word.group()[:40]}'", start, "strings stand in quotes"
            )
        self.expected("a value")
        raise AssertionError

    def number(self, found: re.Match[str]) -> Node:
        span = Span(found.start(), found.end())
        self.at = span.end
        text = found.group()
        if re.match(r"[\w.]", self.text[self.at : self.at + 1]):
            self.stop(f"'{text}' goes on with {self.found()}", self.at, "is it a string?")
        if found.group(1) or found.group(2):
            value = float(text)
            if value in (float("inf"), float("-inf")):
                self.tell(f"the number {text} is too large", span.start)
                value = 0.0
            return Node(value, span)
        if len(text) > 1000:  # int() of very long digits is quadratic, and refused by Python
            self.tell("the number is too large", span.start)
            return Node(0, span)
        return Node(int(text), span)

    def string(self) -> tuple[str, list[int] | None]:
        start = self.at
        self.at += 1
        parts: list[str] = []
        offsets: list[int] = []
        escaped = False
        while True:
            plain = _PLAIN.match(self.text, self.at)
            assert plain is not None
            parts.append(plain.group())
            offsets.extend(range(plain.start(), plain.end()))
            self.at = plain.end()
            if self.at >= len(self.text):
                self.stop("the string is not closed", start, "it needs a '\"' at its end")
            character = self.text[self.at]
            if character == '"':
                offsets.append(self.at)
                self.at += 1
                return "".join(parts), offsets if escaped else None
            if character == "\\":
                escaped = True
                offsets.append(self.at)
                parts.append(self.escape())
                continue
            if character == "\n":
                hint = "write a line break in a string as \\n"
                self.stop("the string is not closed on its line", start, hint)
            hint = f"write it as \\u{ord(character):04x}"
            self.tell("a control character stands in the string", self.at, hint)
            parts.append(character)
            offsets.append(self.at)
            self.at += 1

    def escape(self) -> str:
        start = self.at
        letter = self.text[start + 1 : start + 2]
        self.at += 2
        if letter in _ESCAPES and letter:
            return _ESCAPES[letter]
        if letter != "u":
            hint = "a backslash itself is written \\\\"
            self.tell(f"unknown escape '\\{letter}' in the string", start, hint)
            return letter
        unit = self.hexadecimal(start)
        if 0xD800 <= unit < 0xDC00 and self.text.startswith("\\u", self.at):
            again = self.at
            self.at += 2
            low = self.hexadecimal(again)
            if 0xDC00 <= low < 0xE000:
                return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            self.at = again
        if 0xD800 <= unit < 0xE000:
            self.tell("half a surrogate pair stands in the string", start)
            return "\N{REPLACEMENT CHARACTER}"
        return chr(unit)

    def hexadecimal(self, start: int) -> int:
        digits = self.text[self.at : self.at + 4]
        if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            self.stop("'\\u' needs four hexadecimal digits", start)
        self.at += 4
        return int(digits, 16)

    def enter(self) -> None:
        if len(self.open) >= MOST_NESTED:
            self.stop(f"nested deeper than {MOST_NESTED} levels", self.at)
        self.open.append(self.at)
        self.at += 1
        self.blanks()

    def array(self) -> Node:
        start = self.at
        items: list[Node] = []
        self.enter()
        while not self.closes("]"):
            items.append(self.value())
            if not self.goes_on("]"):
                break
        self.open.pop()
        return Node(items, Span(start, self.at))

    def object(self) -> Node:
        start = self.at
        members: dict[str, Node] = {}
        keys: dict[str, Span] = {}
        self.enter()
        while not self.closes("}"):
            if self.text[self.at : self.at + 1] != '"':
                self.expected("a name in double quotes")
            key_start = self.at
            name = self.string()[0]
            key = Span(key_start, self.at)
            if name in keys:
                line = self.source.position(keys[name].start)[0]
                self.tell(f"duplicate member '{name}'", key_start, f"it stands in line {line} too")
            self.blanks()
            if self.text[self.at : self.at + 1] != ":":
                self.expected(f"':' after '{name}'")
            self.at += 1
            self.blanks()
            node = self.value()
            if name not in keys:
                keys[name], members[name] = key, node
            if not self.goes_on("}"):
                break
        self.open.pop()
        return Node(members, Span(start, self.at), keys)

    def closes(self, bracket: str) -> bool:
        if self.text[self.at : self.at + 1] != bracket:
            return False
        self.at += 1
        return True

    def goes_on(self, bracket: str) -> bool:
        """Reads what follows a value: True behind a comma, False behind the closing bracket."""
        self.blanks()
        comma = self.at
        if self.closes(bracket):
            return False
        if self.text[self.at : self.at + 1] != ",":
            self.expected(f"',' or '{bracket}'")
        self.at += 1
        self.blanks()
        if self.text[self.at : self.at + 1] == bracket:
            self.tell(f"a comma stands before the closing '{bracket}'", comma, "leave it out")
            self.at += 1
            return False
        return True
