"""A user's class that a rule names is found, and asked whether it takes its options."""

from __future__ import annotations

import importlib
import re
from collections.abc import Collection, Iterator
from dataclasses import is_dataclass
from typing import Any

from engine.catalog import Catalog
from engine.config.build import build
from engine.config.load import Document
from engine.config.messages import schema_problem
from engine.config.schema import section_schema
from engine.source import Problems, nearest

Path = tuple[str | int, ...]


def own_rule(
    document: Document, path: Path, at: Path, name: str, catalog: Catalog, problems: Problems
) -> dict[str, Any] | None:
    """What ``engine.analysis._own.Own`` is made of; None where there is a problem.

    Args:
        path: of the rule.
        at: of its options, which may be absent.
        name: of the rule.
    """
    node = document.good(*path, "module")
    assert node is not None
    place = _place(document, (*path, "module"), str(node.value), catalog.analyses, problems)
    if place is None or document.is_wrong(*at):
        return None
    section = catalog.own.found(place)
    options = document.root.at(at)
    plain = options.plain() if options is not None else {}
    declared = getattr(section, "Options", None)
    given: Any = {n: v for n, v in plain.items() if n not in _OURS}
    if isinstance(declared, type) and is_dataclass(declared):
        if not _fits(document, path, at, declared, given, problems):
            return None
        given = build(declared, given, document.beside)
    about = at if options is not None else path
    try:
        instance = section(given, name)
    except Exception as error:
        told = f"{type(error).__name__}: {error}".split("\n")[0]
        message = f"'{section.__name__}' does not take its options"
        problems.add(document.problem(message, about, told))
        return None
    if not callable(getattr(instance, "analysis", None)):
        message = f"'{place}' has no method 'analysis'"
        hint = "analysis(self, historical_data, alert_sender)"
        problems.add(document.problem(message, (*path, "module"), hint))
        return None
    ours = {n: plain[n] for n in _OURS if n in plain}
    return {
        "place": place,
        "given": given,
        "windows": getattr(instance, "windows", catalog.own.DEPTH),
        **ours,
    }


#: Options of a rule that are the engine's.
_OURS = ("aggregation", "early", "level")


def _fits(
    document: Document, path: Path, at: Path, declared: type, given: Any, problems: Problems
) -> bool:
    """Tells what of the options is not as the class declares them."""
    from jsonschema import Draft7Validator

    fits = True
    for error in Draft7Validator(section_schema(declared)).iter_errors(given):
        place = (*at, *error.absolute_path) if document.has(*at) else path
        for problem, spoiled in schema_problem(document, error, place):
            problems.add(problem)
            document.wrong.update(spoiled)
        fits = False
    return fits


def _place(
    document: Document, at: Path, module: str, known: Collection[str], problems: Problems
) -> str | None:
    """Where the class is, as ``package.module:Class``."""
    tried = list(_candidates(module))
    for name, class_ in tried:
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
                continue
            message = f"the module '{name}' cannot be imported"
            problems.add(document.problem(message, at, f"it wants '{error.name}'"))
            return None
        except Exception as error:
            told = f"{type(error).__name__}: {error}".split("\n")[0]
            message = f"the module '{name}' cannot be imported"
            problems.add(document.problem(message, at, told))
            return None
        if isinstance(getattr(found, class_, None), type):
            return f"{name}:{class_}"
    hint = nearest(module, known)
    if not hint:
        places = ", ".join(f"{class_} in {name}" for name, class_ in tried)
        hint = f"looked for beside the config and where Python looks: {places}"
    problems.add(document.problem(f"there is no analysis '{module}'", at, hint))
    return None


def _candidates(module: str) -> Iterator[tuple[str, str]]:
    """Modules and classes that may be meant, the likeliest first."""
    if ":" in module:
        name, _, class_ = module.partition(":")
        yield name, class_
        return
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", module).lower()
    class_ = "".join(part[:1].upper() + part[1:] for part in module.split("_"))
    for name in dict.fromkeys((module, plain)):
        if name.isidentifier():
            yield f"{name}.{name}", class_
            yield name, class_
