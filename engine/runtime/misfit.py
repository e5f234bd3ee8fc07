"""Two configs become the reasons why one cannot go on with the state that the other has kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.runtime.fingerprint import SESSIONS, STATE, STATES, Fingerprint


@dataclass(frozen=True)
class Reason:
    """Why a config cannot go on with a state: a sentence, and what it is about.

    ``about`` is a path in the config, or ``aggregation``, its name, and a part of it.
    """

    message: str
    about: tuple[str, ...]


def reasons(held: Fingerprint, wanted: Fingerprint) -> Iterator[Reason]:
    """Why ``wanted`` cannot go on with what was kept of ``held``; none where it can."""
    yield from _of_input(held["input"], wanted["input"])
    both = [name for name in wanted["aggregations"] if name in held["aggregations"]]
    found = [reason for name in both for reason in _of_aggregation(name, held, wanted)]
    found += _of_coming(held, wanted)
    found += _of_duplicates(held[STATE].get("deduplicate"), wanted[STATE]["deduplicate"])
    for part in STATES:
        if not found and not _fits_part(held, wanted, part):
            found = list(_of_columns(held, wanted, part))
    yield from found


def _fits_part(held: Fingerprint, wanted: Fingerprint, part: str) -> bool:
    """Whether what is kept in one form is what the config takes it for.

    Sessions may begin and end with any config: their rows are no part of Spark's plan.
    """
    before, now = held[part], wanted[part]
    if part == SESSIONS and not (before["units"] and now["units"]):
        return True
    return _fits(before, now)


def _part(of: Fingerprint, unit: str) -> str:
    """In which form a grouping is kept."""
    return next(part for part in STATES if unit in of[part]["units"])


def _fits(held: Fingerprint, wanted: Fingerprint) -> bool:
    """Whether all that is in the state is what the config takes it for.

    Spark compares the types of the columns at most, by their places, so it would take a sum for a
    maximum. A grouping that is alone is not even in the key.
    """
    if held["key"] != wanted["key"] or held["slots"] != wanted["slots"]:
        return False
    if "unit" not in held["key"] and {*held["units"]} != {*wanted["units"]}:
        return False
    both = {*held["units"]} & {*wanted["units"]}
    return not any(_lost(held, wanted, unit) for unit in both)


def _lost(held: Fingerprint, wanted: Fingerprint, unit: str) -> set[str]:
    """The aggregates of a grouping that its open windows do not have: they have other ones in these
    slots, or lack the rows that were read before."""
    before, now = held["units"][unit], wanted["units"][unit]
    moved = {each for each, slot in now["slots"].items() if before["slots"].get(each) != slot}
    return moved | ({*now["carried"]} - {*before["carried"]})


def _of_input(held: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[Reason]:
    """Where an input was read up to is kept in its own terms: another kind has others, and from
    Kafka Spark wants every topic again that it has read before."""
    for option in ("input_type", "topic"):
        before, now = held.get(option, ""), wanted.get(option, "")
        if not {*before.split(", ")} <= {*now.split(", ")}:
            message = f"'{option}' is {now}, in the checkpoint {before}"
            about = ("input", option) if option == "input_type" else ("input", "options", option)
            yield Reason(message, about)
            return


def _of_aggregation(name: str, held: Fingerprint, wanted: Fingerprint) -> Iterator[Reason]:
    """What an aggregation of both configs needs that was not kept.

    Another window, key or condition is another grouping. Where there are several, it is a part of
    the state's key, and a window that is open would begin anew, and replace in the outputs what it
    had; where there is one, rows of both would be in one window.
    """
    before, now = held["aggregations"][name], wanted["aggregations"][name]
    if before["unit"] != now["unit"]:
        for part in ("window", "key", "where"):
            if before[part] != now[part]:
                message = f"'{part}' of '{name}' is {now[part]}, in the checkpoint {before[part]}"
                yield Reason(message, ("aggregation", name, part))
        return
    part = _part(wanted, now["unit"])
    if _fits(held[part], wanted[part]):
        return
    lost = _lost(held[part], wanted[part], now["unit"])
    unit = wanted[part]["units"][now["unit"]]
    known = {each["exact"] for each in before["measures"].values()}
    for measure in dict.fromkeys([*before["measures"], *now["measures"]]):
        old, new = before["measures"].get(measure), now["measures"].get(measure)
        is_lost = new is not None and new["exact"] not in known and lost & {*new["kept"]}
        is_gone = old is not None and not {*old["kept"]} <= {*unit["slots"]}
        if old != new and (is_lost or is_gone):
            yield Reason(
                _of_measure(measure, name, old, new), ("aggregation", name, "rule", measure)
            )


def _of_measure(measure: str, name: str, old: Fingerprint | None, new: Fingerprint | None) -> str:
    if new is None:
        assert old is not None
        return f"'{name}' lacks the rule '{measure}', in the checkpoint {old['text']}"
    if old is None:
        return f"the rule '{measure}' of '{name}' is not in the checkpoint"
    # Where it is written as before, the types have changed.
    way = "exact" if old["text"] == new["text"] else "text"
    return f"the rule '{measure}' of '{name}' is {new[way]}, in the checkpoint {old[way]}"


def _of_coming(held: Fingerprint, wanted: Fingerprint) -> Iterator[Reason]:
    """New aggregations whose state would not begin with nothing."""
    was_carried = any(unit["carried"] for unit in held[STATE]["units"].values())
    for name, each in wanted["aggregations"].items():
        if name in held["aggregations"]:
            continue
        about = ("aggregation", name)
        part = _part(wanted, each["unit"])
        if each["unit"] in held[part]["gone"]:
            message = f"'{name}' was taken out before, and its windows lack the rows since"
            yield Reason(message, about)
        elif wanted[part]["units"][each["unit"]]["carried"] and not was_carried:
            message = f"'{name}' is new, and goes on from windows before, of which none were kept"
            yield Reason(message, about)


def _of_duplicates(held: Fingerprint | None, wanted: Fingerprint | None) -> Iterator[Reason]:
    """Rows that were seen are kept by their fields, and for so long; Spark wants the operator that
    keeps them in each run, or in none."""
    about = ("processing", "deduplicate")
    if held is None or wanted is None:
        if wanted is not None:
            yield Reason("'deduplicate' is new, and no rows before are known", about)
        elif held is not None:
            told = f"by {held['by']} within {held['within']}"
            yield Reason(f"'deduplicate' is gone, in the checkpoint {told}", about)
        return
    for option in ("by", "within"):
        before, now = held[option], wanted[option]
        if before != now:
            message = f"'{option}' of 'deduplicate' is {now}, in the checkpoint {before}"
            yield Reason(message, (*about, option))


def _of_columns(held: Fingerprint, wanted: Fingerprint, part: str) -> Iterator[Reason]:
    """The state's columns differ though each aggregation of both is as it was."""
    before, now = (
        [name for name, each in of["aggregations"].items() if each["unit"] in of[part]["units"]]
        for of in (held, wanted)
    )
    for name in now:
        if name not in before:
            message = f"the aggregation '{name}' is new, and the state has no columns for it"
            yield Reason(message, ("aggregation", name))
    for name in before:
        if name not in now:
            message = f"the aggregation '{name}' is gone, and the state has columns for it"
            yield Reason(message, ("processing", "aggregations"))
    if {*before} == {*now}:
        message = "the state has other columns than the rules need"
        yield Reason(message, ("processing", "aggregations"))
