"""A file that lookup() asks, as a value; and what tells whether the file has changed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from engine.types import Type

CSV, JSON, MMDB = "csv", "json", "mmdb"
#: When a file was written, its length and its place on the disk.
Version: TypeAlias = tuple[int, int, int]


class TableError(Exception):
    """A table that cannot be read: a sentence for the user, without the file's name."""


@dataclass(frozen=True)
class Table:
    """A file of rows that lookup() asks by a key.

    Args:
        path: of the file, seen from the working directory.
        format: ``csv``, ``json`` or ``mmdb``.
        key: the column that is compared; of an mmdb file none, it is asked by address.
        key_type: the key's type.
        columns: those that can be looked up, or in a checked plan those that are, with their types.
            Of JSON and mmdb a column is a path into the record, ``a.b``.
        sep: csv: what stands between columns.
        names: csv without a header line: the columns in their order; None where there is one.
        held: what a run has read of it, as the Spark layer keeps it.
    """

    name: str
    path: str
    format: str
    key: str = ""
    key_type: Type = Type.STRING
    columns: Mapping[str, Type] = field(default_factory=dict)
    sep: str = ","
    names: tuple[str, ...] | None = None
    held: Any = None

    @property
    def file(self) -> str:
        """The file's name for people."""
        return os.path.basename(self.path)


def version(path: str) -> Version | None:
    """What changes when the file does; None where there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
