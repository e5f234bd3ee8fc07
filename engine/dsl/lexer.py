"""A rule's text becomes tokens: numbers, strings, words and signs, each with its span."""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.source import Span


class RuleError(Exception):
    """The text is no rule: what is wrong, where in the text, and a hint."""

    def __init__(self, message: str, span: Span, hint: str = "") -> None:
        super().__init__(message)
        self.message, self.span, self.hint = message, span, hint


class Token(NamedTuple):
    """``kind`` is number, string, word, sign or end; ``value`` that of a number or string."""

    kind: str
    text: str
    span: Span
    value: int | float | str | None = None

    def __str__(self) -> str:
        return "the end of the rule" if self.kind == "end" else f"'{self.text[:40]}'"


_TOKEN = re.compile(
    r"""(?P<blank>\s+)
      | (?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<word>[^\W\d]\w*)
      | (?P<quote>['"])
      | (?P<sign>//|<=|>=|==|!=|[-+*/%<>(),:])
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(r"""\\(?:(['"\\nt])|u([0-9a-fA-F]{4}))""")
_ESCAPED = {"n": "\n", "t": "\t"}
_INSTEAD = {
    "=": "equality is written ==",
    "!": "write 'not', or != for 'is not equal'",
    "&": "write 'and'",
    "|": "write 'or'",
    "^": "a power is written pow(x, y)",
    "[": "a list of values is written in(field, 1, 2)",
    ";": "a rule is one expression; begin another string for the next",
    ".": "a field of a nested object is declared by 'path' in the data structure",
}


def tokens(text: str) -> list[Token]:
    """All tokens of a rule, an ``end`` token last.

    Raises:
        RuleError: a character that no rule may hold, or a string without its end.
    """
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            span = Span(at, at + 1)
            raise RuleError(f"unexpected '{text[at]}'", span, _INSTEAD.get(text[at], ""))
        kind, end = match.lastgroup or "", match.end()
        if kind == "quote":
            found.append(_string(text, at))
            end = found[-1].span.end
        elif kind == "number":
            found.append(_number(text, Span(at, end)))
        elif kind != "blank":
            found.append(Token(kind, match.group(), Span(at, end)))
        at = end
    found.append(Token("end", "", Span(len(text), len(text))))
    return found


def _number(text: str, span: Span) -> Token:
    written = text[span.start : span.end]
    if re.match(r"\w", text[span.end : span.end + 1]):
        raise RuleError(
            f"'{written}' goes on with '{text[span.end]}'", span, "a name begins with a letter"
        )
    if len(written) > 400:
        raise RuleError("the number is too long", span)
    whole = written.isdigit()
    return Token("number", written, span, int(written) if whole else float(written))


def _string(text: str, start: int) -> Token:
    quote, at = text[start], start + 1
    parts: list[str] = []
    while at < len(text):
        if text[at] == quote:
            span = Span(start, at + 1)
            return Token("string", text[start : at + 1], span, "".join(parts))
        escape = _ESCAPE.match(text, at)
        if escape is None:
            parts.append(text[at])  # a lone backslash stays: patterns need it
            at += 1
        else:
            letter, code = escape.groups()
            parts.append(_ESCAPED.get(letter, letter) if letter else _character(code, escape))
            at = escape.end()
    raise RuleError("the string is not closed", Span(start, len(text)), f"it needs a {quote}")


def _character(code: str, escape: re.Match[str]) -> str:
    if 0xD800 <= int(code, 16) < 0xE000:
        raise RuleError("half a surrogate pair stands in the string", Span(*escape.span()))
    return chr(int(code, 16))
