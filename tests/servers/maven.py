"""Turns a pom.xml into a folder of jars in the user's cache, once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.servers.cache import cached
from tests.servers.process import ServerUnavailableError


def jars_of(pom: Path) -> list[Path]:
    """The jars that a pom names, in the order of their names.

    Raises:
        ServerUnavailableError: There is no Maven, or it cannot fetch the jars.
    """
    folder = cached(pom, lambda made: _copy_jars(pom, made))
    return sorted(folder.glob("*.jar"))


def java_command(what: str, jars: Sequence[Path], *options: str) -> list[str]:
    """The beginning of a command that runs a class of these jars.

    Raises:
        ServerUnavailableError: There is no Java; `what` says who needs it.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    if java is None:
        raise ServerUnavailableError(f"{what} needs Java 17 or newer; see `make java`")
    return [java, *options, "-cp", os.pathsep.join(map(str, jars))]


def _copy_jars(pom: Path, made: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailableError(
            f"the jars of {pom.parent.name} come by Maven, and there is no 'mvn' on the path; "
            "install it (on Debian and Ubuntu: apt-get install maven)"
        )
    words = [maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies"]
    words += ["-DincludeScope=runtime", f"-DoutputDirectory={made}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServerUnavailableError(
            f"Maven cannot fetch the jars of {pom.parent.name}:\n{done.stdout}{done.stderr}"
        )
