"""Windows that are asked for become those that series hold, thousands in one go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.outputs import OutputError, Reader, Stream
from engine.outputs._patience import Patience
from engine.outputs._redis_key import KeyTemplate
from engine.outputs._redis_series import Rows
from engine.outputs._redis_server import RedisServer
from engine.plan import WINDOW_START
from engine.types import Type

if TYPE_CHECKING:
    import pyarrow as pa

#: Commands that are sent together.
_AT_ONCE = 2000


@dataclass(frozen=True)
class Reading:
    """Makes readers on executors. It is pickled."""

    server: RedisServer
    template: KeyTemplate
    patience: Patience

    def __call__(self) -> Reader:
        return RedisReader(self)


class RedisReader:
    """One TS.RANGE for each window and measure, sent together: 10,000 take 0.12 s however many
    series there are. TS.MRANGE reads every series of the stream, in half that time where all
    are asked for. No value of a key becomes part of a filter."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.client = reading.server.client()

    def find(self, stream: Stream, asked: pa.RecordBatch, accuracy_ms: int) -> pa.RecordBatch:
        import pyarrow as pa

        rows = Rows(self.reading.template, stream, asked)
        starts: list[int] = rows.starts.to_pylist()
        held = [
            list(self._ranges(rows.keys(measure).to_pylist(), starts, accuracy_ms))
            for measure in stream.measures
        ]
        found = [_nearest(start, [each[row] for each in held]) for row, start in enumerate(starts)]
        columns = [
            _array(column.type, [each[row].get(time) for row, time in enumerate(found)])
            for column, each in zip(stream.answer[1:], held, strict=True)
        ]
        times = pa.array(
            [time if time is None else time * 1000 for time in found], pa.timestamp("us", "UTC")
        )
        return pa.RecordBatch.from_arrays([times, *columns], [WINDOW_START, *stream.measures])

    def _ranges(
        self, keys: Sequence[str], starts: Sequence[int], accuracy_ms: int
    ) -> Iterator[dict[int | None, float]]:
        """The samples about each start, by time; none of a series that there is not."""
        commands = [
            ["TS.RANGE", key, max(0, start - accuracy_ms), max(0, start + accuracy_ms)]
            for key, start in zip(keys, starts, strict=True)
        ]
        patience = self.reading.patience
        for first in range(0, len(commands), _AT_ONCE):
            part = commands[first : first + _AT_ONCE]
            answers = patience.call(partial(self.client.ask_all, part))
            for start, answer in zip(starts[first : first + _AT_ONCE], answers, strict=True):
                if isinstance(answer, Exception) or start + accuracy_ms < 0:
                    _judge(answer, patience)
                    yield {}
                else:
                    yield {int(time): float(value) for time, value in answer}

    def close(self) -> None:
        self.client.close()


def _judge(answer: Any, patience: Patience) -> None:
    """A series that is not there, or is none, holds no window; all else is told."""
    known = ("does not exist", "is not a TSDB key", "WRONGTYPE")
    if isinstance(answer, Exception) and not any(part in str(answer) for part in known):
        raise OutputError(f"{patience.who}: {answer}")


def _nearest(start: int, held: Sequence[dict[int | None, float]]) -> int | None:
    """The time of any sample that is nearest; of two, the earlier one."""
    times = [time for each in held for time in each if time is not None]
    return min(times, key=lambda time: (abs(time - start), time), default=None)


def _array(of: Type, values: Sequence[float | None]) -> pa.Array:
    """Doubles as the measure's type."""
    import pyarrow as pa

    from engine.spark.arrow import ARROW

    found = pa.array(values, pa.float64())
    return found.cast(ARROW[of], safe=False)
