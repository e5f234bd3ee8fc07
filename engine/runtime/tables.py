"""The files of a query's tables become what its lookups ask, read again when a file changes."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine import plan
from engine.runtime.failure import ConfigError
from engine.tables import MMDB, Content, Table, TableError, Version, load, mmdb, version

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


class TablesChanged(Exception):
    """Raised in place of a batch whose plan has tables as they were; it begins again."""


@dataclass
class _State:
    """A table and its file.

    Args:
        seen: the version that was looked at last, good or bad.
        fresh: what was read and is not held yet: rows, or a copy of an mmdb file.
    """

    table: Table
    seen: Version | None
    fresh: Content | Path | None


class Tables:
    """The tables of a run.

    Raises:
        ConfigError: when made: a table cannot be read.
    """

    def __init__(self, query: plan.Query) -> None:
        self.query = query
        self._folder = Path(tempfile.mkdtemp(prefix="ts-engine-tables-")) if query.tables else None
        self._states: list[_State] = []
        for table in query.tables:
            seen = version(table.path)
            try:
                self._states.append(_State(table, seen, self._read(table)))
            except TableError as error:
                self.close()
                raise ConfigError(f"table '{table.name}': {table.file}: {error}") from None

    def held(self, spark: SparkSession) -> plan.Query:
        """The query, with its tables as they were read last, each ``held`` by Spark."""
        from engine.spark import tables

        for state in self._states:
            if isinstance(state.fresh, Content):
                tables.release(state.table.held)
                rows = tables.frame(spark, state.table, state.fresh)
                state.table = replace(state.table, held=rows)
            elif state.fresh is not None:
                spark.sparkContext.addFile(str(state.fresh))
                state.table = replace(state.table, held=state.fresh.name)
            state.fresh = None
        return replace(self.query, tables=tuple(state.table for state in self._states))

    def changed(self, say: Callable[[str], None]) -> bool:
        """Whether a file has changed since it was looked at, and could be read; tells either.

        One that cannot be read changes nothing: the table stays as it was.
        """
        found = False
        for state in self._states:
            now = version(state.table.path)
            if now == state.seen:
                continue
            state.seen = now
            found |= self._take(state, say)
        return found

    def _take(self, state: _State, say: Callable[[str], None]) -> bool:
        about = f"table '{state.table.name}': {state.table.file}"
        if not self.query.input.source.replays:
            say(f"{about} has changed; it is read when the run is started again")
            return False
        try:
            state.fresh = self._read(state.table)
        except TableError as error:
            say(f"{about}: {error}; going on with what was read before")
            return False
        say(f"{about} has changed and is read again")
        return True

    def _read(self, table: Table) -> Content | Path:
        if table.format != MMDB:
            return load(table, self.query.time_zone)
        # Workers map the file into memory, and it may be written over in its place.
        assert self._folder is not None
        copy = self._folder / f"{uuid.uuid4().hex}.mmdb"
        try:
            shutil.copyfile(table.path, copy)
        except OSError as error:
            raise TableError(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
        mmdb.opened(str(copy)).close()
        return copy

    def close(self) -> None:
        """Frees what was held; after this nothing can be looked up."""
        for state in self._states:
            if state.table.held is not None:
                from engine.spark import tables

                with suppress(Exception):  # of a session that is gone
                    tables.release(state.table.held)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
