"""The engine and a user's modules reach executors that do not have them."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from pyspark import cloudpickle
from pyspark.sql import SparkSession

_OWN = ("engine", "operations")


def ship(spark: SparkSession, modules: Iterable[str]) -> None:
    """Makes the engine and the user's modules importable where tasks run.

    On one machine, modules that lie beside the config are sent with the functions that use them. On
    a cluster a zip of the packages is added to the job; what ``--py-files`` has brought already is
    a zip itself, and is left alone.
    """
    if str(spark.sparkContext.master).startswith("local"):
        for name in modules:
            cloudpickle.register_pickle_by_value(importlib.import_module(name))
        return
    packages = sorted({name.split(".")[0] for name in (*_OWN, *modules)})
    found = {name: path for name in packages if (path := _source(name)) is not None}
    if found:
        spark.sparkContext.addPyFile(str(_zipped(found)))


def _source(package: str) -> Path | None:
    """The folder or file of a top-level package; None inside a zip or wheel."""
    module = sys.modules.get(package) or importlib.import_module(package)
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
    if file is None or not os.path.exists(file):
        return None
    path = Path(file)
    return path.parent if path.name == "__init__.py" else path


def _zipped(packages: dict[str, Path]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="ts-engine-"))
    target = folder / "ts-engine-modules.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in packages.items():
            if path.is_file():
                archive.write(path, path.name)
                continue
            for file in sorted(path.rglob("*.py")):
                archive.write(file, Path(name) / file.relative_to(path))
    return target
