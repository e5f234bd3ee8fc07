"""The engine and a user's modules reach the Python workers that do not have them."""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyspark.sql import SparkSession

_OWN = ("engine", "operations")


def ship(spark: SparkSession, modules: Iterable[str]) -> None:
    """Makes the engine and the user's modules importable where tasks run.

    On one machine, workers get the folders in which this process found them: beside the config, or
    a checkout that is not installed. On a cluster a zip of the packages is added to the job; what
    ``--py-files`` has brought is a zip or wheel itself, which Spark ships already.
    """
    packages = sorted({name.split(".")[0] for name in (*_OWN, *modules)})
    found = {name: path for name in packages if (path := _source(name)) is not None}
    context = spark.sparkContext
    if str(context.master).startswith("local") and "cluster" not in str(context.master):
        installed = sysconfig.get_path("purelib")
        folders = [str(path.parent) for path in found.values() if str(path.parent) != installed]
        known = context.environment.get("PYTHONPATH", "").split(os.pathsep)
        paths = dict.fromkeys([*folders, *filter(None, known)])
        context.environment["PYTHONPATH"] = os.pathsep.join(paths)
    elif found:
        context.addPyFile(str(_zipped(found)))


def _source(package: str) -> Path | None:
    """The folder or file of a top-level package; None inside a zip or wheel."""
    module = sys.modules.get(package) or importlib.import_module(package)
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
    if file is None or not os.path.exists(file):
        return None
    path = Path(file).resolve()
    return path.parent if path.name == "__init__.py" else path


def _zipped(packages: Mapping[str, Path]) -> Path:
    target = Path(tempfile.mkdtemp(prefix="ts-engine-")) / "ts-engine-modules.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in packages.items():
            if path.is_file():
                archive.write(path, path.name)
                continue
            for file in sorted(path.rglob("*.py")):
                archive.write(file, Path(name) / file.relative_to(path))
    return target
