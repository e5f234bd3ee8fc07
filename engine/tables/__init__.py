"""Tables for lookup(): files of rows become types for the check, and columns for a run."""

from engine.tables.content import Content, load
from engine.tables.sample import Known, known
from engine.tables.table import CSV, JSON, MMDB, Table, TableError, Version, version

__all__ = [
    "CSV",
    "JSON",
    "MMDB",
    "Content",
    "Known",
    "Table",
    "TableError",
    "Version",
    "known",
    "load",
    "version",
]
