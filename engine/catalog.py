"""What a config may name, collected from modules: operations, aggregations, inputs and outputs."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass, field, is_dataclass
from types import ModuleType
from typing import Any

from engine.declare import Aggregation, Declaration, Operation

OPERATION_MODULES = (
    "operations.transformation_operations",
    "operations.aggregation_operations",
)
METHOD_PACKAGES = {"inputs": "engine.inputs", "outputs": "engine.outputs"}


class Conflict(Exception):
    """Two modules declare one name."""


@dataclass
class Catalog:
    """All that a config can name. Built once a config, from the modules that it names."""

    operations: dict[str, Operation] = field(default_factory=dict)
    aggregations: dict[str, Aggregation] = field(default_factory=dict)
    inputs: dict[str, type[Any]] = field(default_factory=dict)
    outputs: dict[str, type[Any]] = field(default_factory=dict)

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
        catalog = cls(inputs=_methods("inputs"), outputs=_methods("outputs"))
        for name in names:
            catalog.add(importlib.import_module(name))
        return catalog

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


def _methods(kind: str) -> dict[str, type[Any]]:
    """The method classes of a package, by their ``METHOD``: one module each."""
    package = importlib.import_module(METHOD_PACKAGES[kind])
    found: dict[str, type[Any]] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("_"):
            continue  # what several methods share
        content = vars(importlib.import_module(f"{package.__name__}.{module.name}"))
        for value in content.values():
            if isinstance(value, type) and is_dataclass(value) and "METHOD" in vars(value):
                found[vars(value)["METHOD"]] = value
    return found
