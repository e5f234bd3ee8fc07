"""Turns a pom.xml into a folder of jars in the user's cache, once."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.process import ServerUnavailableError


def cache_folder() -> Path:
    """The user's folder for what the tests download; it outlives a clone."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ts-engine-tests"


def jars_of(pom: Path) -> list[Path]:
    """The jars that a pom names, in the order of their names.

    The folder is keyed by the pom's text, and is made beside its place and renamed: a run that was
    interrupted, or two at once, never leave half of the jars.

    Raises:
        ServerUnavailableError: There is no Maven, or it cannot fetch the jars.
    """
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / f"{pom.parent.name}-{digest}"
    if not folder.is_dir():
        _copy_jars(pom, folder)
    return sorted(folder.glob("*.jar"))


def _copy_jars(pom: Path, folder: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailableError(
            f"the jars of {pom.parent.name} come by Maven, and there is no 'mvn' on the path; "
            "install it (on Debian and Ubuntu: apt-get install maven)"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as scratch:
        made = Path(scratch) / "jars"
        words = [maven, "-B", "-q", "-f", str(pom), "dependency:copy-dependencies"]
        words += ["-DincludeScope=runtime", f"-DoutputDirectory={made}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerUnavailableError(
                f"Maven cannot fetch the jars of {pom.parent.name}:\n{done.stdout}{done.stderr}"
            )
        try:
            made.rename(folder)
        except OSError:
            # Another run was faster; its jars are the same.
            if not folder.is_dir():
                raise
