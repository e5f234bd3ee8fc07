"""What stands in a file becomes a value of a type, or the type that a column's values have."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from engine.types import Type

#: Gives the value, None for null; raises ValueError where it is not of the type. Times are
#: microseconds since 1970.
Convert: TypeAlias = Callable[[Any], Any]

_TRUE = frozenset(["true", "t", "yes", "y", "1"])
_FALSE = frozenset(["false", "f", "no", "n", "0"])
_RANGES = {
    Type.BYTE: 2**7,
    Type.SHORT: 2**15,
    Type.INT: 2**31,
    Type.LONG: 2**63,
}
#: The characters of the longest long.
_LONGEST = 20
_LARGEST_FLOAT = 3.4028235677973366e38
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
#: A number as it is written when it is one: what begins with 0 is an article, a code, a telephone.
_PLAIN_WHOLE = re.compile(r"-?(0|[1-9]\d*)", re.ASCII)
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def type_of(found: Iterable[Type | None]) -> Type:
    """The type of a column whose values are of these types; what cannot be told is a string."""
    kinds = {each for each in found if each is not None}
    if kinds == {Type.LONG, Type.DOUBLE}:
        return Type.DOUBLE
    return next(iter(kinds)) if len(kinds) == 1 else Type.STRING


def kind_of_text(text: str) -> Type | None:
    """The type that a csv value seems to have; None of an empty one."""
    if not text:
        return None
    if _PLAIN_WHOLE.fullmatch(text):
        is_long = len(text) <= _LONGEST and -(2**63) <= int(text) < 2**63
        return Type.LONG if is_long else Type.STRING
    if _PLAIN_NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return Type.DOUBLE
    return Type.BOOLEAN if text.lower() in ("true", "false") else Type.STRING


def kind_of_value(value: Any) -> Type | None:
    """The type of a JSON or mmdb value; None of null."""
    match value:
        case None:
            return None
        case bool():
            return Type.BOOLEAN
        case int():
            return Type.LONG if -(2**63) <= value < 2**63 else Type.DOUBLE
        case float():
            return Type.DOUBLE
        case _:
            return Type.STRING


def from_text(of: Type, time_zone: str) -> Convert:
    """Reads csv values: an empty one is null, blanks around numbers do not count."""
    convert = _converter(of, time_zone)
    if of is Type.STRING:
        return lambda text: text or None

    def value(text: str) -> Any:
        bare = text.strip(" \t")
        if not bare or (of.is_fractional and bare.lower() == "nan"):
            return None
        return convert(_parsed(of, bare))

    return value


def from_value(of: Type, time_zone: str) -> Convert:
    """Takes JSON and mmdb values; a string is also what another value is as text."""
    convert = _converter(of, time_zone)

    def value(found: Any) -> Any:
        if found is None or (isinstance(found, float) and math.isnan(found)):
            return None
        if of is Type.STRING and not isinstance(found, str):
            return json.dumps(found, ensure_ascii=False)
        return convert(found)

    return value


def _parsed(of: Type, text: str) -> Any:
    """A text as the Python value that a JSON file would have."""
    if of is Type.BOOLEAN:
        lowered = text.lower()
        if lowered not in _TRUE | _FALSE:
            raise ValueError
        return lowered in _TRUE
    if of.is_integer and _WHOLE.fullmatch(text):
        return int(text)
    if of.is_fractional and _NUMBER.fullmatch(text):
        return float(text)
    if of is Type.TIMESTAMP:
        return text
    raise ValueError


def _converter(of: Type, time_zone: str) -> Convert:
    if of is Type.BOOLEAN:
        return _boolean
    if of is Type.STRING:
        return _string
    if of is Type.TIMESTAMP:
        zone = ZoneInfo(time_zone)
        return lambda value: _micros(value, zone)
    if of.is_integer:
        limit = _RANGES[of]
        return lambda value: _whole(value, limit)
    largest = _LARGEST_FLOAT if of is Type.FLOAT else math.inf
    return lambda value: _number(value, largest)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _string(value: Any) -> str:
    text = str(value)
    text.encode()  # a lone surrogate raises here, and not in Arrow
    return text


def _whole(value: Any, limit: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise ValueError
    found = int(value)
    if not -limit <= found < limit:
        raise ValueError
    return found


def _number(value: Any, largest: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    try:
        found = float(value)
    except OverflowError:
        raise ValueError from None
    if not math.isfinite(found) or abs(found) >= largest:
        raise ValueError
    return found


def _micros(value: Any, zone: ZoneInfo) -> int:
    """ISO 8601 text, or epoch seconds, in microseconds since 1970."""
    if isinstance(value, str):
        return _micros_of_text(value.strip(" \t"), zone)
    return round(_number(value, 253_402_300_800.0) * 1_000_000)


def _micros_of_text(text: str, zone: ZoneInfo) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError
    day, minute, second, fraction, offset = found.groups()
    local = datetime.fromisoformat(f"{day}T{minute or '00:00'}:{second or '00'}")
    micros = int((fraction or "0")[:6].ljust(6, "0"))
    if offset is None:
        aware = local.replace(tzinfo=zone)
    elif offset == "Z":
        aware = local.replace(tzinfo=timezone.utc)
    else:
        hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
        ahead = timedelta(hours=hours, minutes=minutes)
        aware = local.replace(tzinfo=timezone(-ahead if offset[0] == "-" else ahead))
    return (aware - _EPOCH) // _MICROSECOND + micros
