"""Inputs: each module is one ``input_type``, a dataclass of its options and how Spark reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.option import option
from engine.types import Type

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

#: Tells a problem of an option: its name, the message, a hint.
Say = Callable[[str, str, str], None]


class InputError(Exception):
    """An input that cannot be read: a sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """The options that every input has, and what the engine asks of an input.

    ``frame`` gives a record a row: ``value`` (its text, string or binary), the columns of
    ``origin`` and, where a record has a time of its own, ``_recorded``.
    """

    #: Columns that say where a record came from.
    origin: ClassVar[tuple[tuple[str, Type], ...]] = ()
    #: Whether a record has a time of its own, in ``_recorded``.
    has_time: ClassVar[bool] = False
    #: Whether it can be read as a static frame (``--batch``).
    has_end: ClassVar[bool] = True
    needs_kafka: ClassVar[bool] = False
    #: Whether a batch that has begun can be read again.
    replays: ClassVar[bool] = True

    batchDuration: float = option(  # noqa: N815 - the name that configs have always used
        "seconds between micro-batches, and the size of windows that have none of their own",
        10,
        exclusive_minimum=0,
        maximum=86_400,
    )
    format: Literal["csv", "json"] = option("how a record's text is written", "csv")
    sep: str = option("csv: what stands between fields", ",", nonempty=True)

    def check(self, say: Say) -> None:
        """Tells the problems that only this input can know."""
        if any(character in self.sep for character in '"\r\n'):
            say("sep", "a separator cannot hold a quote or a line break", "")

    def frame(self, spark: SparkSession, streaming: bool, name: str) -> DataFrame:
        """The records, as a streaming or a static frame; ``name`` is the config's."""
        raise NotImplementedError

    def told(self, records: DataFrame) -> DataFrame:
        """The records with their origin as users see it: apart from ``frame``, for it may cost
        something, and is asked for by few rows."""
        return records

    def order(self) -> list[Column]:
        """Columns that sort records of one event time by the source's order."""
        raise NotImplementedError

    def probe(self) -> str | None:
        """Asks the server who it is, and reads nothing.

        Returns:
            A line for people: version, topics and the like; None where there is no server.

        Raises:
            InputError: it could not be read from.
        """
        return None

    def described(self) -> dict[str, Any]:
        """What ``explain`` tells of this input, secrets left out."""
        return {}
