"""A rule is data: whatever its characters, it runs no code and reaches no file."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalog import Catalog
from engine.check.expression import ExpressionCheck, Scope
from engine.dsl import parse_aggregation_rule, parse_expression, parse_rule
from engine.dsl.lexer import RuleError
from engine.source import Span
from engine.types import Type

CATALOG = Catalog.builtin()
FIELDS = {"n": Type.LONG, "s": Type.STRING, "t": Type.TIMESTAMP, "b": Type.BOOLEAN}
HOSTILE = [
    "x: __import__('os').system('true')",
    "x: eval('1')",
    "x: open('/etc/passwd')",
    "x: n.__class__",
    "x: n; DROP TABLE w",
    "x: java_method('java.lang.System', 'exit', 1)",
    "x: reflect('java.lang.Runtime', 'getRuntime')",
    "x: input_file_name()",
    "x: expr('1')",
    "x: lambda: 1",
    "x: f'{n}'",
    "x: `n`",
    "x: ${HOME}",
    "x: \x00",
    "x: '\ud800'",
]
WORDS = st.sampled_from(
    ["n", "s", "t", "b", "x", "1", "2.5", "'a'", "null", "true", "add(", "if(", "concat(", "max(",
     "in(", "lookup(", "config(", "(", ")", ",", "+", "-", "*", "/", "//", "%", "<", "==", "and",
     "or", "not", ":", "key", "'", "\\", "=", "9" * 30]
)  # fmt: skip


def check(text: str) -> list[str]:
    """The problems of a rule; whatever else it raises is an error of ours."""
    told: list[str] = []

    def say(message: str, span: Span, hint: str) -> None:
        assert 0 <= span.start <= len(text)
        told.append(message)

    for parse in (parse_rule, parse_expression, parse_aggregation_rule):
        try:
            tree: Any = parse(text)
        except RuleError as error:
            say(error.message, error.span, error.hint)
            continue
        tree = getattr(tree, "tree", tree)
        if not hasattr(tree, "names"):
            ExpressionCheck(Scope(FIELDS, CATALOG, config={}), say).expression(tree)
    return told


@pytest.mark.parametrize("rule", HOSTILE)
def test_what_looks_like_code_is_refused_and_nothing_is_opened(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError(f"a rule reached {arguments}")

    for name in ("open", "eval", "exec", "compile", "__import__"):
        monkeypatch.setattr(builtins, name, refuse)
    told = check(rule)
    monkeypatch.undo()
    assert told


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=40) | st.lists(WORDS, max_size=14).map(" ".join))
def test_any_text_is_a_rule_or_has_its_problem(text: str) -> None:
    check(text)
