"""Two configs of one checkpoint become a verdict: the same, another that fits, or a misfit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from engine import plan
from engine.runtime.fingerprint import Fingerprint
from engine.runtime.misfit import Reason, reasons


@dataclass(frozen=True)
class Verdict:
    """Whether a config can go on with a state.

    Args:
        reasons: why not; empty where it can.
        changes: what is not as before, for people; empty where all is the same.
        renamed: the aggregations that have another name: the one now -> the one before.
    """

    reasons: tuple[Reason, ...] = ()
    changes: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)


def verdict(held: Fingerprint, wanted: Fingerprint) -> Verdict:
    """Whether ``wanted`` can go on with what ``held`` has kept."""
    if found := tuple(reasons(held, wanted)):
        return Verdict(found)
    renamed = dict(_renamed(held["aggregations"], wanted["aggregations"]))
    return Verdict((), _changes(held, wanted, renamed), renamed)


def _renamed(before: Fingerprint, now: Fingerprint) -> Iterator[tuple[str, str]]:
    """The aggregations that are as one was that is gone, but for the name: now, before."""
    gone = [name for name in before if name not in now]
    for name, each in now.items():
        same = next((old for old in gone if before[old] == each), None)
        if name not in before and same is not None:
            gone.remove(same)
            yield name, same


def _changes(held: Fingerprint, wanted: Fingerprint, renamed: Mapping[str, str]) -> str:
    before = dict(_facts(held, {old: name for name, old in renamed.items()}, wanted))
    now = dict(_facts(wanted, {}, held, renamed))
    come = [f"{each} ({now[each]})" for each in now if each not in before]
    gone = [each for each in before if each not in now]
    differ = [each for each in now if before.get(each, now[each]) != now[each]]
    parts = [
        ("new since then: ", come),
        ("gone since then: ", gone),
        ("", [f"'{old}' is called '{name}'" for name, old in renamed.items()]),
        ("from here on: ", [f"{each} is {now[each]} (was {before[each]})" for each in differ]),
    ]
    return "; ".join(head + ", ".join(each) for head, each in parts if each)


def _facts(
    of: Fingerprint, names: Mapping[str, str], other: Fingerprint, known: Iterable[str] = ()
) -> Iterator[tuple[str, str]]:
    """Each thing of a config, and how it is.

    Args:
        names: other names for its aggregations.
        other: the config that it is compared with: of an aggregation that the other one lacks, its
            name alone is told.
        known: names of aggregations that the other one has in another name.
    """
    shared = {*other["aggregations"], *known}
    yield from of["config"].items()
    for option, value in of["input"].items():
        yield f"the input's {option}", _shown(value)
    for name, each in of["aggregations"].items():
        name = names.get(name, name)
        yield f"aggregation '{name}'", each["window"] if name not in shared else ""
        if name in shared:
            yield f"'fill' of '{name}'", each["fill"]
            for measure, rule in each["measures"].items():
                yield f"measure '{measure}' of '{name}'", rule["text"]
    for name, each in of["outputs"].items():
        options = ", ".join(f"{option} {_shown(of)}" for option, of in each["options"].items())
        yield f"output '{name}'", options
        streams = [names.get(stream, stream) for stream in each["streams"]]
        taken = [each for each in streams if each in shared or each in plan.STREAMS]
        if name in other["outputs"]:
            yield f"what output '{name}' takes", ", ".join(sorted(taken))


def _shown(value: str) -> str:
    return f"'{near(value)}'" if os.path.isabs(value) else value


def near(path: str) -> str:
    """A path as a person would write it here."""
    shown = path if "://" in path else os.path.relpath(path)
    return path if shown.startswith("..") else shown
