"""Turns W1's rows, in time and late, into what the ledger and the stream `late` cost.

Contenders: `plain` is W1's config, and nothing is late; `late_stream` writes the stream `late` too,
which stays empty; in `late` of every batch from the third on 2 % of the rows are late and written
there; `no_ledger` is `plain` with the ledger's counts taken out of the plan by a patch.
"""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import rounds, tables, traced
from benchmarks.rounds import Contender, Figures, Run
from benchmarks.w1 import data
from benchmarks.w1 import run as w1

LATE = data.Kind("w1-late", far_back=5)
LATENESS = 10
"""Seconds, of W1's config; its windows are as long."""

YARDSTICK = "plain"


@dataclass(frozen=True)
class Variant:
    """How a contender differs from W1."""

    kind: data.Kind = data.W1
    streams: tuple[str, ...] = ("aggregated",)
    ledger: bool = True


VARIANTS = {
    YARDSTICK: Variant(),
    "late_stream": Variant(streams=("aggregated", "late")),
    "late": Variant(kind=LATE, streams=("aggregated", "late")),
    "no_ledger": Variant(ledger=False),
}

# A batch refuses rows by the watermark that the batch before began with: the latest time of all
# batches up to the one before that, less the lateness.
_JUDGED = """
CREATE TABLE judged AS
WITH batches AS (SELECT *, filename // {files_per_batch} AS batch FROM rows),
watermarks AS (
    SELECT batch + 2 AS batch, max(max(timestamp)) OVER (ORDER BY batch) - {lateness} AS watermark
    FROM batches GROUP BY batch
)
SELECT batches.*, timestamp // 10 * 10 + 10 <= coalesce(watermark, 0) AS is_late
FROM batches LEFT JOIN watermarks USING (batch)
"""
_FIELDS = "sensor_id, sensor_type, pressure, temperature, rotation_speed, torque"
_LATE = f"""
SELECT {tables.iso("timestamp // 10 * 10")}, timestamp, {_FIELDS}, batch
FROM judged WHERE is_late ORDER BY ALL
"""
_FOUND_LATE = f"""
SELECT window_start, timestamp, {_FIELDS}, _batch FROM late
ORDER BY window_start, timestamp, {_FIELDS}, _batch
"""


def main(arguments: Sequence[str]) -> int:
    """The exit status: 0 done, 1 a contender failed or its results are not DuckDB's."""
    parser = rounds.parser("ledger", __doc__, list(VARIANTS), list(VARIANTS))
    options = parser.parse_args(arguments)

    def contenders() -> Mapping[str, Contender]:
        w1.warm_up()
        return {
            name: contender(VARIANTS[name], options.scale, options.files_per_batch)
            for name in options.contenders
        }

    return rounds.hold(options, contenders, functools.partial(_summary, options.scale))


def contender(variant: Variant, scale: float, files_per_batch: int) -> Contender:
    """Runs W1's config as the variant has it, over rows of its kind."""
    rows = data.files(scale, variant.kind)
    connection = data.table(rows)
    connection.execute(_JUDGED.format(files_per_batch=files_per_batch, lateness=LATENESS))
    windows = connection.execute(
        data.ANSWER.format(rows="(FROM judged WHERE NOT is_late)")
    ).fetchall()
    late = connection.execute(_LATE).fetchall()
    connection.close()

    def run(folder: Path) -> Figures:
        config = folder / "config.json"
        config.write_text(json.dumps(_config(variant.streams)))
        figures = traced.engine(folder, config, rows, scale, files_per_batch, ledger=variant.ledger)
        tables.same(folder / "result.sqlite", w1.RESULT, windows)
        if "late" in variant.streams:
            tables.same(folder / "result.sqlite", _FOUND_LATE, late)
        return figures

    return run


def _config(streams: Sequence[str]) -> dict[str, Any]:
    """W1's config, with other streams in its output."""
    config: dict[str, Any] = json.loads((w1.HERE / "engine_config.json").read_text())
    config["outputs"][0]["streams"] = list(streams)
    return config


def _summary(scale: float, runs: Sequence[Run]) -> str:
    found = rounds.by_contender(runs)
    ratio = functools.partial(rounds.ratios, found, steady=True)
    lines = [
        rounds.costs(runs, data.rows_at(scale) / 1e6, YARDSTICK),
        "",
        rounds.goal("nothing late, with the stream 'late'", ratio("late_stream", YARDSTICK), 1.02),
        rounds.goal("late rows in every batch", ratio("late", YARDSTICK), 1.25),
        f"the ledger's counts, times without them: {rounds.spread(ratio(YARDSTICK, 'no_ledger'))}",
        "",
        rounds.ABOUT_STEADY,
    ]
    return "\n".join(lines)
