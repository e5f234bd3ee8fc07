"""The command ``ts-engine``: words of a command line become calls, and an exit status."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine import __version__

if TYPE_CHECKING:
    from engine.check import Checked
    from engine.plan import Query

DONE, FAILED, MISTAKE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        0 done; 1 the run failed, or its ledger does not close; 2 the user's mistake.
    """
    asked = _parser().parse_args(arguments)
    try:
        status: int = asked.command(asked)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads any more (`| head`). What Python would flush at its end goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ts-engine",
        description="Runs a JSON config as a Spark Structured Streaming job.",
    )
    parser.add_argument("--version", action="version", version=f"ts-engine {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    validate = commands.add_parser("validate", help="check configs, without a JVM")
    validate.add_argument("configs", nargs="+", metavar="CONFIG")
    validate.add_argument("--format", choices=("text", "json"), default="text")
    validate.set_defaults(command=_validate)

    servers = commands.add_parser(
        "check-servers", help="ask the servers of a config who they are; writes nothing"
    )
    servers.add_argument("config", metavar="CONFIG")
    servers.set_defaults(command=_check_servers)

    explain = commands.add_parser("explain", help="show the typed plan of a config")
    explain.add_argument("config", metavar="CONFIG")
    explain.set_defaults(command=_explain)

    run = commands.add_parser("run", help="run a config")
    run.add_argument("config", metavar="CONFIG")
    how = run.add_mutually_exclusive_group()
    how.add_argument("--once", action="store_true", help="take what is there, then stop")
    how.add_argument("--batch", action="store_true", help="the same plan over a static input")
    run.add_argument("--checkpoint", metavar="DIR", help="where the run's state is kept")
    run.add_argument(
        "--reset",
        action="store_true",
        help="begin anew: delete what the checkpoint holds; outputs keep their rows",
    )
    run.add_argument("--master", metavar="URL", help="Spark's master; all local cores by default")
    run.add_argument(
        "--report", metavar="FILE", help="write the balance as JSON, also while running"
    )
    run.set_defaults(command=_run)

    verify = commands.add_parser(
        "verify", help="run as a stream and as a batch, and compare them window by window"
    )
    verify.add_argument("config", metavar="CONFIG")
    verify.add_argument(
        "--master", metavar="URL", help="Spark's master; all local cores by default"
    )
    verify.set_defaults(command=_verify)

    test = commands.add_parser("test", help="run the tests of configs")
    test.add_argument(
        "paths", nargs="*", metavar="PATH", help="files of tests, configs, or folders of them"
    )
    test.add_argument(
        "--update", action="store_true", help="write what comes out where nothing is expected yet"
    )
    test.add_argument(
        "--update-failing",
        action="store_true",
        help="write what comes out in the place of what is not as expected",
    )
    test.add_argument("--format", choices=("text", "json"), default="text")
    test.add_argument("--master", metavar="URL", help="Spark's master; all local cores by default")
    test.set_defaults(command=_test)

    schema = commands.add_parser("schema", help="the JSON Schema of a config, or its reference")
    schema.add_argument("--format", choices=("json", "markdown"), default="json")
    schema.add_argument("--tests", action="store_true", help="that of a file of tests instead")
    schema.set_defaults(command=_schema)

    operations = commands.add_parser("operations", help="the reference of the DSL")
    operations.add_argument("names", nargs="*", metavar="NAME", help="only these")
    operations.add_argument(
        "--module", action="append", default=[], help="with the operations of this module"
    )
    operations.set_defaults(command=_operations)
    return parser


def _validate(asked: argparse.Namespace) -> int:
    from engine.check import check

    found = [check(path) for path in asked.configs]
    problems = [problem for each in found for problem in each.problems]
    if asked.format == "json":
        print(json.dumps([each.as_json() for each in problems], indent=2, ensure_ascii=False))
        return MISTAKE if problems else DONE
    for problem in problems:
        print(problem.text(), file=sys.stderr)
    for each in found:
        if not each.problems:
            print(f"{each.path}: ok")
            for remark in each.not_yet:
                print(f"note: {remark.text()}", file=sys.stderr)
    return MISTAKE if problems else DONE


def _checked(path: str) -> Checked:
    """A config that is to run: its problems told, and what the engine cannot do yet."""
    from engine.check import check

    found = check(path)
    for problem in (*found.problems, *found.not_yet):
        print(problem.text(), file=sys.stderr)
    return found


def _check_servers(asked: argparse.Namespace) -> int:
    found = _checked(asked.config)
    if found.query is None:
        return MISTAKE
    from engine.runtime.servers import ask_servers

    return ask_servers(found.query)


def _explain(asked: argparse.Namespace) -> int:
    from engine.explain import explained

    found = _checked(asked.config)
    if found.query is None:
        return MISTAKE
    print(explained(found.query))
    return DONE


def _run(asked: argparse.Namespace) -> int:
    found = _checked(asked.config)
    if found.query is None:
        return MISTAKE
    mode = "once" if asked.once else "batch" if asked.batch else "stream"
    if asked.reset and asked.batch:
        print("--batch keeps no checkpoint that --reset could delete", file=sys.stderr)
        return MISTAKE
    if mode != "stream" and _is_endless(asked.config, found.query, f"--{mode}"):
        return MISTAKE
    from engine.runtime.run import Run, run

    return run(
        Run(
            found.query,
            mode,
            found.folder,
            checkpoint=asked.checkpoint,
            master=asked.master,
            report=asked.report,
            jars=found.jars,
            reset=asked.reset,
            places=found.places,
        )
    )


def _is_endless(config: str, query: Query, what: str) -> bool:
    """Whether the input has no end, so that this would never stop; says so."""
    if query.input.source.has_end:
        return False
    told = f"the input '{query.input.method}' has no end, so {what} would never stop"
    print(f"{config}: {told}", file=sys.stderr)
    return True


def _verify(asked: argparse.Namespace) -> int:
    found = _checked(asked.config)
    if found.query is None or _is_endless(asked.config, found.query, "verify"):
        return MISTAKE
    from engine.runtime.verify import cannot_verify, verify

    if (told := cannot_verify(found.query)) is not None:
        print(f"{asked.config}: {told}", file=sys.stderr)
        return MISTAKE
    return verify(found.query, asked.master, found.jars)


def _test(asked: argparse.Namespace) -> int:
    from engine.testing.command import Asked, run_tests

    return run_tests(
        Asked(asked.paths, asked.update, asked.update_failing, asked.format, asked.master)
    )


def _schema(asked: argparse.Namespace) -> int:
    from engine.catalog import Catalog
    from engine.config.schema import schema, section_schema

    if asked.tests:
        from engine.testing.sections import TestsFile

        print(json.dumps(section_schema(TestsFile), indent=2, ensure_ascii=False))
        return DONE
    if asked.format == "markdown":
        from engine.reference import config

        print(config(Catalog.builtin()), end="")
        return DONE
    print(json.dumps(schema(Catalog.builtin()), indent=2, ensure_ascii=False))
    return DONE


def _operations(asked: argparse.Namespace) -> int:
    from engine.reference import operations

    text, unknown = operations(asked.names, asked.module)
    print(text, end="")
    for told in unknown:
        print(told, file=sys.stderr)
    return MISTAKE if unknown else DONE
