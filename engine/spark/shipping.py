"""The engine and a user's modules reach the Python workers that do not have them."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from pyspark import SparkContext
from pyspark.sql import SparkSession

_OWN = ("engine", "operations")


def ship(spark: SparkSession, modules: Iterable[str]) -> None:
    """Makes the engine and the user's modules importable where tasks run.

    On one machine, workers get the places in which this process found them: a folder beside the
    config, a checkout that is not installed, an archive of ``--py-files``. On a cluster a zip of
    the packages is added to the job. Archives of ``--py-files`` Spark ships by itself, but workers
    import only from those whose names end as it likes: a wheel goes again, under such a name.
    """
    names = sorted({name.split(".")[0] for name in (*_OWN, *modules)})
    found = {name: place for name in names if (place := _place(name)) is not None}
    context = spark.sparkContext
    if str(context.master).startswith("local") and "cluster" not in str(context.master):
        _let_import(context, {str(place.parent) for place in found.values()})
        return
    packages = {name: place for name, place in found.items() if place.exists()}
    if packages:
        context.addPyFile(str(_zipped(packages)))
    for archive in sorted({place.parent for place in found.values() if not place.exists()}):
        if archive.suffix.lower() not in context.PACKAGE_EXTENSIONS:
            context.addPyFile(str(_renamed(archive)))


def _let_import(context: SparkContext, places: Iterable[str]) -> None:
    """Puts places, but for where everything is installed, on the path of this machine's workers."""
    wanted = sorted(set(places) - {sysconfig.get_path("purelib")})
    known = context.environment.get("PYTHONPATH", "").split(os.pathsep)
    paths = dict.fromkeys([*wanted, *filter(None, known)])
    context.environment["PYTHONPATH"] = os.pathsep.join(paths)


def _place(package: str) -> Path | None:
    """The folder or file of a top-level package, which may lie in an archive; None of no file."""
    module = sys.modules.get(package) or importlib.import_module(package)
    file = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), None)
    if file is None:
        return None
    path = Path(file).resolve()
    place = path.parent if path.name.startswith("__init__.") else path
    return place if place.exists() or place.parent.is_file() else None


def _zipped(packages: Mapping[str, Path]) -> Path:
    target = _temporary("ts-engine-modules.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in packages.items():
            if path.is_file():
                archive.write(path, path.name)
                continue
            for file in sorted(path.rglob("*.py")):
                archive.write(file, Path(name) / file.relative_to(path))
    return target


def _renamed(archive: Path) -> Path:
    return Path(shutil.copyfile(archive, _temporary(f"{archive.name}.zip")))


def _temporary(name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix="ts-engine-")) / name
