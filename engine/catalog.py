"""What a config may name, collected from modules: operations, aggregations, methods, analyses."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from engine.declare import Aggregation, Declaration, Operation

OPERATION_MODULES = (
    "operations.transformation_operations",
    "operations.aggregation_operations",
)


class Conflict(Exception):
    """Two modules declare one name."""


class Methods(Mapping[str, type[Any]]):
    """The method classes of a package by name, each imported when it is asked for.

    A method's name is its module's, or, of a class that users name as one, that in capitals:
    ``RateOfChange`` is in ``rate_of_change``. To import them all, for their options, would take a
    check a tenth of its time.
    """

    def __init__(self, package: str, as_classes: bool = False) -> None:
        self._package = package
        path = importlib.import_module(package).__path__
        # A module that begins with `_` is what several methods share.
        modules = [m.name for m in pkgutil.iter_modules(path) if not m.name.startswith("_")]
        self._names = {_class_name(each) if as_classes else each: each for each in modules}

    def __getitem__(self, name: str) -> type[Any]:
        module = f"{self._package}.{self._names[name]}"
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, type) and vars(value).get("METHOD") == name:
                return value
        raise TypeError(f"{module} has no class with the METHOD '{name}'")

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _class_name(module: str) -> str:
    return "".join(part.capitalize() for part in module.split("_"))


@dataclass
class Catalog:
    """All that a config can name. Built once a config, from the modules that it names."""

    operations: dict[str, Operation] = field(default_factory=dict)
    aggregations: dict[str, Aggregation] = field(default_factory=dict)
    inputs: Mapping[str, type[Any]] = field(default_factory=dict)
    outputs: Mapping[str, type[Any]] = field(default_factory=dict)
    analyses: Mapping[str, type[Any]] = field(default_factory=dict)
    alerts: Mapping[str, type[Any]] = field(default_factory=dict)

    @classmethod
    def builtin(cls) -> Catalog:
        """What the engine brings: its operations, and each module in its packages of methods."""
        return cls.from_modules(OPERATION_MODULES)

    @classmethod
    def from_modules(cls, names: Iterable[str]) -> Catalog:
        """The declarations of these modules, with the engine's inputs and outputs.

        Raises:
            Conflict: two of the modules declare one name.
            Exception: whatever importing a module raises.
        """
        catalog = cls(
            inputs=Methods("engine.inputs"),
            outputs=Methods("engine.outputs"),
            analyses=Methods("engine.analysis", as_classes=True),
            alerts=Methods("engine.alerts"),
        )
        for name in names:
            catalog.add(importlib.import_module(name))
        return catalog

    @property
    def own(self) -> Any:
        """What makes an analysis of a user's class."""
        return importlib.import_module("engine.analysis._own")

    def add(self, module: ModuleType) -> None:
        """Adds the declarations of a module (its own, not those that it imported).

        Raises:
            Conflict: a name is taken already.
        """
        for value in vars(module).values():
            if isinstance(value, Declaration) and value.module == module.__name__:
                for name in (value.name, *value.aliases):
                    self._add(name, value)

    def _add(self, name: str, value: Declaration) -> None:
        # `mul` is both: the product of two values, and of a window's.
        table: dict[str, Any] = self.operations
        if isinstance(value, Aggregation):
            table = self.aggregations
        taken = table.get(name)
        if taken is not None and taken is not value:
            raise Conflict(f"'{name}' of {value.module} is declared by {taken.module} already")
        table[name] = value
