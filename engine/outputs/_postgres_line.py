"""A connection to PostgreSQL that is made again when it is lost; errors as what they mean."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from engine.config.durations import milliseconds
from engine.outputs import OutputError
from engine.outputs._patience import PassingError, Patience, RowError

if TYPE_CHECKING:
    from engine.outputs.postgres import Postgres

T = TypeVar("T")

#: Seconds that a server has, beyond the timeout, to say itself that it was exceeded.
_GRACE = 5.0
#: SQLSTATEs, or how they begin, of what may pass: connections, resources (a full disk, too many
#: clients), deadlocks, locks, a standby that is yet to take over, a timeout, a server that stops
#: or starts, its disk.
_PASSING = ("08", "53", "40", "55P03", "25006", "57014", "57P01", "57P02", "57P03", "57P05", "58")
#: Of what is wrong with a row: its values, the table's constraints, the size of its key, the same
#: window twice, what a trigger raises.
_ROWS = ("22", "23", "54000", "21000", "44000", "P0001")
#: While a connection is made there is no SQLSTATE, only words.
_WORDS = {
    "28P01": r"authentication failed|no password supplied|pg_hba\.conf|role .* does not exist|"
    r"not permitted to log in|requires authentication",
    "3D000": r"database .* does not exist",
    "42501": r"permission denied",
    "0A000": r"does not support SSL|certificate|private key|root\.crt|invalid \w+ value",
}
_CURES = {
    "28P01": "; check 'username' and 'password'",
    "28000": "; check 'username' and 'password'",
    "3D000": "; make it, or check 'database'",
    "3F000": "; make it, or check 'schema'",
    "42501": "; grant it to the user {user}",
    "42P10": "; the table has another key: name another schema, or drop the table",
    "42804": "; the table has other types: name another schema, or drop the table",
}


@dataclass
class Line:
    """A connection that is there when it is needed.

    Args:
        target: says where.
        patience: how the server is waited for.
    """

    target: Postgres
    patience: Patience
    connection: psycopg.Connection[Any] | None = None
    stopped: bool = False

    def call(self, act: Callable[[psycopg.Connection[Any]], T]) -> T:
        """What ``act`` gives; it is done again, whole, where it failed by what passes.

        Raises:
            RowError: the server refuses what is written.
            OutputError: it cannot be done.
        """
        return self.patience.call(partial(self.attempt, act))

    def attempt(self, act: Callable[[psycopg.Connection[Any]], T]) -> T:
        """As ``call``, once; what may pass is a ``PassingError``."""
        if self.stopped:
            raise OutputError(f"{self.patience.who}: the task has ended")
        try:
            if self.connection is None:
                self.connection = connect(self.target)
            return act(self.connection)
        except psycopg.Error as error:
            raise self._meant(error) from error
        except OSError as error:
            # What is broken is found by the next look at the connection.
            self.close()
            raise PassingError(str(error).lower()) from error

    def _meant(self, error: psycopg.Error) -> Exception:
        told = error.diag.message_primary or _short(str(error))
        state = error.sqlstate or (_by_words(told) if self.connection is None else None)
        if state is not None and state.startswith(_ROWS):
            return RowError(told)
        self.close()
        if state is not None and state.startswith(_PASSING):
            return PassingError(told)
        if state is None and isinstance(error, psycopg.OperationalError):
            return PassingError(told)
        cure = _CURES.get(state or "", "").format(user=f"'{self.target.username}'")
        return OutputError(f"{self.patience.who}: {told}{cure}")

    def stop(self) -> None:
        """Whoever waits for the server, in another thread, gives up."""
        self.stopped = True
        self.close()

    def close(self) -> None:
        if self.connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                self.connection.close()
            self.connection = None


def connect(target: Postgres) -> psycopg.Connection[Any]:
    """A connection that commits each statement, with the target's timeout.

    Nothing is prepared at the server: a pooler may give the next statement to another one.
    """
    seconds = milliseconds(target.timeout) / 1000
    known: dict[str, Any] = {
        "host": target.host,
        "port": target.port,
        "dbname": target.database,
        "user": target.username,
        "password": target.password,
        "sslmode": target.sslmode,
        "application_name": "ts-engine",
        "connect_timeout": max(2, round(seconds)),
        **{name: _text(value) for name, value in target.parameters.items()},
        "client_encoding": "UTF8",
    }
    given = {name: value for name, value in known.items() if value is not None}
    made: psycopg.Connection[Any] = psycopg.Connection.connect(
        **given, autocommit=True, prepare_threshold=None
    )
    try:
        with limited(made, target):
            made.execute(
                "SELECT set_config('statement_timeout', %s, false), "
                "set_config('TimeZone', 'UTC', false)",
                [f"{milliseconds(target.timeout)}ms"],
            )
    except BaseException:
        made.close()
        raise
    return made


@contextmanager
def limited(connection: psycopg.Connection[Any], target: Postgres) -> Iterator[Callable[[], None]]:
    """Hangs up when the block takes longer than the timeout, counted from the last call of what it
    is given: a network that swallows everything tells nobody."""
    seconds = milliseconds(target.timeout) / 1000 + _GRACE
    timers: list[threading.Timer] = []

    def begin() -> None:
        while timers:
            timers.pop().cancel()
        timers.append(threading.Timer(seconds, _hang_up, [connection]))
        timers[0].daemon = True
        timers[0].start()

    begin()
    try:
        yield begin
    finally:
        timers[0].cancel()


def _hang_up(connection: psycopg.Connection[Any]) -> None:
    """Whoever waits for an answer finds the connection at its end."""
    with contextlib.suppress(psycopg.Error, OSError):
        line = socket.socket(fileno=connection.fileno())
        try:
            line.shutdown(socket.SHUT_RDWR)
        finally:
            line.detach()


def _text(value: str | float | bool) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def _by_words(told: str) -> str | None:
    """The SQLSTATE of a connection that was refused; None: it may pass."""
    return next((state for state, words in _WORDS.items() if re.search(words, told)), None)


def _short(told: str) -> str:
    """What a client says, without the way there.

    Example:
        >>> _short('connection failed: connection to server at "db", port 1 failed: Connection '
        ...        'refused\\n\\tIs the server running on that host?')
        'connection refused'
        >>> _short('connection failed: FATAL:  database "nope" does not exist')
        'database "nope" does not exist'
    """
    line = re.sub(r"^connection failed: ", "", told.strip().splitlines()[0])
    line = re.sub(r"^connection to server .*? failed: ", "", line)
    line = re.sub(r"^(FATAL|ERROR):\s+", "", line)
    return line[:1].lower() + line[1:]
