"""A path becomes the text that Spark takes for it: where it asks for a path, it reads a pattern."""

from __future__ import annotations

import re


def literal(path: str) -> str:
    """The path, with what would have a meaning in a pattern escaped."""
    return re.sub(r"[\[\]{}*?\\]", r"\\\g<0>", path)
