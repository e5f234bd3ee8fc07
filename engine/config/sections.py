"""The sections of a config as dataclasses: schema, check and reference are made from these."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from engine.option import option
from engine.types import FIELD_TYPES


@dataclass(frozen=True, kw_only=True)
class DataField:
    """One field of the data structure."""

    index: int | None = option("csv: the column, from 0", None, minimum=0, maximum=9999)
    type: str = option("the field's type", choices=tuple(FIELD_TYPES))
    path: str | None = option(
        "json: where the member is; its own name when absent", None, nonempty=True, example="a.b"
    )
    format: str | None = option(
        "how a timestamp is written, in Spark's pattern letters; ISO 8601 when absent",
        None,
        nonempty=True,
        example="dd.MM.yyyy HH:mm:ss",
    )


@dataclass(frozen=True, kw_only=True)
class InputSection:
    """Where records come from, and what fields they have."""

    input_type: str = option("how records arrive", extra={"methods": "inputs"})
    data_structure: str | dict[str, DataField] = option(
        "the records' fields: a path relative to the config, or the object itself",
        example={"sensor_id": {"index": 0, "type": "LongType"}},
        nonempty=True,
    )
    options: dict[str, Any] = option("the options of this input_type", {})


@dataclass(frozen=True, kw_only=True)
class OutputSection:
    """One output and the streams that it takes."""

    method: str = option("where rows are written", extra={"methods": "outputs"})
    options: dict[str, Any] = option("the options of this method", {})
    streams: tuple[str, ...] = option(
        "what it takes: names of aggregations, 'aggregated' (all of them), 'raw', 'late', "
        "'malformed', 'alerts'",
        ("aggregated",),
        nonempty=True,
    )
    main: bool = option("this output answers the analysis' questions about the past", False)


@dataclass(frozen=True, kw_only=True)
class WindowSection:
    """Windows other than tumbling ones of a fixed size."""

    size: str | None = option(
        "how long a window is; months are a calendar's, days and weeks are with a time_zone",
        None,
        format="window",
        example="1 day",
    )
    slide: str | None = option(
        "hopping: how far the starts of windows are apart, at most size",
        None,
        format="duration",
        example="10 minutes",
    )
    gap: str | None = option(
        "session: a window lasts as long as rows of a key follow each other by less than this",
        None,
        format="duration",
        example="30 minutes",
    )
    time_zone: str | None = option(
        "the zone whose days, weeks (from Monday) and months are meant: with the hour more or "
        "less of its summer time",
        None,
        example="Europe/Athens",
    )


@dataclass(frozen=True, kw_only=True)
class AggregationSection:
    """How rows are aggregated in windows."""

    name: str | None = option(
        "the name of its stream; 'aggregated' for a single one without a name", None, nonempty=True
    )
    operation_type: Literal["reduce", "reduceByKey"] | None = option(
        "with a key or without; by default as its rules say", None
    )
    where: str | None = option(
        "a condition; other rows are filtered", None, format="rule", example="speed > 0"
    )
    window: str | WindowSection | None = option(
        "the windows' size, of fixed time from 1970-01-01T00:00:00Z on; batchDuration when absent",
        None,
        format="window",
        example="1 day",
    )
    rule: tuple[str, ...] = option(
        "the key, and the measures",
        nonempty=True,
        format="rule",
        example=["key: sensor_id", "max(temperature)", "spread: max(v) - min(v)"],
    )
    fill: Literal["previous", "null", "linear"] = option(
        "how windows that are missing count in delta, increase and rate: 'previous' goes on from "
        "the last one there is, 'null' gives null behind a missing one, 'linear' gives each of "
        "them its share",
        "previous",
    )


@dataclass(frozen=True, kw_only=True)
class DeduplicateSection:
    """Rows that repeat one that came before are not aggregated, and counted."""

    by: tuple[str, ...] = option(
        "the fields that are equal in duplicates; a row with a null in one is none", nonempty=True
    )
    within: str = option("how far apart in event time duplicates may be", format="duration")


@dataclass(frozen=True, kw_only=True)
class ProcessingSection:
    """What is computed."""

    event_time: str | None = option(
        "the field that says when a row happened: a timestamp, or epoch seconds; "
        "the record's own time or its arrival when absent",
        None,
        nonempty=True,
    )
    time_zone: str = option("the zone of times without one, and of hours and days", "UTC")
    allowed_lateness: str = option(
        "how long after a window's end its rows still count", "0 seconds", format="duration"
    )
    max_future: str | None = option(
        "a row dated further ahead of its arrival is malformed; null for no limit",
        "1 day",
        format="duration",
    )
    deduplicate: DeduplicateSection | None = option("which rows repeat another one", None)
    transformation: tuple[str, ...] = option(
        "rules that compute fields, in order",
        (),
        format="rule",
        example=["celsius: (fahrenheit - 32) / 1.8"],
    )
    aggregations: AggregationSection | tuple[AggregationSection, ...] = option(
        "one aggregation, or a list of them", ()
    )


@dataclass(frozen=True, kw_only=True)
class DatabaseSection:
    """A table for lookup()."""

    path: str = option(
        "a csv, json or mmdb file, relative to the config; it is read again when it changes",
        nonempty=True,
        example="cars.csv",
    )
    key: str | None = option(
        "csv and json: the column that lookup() compares, the first one when absent; a key stands "
        "in one row",
        None,
        nonempty=True,
    )
    columns: dict[str, str] = option(
        "the types of columns where they are not what the file's values look like; json and mmdb: "
        "a column is a path such as 'country.iso_code'",
        {},
        values=tuple(FIELD_TYPES),
        example={"zip": "string"},
    )
    sep: str = option("csv: the character between columns", ",", pattern='^[^"\\r\\n]$')
    header: bool = option(
        "csv: whether the first line names the columns; else 'columns' has all, in order", True
    )


@dataclass(frozen=True, kw_only=True)
class AlertSection:
    """Where alerts go."""

    method: str = option("how alerts are sent", extra={"methods": "alerts"})
    options: dict[str, Any] = option("the options of this method", {})
    levels: tuple[Literal["info", "warn", "crit"], ...] = option(
        "alerts of these levels, and what ends them; all when absent", (), nonempty=True
    )
    rules: tuple[str, ...] = option("alerts of these rules; all when absent", (), nonempty=True)


@dataclass(frozen=True, kw_only=True)
class HistoricalSection:
    """The store that answers what a value was some windows ago."""

    method: Literal["influx"] = option("the kind of the store")
    influx_options: dict[str, Any] = option("as an influx output's")


@dataclass(frozen=True, kw_only=True)
class AnalysisRuleSection:
    """One rule of the analysis."""

    module: str = option(
        "a built-in analysis, or a class of yours",
        nonempty=True,
        extra={"methods": "analyses", "others": True},
    )
    name: str = option("its name in alerts", nonempty=True)
    options: dict[str, Any] = option("the options of this module", {}, aliases=("option",))
    on_error: Literal["tell", "stop"] = option(
        "what happens when a class of yours raises: it is told and counted, or the run stops",
        "tell",
    )


@dataclass(frozen=True, kw_only=True)
class AnalysisSection:
    """What is alarming."""

    historical: str | HistoricalSection | None = option(
        "the name of the output that answers, or a store; the main output when absent", None
    )
    alert: AlertSection | tuple[AlertSection, ...] | None = option(
        "where alerts go: one target, or a list of them", None
    )
    accuracy: float = option("seconds by which a historical value may be off", 3, minimum=0)
    rule: tuple[AnalysisRuleSection, ...] = option("the rules", (), nonempty=True)


@dataclass(frozen=True, kw_only=True)
class EngineSection:
    """Settings of the engine itself; nobody needs them at first."""

    spark: dict[str, str | float | bool] = option(
        "settings of the Spark session",
        {},
        example={"spark.driver.memory": "4g"},
    )
    jars: str | None = option(
        "a folder of jars to take before any are fetched, relative to the config", None
    )


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """A whole config."""

    schema: str | None = option("for editors: the path of schema.json", None, name="$schema")
    name: str | None = option("the job's name; the file's when absent", None, nonempty=True)
    modules: tuple[str, ...] = option("Python modules that declare operations", ())
    input: InputSection = option("where records come from")
    outputs: tuple[OutputSection, ...] | None = option(
        "where rows are written", None, nonempty=True
    )
    output: OutputSection | None = option("the older spelling of outputs with one entry", None)
    processing: ProcessingSection = option("what is computed")
    databases: dict[str, str | DatabaseSection] = option(
        "tables for lookup(), by name: a file's path, or more about it",
        {},
        example={"cars": "cars.csv"},
    )
    analysis: AnalysisSection | None = option("what is alarming", None)
    engine: EngineSection | None = option("settings of the engine itself", None)
