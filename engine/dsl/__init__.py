"""The one language of rules, conditions and aggregations: a string becomes a tree with spans."""

from engine.dsl.parser import (
    KeyRule,
    NamedRule,
    parse_aggregation_rule,
    parse_expression,
    parse_rule,
)

__all__ = ["KeyRule", "NamedRule", "parse_aggregation_rule", "parse_expression", "parse_rule"]
