"""Turns the rows into what each aggregation of the config should give, by DuckDB."""

from dataclasses import dataclass
from typing import Any

import duckdb

from benchmarks import tables


@dataclass(frozen=True)
class Windows:
    """An aggregation in SQL: seconds of a window, its keys, its measures by name, its condition.

    A window begins `shift` seconds before a multiple of its size.
    """

    seconds: int
    keys: tuple[str, ...]
    measures: dict[str, str]
    where: str = "true"
    shift: int = 0

    def expected(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
        """The windows by their keys and start."""
        start = f"(timestamp + {self.shift}) // {self.seconds} * {self.seconds} - {self.shift}"
        columns = ", ".join([*self.keys, tables.iso(start), *self.measures.values()])
        query = f"SELECT {columns} FROM rows WHERE {self.where} GROUP BY "
        return connection.execute(
            f"{query} {', '.join([*self.keys, start])} ORDER BY ALL"
        ).fetchall()

    def found(self, name: str) -> str:
        """The query over the engine's table that gives the same."""
        order = ", ".join([*self.keys, "window_start"])
        return f"SELECT {order}, {', '.join(self.measures)} FROM {name} ORDER BY {order}"


_DAY = 24 * 60 * 60

# All values are whole numbers, so that sums of doubles are exact in any order, and means with them.
AGGREGATIONS = {
    "rotation": Windows(
        10,
        ("sensor_id", "sensor_type"),
        {
            "rpm_max": "max(rotation_speed)",
            "rpm_min": "min(rotation_speed)",
            "rpm_sum": "sum(rotation_speed)",
            "slow": "count(*) FILTER (rotation_speed < 1000)",
            "fast": "count(*) FILTER (rotation_speed > 4000)",
            "counter": "count(*)",
        },
    ),
    "heat": Windows(
        30, ("sensor_id",), {"temperature": "max(temperature)", "mean": "avg(temperature)"}
    ),
    "minute": Windows(
        60,
        ("sensor_type",),
        {"pressure": "max(pressure)", "mean": "avg(torque)", "counter": "count(*)"},
    ),
    "strained": Windows(
        60,
        ("sensor_id",),
        {"torque": "sum(torque)", "counter": "count(*)"},
        where="torque > 700 AND rotation_speed > 2500",
    ),
    "first_type": Windows(
        300,
        ("sensor_id",),
        {"pressure": "min(pressure)", "spread": "max(torque) - min(torque)"},
        where="sensor_type = 'seal.t1'",
    ),
    "hot": Windows(
        10,
        (),
        {"counter": "count(*)", "temperature": "max(temperature)"},
        where="temperature > 800",
    ),
    "quarter": Windows(
        900,
        (),
        {
            "rotation_speed": "max(rotation_speed)",
            "pressure": "sum(pressure)",
            "counter": "count(*)",
        },
    ),
    # Athens is two hours ahead in November, when all rows are.
    "day": Windows(
        _DAY,
        ("sensor_type",),
        {"rotation_speed": "sum(rotation_speed)", "counter": "count(*)"},
        shift=2 * 60 * 60,
    ),
}
