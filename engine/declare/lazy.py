"""The name ``F`` becomes ``pyspark.sql.functions`` when the first of them is used.

So a module of operations can be read by the check, which must not import pyspark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


class _Functions:
    def __getattr__(self, name: str) -> Any:
        from pyspark.sql import functions

        return getattr(functions, name)


if TYPE_CHECKING:
    from pyspark.sql import functions as F
else:
    F = _Functions()
