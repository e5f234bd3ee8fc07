"""Rows of windows become samples in RedisTimeSeries: many a command, each answer looked at."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.outputs import STOP, OutputError, Refused, Stream, Writer
from engine.outputs._patience import Patience
from engine.outputs._redis_series import Rows, Samples, Series, joined
from engine.outputs._redis_server import RedisServer

if TYPE_CHECKING:
    import pyarrow as pa

_NO_SERIES = ("is not a TSDB key", "does not exist")
_IS_THERE = ("already exists", "already has a src rule", "already has a destination rule")
#: The words of TS.CREATE: one that is a key would be taken for an option.
_WORDS = {
    *("RETENTION", "ENCODING", "CHUNK_SIZE", "DUPLICATE_POLICY", "IGNORE", "LABELS"),
    *("COMPRESSED", "UNCOMPRESSED", "ON_DUPLICATE"),
}


@dataclass(frozen=True)
class Sending:
    """How samples are sent. It is pickled."""

    server: RedisServer
    series: Series
    patience: Patience
    batch_size: int
    connections: int
    on_reject: str


class RedisWriter(Writer):
    """A task's side: while some samples are on their way, the next are made ready."""

    def __init__(self, sending: Sending, partition: int) -> None:
        self.sending = sending
        self.client = sending.server.client(sending.connections)
        self.threads = ThreadPoolExecutor(sending.connections)
        self.pending: deque[Future[None]] = deque()
        self.gave_up = threading.Event()
        self.told: list[Refused] = []

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        import pyarrow.compute as pc

        held = Rows(self.sending.series.template, stream, rows)
        stored, gone = [], []
        for measure in stream.measures:
            samples, fits = held.samples(measure), rows.column(measure).is_valid()
            # A window's measure that is null now may have had a value before.
            gone.append(samples.where(samples.values.is_null()))
            for reason, misfits in held.misfits(measure).items():
                refused = samples.where(misfits)
                fits = pc.and_not(fits, misfits)
                self._refuse_all(refused, dict.fromkeys(range(len(refused)), reason))
            stored.append(samples.where(fits))
        self._start(self._add, stored)
        self._start(self._remove, gone)

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        held = Rows(self.sending.series.template, stream, rows)
        self._start(self._remove, [held.samples(measure) for measure in stream.measures])

    def settle(self) -> None:
        while self.pending:
            self.pending.popleft().result()

    def refused(self) -> list[Refused]:
        found, self.told = self.told, []
        return found

    def commit(self) -> None:
        self._end()

    def abort(self) -> None:
        self.gave_up.set()
        self._end()

    def _end(self) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)
        self.client.close()

    def _start(self, act: Callable[[Samples], None], samples: Sequence[Samples]) -> None:
        """Hands samples to the threads, in pieces; waits where many are on their way."""
        for piece in joined(samples).pieces(self.sending.batch_size):
            self.pending.append(self.threads.submit(self._patiently, act, piece))
            while len(self.pending) > self.sending.connections:
                self.pending.popleft().result()

    def _patiently(self, act: Callable[[Samples], None], piece: Samples) -> None:
        patience = self.sending.patience

        def attempt() -> None:
            # A task that has failed must not write behind the one that takes its place.
            if self.gave_up.is_set():
                raise OutputError(f"{patience.who}: the task has been given up")
            act(piece)

        patience.call(attempt)

    def _add(self, piece: Samples) -> None:
        refused = _errors(self.client.add(piece))
        if lacking := [i for i, told in refused.items() if _has(told, _NO_SERIES)]:
            again = piece.only(lacking)
            apart = self._create(again)
            answers = _errors(self.client.add(again))
            for index, key in enumerate(again.keys.to_pylist()):
                if key in apart and index not in answers:
                    raise OutputError(f"the series '{key}' cannot be compacted: {apart[key]}")
            refused = {i: told for i, told in refused.items() if i not in set(lacking)}
            refused |= {lacking[i]: told for i, told in answers.items()}
        if blocked := [i for i, told in refused.items() if "DUPLICATE_POLICY" in told]:
            again = piece.only(blocked)
            samples = zip(*(each.to_pylist() for each in again.columns), strict=True)
            replaced = [["TS.ADD", *sample, "ON_DUPLICATE", "LAST"] for sample in samples]
            answers = _errors(self.client.ask_all(replaced))
            refused = {i: told for i, told in refused.items() if i not in set(blocked)}
            refused |= {blocked[i]: told for i, told in answers.items()}
        self._refuse_all(piece, refused)

    def _create(self, piece: Samples) -> dict[str, str]:
        """Makes the series of these samples; one that is there already is left as it is.

        Returns:
            Those that have no compaction, and why.
        """
        series = {key: index for index, key in enumerate(piece.keys.to_pylist())}
        rules = self.sending.series.rules
        commands = [
            command
            for key, index in series.items()
            if key.upper() not in _WORDS
            for command in self.sending.series.creations(key, piece.labels(index))
        ]
        answers = self.client.ask_all(commands, as_one=bool(rules)) if commands else []
        return {
            commands[index][1]: told
            for index, told in _errors(answers).items()
            if commands[index][0] == "TS.CREATERULE" and not _has(told, _IS_THERE)
        }

    def _remove(self, piece: Samples) -> None:
        import pyarrow.compute as pc

        piece = piece.where(pc.greater_equal(piece.times, 0))
        if not len(piece):
            return
        samples = zip(piece.keys.to_pylist(), piece.times.to_pylist(), strict=True)
        answers = self.client.ask_all([["TS.DEL", key, time, time] for key, time in samples])
        refused = _errors(answers)
        self._refuse_all(piece, {i: t for i, t in refused.items() if not _has(t, _NO_SERIES)})

    def _refuse_all(self, piece: Samples, refused: dict[int, str]) -> None:
        for index, told in sorted(refused.items()):
            self._refuse(piece.record(index), _reason(told))

    def _refuse(self, record: str, reason: str) -> None:
        if self.sending.on_reject == STOP:
            raise OutputError(f"{self.sending.patience.who}: {reason}: {record}")
        self.told.append(Refused(record, reason))


def _errors(answers: Sequence[Any]) -> dict[int, str]:
    """The answers that are errors, by their place."""
    if set(map(type, answers)) == {int}:
        return {}
    return {i: str(each) for i, each in enumerate(answers) if isinstance(each, Exception)}


def _has(text: str, parts: Sequence[str]) -> bool:
    return any(part in text for part in parts)


def _reason(told: str) -> str:
    """The server's words; that a key is no series says what it is, now that it should be one."""
    if _has(told, _NO_SERIES) or told.startswith("WRONGTYPE"):
        return "the key of the series holds something else"
    return told.removeprefix("TSDB: ")
