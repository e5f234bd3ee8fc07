"""A text that people wrote, and places in it: turns an offset into line, column and caret."""

from __future__ import annotations

import bisect
import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

#: A shown line is clipped to this many characters around the caret: a config may be one long line.
SHOWN = 160
MASK = "***"


class Span(NamedTuple):
    """Characters ``start`` (from 0) to before ``end`` of a source."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        return Span(min(self.start, other.start), max(self.end, other.end))


@dataclass(frozen=True)
class Source:
    """A file: its name as the user wrote it, its text as read, and where its secrets stand."""

    file: str
    text: str
    secrets: tuple[Span, ...] = ()
    #: The text is not JSON, so nobody knows where a secret ends: its line is not shown.
    hides_secret_lines: bool = False

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        find, at = self.text.find, 0
        while (at := find("\n", at)) >= 0:
            at += 1
            starts.append(at)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a character, both from 1, in characters (not bytes)."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def excerpt(self, offset: int) -> str:
        """The line of ``offset`` and a caret under it, secrets masked; may be empty."""
        line = self.position(offset)[0]
        start = self._starts[line - 1]
        end = self._starts[line] - 1 if line < len(self._starts) else len(self.text)
        shown, caret = self._masked(start, end, offset)
        shown = shown.rstrip("\r")
        if self.hides_secret_lines and names_secret(shown):
            return ""
        shown, caret = _clipped(shown, caret)
        if not shown.strip():
            return ""
        return f"{_printable(shown)}\n{_padding(shown[:caret])}^"

    def _masked(self, start: int, end: int, offset: int) -> tuple[str, int]:
        parts, at, caret = [], start, offset - start
        for secret in self.secrets:
            if secret.end <= start or secret.start >= end:
                continue
            first, last = max(secret.start, start), min(secret.end, end)
            parts += [self.text[at:first], MASK]
            if offset >= last:
                caret += len(MASK) - (last - first)
            elif offset > first:
                caret -= offset - first
            at = last
        parts.append(self.text[at:end])
        return "".join(parts), caret


#: Of options, and of HTTP's headers.
SECRET_WORDS = ("password", "token", "secret", "authorization", "cookie", "api-key", "apikey")
SECRET_OPTIONS = ("kafka.sasl.jaas.config",)


def names_secret(name: str) -> bool:
    """Whether an option of this name, or a line that holds it, carries a secret."""
    lowered = name.lower()
    return any(word in lowered for word in (*SECRET_WORDS, *SECRET_OPTIONS))


def _clipped(line: str, caret: int) -> tuple[str, int]:
    if len(line) <= SHOWN:
        return line, caret
    first = max(0, min(caret - SHOWN // 2, len(line) - SHOWN))
    last = first + SHOWN
    before, after = ("… " if first else ""), (" …" if last < len(line) else "")
    return before + line[first:last] + after, caret - first + len(before)


def _printable(line: str) -> str:
    return "".join(c if c == "\t" or c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def _padding(before: str) -> str:
    # Tabs are kept, so that the caret stands right whatever a terminal's tab stops are.
    wide = unicodedata.east_asian_width
    return "".join(
        "\t" if c == "\t" else "" if unicodedata.combining(c) else "  " if wide(c) in "WF" else " "
        for c in before
    )


@dataclass(frozen=True)
class Problem:
    """A user's mistake: what is wrong, where, and what to write instead.

    ``offset`` is None where the problem is the file itself (it is missing, or not a text).
    """

    message: str
    source: Source
    offset: int | None = None
    pointer: str = ""
    hint: str = ""

    @property
    def line(self) -> int:
        return 1 if self.offset is None else self.source.position(self.offset)[0]

    @property
    def column(self) -> int:
        return 1 if self.offset is None else self.source.position(self.offset)[1]

    def text(self) -> str:
        """``FILE:LINE:COLUMN: message; hint``, then the source line and a caret."""
        told = f"{self.message}; {self.hint}" if self.hint else self.message
        head = f"{self.source.file}:{self.line}:{self.column}: {told}"
        excerpt = "" if self.offset is None else self.source.excerpt(self.offset)
        return "\n  ".join([head, *excerpt.split("\n")]) if excerpt else head

    def as_json(self) -> dict[str, str | int]:
        return {
            "file": self.source.file,
            "line": self.line,
            "column": self.column,
            "pointer": self.pointer,
            "message": self.message,
            "hint": self.hint,
        }


@dataclass
class Problems:
    """Collects problems; each (place, message) once, told in the order of files and places."""

    found: list[Problem] = field(default_factory=list)

    def add(self, problem: Problem) -> None:
        self.found.append(problem)

    def __bool__(self) -> bool:
        return bool(self.found)

    def sorted(self) -> list[Problem]:
        unique = {(p.source.file, p.line, p.column, p.message): p for p in self.found}
        order = {file: i for i, file in enumerate(dict.fromkeys(p.source.file for p in self.found))}
        return sorted(
            unique.values(), key=lambda p: (order[p.source.file], p.line, p.column, p.message)
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint ``did you mean 'x'?`` (or with up to three names), or the empty string.

    Example:
        >>> nearest("prot", ["port", "topic"])
        "did you mean 'port'?"
    """
    found = likely(name, known)
    return f"did you mean {either(found)}?" if found else ""


def likely(name: str, known: Iterable[str]) -> list[str]:
    """Up to three of the known names that may be meant, the likeliest first."""
    known = sorted(set(known))
    by_case = [each for each in known if each.lower() == name.lower()]
    return by_case or difflib.get_close_matches(name, known, n=3, cutoff=0.6)


def either(names: Iterable[str]) -> str:
    """Names for a sentence.

    Example:
        >>> either(["a", "b", "c"])
        "'a', 'b' or 'c'"
    """
    quoted = [f"'{name}'" for name in names]
    return " or ".join(quoted) if len(quoted) < 3 else ", ".join(quoted[:-1]) + f" or {quoted[-1]}"
