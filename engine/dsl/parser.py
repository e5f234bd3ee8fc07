"""A rule's text becomes a tree: one Pratt parser for rules, conditions and aggregations."""

from __future__ import annotations

from dataclasses import dataclass

from engine.dsl.lexer import RuleError, Token, tokens
from engine.dsl.tree import Apply, Constant, Name, Tree
from engine.source import Span

MOST_NESTED = 100
MOST_TERMS = 1000

#: Operator -> (binding power, operation). `not` binds between `and` and the comparisons.
INFIX: dict[str, tuple[int, str]] = {
    "or": (1, "or"),
    "and": (2, "and"),
    "<": (4, "lt"),
    "<=": (4, "le"),
    ">": (4, "gt"),
    ">=": (4, "ge"),
    "==": (4, "eq"),
    "!=": (4, "neq"),
    "+": (5, "add"),
    "-": (5, "sub"),
    "*": (6, "mul"),
    "/": (6, "mathdiv"),
    "//": (6, "pydiv"),
    "%": (6, "odd"),
}
_NOT, _COMPARISON, _UNARY = 3, 4, 7

CONSTANTS: dict[str, bool | None] = {
    "true": True,
    "false": False,
    "null": None,
    "True": True,
    "False": False,
    "None": None,
}
#: Words that no field may have.
WORDS = frozenset(CONSTANTS) | {"and", "or", "not"}


@dataclass(frozen=True)
class NamedRule:
    """``field`` (no name of its own) or ``name: expression``."""

    name: str | None
    name_span: Span
    tree: Tree


@dataclass(frozen=True)
class KeyRule:
    """``key: a`` or ``key: (a, b)`` of an aggregation."""

    names: tuple[Name, ...]


def parse_rule(text: str) -> NamedRule:
    """A rule of a transformation: a field, or a name, a colon and an expression.

    Raises:
        RuleError: with the place in ``text``.
    """
    parser = _Parser(text)
    name = parser.label()
    tree = parser.expression()
    parser.end()
    if name is None and not isinstance(tree, Name):
        raise RuleError("the rule has no name", tree.span, "write 'name: expression'")
    return NamedRule(name.text if name else None, name.span if name else tree.span, tree)


def parse_aggregation_rule(text: str) -> NamedRule | KeyRule:
    """A rule of an aggregation: a key, ``max(field)``, or ``name: expression``.

    Raises:
        RuleError: with the place in ``text``.
    """
    parser = _Parser(text)
    name = parser.label()
    if name is not None and name.text == "key":
        return parser.key()
    tree = parser.expression()
    parser.end()
    return NamedRule(name.text if name else None, name.span if name else tree.span, tree)


def parse_expression(text: str) -> Tree:
    """An expression alone, as in ``where``.

    Raises:
        RuleError: with the place in ``text``.
    """
    parser = _Parser(text)
    if (name := parser.label()) is not None:
        raise RuleError("a condition has no name", name.span, "write the expression alone")
    tree = parser.expression()
    parser.end()
    return tree


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.at = 0
        self.depth = 0
        if len(self.tokens) == 1:
            raise RuleError("the rule is empty", Span(0, len(text)))

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def next(self) -> Token:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def is_sign(self, sign: str, ahead: int = 0) -> bool:
        if self.at + ahead >= len(self.tokens):
            return False
        token = self.tokens[self.at + ahead]
        return token.kind == "sign" and token.text == sign

    def take(self, sign: str) -> bool:
        if self.is_sign(sign):
            self.at += 1
            return True
        return False

    def label(self) -> Token | None:
        """The name before a colon, if the rule begins with one."""
        if not self.is_sign(":", ahead=1):
            return None
        name = self.next()
        self.next()
        if name.kind != "word":
            raise RuleError(f"{name} is no name", name.span, "a name begins with a letter")
        if name.text in WORDS:
            raise RuleError(f"no field may be called '{name.text}'", name.span)
        return name

    def key(self) -> KeyRule:
        """What follows ``key:``."""
        names: list[Name] = []
        if self.take("("):
            names.append(self.name())
            while not self.take(")"):
                if not self.take(","):
                    raise RuleError(f"expected ',' or ')', found {self.token}", self.token.span)
                names.append(self.name())
        else:
            names.append(self.name())
        if self.is_sign(","):
            hint = "several fields stand in parentheses: key: (a, b)"
            raise RuleError("expected the end of the rule, found ','", self.token.span, hint)
        if self.token.kind != "end":
            hint = "a key is a field; compute it in a rule of the transformation"
            raise RuleError(
                f"expected the end of the rule, found {self.token}", self.token.span, hint
            )
        return KeyRule(tuple(names))

    def name(self) -> Name:
        token = self.next()
        if token.kind != "word" or token.text in WORDS:
            self.at -= 1
            raise RuleError(f"expected a field, found {token}", token.span)
        return Name(token.text, token.span)

    def end(self) -> None:
        if self.token.kind == "end":
            return
        hint = "a rule has one ':', behind its name" if self.is_sign(":") else ""
        before = self.tokens[self.at - 1]
        if self.token.kind in ("word", "number", "string") or self.is_sign("("):
            hint = f"an operator or ',' is missing behind '{before.text[:40]}'"
            if self.token.text == "in":
                hint = f"write in({before.text[:40]}, 1, 2)"
        raise RuleError(
            f"expected an operator or the end of the rule, found {self.token}",
            self.token.span,
            hint,
        )

    def expression(self, power: int = 0) -> Tree:
        """An expression whose operators bind more tightly than ``power``."""
        tree = self.prefix()
        terms, compared = 1, False
        while (operator := self.operator(power)) is not None:
            symbol = self.next()
            binding, name = INFIX[operator]
            if compared and binding == _COMPARISON:
                hint = "write 'a < b and b < c'"
                raise RuleError("comparisons do not chain", symbol.span, hint)
            compared = binding == _COMPARISON
            right = self.expression(binding)
            tree = Apply(name, (tree, right), tree.span.to(right.span), symbol.span, operator)
            terms += 1
            if terms > MOST_TERMS:
                raise RuleError(f"a chain has at most {MOST_TERMS:,} terms", symbol.span)
        return tree

    def operator(self, power: int) -> str | None:
        """The infix operator that stands here, if it binds more tightly than ``power``."""
        token = self.token
        if token.kind not in ("sign", "word") or token.text not in INFIX:
            return None
        return token.text if INFIX[token.text][0] > power else None

    def nested(self, power: int, token: Token) -> Tree:
        """An expression one level deeper."""
        self.depth += 1
        if self.depth > MOST_NESTED:
            raise RuleError(f"nested deeper than {MOST_NESTED} levels", token.span)
        tree = self.expression(power)
        self.depth -= 1
        return tree

    def prefix(self) -> Tree:
        token = self.next()
        if token.kind in ("number", "string"):
            return Constant(token.value, token.span)
        if token.kind == "word":
            return self.word(token)
        if token.kind == "sign" and token.text in "+-":
            return self.signed(token)
        if token.kind == "sign" and token.text == "(":
            return self.parentheses(token)
        self.at -= 1
        hint = "it needs an operand on its left" if token.text in INFIX else ""
        raise RuleError(f"expected a value, found {token}", token.span, hint)

    def word(self, token: Token) -> Tree:
        if token.text in CONSTANTS:
            return Constant(CONSTANTS[token.text], token.span)
        if token.text == "not":
            operand = self.nested(_NOT - 1, token)
            return Apply("not", (operand,), token.span.to(operand.span), token.span, "not")
        if self.is_sign("("):
            return self.call(token)
        if token.text in WORDS:
            self.at -= 1
            raise RuleError(f"expected a value, found {token}", token.span)
        return Name(token.text, token.span)

    def signed(self, token: Token) -> Tree:
        number = self.token
        if number.kind == "number":
            # A sign belongs to its literal, so that the smallest long can be written.
            self.next()
            value = number.value
            assert isinstance(value, int | float)
            return Constant(-value if token.text == "-" else value, token.span.to(number.span))
        if token.text == "+":
            raise RuleError("'+' stands before numbers only", token.span, "leave it out")
        operand = self.nested(_UNARY, token)
        return Apply("neg", (operand,), token.span.to(operand.span), token.span, "-")

    def parentheses(self, opening: Token) -> Tree:
        if self.is_sign(")"):
            raise RuleError("expected a value, found ')'", self.token.span)
        tree = self.nested(0, opening)
        if not self.take(")"):
            hint = "no operation's name stands before the '('" if self.is_sign(",") else ""
            raise RuleError(f"expected ')', found {self.token}", self.token.span, hint)
        return tree

    def call(self, name: Token) -> Tree:
        opening = self.next()
        arguments: list[Tree] = []
        if not self.take(")"):
            arguments.append(self.nested(0, opening))
            while not self.take(")"):
                if not self.take(","):
                    raise RuleError(f"expected ',' or ')', found {self.token}", self.token.span)
                arguments.append(self.nested(0, opening))
        end = self.tokens[self.at - 1].span
        return Apply(name.text, tuple(arguments), name.span.to(end), name.span)
