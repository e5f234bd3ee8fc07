"""The class-data archive: Spark's classes as a JVM has them in memory, so that it starts sooner.

Made once, in the background and at the lowest priority, or by the installation (``make``). A JVM
that finds no archive, or one that does not fit it, starts as it would without. It is in nobody's
way: a home that cannot be written, two runs at once, a crash in the middle and a full disk all end
with no archive and no word. ``TS_ENGINE_ARCHIVE=off`` switches it off.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

SWITCH = "TS_ENGINE_ARCHIVE"
#: Set for the process whose JVM writes the archive: where to.
TARGET = "TS_ENGINE_ARCHIVE_TARGET"
# Without these a JVM prints a line for each class that the archive cannot hold: hundreds.
SILENCE = "-Xlog:disable -Xlog:all=error:stderr"
_UNUSED_DAYS = 30


def folder() -> Path:
    """The engine's folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ts-engine"


def name(java: Path, jars: Iterable[Path], version: str) -> str:
    """A file name for the archive of this JVM, this pyspark and these jars, in any order.

    Files count by path, size and time of change, as the JVM compares them itself.
    """
    told = [version, sys.platform]
    library = java.parent.parent / "lib" / "server"
    for each in [java, *sorted(library.glob("libjvm.*")), *sorted(jars)]:
        status = each.stat()
        told.append(f"{each}:{status.st_size}:{status.st_mtime_ns}")
    return f"classes-{hashlib.sha256(chr(0).join(told).encode()).hexdigest()[:16]}.jsa"


def path(java: Path, home: Path, version: str) -> Path | None:
    """Where this machine's archive is, or will be; None where it is switched off or has no place.

    Args:
        java: the java command.
        home: Spark's folder.
        version: pyspark's.
    """
    if os.environ.get(SWITCH) == "off" or os.name != "posix":
        return None
    with contextlib.suppress(OSError, RuntimeError):  # no home folder, jars that went away
        return folder() / name(java, (home / "jars").glob("*.jar"), version)
    return None


def options(archive: Path | None) -> str:
    """The JVM's options that use the archive, or write it where this process is to make it."""
    target = os.environ.get(TARGET)
    if target:
        return f"-XX:ArchiveClassesAtExit={target} {SILENCE}"
    if archive is None or not archive.exists() or " " in str(archive):
        return ""
    with contextlib.suppress(OSError):
        os.utime(archive)  # the time of its last use, by which old ones are thrown away
    return f"-XX:SharedArchiveFile={archive} -Xshare:auto {SILENCE}"


def make_in_background(archive: Path | None) -> None:
    """Has the archive made by a process of its own, unless there is one or none can be.

    Not where a machine says that it is for one run only (``CI``), nor after a failure: its mark
    stays beside the archive's name, and ``make`` tries again.
    """
    if archive is None or archive.exists() or _mark(archive).exists() or TARGET in os.environ:
        return
    if os.environ.get("CI") or not _writable(archive.parent):
        return
    with contextlib.suppress(OSError):
        subprocess.Popen(
            ["nice", "-n", "19", sys.executable, "-m", "engine.spark.archive", str(archive)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def make(archive: Path | None = None) -> bool:
    """Makes the archive now, in half a minute, and says whether it is there.

    A small run that does what runs do is carried out by a JVM that writes its classes at its end.
    Nothing is done while another process is at it.

    Args:
        archive: where to; None is this machine's own.

    Raises:
        SparkUnavailable: there is no Java.
    """
    archive = archive or _own()
    if archive is None or not _writable(archive.parent):
        return False
    with _alone(archive) as alone:
        if alone and not archive.exists():
            _rehearse(archive)
            _forget_unused(archive)
    return archive.exists()


def _own() -> Path | None:
    import pyspark

    from engine.spark import jvm

    return path(jvm.java(), jvm.home(), pyspark.__version__)


def _rehearse(archive: Path) -> None:
    scratch = archive.with_suffix(f".{os.getpid()}")
    command = [sys.executable, "-m", "engine.spark.rehearsal"]
    try:
        done = subprocess.run(
            command,
            env=_environment() | {TARGET: str(scratch)},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=600,
            check=False,
        )
        if done.returncode == 0 and scratch.exists():
            scratch.replace(archive)
            _mark(archive).unlink(missing_ok=True)
        else:
            _mark(archive).write_bytes(done.stderr[-10_000:])
    except (OSError, subprocess.TimeoutExpired):
        pass
    finally:
        scratch.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """This process's environment, with this very engine first on the module path."""
    home = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join([home, os.environ.get("PYTHONPATH", "")])}


def _mark(archive: Path) -> Path:
    return archive.with_suffix(".failed")


def _writable(wanted: Path) -> bool:
    with contextlib.suppress(OSError):
        wanted.mkdir(parents=True, exist_ok=True)
    return os.access(wanted, os.W_OK)


@contextlib.contextmanager
def _alone(archive: Path) -> Iterator[bool]:
    """Whether no other process makes this archive; the lock goes with the process, crash or not."""
    import fcntl

    with archive.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def _forget_unused(archive: Path) -> None:
    """Removes archives of other JVMs and other versions that nobody has used for long."""
    oldest = time.time() - _UNUSED_DAYS * 86_400
    for each in archive.parent.glob("classes-*"):
        with contextlib.suppress(OSError):
            if each.stem != archive.stem and each.stat().st_mtime < oldest:
                each.unlink()


if __name__ == "__main__":
    sys.exit(0 if make(*map(Path, sys.argv[1:])) else 1)
