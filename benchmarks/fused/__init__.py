"""Fusion: what eight aggregations in one stateful operator cost, beside one."""
