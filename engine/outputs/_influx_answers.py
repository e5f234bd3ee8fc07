"""What an InfluxDB answers becomes words for people, and why it refuses which lines."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import urllib3

#: Of a server's words, as many as a person reads; it repeats whole lines in them.
_LONGEST = 400


@dataclass(frozen=True)
class Refusal:
    """Why a server did not take lines, or not all of them.

    Args:
        reason: the server's words.
        dropped: how many lines it says that it has left out, if it has taken the others.
        by_line: the reasons, where it names the lines, from 0.
    """

    reason: str
    dropped: int = 0
    by_line: Mapping[int, str] | None = None


def words(answer: urllib3.BaseHTTPResponse) -> str:
    """What the server says, of its JSON or as it is."""
    told = answer.data.decode(errors="replace").strip()
    try:
        found = json.loads(told)
    except ValueError:
        return cut(told)
    if isinstance(found, dict):
        told = str(found.get("message") or found.get("error") or told)
    return cut(told)


def cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def refusal(answer: urllib3.BaseHTTPResponse) -> Refusal:
    """Whole words: the number stands at their end."""
    whole = answer.data.decode(errors="replace")
    _, told, after = whole.rpartition(" dropped=")
    digits = "".join(each for each in after if each.isdigit()) if told else ""
    dropped = int(digits) if digits and "partial write" in whole else 0
    return Refusal(words(answer), dropped, _by_line(answer) if answer.status == 400 else None)


def _by_line(answer: urllib3.BaseHTTPResponse) -> Mapping[int, str] | None:
    """3.x names the lines that it has refused, and has written the others."""
    try:
        told = json.loads(answer.data)["data"]
        partial: Sequence[Any] = told if isinstance(told, list) else []
        return {int(e["line_number"]) - 1: cut(str(e["error_message"])) for e in partial} or None
    except (ValueError, LookupError, TypeError):
        return None
