"""The servers of a config are asked who they are, and what the engine may do there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from engine import plan
from engine.inputs import InputError
from engine.outputs import Job, OutputError, Stream
from engine.outputs._patience import PassingError
from engine.plan import stream_columns

DONE, FAILED = 0, 1

Question = Callable[[], "str | None"]


def ask_servers(query: plan.Query) -> int:
    """Asks the input's server and those of all outputs, at once; nothing is written.

    Prints a line for each, on stderr for one that the engine could not work with; gives the exit
    status.
    """
    asked = dict(_questions(query))
    with ThreadPoolExecutor(max_workers=len(asked)) as threads:
        answers = list(threads.map(_answer, asked.values()))
    for who, (told, is_well) in zip(asked, answers, strict=True):
        line = told if told.startswith(who) else f"{who}: {told}"
        print(line, file=sys.stdout if is_well else sys.stderr, flush=True)
    return DONE if all(is_well for _, is_well in answers) else FAILED


def _questions(query: plan.Query) -> Iterator[tuple[str, Question]]:
    yield f"input '{query.input.method}'", query.input.source.probe
    for output in query.outputs:
        streams = tuple(Stream(name, stream_columns(query, name)) for name in output.streams)
        job = Job(query.name, output.name, "", "", streams)
        yield f"output '{output.name}'", partial(output.target.probe, job)
    for routed in query.analysis.targets if query.analysis is not None else ():
        yield f"alerts '{routed.name}'", routed.target.probe


def _answer(question: Question) -> tuple[str, bool]:
    """What is said, and whether all is well."""
    try:
        return question() or "no server to ask", True
    except (InputError, OutputError, PassingError) as error:
        return str(error), False
