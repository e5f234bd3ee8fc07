"""What the parser gives: untyped nodes, each with its place in the rule's text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from engine.source import Span


@dataclass(frozen=True)
class Constant:
    """A literal: bool, int, float, str, or None for ``null``."""

    value: bool | int | float | str | None
    span: Span


@dataclass(frozen=True)
class Name:
    """A field."""

    name: str
    span: Span


@dataclass(frozen=True, eq=False, repr=False)
class Apply:
    """An operation or aggregation on its arguments, written as a call or with an operator.

    ``at`` is the place of the name or the operator. Chains make trees deep to the left, so nothing
    here recurses (which is why neither equality nor a representation is generated).
    """

    name: str
    arguments: tuple[Tree, ...]
    span: Span
    at: Span
    operator: str | None = None


Tree: TypeAlias = Constant | Name | Apply


def walk(tree: Tree) -> Iterator[Tree]:
    """The node and all below it, in the order of the text."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Apply):
            waiting.extend(reversed(node.arguments))
