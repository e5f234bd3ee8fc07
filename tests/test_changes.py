"""What a checkpoint says to another config: whether it goes on with the state, and what is new."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.check import check
from engine.runtime.changes import Verdict, verdict
from engine.runtime.fingerprint import fingerprint
from tests.jobs import FIELDS, Job

HOT = ["hot: value > 3"]
W = {"name": "w", "window": "10 seconds", "rule": ["key: key", "s: sum(value)", "n: count()"]}
X = {"name": "x", "window": "1 minute", "rule": ["key: key", "s: sum(value)", "n: count()"]}
Y = {"name": "y", "window": "1 hour", "rule": ["key: key", "s: sum(value)"]}
TWO = {"name": "w", "window": "10 seconds", "rule": ["a: max(index)", "b: max(time)"]}
OTHER = {**TWO, "name": "x", "window": "1 minute"}
BOTH = {**FIELDS, "index": {"index": 3, "type": "long"}}
DELTA = {"name": "d", "window": "1 hour", "rule": ["key: key", "d: delta(value)"]}
LAST = {**DELTA, "rule": ["key: key", "d: last(value)"]}
LAST_X = {**X, "rule": ["key: key", "d: last(value)"]}
S = {"name": "s", "window": {"gap": "10 seconds"}, "rule": ["key: key", "s: sum(value)"]}
T = {"name": "t", "window": {"gap": "1 minute"}, "rule": ["key: key", "s: sum(value)"]}
KAFKA: dict[str, Any] = {"input_type": "kafka", "aggregations": [W]}


def of(**more: Any) -> dict[str, Any]:
    return {"aggregations": [W], **more}


ONCE = of(processing={"deduplicate": {"by": ["time", "key"], "within": "1 hour"}})
#: Before, now, what is said: of what goes on.
FITTING = [
    (of(), of(), ""),
    (ONCE, of(processing={"deduplicate": {"by": ["key", "time"], "within": "60 minutes"}}), ""),
    (of(aggregations=[W, X]), of(aggregations=[X, W]), ""),
    (of(), of(aggregations=[{**W, "rule": [*reversed(W["rule"])]}]), ""),
    (
        of(transformation=["a: value", "b: key"], streams=["raw"]),
        of(transformation=["b: key", "a: value"], streams=["raw"]),
        "",
    ),
    (
        of(),
        of(outputs=[{"method": "stdout"}]),
        "new since then: output 'stdout' (format table)",
    ),
    (of(outputs=[{"method": "stdout"}]), of(), "gone since then: output 'stdout'"),
    (of(), of(streams=["raw"]), "from here on: what output 'sqlite' takes is raw (was w)"),
    (of(), of(name="b"), "from here on: the config's name is b (was config)"),
    (of(), of(aggregations=[{**W, "name": "v"}]), "'w' is called 'v'"),
    (
        of(),
        of(aggregations=[{**W, "rule": [*W["rule"], "mean: sum(value) / count()"]}]),
        "new since then: measure 'mean' of 'w' (sum(value) / count())",
    ),
    (
        of(aggregations=[W, X]),
        of(aggregations=[W, X, Y]),
        "new since then: aggregation 'y' (1 hour)",
    ),
    (of(aggregations=[W, X, Y]), of(aggregations=[W, X]), "gone since then: aggregation 'y'"),
    (
        of(transformation=HOT, streams=["raw"]),
        of(transformation=["hot: value > 2"], streams=["raw"]),
        "from here on: rule 'hot' is value > 2 (was value > 3)",
    ),
    (
        of(transformation=["v: value", "value: value * 2"], streams=["raw"]),
        of(transformation=["value: value * 2", "v: value"], streams=["raw"]),
        "from here on: the order of the rules is value, v (was v, value)",
    ),
    (
        of(processing={"allowed_lateness": "1 minute"}),
        of(processing={"allowed_lateness": "2 minutes"}),
        "from here on: allowed_lateness is 2 minutes (was 1 minute)",
    ),
    (
        of(aggregations=[DELTA]),
        of(aggregations=[{**DELTA, "fill": "linear"}]),
        "from here on: 'fill' of 'd' is linear (was previous)",
    ),
    (
        of(aggregations=[DELTA]),
        of(aggregations=[LAST]),
        "from here on: measure 'd' of 'd' is last(value) (was delta(value))",
    ),
    # Sessions are beside the state.
    (
        of(),
        of(aggregations=[W, S]),
        "new since then: aggregation 's' (sessions with a gap of 10 seconds)",
    ),
    (of(aggregations=[W, S, T]), of(), "gone since then: aggregation 's', aggregation 't'"),
    (
        of(aggregations=[S, T]),
        of(aggregations=[T, {**S, "name": "u"}]),
        "'s' is called 'u'",
    ),
    (
        of(aggregations=[S]),
        of(aggregations=[{**S, "rule": [*S["rule"], "twice: 2 * sum(value)"]}]),
        "new since then: measure 'twice' of 's' (2 * sum(value))",
    ),
    (
        {**KAFKA, "options": {"server": "a", "topic": "t"}},
        {**KAFKA, "options": {"server": "a", "topic": ["t", "u"]}},
        "from here on: the input's topic is t, u (was t)",
    ),
]
#: Before, now, the place, what is said there: of what does not.
MISFITS = [
    (
        of(),
        of(aggregations=[{**W, "rule": ["key: key", "s: max(value)", "n: count()"]}]),
        "/processing/aggregations/0/rule/1",
        "the rule 's' of 'w' is max(value), in the checkpoint sum(value)",
    ),
    (
        of(),
        of(aggregations=[{**W, "rule": ["key: key", "s: sum(value)"]}]),
        "/processing/aggregations/0/rule",
        "'w' lacks the rule 'n', in the checkpoint count()",
    ),
    (
        of(),
        of(structure={**FIELDS, "value": {"index": 2, "type": "long"}}),
        "/processing/aggregations/0/rule/1",
        "the rule 's' of 'w' is sum(value:long), in the checkpoint sum(value:double)",
    ),
    (
        of(),
        of(aggregations=[{**W, "window": "20 seconds"}]),
        "/processing/aggregations/0/window",
        "'window' of 'w' is 20 seconds, in the checkpoint 10 seconds",
    ),
    (
        of(),
        of(aggregations=[{**W, "rule": W["rule"][1:]}]),
        "/processing/aggregations/0",
        "'key' of 'w' is none, in the checkpoint key (string)",
    ),
    # Of several, each has a state of its own; an open window would begin anew.
    (
        of(aggregations=[W, X]),
        of(aggregations=[{**W, "where": "value > 3"}, X]),
        "/processing/aggregations/0/where",
        "'where' of 'w' is value > 3, in the checkpoint none",
    ),
    (
        of(),
        of(aggregations=[W, X]),
        "/processing/aggregations/1",
        "the aggregation 'x' is new, and the state has no columns for it",
    ),
    (
        of(aggregations=[W, X]),
        of(),
        "/processing/aggregations",
        "the aggregation 'x' is gone, and the state has columns for it",
    ),
    # Without 'a', 'b' would take its column; 'x' still has both.
    (
        of(aggregations=[TWO, OTHER], structure=BOTH),
        of(aggregations=[{**TWO, "rule": ["b: max(time)"]}, OTHER], structure=BOTH),
        "/processing/aggregations/0/rule",
        "'w' lacks the rule 'a', in the checkpoint max(index)",
    ),
    # There is a column for 'b', in which open windows lack the rows that were read before.
    (
        of(aggregations=[{**TWO, "rule": ["a: max(index)"]}, OTHER], structure=BOTH),
        of(aggregations=[TWO, OTHER], structure=BOTH),
        "/processing/aggregations/0/rule/1",
        "the rule 'b' of 'w' is not in the checkpoint",
    ),
    (
        of(aggregations=[LAST]),
        of(aggregations=[DELTA]),
        "/processing/aggregations/0/rule/1",
        "the rule 'd' of 'd' is delta(value), in the checkpoint last(value)",
    ),
    (
        of(aggregations=[{**LAST, "name": "w", "window": "1 minute"}, LAST_X]),
        of(aggregations=[{**LAST, "name": "w", "window": "1 minute"}, LAST_X, DELTA]),
        "/processing/aggregations/2",
        "'d' is new, and goes on from windows before, of which none were kept",
    ),
    (
        of(aggregations=[W, S]),
        of(aggregations=[W, {**S, "window": {"gap": "20 seconds"}}]),
        "/processing/aggregations/1/window",
        (
            "'window' of 's' is sessions with a gap of 20 seconds, "
            "in the checkpoint sessions with a gap of 10 seconds"
        ),
    ),
    (
        of(aggregations=[S]),
        of(aggregations=[{**S, "window": "10 seconds"}]),
        "/processing/aggregations/0/window",
        "'window' of 's' is 10 seconds, in the checkpoint sessions with a gap of 10 seconds",
    ),
    (
        of(aggregations=[S]),
        of(aggregations=[{**S, "where": "value > 3"}]),
        "/processing/aggregations/0/where",
        "'where' of 's' is value > 3, in the checkpoint none",
    ),
    (
        of(aggregations=[S]),
        of(aggregations=[{**S, "rule": ["key: key", "s: max(value)"]}]),
        "/processing/aggregations/0/rule/1",
        "the rule 's' of 's' is max(value), in the checkpoint sum(value)",
    ),
    # Rows of one kind of sessions are kept without its name.
    (
        of(aggregations=[S]),
        of(aggregations=[S, T]),
        "/processing/aggregations/1",
        "the aggregation 't' is new, and the state has no columns for it",
    ),
    # Spark's plan had no state, and has one now.
    (
        of(aggregations=[S]),
        of(aggregations=[S, W]),
        "/processing/aggregations/1",
        "the aggregation 'w' is new, and the state has no columns for it",
    ),
    (
        of(),
        {**KAFKA, "options": {"server": "a", "topic": "t"}},
        "/input/input_type",
        "'input_type' is kafka, in the checkpoint csv",
    ),
    (
        {**KAFKA, "options": {"server": "a", "topic": "t"}},
        {**KAFKA, "options": {"server": "a", "topic": "u"}},
        "/input/options/topic",
        "'topic' is u, in the checkpoint t",
    ),
    (
        of(),
        ONCE,
        "/processing/deduplicate",
        "'deduplicate' is new, and no rows before are known",
    ),
    (
        ONCE,
        of(),
        "/processing",
        "'deduplicate' is gone, in the checkpoint by key (string), time (long) within 1 hour",
    ),
    (
        ONCE,
        of(processing={"deduplicate": {"by": ["time"], "within": "1 hour"}}),
        "/processing/deduplicate/by",
        "'by' of 'deduplicate' is time (long), in the checkpoint key (string), time (long)",
    ),
    (
        ONCE,
        of(processing={"deduplicate": {"by": ["time", "key"], "within": "2 hours"}}),
        "/processing/deduplicate/within",
        "'within' of 'deduplicate' is 2 hours, in the checkpoint 1 hour",
    ),
]


def kept(job: Job, config: dict[str, Any]) -> Any:
    found = check(str(job.config(**config)))
    assert found.query is not None, [each.text() for each in found.problems]
    return json.loads(json.dumps(fingerprint(found.query)))


def judged(job: Job, before: dict[str, Any], now: dict[str, Any]) -> Verdict:
    return verdict(kept(job, before), kept(job, now))


@pytest.mark.parametrize(("before", "now", "said"), FITTING)
def test_a_config_that_fits_is_told_what_is_new(
    job: Job, before: dict[str, Any], now: dict[str, Any], said: str
) -> None:
    found = judged(job, before, now)
    assert found.reasons == ()
    assert found.changes == said


@pytest.mark.parametrize(("before", "now", "pointer", "said"), MISFITS)
def test_a_config_that_does_not_fit_is_told_why_and_where(
    job: Job, before: dict[str, Any], now: dict[str, Any], pointer: str, said: str
) -> None:
    (reason,) = judged(job, before, now).reasons
    assert reason.message == said
    places = check(str(job.folder / "config.json")).places
    assert places is not None
    assert places.problem(said, reason.about).pointer == pointer
