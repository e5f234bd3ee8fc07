"""Turns a pinned requirement into a folder of its files in the user's cache, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.servers.cache import cached
from tests.servers.process import ServerUnavailableError


def files_of(requirements: Path, platform: str) -> Path:
    """The folder that pip has unpacked the wheels of a file of requirements into.

    Args:
        requirements: Each of its lines with a hash.
        platform: Which build of them; pip's own choice may be one for an older system.

    Raises:
        ServerUnavailableError: pip cannot fetch them.
    """

    def unpack(made: Path) -> None:
        words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
        words += ["--require-hashes", "--only-binary=:all:", f"--platform={platform}"]
        words += [f"--target={made}", f"--requirement={requirements}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerUnavailableError(
                f"pip cannot fetch {requirements.parent.name}:\n{done.stdout}{done.stderr}"
            )

    return cached(requirements, unpack)
