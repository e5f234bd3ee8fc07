"""Alerts become runs of a program, with the alert as JSON on its standard input."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, ClassVar

from engine.alerts import Alert, Target
from engine.alerts._sending import EachSender, short, values_of
from engine.alerts.webhook import check_timeout
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import OutputError, Say
from engine.outputs._patience import RowError
from engine.template import begins_with_name, filled, template_problem


@dataclass(frozen=True, kw_only=True)
class Command(Target):
    """Runs a program for each alert, on the machine of the executor, which reads it as JSON."""

    METHOD: ClassVar[str] = "command"

    command: tuple[str, ...] = option(
        "the program and its arguments, which may hold {names}; no shell reads them, and the alert "
        "is on its standard input, as JSON",
        nonempty=True,
        example=["logger", "-t", "plant", "--", "{level}: {message}"],
    )
    timeout: str = option(
        "then it is killed, with all that it has started", "5 seconds", format="duration"
    )

    def check(self, say: Say, known: Collection[str] | None) -> None:
        check_timeout(self.timeout, say)
        for index, text in enumerate(self.command):
            place = f"command/{index}"
            if (wrong := template_problem(text, known)) is not None:
                say(place, *wrong)
            elif index == 0 and (not text or filled(text, {}) != text):
                say(place, "the program's name is empty or a template", "write its path")
            elif begins_with_name(text) and "--" not in self.command[1:index]:
                hint = f"write '--' before it, or '--option={text}', or read standard input"
                say(place, f"'{text}' could become an option, by a value such as '-r'", hint)

    def open(self, name: str) -> CommandSender:
        return CommandSender(self, name)

    def described(self) -> dict[str, Any]:
        return {"program": self.command[0]}


class CommandSender(EachSender):
    """The side of a task."""

    def __init__(self, target: Command, name: str) -> None:
        super().__init__(name)
        self.program = target.command[0]
        self.arguments = target.command[1:]
        self.seconds = milliseconds(target.timeout) / 1000

    def deliver(self, alert: Alert) -> None:
        import subprocess
        import tempfile

        values = values_of(alert, self.name)
        # The system ends a text where it holds a NUL.
        given = [
            filled(each, values).replace("\0", "\N{REPLACEMENT CHARACTER}")
            for each in self.arguments
        ]
        # Files, not pipes: nobody waits for a program that does not read, or that has left others
        # behind who might write.
        with tempfile.TemporaryFile() as read, tempfile.TemporaryFile() as said:
            read.write(json.dumps(alert, ensure_ascii=False).encode("utf-8", "replace"))
            read.seek(0)
            try:
                process = subprocess.Popen(
                    [self.program, *given],
                    stdin=read,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                why = (error.strerror or "").lower()
                raise OutputError(f"'{self.program}' cannot be run ({why})") from None
            status = self._status(process)
            if status == 0:
                return
            said.seek(max(0, said.seek(0, 2) - 500))
            words = short(said.read().decode("utf-8", "replace"))
        raise RowError(f"'{self.program}' {_ended(status)}" + (f": {words}" if words else ""))

    def _status(self, process: Any) -> int:
        import os
        import signal
        import subprocess

        try:
            return int(process.wait(self.seconds))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            told = f"'{self.program}' was not done after {self.seconds:g} s and was killed"
            raise RowError(told) from None


def _ended(status: int) -> str:
    return f"ended with status {status}" if status > 0 else f"was ended by signal {-status}"
