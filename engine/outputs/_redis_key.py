"""A template becomes the keys of series, whole columns at once; no two series share one.

``{stream}:{keys}:{measure}`` gives ``AggDay:TH1:mean``. In what stands for a placeholder the signs
that separate, and ``%``, are written as in a URL: of the keys ``a:b`` and ``c`` comes ``a%3Ab:c``,
and never what comes of ``a`` and ``b:c``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from string import Formatter
from typing import TYPE_CHECKING

from engine.outputs import Stream

if TYPE_CHECKING:
    import pyarrow as pa

#: Between the values of ``{keys}``; it is always escaped in values.
SEPARATOR = ":"
_STREAM, _KEYS, _MEASURE = "stream", "keys", "measure"
#: In the pattern of a family of series: the value of a key, whatever it is.
_ANY = "\0"


@dataclass(frozen=True)
class Part:
    """A piece of a template: a text, or the name of a placeholder."""

    text: str
    is_name: bool = False


@dataclass(frozen=True)
class Problem:
    """What is wrong with a template, and what to do."""

    message: str
    hint: str


@dataclass(frozen=True)
class KeyTemplate:
    """What the keys of series look like.

    Args:
        parts: texts and placeholders, in turn.
        suffixes: what the keys of compacted series have behind that of their source.
    """

    parts: tuple[Part, ...]
    suffixes: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str, suffixes: Sequence[str] = ()) -> KeyTemplate:
        """The template that a user writes, with ``{{`` and ``}}`` for braces.

        Raises:
            ValueError: its braces do not fit.
        """
        parts: list[Part] = []
        for literal, name, form, conversion in Formatter().parse(text):
            if literal:
                parts.append(Part(literal))
            if name is not None:
                if form or conversion or not name:
                    raise ValueError(f"'{text}' has a placeholder without a plain name")
                parts.append(Part(name, is_name=True))
        return cls(tuple(parts), tuple(suffixes))

    @property
    def escaped(self) -> str:
        """The signs that do not stand in values; ``%`` is the first."""
        texts = [before.text[0] for before, _ in self._between()]
        return "".join(dict.fromkeys(["%", SEPARATOR, *texts]))

    def _between(self) -> Iterator[tuple[Part, Part]]:
        """Texts that have a placeholder behind and one before them."""
        names = [place for place, part in enumerate(self.parts) if part.is_name]
        for first, second in pairwise(names):
            if second - first == 2:
                yield self.parts[first + 1], self.parts[second]

    def problems(self, streams: Sequence[Stream]) -> Iterator[Problem]:
        """Why series of these streams would share a key, or have none."""
        yield from self._syntax()
        for stream in streams:
            yield from self._missing(stream)
        families = [
            (f"'{measure}' of '{stream.name}'{told}", self._pattern(stream, measure) + suffix)
            for stream in streams
            for measure in stream.measures
            for told, suffix in [("", ""), *((f", {each[1:]}", each) for each in self.suffixes)]
        ]
        for (one, first), (other, second) in combinations(families, 2):
            if self._meet(first, second):
                hint = "the template lacks {stream}, {measure} or a key"
                yield Problem(f"{one} and {other} would share a series", hint)
                return

    def _syntax(self) -> Iterator[Problem]:
        for one, other in pairwise(self.parts):
            if one.is_name and other.is_name:
                told = f"nothing stands between '{{{one.text}}}' and '{{{other.text}}}'"
                yield Problem(told, f"write '{SEPARATOR}' between them")
        for text, behind in self._between():
            if text.text[0].isalnum():
                told = f"what stands before '{{{behind.text}}}' begins with '{text.text[0]}'"
                yield Problem(told, f"a sign, such as '{SEPARATOR}', tells where a value ends")

    def _missing(self, stream: Stream) -> Iterator[Problem]:
        names = {part.text for part in self.parts if part.is_name}
        known = {_STREAM, _KEYS, _MEASURE, *stream.keys}
        for name in sorted(names - known):
            told = f"'{{{name}}}' is no key of '{stream.name}'"
            yield Problem(told, f"known: {', '.join(f'{{{each}}}' for each in sorted(known))}")
        for key in stream.keys:
            if not names & {key, _KEYS}:
                told = f"windows of '{stream.name}' that differ by '{key}' would share a series"
                yield Problem(told, f"write {{keys}} or {{{key}}} into the template")

    def _meet(self, first: str, second: str) -> bool:
        """Whether there are values of keys of which the same key comes."""
        signs = f"([{re.escape(self.escaped)}])"
        one, other = re.split(signs, first), re.split(signs, second)
        return len(one) == len(other) and all(
            a == b or _ANY in a or _ANY in b for a, b in zip(one, other, strict=True)
        )

    def _pattern(self, stream: Stream, measure: str) -> str:
        return "".join(_ANY if part.is_name else part.text for part in self.series(stream, measure))

    def series(self, stream: Stream, measure: str) -> list[Part]:
        """The template for one measure: the placeholders that are left are names of keys. Without
        keys ``{keys}`` falls away, with the text behind it."""
        found: list[Part] = []
        skips = False
        for part in self.parts:
            if not part.is_name:
                found += [] if skips else [part]
            elif part.text == _STREAM:
                found.append(Part(self.escape(stream.name)))
            elif part.text == _MEASURE:
                found.append(Part(self.escape(measure)))
            elif part.text == _KEYS:
                for number, key in enumerate(stream.keys):
                    found += [Part(SEPARATOR)] if number else []
                    found.append(Part(key, is_name=True))
            else:
                found.append(part)
            skips = part == Part(_KEYS, is_name=True) and not stream.keys
        if skips and len(found) > 1:
            found.pop()
        return found

    def escape(self, value: str) -> str:
        """A value as it stands in a key."""
        for sign in self.escaped:
            value = value.replace(sign, _percent(sign))
        return value

    def keys(
        self, stream: Stream, measure: str, values: dict[str, pa.Array], rows: int
    ) -> pa.Array:
        """The keys of the series of a measure, a row each.

        Args:
            values: the keys' values as texts, escaped.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        parts = self.series(stream, measure)
        if not any(part.is_name for part in parts):
            return pa.repeat("".join(part.text for part in parts), rows)
        columns = [values[part.text] if part.is_name else part.text for part in parts]
        return pc.binary_join_element_wise(*columns, "")

    def escape_column(self, values: pa.Array) -> pa.Array:
        """A column of values as they stand in keys."""
        return escape_column(values, self.escaped)


def escape_column(values: pa.Array, signs: str) -> pa.Array:
    """Texts with these signs as in a URL; ``%`` must be the first of them."""
    import pyarrow.compute as pc

    for sign in signs:
        values = pc.replace_substring(values, sign, _percent(sign))
    return values


def _percent(sign: str) -> str:
    return "".join(f"%{byte:02X}" for byte in sign.encode())
