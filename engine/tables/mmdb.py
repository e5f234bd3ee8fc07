"""A MaxMind file, opened once a process, gives what it knows of an address."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from engine.tables.table import TableError

#: How many records are looked at to know the columns that there are.
SAMPLE = 1000


@lru_cache(maxsize=16)
def reader(path: str) -> Any:
    """The open file. It must never change: a file that is replaced gets another name.

    Raises:
        TableError: it is no such file.
    """
    return opened(path)


def opened(path: str) -> Any:
    """The file, opened anew."""
    import maxminddb

    try:
        return maxminddb.open_database(path)
    except (OSError, ValueError, RuntimeError) as error:
        is_missing = isinstance(error, FileNotFoundError)
        told = "there is no such file" if is_missing else "is no MaxMind database"
        raise TableError(told) from None


def sample(path: str) -> Iterator[Any]:
    """The first records of a file."""
    from maxminddb import InvalidDatabaseError

    with opened(path) as database:
        try:
            yield from (record for _, record in islice(database, SAMPLE))
        except InvalidDatabaseError:
            raise TableError("is a damaged MaxMind database") from None


def found(database: Any, address: str) -> Any:
    """What is known of an address; None where nothing is, or it is none."""
    try:
        return database.get(address)
    except Exception:  # no address, one of IPv6 in a file of IPv4, a damaged record
        return None
