"""The configs that ship, the schema, the plan as text, and configs that people have had long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.catalog import Catalog
from engine.check import check
from engine.cli import main
from engine.config.schema import schema
from engine.reference import config
from engine.testing import SUFFIX

ROOT = Path(__file__).parent.parent
CONFIGS = sorted(
    path
    for path in (ROOT / "configs").glob("*.json")
    if path.name != "schema.json" and not path.name.endswith(("data_structure.json", SUFFIX))
)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_config_that_ships_is_valid(path: Path) -> None:
    assert [problem.text() for problem in check(str(path)).problems] == []


def test_the_schema_in_the_repository_is_the_one_that_the_code_gives() -> None:
    written = json.loads((ROOT / "configs" / "schema.json").read_text())
    assert written == schema(Catalog.builtin()), "ts-engine schema > configs/schema.json"


def test_the_reference_in_the_repository_is_the_one_that_the_code_gives() -> None:
    written = (ROOT / "configs" / "README.md").read_text()
    assert written == config(Catalog.builtin()), (
        "ts-engine schema --format markdown > configs/README.md"
    )


def test_the_schema_is_a_schema() -> None:
    from jsonschema import Draft7Validator

    Draft7Validator.check_schema(schema(Catalog.builtin()))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_plan_of_a_config_is_explained_as_before(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a change that is meant: ``ts-engine explain CONFIG > tests/explain/NAME.txt``."""
    assert main(["explain", str(path)]) == 0
    golden = Path(__file__).parent / "explain" / f"{path.stem}.txt"
    assert capsys.readouterr().out == golden.read_text()


SAMPLE: dict[str, Any] = {
    "input": {
        "input_type": "kafka",
        "data_structure": "config_data_structure.json",
        "options": {
            "server": "zookeeper",
            "port": 32181,
            "consumer_group": "data-consumer",
            "topic": "sensors-demo",
            "batchDuration": 10,
            "sep": ",",
        },
    },
    "outputs": [
        {
            "main": True,
            "method": "influx",
            "options": {
                "influx": {
                    "host": "influxdb",
                    "port": 8086,
                    "username": "root",
                    "password": "root",
                    "database": "sensors",
                    "measurement": "points",
                }
            },
        }
    ],
    "processing": {
        "transformation": [
            "counter: one(timestamp)",
            "sensor_id",
            "sensor_type",
            "rpm_min: rotation_speed",
            "rpm_max: rotation_speed",
            "rpm_sum: rotation_speed",
            "speed_lt: lt(rotation_speed, 1000)",
            "speed_gt: gt(rotation_speed, 4000)",
        ],
        "aggregations": {
            "operation_type": "reduceByKey",
            "rule": [
                "key: (sensor_id, sensor_type)",
                "max(rpm_max)",
                "min(rpm_min)",
                "sum(rpm_sum)",
                "sum(speed_lt)",
                "sum(speed_gt)",
                "sum(counter)",
            ],
        },
    },
    "databases": {},
}
ANALYSIS = {
    "historical": {
        "method": "influx",
        "influx_options": SAMPLE["outputs"][0]["options"]["influx"],
    },
    "alert": {"method": "kafka", "options": {"server": "kafka", "port": 29092, "topic": "alerts"}},
    "accuracy": 3,
    "rule": [
        {
            "module": "SimpleAnalysis",
            "name": "SimpleAnalysis1",
            "options": {"deviation": {"rpm_sum": 5, "rpm_max": 8}, "batch_number": 1},
        },
        {
            "module": "AverageAnalysis",
            "name": "AverageAnalysis",
            "option": {"deviation": {"rpm_sum": 4}, "num_average": 3},
        },
    ],
}
VARIANTS = {
    "as it is": {},
    "an output to look at": {"outputs": [{"method": "stdout", "options": {}}]},
    "one output in the older spelling": {
        "outputs": None,
        "output": {"method": "stdout", "options": {}},
    },
    "with an analysis": {"analysis": ANALYSIS},
    "without databases": {"databases": None},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_a_config_of_the_first_engine_is_valid_unchanged(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    whole = {name: value for name, value in (SAMPLE | changes).items() if value is not None}
    structure = (ROOT / "configs" / "config_data_structure.json").read_text()
    (tmp_path / "config_data_structure.json").write_text(structure)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(whole))
    assert [problem.text() for problem in check(str(path)).problems] == []
    assert main(["validate", str(path)]) == 0


def test_what_does_not_run_yet_is_told_and_nothing_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    structure = (ROOT / "configs" / "config_data_structure.json").read_text()
    (tmp_path / "config_data_structure.json").write_text(structure)
    path = tmp_path / "config.json"
    sample = json.loads(json.dumps(SAMPLE | {"analysis": ANALYSIS}))
    sample["processing"]["aggregations"]["window"] = {"gap": "1 minute"}
    path.write_text(json.dumps(sample))
    assert main(["run", str(path)]) == 2
    told = capsys.readouterr().err
    assert "sessions ('aggregated') are not analysed yet" in told
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "config.json",
        "config_data_structure.json",
    ]
