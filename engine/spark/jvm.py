"""A JVM of our own with Spark in it, started without a word, or a sentence why it did not."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from py4j.java_gateway import JavaGateway
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkRuntimeError
from pyspark.find_spark_home import _find_spark_home
from pyspark.java_gateway import launch_gateway

OLDEST_JAVA = 17
INSTALL_JAVA = (
    f"install Java {OLDEST_JAVA} or later (Debian, Ubuntu: apt install default-jre-headless;"
    " Fedora: dnf install java-21-openjdk-headless; macOS: brew install openjdk),"
    " or set JAVA_HOME to where it is"
)
# Spark's launcher is a small JVM that only puts a command together.
_LAUNCHER_OPTIONS = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"
# Where a user may have chosen a collector, beside the settings.
_JAVA_OPTIONS = ("PYSPARK_SUBMIT_ARGS", "JDK_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS")
_GIB = 1024**3


class SparkUnavailable(Exception):
    """Spark cannot be had on this machine; the text is a sentence for the user."""


class JvmNotStarted(SparkUnavailable):
    """The JVM ended before it was ready; ``said`` is all that it printed."""

    def __init__(self, said: str) -> None:
        super().__init__(_reason(said))
        self.said = said


def is_started() -> bool:
    """Whether a JVM is there already: spark-submit's, or one that this process uses."""
    return "PYSPARK_GATEWAY_PORT" in os.environ or SparkContext._gateway is not None


def java() -> Path:
    """The java command that Spark takes.

    Raises:
        SparkUnavailable: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    if not home:
        found = shutil.which("java")
        if not found:
            raise SparkUnavailable(f"no Java found; {INSTALL_JAVA}")
        return Path(found).resolve()
    command = Path(home, "bin", "java")
    if not command.exists():
        raise SparkUnavailable(f"no Java found in JAVA_HOME ('{home}'); {INSTALL_JAVA}")
    return command.resolve()


def home() -> Path:
    """Spark's folder: pyspark's own, unless SPARK_HOME says otherwise."""
    return Path(_find_spark_home())


#: The JVM compiles again, with all its art, what runs often: at thirty times its own thresholds,
#: for Spark's driver is a large program that does little often. Over 10 million rows in 10 batches
#: this took 56 CPU seconds, where three times took 64 to 79; what computes rows passes them within
#: its first million. (At a hundred times rows wait too long: 55 to 74.)
COMPILER = " ".join(
    [
        "-XX:Tier4InvocationThreshold=150000",
        "-XX:Tier4MinInvocationThreshold=18000",
        "-XX:Tier4CompileThreshold=450000",
        "-XX:Tier4BackEdgeThreshold=1200000",
    ]
)


def collector(given: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """The option for the parallel garbage collector, unless somebody chose one: two are an error.

    On two cores it took somewhat less CPU than the JVM's own choice: a median of 5.2 s a million
    rows (split, cast, windows) against 5.6, at the price of a larger heap.
    """
    places = [given.get(f"spark.driver.{each}JavaOptions", "") for each in ("default", "extra")]
    places += [environment.get(each, "") for each in _JAVA_OPTIONS]
    chosen = any(re.search(r"-XX:\+Use\w+GC\b", each) for each in places)
    return "" if chosen else "-XX:+UseParallelGC"


#: Spark loads enough classes, and soon has enough that stays, for the JVM to collect its whole heap
#: some six times in the first seconds, before the limits that it begins with have grown.
BEGINNING = "-XX:MetaspaceSize=256m -XX:InitialRAMPercentage=10"


def young(memory: str) -> str:
    """The option for a young generation of half a GB at most, of a heap of so much.

    The JVM's own is a third of the heap, and memory that is touched for the first time is slow: of
    10 million rows with a heap of 9 GB it took 7 of 50 CPU seconds, with this one none.

    Args:
        memory: as Spark has it, `4g` or `2048m`; of what cannot be read there is no option.
    """
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", memory.strip().lower())
    size = int(found[1]) * 1024 ** ("kmgt".index(found[2] or "m") + 1) if found else 0
    return "-XX:MaxNewSize=512m" if size > 3 * _GIB // 2 else ""


def heap() -> str:
    """A heap of two fifths of the memory, between 1 and 16 GB: the rest is for Python and files."""
    total = _total_memory()
    return f"{min(max(total * 2 // 5, _GIB), 16 * _GIB) // 1024**2}m"


def _total_memory() -> int:
    """Bytes that this process may use: the machine's, or its container's."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 4 * _GIB
    limits = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    for limit in limits:
        try:
            return min(machine, int(Path(limit).read_text()))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return machine


class _Screen:
    """Takes what the JVM and its children print: kept while it starts, shown from then on.

    The JVM and Spark's launcher say things on every start that nobody can act upon ("Using
    incubator modules", the dependency resolver's protocol): they matter only when the start fails.
    """

    def __init__(self) -> None:
        reading, self.writing = os.pipe()
        self._said: list[str] = []
        self._started = False
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            while chunk := pipe.read(65_536):
                text = chunk.decode(errors="replace")
                if self._started:
                    sys.stderr.write(text)
                    sys.stderr.flush()
                else:
                    self._said.append(text)

    def show(self) -> None:
        """From now on what is said is shown."""
        self._started = True

    def kept(self) -> str:
        """All that was said before the JVM ended."""
        self._reader.join(timeout=5)
        return "".join(self._said)


class _Deaf(dict[str, Any]):
    """Options of a process that does not hear SIGTERM, as pyspark lets its JVM not hear Ctrl-C.

    What ends a group of processes, as `timeout` does, would end the JVM in the middle of a batch
    that the run is waiting for. It goes when this process does.
    """

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "preexec_fn":
            super().__setitem__(name, partial(_deafened, value))
        else:
            super().__setitem__(name, value)


def _deafened(first: Callable[[], None]) -> None:
    first()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with changes, put back afterwards."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def start(launch: Mapping[str, str]) -> None:
    """Starts the JVM that every session of this process will use.

    Args:
        launch: the settings that a JVM takes only at its start.

    Raises:
        SparkUnavailable: it did not start.
    """
    java()
    conf = SparkConf(loadDefaults=False).setAll(list(launch.items()))
    SparkContext._ensure_initialized(gateway=_gateway(conf))


def _gateway(conf: SparkConf) -> JavaGateway:
    screen = _Screen()
    options = f"{_LAUNCHER_OPTIONS} {os.environ.get('SPARK_LAUNCHER_OPTS', '')}".strip()
    started = _Deaf(stdout=screen.writing, stderr=screen.writing)
    try:
        with _environment({"SPARK_LAUNCHER_OPTS": options}):
            gateway = launch_gateway(conf, popen_kwargs=started)
    except PySparkRuntimeError:
        os.close(screen.writing)
        raise JvmNotStarted(screen.kept()) from None
    os.close(screen.writing)
    screen.show()
    return gateway


def end() -> int:
    """Ends the JVM that ``start`` started, waits for it and gives its exit status."""
    gateway = SparkContext._gateway
    if gateway is None or gateway.proc is None:
        return 0
    gateway.shutdown()
    gateway.proc.stdin.close()
    SparkContext._gateway = SparkContext._jvm = None
    return int(gateway.proc.wait())


_TELLING = ("Error: ", "Exception in thread", "Invalid ", "Unrecognized ", "Could not reserve")
_SAYING_NOTHING = ("Error: A fatal exception has occurred", "Error: Could not create the Java")


def _reason(said: str) -> str:
    """A sentence from what a JVM that did not start has said."""
    if "UnsupportedClassVersionError" in said or "Unrecognized option: --add-" in said:
        return f"Java {_version()} at {java()} is too old; {INSTALL_JAVA}"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(_SAYING_NOTHING)]
    telling = [line for line in lines if line.startswith(_TELLING)]
    told = (telling or lines or ["it said nothing"])[-1]
    return f"the JVM did not start: {told.removeprefix('Error: ')}"


def _version() -> str:
    told = subprocess.run([java(), "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "([^"]+)"', told.stderr)
    return found[1] if found else "of this machine"
