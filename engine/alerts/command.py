"""Alerts to a program: run once for each, with the alert as JSON on its standard input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Collection
from dataclasses import dataclass
from shutil import which
from tempfile import TemporaryFile
from typing import Any, ClassVar

from engine.alerts import Alert, Job, Sender, Target
from engine.alerts._one_by_one import OneByOne, RefusedError
from engine.config.durations import milliseconds
from engine.option import option
from engine.outputs import Say
from engine.template import begins_with_field, filled, problems

_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Command(Target):
    """Runs a program, never a shell; what it ends with other than 0 is tried again."""

    METHOD: ClassVar[str] = "command"

    command: tuple[str, ...] = option(
        "the program and its arguments, which may hold {fields} of the alert; the whole alert is "
        "on its standard input",
        nonempty=True,
        example=["/usr/local/bin/notify", "--level={level}"],
    )
    timeout: str = option(
        "how long it may run, all that it has started with it", "10 seconds", format="duration"
    )

    def check(self, say: Say, known: Collection[str] | None = None) -> None:
        for index, text in enumerate(self.command):
            for message, hint in problems(text, known):
                say(f"command/{index}", message, hint)
        for index, text in enumerate(self.command[1:], 1):
            if begins_with_field(text) and "--" not in self.command[1:index]:
                message = f"'{text}' could become an option, by a value such as '-r'"
                say(f"command/{index}", message, f"write '--' before it, or '--name={text}'")
        if "{" in self.command[0]:
            say("command/0", "the program cannot depend on the alert", "its arguments can")
        elif which(self.command[0]) is None:
            say("command/0", f"there is no program '{self.command[0]}'", "it runs on the executors")

    def open(self, job: Job) -> Sender:
        return OneByOne(self._run, 0.0)

    def _run(self, alert: Alert) -> None:
        arguments = [self.command[0], *(filled(each, alert) for each in self.command[1:])]
        seconds = milliseconds(self.timeout) / 1000
        # Files, not pipes: what it leaves running in the background may hold a pipe open.
        with TemporaryFile() as given, TemporaryFile() as said:
            given.write(json.dumps(alert).encode())
            given.seek(0)
            # A group of its own, so that nothing of it is left when its time is over.
            try:
                process = subprocess.Popen(
                    [each.replace("\0", "") for each in arguments],
                    stdin=given,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                why = (error.strerror or str(error)).lower()
                raise RefusedError(f"'{self.command[0]}' cannot be run: {why}") from None
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise RefusedError(f"'{self.command[0]}' took more than {self.timeout}") from None
            said.seek(max(0, said.seek(0, os.SEEK_END) - 4 * _SHOWN))
            told = said.read()
        if process.returncode != 0:
            last = told.decode(errors="replace").strip()[-_SHOWN:].replace("\n", "; ")
            ended = f"'{self.command[0]}' ended with {process.returncode}"
            raise RefusedError(f"{ended}: {last}" if last else ended)

    def described(self) -> dict[str, Any]:
        return {"program": self.command[0]}
