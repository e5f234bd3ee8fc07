"""Rows become records of Kafka: sent in the background, and every acknowledgement looked at."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kafka.errors import KafkaError, KafkaTimeoutError

from engine.outputs import STOP, OutputError, Refused, Stream, Writer
from engine.outputs._kafka_client import Brokers, judged, told
from engine.outputs._patience import PassingError, Patience
from engine.plan import WINDOW_START

if TYPE_CHECKING:
    import pyarrow as pa

_ENCODER = json.JSONEncoder(ensure_ascii=False)
#: What brokers and producer say of a record that no patience helps.
_REFUSED = {
    "MessageSizeTooLargeError": "the record is larger than the brokers take",
    "RecordListTooLargeError": "the record is larger than the brokers take",
    "InvalidRecordError": "the brokers refuse the record; a compacted topic wants keys",
    "InvalidTimestampError": "the brokers refuse the record's time",
}
#: A refused record may be too large for all other outputs too.
_SHOWN = 10_000
#: By these a row that is no window's is known, where the input tells them.
_IDENTITY = ("aggregation", WINDOW_START, "_topic", "_partition", "_offset")


@dataclass(frozen=True)
class Producing:
    """How records are made and sent. It is pickled.

    Args:
        topic: a template with ``{stream}``.
        batch_size: records that wait for their acknowledgement, at most.
    """

    brokers: Brokers
    patience: Patience
    topic: str
    format: str
    sep: str
    compression: str | None
    batch_size: int
    on_reject: str


class KafkaWriter(Writer):
    """A task's side: one producer, which has a connection to each broker."""

    def __init__(self, producing: Producing, partition: int) -> None:
        self.producing = producing
        self.producer: Any = None
        self.pending: list[tuple[Any, bytes | None]] = []
        self.told: list[Refused] = []

    def write(self, stream: Stream, rows: pa.RecordBatch) -> None:
        headers = [("stream", stream.name.encode())]
        values = _csv if self.producing.format == "csv" else _json
        written = values(stream, rows, self.producing.sep)
        for key, value in zip(keys(stream, rows), written, strict=True):
            self._send(stream, key, value, headers)

    def remove(self, stream: Stream, rows: pa.RecordBatch) -> None:
        headers = [("stream", stream.name.encode()), ("retracted", b"true")]
        for key in keys(stream, rows):
            self._send(stream, key, None, headers)

    def settle(self) -> None:
        if self.producer is None:
            return
        # What may pass the producer tries again itself; this only waits, and tells the driver.
        self._patiently(self._flush)
        for sent, value in self.pending:
            if sent.exception is not None:
                self._failed(sent.exception, value)
        self.pending = []

    def refused(self) -> list[Refused]:
        found, self.told = self.told, []
        return found

    def commit(self) -> None:
        if self.producer is not None:
            self.producer.close()

    def abort(self) -> None:
        if self.producer is None:
            return
        with contextlib.suppress(Exception):
            # Its thread would go on sending behind the task that takes this one's place.
            self.producer._sender.force_close()
            self.producer.close(timeout=0)

    def _send(
        self,
        stream: Stream,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, bytes]],
    ) -> None:
        topic = self.producing.topic.replace("{stream}", stream.name)
        if self.producer is None:
            self.producer = self._patiently(
                partial(self.producing.brokers.producer, self.producing.compression)
            )

        record = partial(self._handed_over, topic, value, key, headers)
        try:
            record()
        except KafkaTimeoutError:  # no partitions of the topic are known as yet
            self._patiently(partial(self._judged, record))
        if len(self.pending) >= self.producing.batch_size:
            self.settle()

    def _handed_over(
        self, topic: str, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]]
    ) -> None:
        try:
            sent = self.producer.send(topic, value, key, headers=headers)
        except KafkaTimeoutError:
            raise
        except KafkaError as error:
            self._failed(error, value)
        else:
            self.pending.append((sent, value))

    def _judged(self, attempt: Callable[[], None]) -> None:
        with told(self.producing.brokers):
            attempt()

    def _flush(self) -> None:
        seconds = self.producing.brokers.timeout_ms / 1000
        self._judged(partial(self.producer.flush, timeout=seconds))

    def _failed(self, error: Exception, value: bytes | None) -> None:
        """A record that was not taken: refused, or the output cannot go on."""
        reason = _REFUSED.get(type(error).__name__)
        who = self.producing.patience.who
        if reason is None:
            judgement = judged(error, self.producing.brokers)
            if isinstance(judgement, PassingError) and value is not None:
                raise judgement
            raise OutputError(f"{who}: {judgement}")
        record = (value or b"").decode()[:_SHOWN]
        if self.producing.on_reject == STOP:
            raise OutputError(f"{who}: {reason}: {record}")
        self.told.append(Refused(record, reason))

    def _patiently(self, attempt: Any) -> Any:
        return self.producing.patience.call(attempt)


def keys(stream: Stream, rows: pa.RecordBatch) -> Iterator[bytes | None]:
    """The records' keys: a list in JSON of the stream, the keys and the window's start; of a row
    that is no window's, what the input tells it apart by."""
    from engine.outputs._values import texts

    known = rows.schema.names
    if stream.is_windowed:
        names: Sequence[str] = stream.identity
    else:
        names = [name for name in _IDENTITY if name in known]
    if not stream.is_windowed and "_offset" not in known:
        yield from [None] * rows.num_rows
        return
    for row in zip(*(texts(rows.column(name)) for name in names), strict=True):
        is_known = stream.is_windowed or row[-1] is not None
        yield _line([stream.name, *row]) if is_known else None


def _json(stream: Stream, rows: pa.RecordBatch, sep: str) -> Iterator[bytes]:
    """Objects with the stream's name before the columns, times in ISO 8601."""
    from engine.outputs._values import objects

    for row in objects(rows):
        yield _line({"stream": stream.name, **row})


def _csv(stream: Stream, rows: pa.RecordBatch, sep: str) -> Iterator[bytes]:
    """The columns in their order; null is an empty field, the empty text a quoted one."""
    from engine.outputs._values import rows as tuples

    for row in tuples(rows):
        yield sep.join(_cell(value, sep) for value in row).encode("utf-8", "replace")


def _cell(value: Any, sep: str) -> str:
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    text = str(value)
    # Blanks at the ends are a reader's to strip, unless they are quoted.
    plain = text and text.strip() == text and not any(sign in text for sign in (sep, *'"\r\n'))
    return text if plain else '"' + text.replace('"', '""') + '"'


def _line(value: Any) -> bytes:
    return _ENCODER.encode(value).encode("utf-8", "replace")
