"""What came out is written into a file of tests; all else of its text stays as it is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from engine.config.load import Document
from engine.json_text import Node
from engine.source import Span
from engine.testing.compare import Difference, Row
from engine.testing.execute import Failure, Result
from engine.testing.show import where
from engine.testing.totals import LEDGER

_WIDTH = 100

Path = tuple[str | int, ...]


class _Edit(NamedTuple):
    span: Span
    text: str


class Rewriting:
    """The edits of one file."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.text = document.source.text
        self.edits: list[_Edit] = []

    def fill(self, result: Result) -> list[str]:
        """Takes what steps wrote, where the case expects nothing of them; says of which."""
        case = result.case
        if case.final is not None and not case.final.is_silent:
            return []
        found = []
        for place, (step, rows) in enumerate(zip(case.steps, result.rows, strict=False)):
            if step.expected.is_silent:
                streams = {n: [_row(row, _visible(row)) for row in rows[n]] for n in sorted(rows)}
                self._expect(self._node(step.expected.path), streams)
                found.append("expect" if case.final is None else f"step {place + 1}, expect")
        return found

    def mend(self, result: Result) -> list[str]:
        """Takes what was found in the place of what was expected; says where."""
        added: dict[Path, dict[str, list[str]]] = {}
        for failure in result.failures:
            node = self.document.root.at(failure.path)
            if failure.stream == LEDGER:
                self._ledger(failure)
            elif node is not None:
                self._stream(node, failure)
            else:
                added.setdefault(failure.path[:-1], {})[failure.stream] = _more(failure)
        for path, streams in added.items():
            self._streams(self._node(path), streams)
        return [where(result, failure) for failure in result.failures]

    def write(self) -> None:
        """Writes the file, whole or not at all."""
        passing = f"{self.document.path}.new"
        with open(passing, "w", encoding="utf-8", newline="") as file:
            end = "\r\n" if "\r\n" in self.text else "\n"
            text = self._edited(Span(0, len(self.text)), self.edits)
            file.write(text.replace("\r\n", "\n").replace("\n", end))
        os.replace(passing, self.document.path)

    def _expect(self, step: Node, streams: Mapping[str, Sequence[str]]) -> None:
        pad = self._pad(step)
        text = f'"expect": {_object(streams, pad)}'
        self.edits.append(
            self._behind(step, f",\n{pad}{text}") if step.value else _Edit(step.span, f"{{{text}}}")
        )

    def _streams(self, expect: Node, streams: Mapping[str, Sequence[str]]) -> None:
        pad = self._pad(expect)
        if not expect.value:
            self.edits.append(_Edit(expect.span, _object(streams, pad)))
            return
        for stream, rows in streams.items():
            text = f",\n{pad}{json.dumps(stream)}: {_list(rows, pad)}"
            self.edits.append(self._behind(expect, text))

    def _stream(self, stream: Node, failure: Failure) -> None:
        """Rows that differ keep their text but for the cells; those that are missing go."""
        off = {each.place: each for each in failure.differences if each.place is not None}
        more = _more(failure)
        edits = {
            place: list(self._cells(row, off[place])) if place in off else []
            for place, row in enumerate(stream.value)
            if place not in off or off[place].found is not None
        }
        if not more and len(edits) == len(stream.value):
            self.edits += [each for those in edits.values() for each in those]
            return
        rows = [self._edited(stream.value[place].span, those) for place, those in edits.items()]
        self.edits.append(_Edit(stream.span, _list([*rows, *more], self._indent(stream))))

    def _cells(self, row: Node, off: Difference) -> Iterator[_Edit]:
        assert off.found is not None
        is_empty = not row.value
        for name in off.columns:
            text = json.dumps(off.found.get(name, False if name == "retracted" else None))
            if name in row.value:
                yield _Edit(row.value[name].span, text)
            else:
                yield self._behind(row, f"{'' if is_empty else ', '}{json.dumps(name)}: {text}")
                is_empty = False

    def _ledger(self, failure: Failure) -> None:
        for each in failure.differences:
            assert each.expected is not None
            assert each.found is not None
            of = each.expected.get("aggregation")
            account = () if of is None else ("aggregations", of)
            for name in each.columns:
                node = self._node((*failure.path, *account, name))
                self.edits.append(_Edit(node.span, json.dumps(each.found[name])))

    def _node(self, path: Path) -> Node:
        node = self.document.root.at(path)
        assert node is not None
        return node

    def _edited(self, span: Span, edits: Sequence[_Edit]) -> str:
        text = self.text[: span.end]
        # From the end on, so that what stands before keeps its place.
        for each in sorted(edits, key=lambda each: each.span)[::-1]:
            text = text[: each.span.start] + each.text + text[each.span.end :]
        return text[span.start :]

    def _behind(self, node: Node, text: str) -> _Edit:
        """Text behind the last member of an object."""
        at = max((each.span.end for each in node.value.values()), default=node.span.start + 1)
        return _Edit(Span(at, at), text)

    def _pad(self, node: Node) -> str:
        """Blanks up to the first member of an object; of an empty one those of its line."""
        if not node.keys:
            return self._indent(node)
        first = next(iter(node.keys.values())).start
        line = self.text[self.text.rfind("\n", 0, first) + 1 : first]
        return "".join(each if each.isspace() else " " for each in line)

    def _indent(self, node: Node) -> str:
        line = self.text[self.text.rfind("\n", 0, node.span.start) + 1 : node.span.start]
        return line[: len(line) - len(line.lstrip())]


def _more(failure: Failure) -> list[str]:
    """The rows that were not expected, by the columns that matter."""
    found = [each.found for each in failure.differences if each.expected is None and each.found]
    return [_row(row, _visible(row) if failure.exact else failure.columns) for row in found]


def _visible(row: Row) -> list[str]:
    return [name for name in row if not name.startswith("_")]


def _row(row: Row, columns: Sequence[str]) -> str:
    return json.dumps({name: row[name] for name in columns if name in row}, ensure_ascii=False)


def _list(rows: Sequence[str], pad: str) -> str:
    """In a line where it is short; else a line for each row."""
    short = f"[{', '.join(rows)}]"
    if len(rows) < 2 and len(pad) + len(short) < _WIDTH:
        return short
    return "[\n" + ",\n".join(f"{pad}  {each}" for each in rows) + f"\n{pad}]"


def _object(streams: Mapping[str, Sequence[str]], pad: str) -> str:
    lines = [f"{pad}  {json.dumps(n)}: {_list(rows, f'{pad}  ')}" for n, rows in streams.items()]
    return "{\n" + ",\n".join(lines) + f"\n{pad}}}" if lines else "{}"
