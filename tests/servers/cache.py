"""Turns what a server needs into a folder of the user's cache, once."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """The user's folder for what the tests download; it outlives a clone."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ts-engine-tests"


def cached(description: Path, make: Callable[[Path], None]) -> Path:
    """The folder that a file describes, whole.

    It is keyed by the file's text, and is made beside its place and renamed: a run that was
    interrupted, or two at once, never leave half of it.

    Args:
        description: Says what is in the folder; the folder is named after the one it lies in.
        make: Fills the folder that it is given, which does not exist yet, or raises.
    """
    digest = hashlib.sha256(description.read_bytes()).hexdigest()[:16]
    folder = cache_folder() / f"{description.parent.name}-{digest}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}.", dir=folder.parent) as scratch:
        made = Path(scratch) / "made"
        make(made)
        try:
            made.rename(folder)
        except OSError:
            # Another run was faster; what it made is the same.
            if not folder.is_dir():
                raise
    return folder
