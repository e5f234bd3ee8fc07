"""Names that outputs give: to tables in statements, and to what a task writes."""

from __future__ import annotations


def quoted(name: str) -> str:
    """An identifier for SQL, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def task_name(partition: int) -> str:
    """What tells a task from the others of its micro-batch, and is the same when it runs again: a
    batch has a stage for windows, and one for the rows beside them."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return f"{context.stageId() if context is not None else 0}-{partition}"
