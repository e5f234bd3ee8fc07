"""A line about a config's option becomes a field of a dataclass that knows it.

The JSON Schema, the check and the reference are all made from what these fields say.

    from engine.option import option

    @dataclass(frozen=True, kw_only=True)
    class Files(Records):
        path: str = option("a folder that is watched, or one file", nonempty=True)
        header: bool = option("whether a file's first line holds names", False)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

_MISSING = object()


@dataclass(frozen=True)
class Option:
    """What a field of a config's dataclass says beside its type: for schema and reference."""

    doc: str
    example: Any = None
    minimum: float | None = None
    exclusive_minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    choices: tuple[Any, ...] = ()
    values: tuple[Any, ...] = ()  # of a mapping: what its values are chosen from
    secret: bool = False
    name: str | None = None  # the option's name in the file, where Python cannot spell it
    aliases: tuple[str, ...] = ()
    format: str | None = None  # duration | rule | size
    nonempty: bool = False
    prefix: str = ""  # takes all options whose names begin so, as a mapping
    extra: Mapping[str, Any] = field(default_factory=dict)


def option(doc: str, default: Any = _MISSING, **about: Any) -> Any:
    """A field of a frozen dataclass of options; without a default it is required.

    Args:
        doc: one line for the reference; the schema's description.
        default: the value when the config is silent.
        about: the other members of ``Option``.
    """
    told = Option(doc, **about)
    # Among options that pass through there are secrets too.
    made = partial(field, metadata={"option": told}, repr=not (told.secret or told.prefix))
    if default is _MISSING:
        return made()
    if isinstance(default, dict | list):
        return made(default_factory=lambda: type(default)(default))
    return made(default=default)
