"""An exception of a run becomes a sentence for people."""

from __future__ import annotations

import re
from pathlib import Path

from engine.outputs import OutputError


class RunError(Exception):
    """A run that cannot go on: a sentence for the user."""


class ConfigError(Exception):
    """A mistake of the config that only Spark could see: a sentence for the user."""


_OUTPUT = re.compile(r"engine\.outputs\.OutputError: ([^\n]+)")
_CAUSE = re.compile(r"^(?:Caused by: )?[\w.$]+(?:Exception|Error): ([^\n]+)", re.MULTILINE)

#: What a trace holds -> what a person wants to know.
_KNOWN = (
    (r"UnknownTopicOrPartition(?:Exception)?", "the topic does not exist on the broker"),
    (
        r"Failed to create new KafkaAdminClient|No resolvable bootstrap urls",
        "the broker's address cannot be resolved",
    ),
    (
        r"org\.apache\.kafka\.common\.errors\.TimeoutException",
        "the broker does not answer; is the address right, and is it running?",
    ),
    (
        r"SaslAuthenticationException",
        "the brokers do not take this user; check 'kafka.sasl.jaas.config'",
    ),
    (
        r"SslAuthenticationException",
        "the brokers' certificate is not trusted, or ours by them; check 'kafka.ssl.…'",
    ),
    (r"java\.net\.ConnectException: Connection refused", "connection refused; is it running?"),
    (r"java\.net\.UnknownHostException: ([^\n]+)", "there is no host '{0}'"),
    (
        r"No space left on device",
        "the disk is full, of the checkpoint or of Spark's files; a run goes on when there is room",
    ),
    (r"java\.lang\.OutOfMemoryError", "out of memory; set 'spark.driver.memory' in 'engine.spark'"),
    (r"Permission denied", "permission denied"),
    (
        r"Some data may have been lost|KAFKA_DATA_LOSS",
        "records that were not read yet are gone from the topic",
    ),
)


def sentence(error: BaseException, log: Path | None) -> str:
    """What went wrong, in one sentence; where the whole story is, when it is not known."""
    if isinstance(error, OutputError | RunError):
        return str(error)
    told = f"{error}"
    if (found := _OUTPUT.search(told)) is not None:
        return found.group(1).strip()
    for pattern, meaning in _KNOWN:
        if (known := re.search(pattern, told)) is not None:
            where = "input: " if "kafka" in told.lower() or "Socket" in told else ""
            return where + meaning.format(*known.groups())
    causes = _CAUSE.findall(told)
    first = causes[-1] if causes else told.strip().split("\n")[0]
    story = f"; the whole story is in {log}" if log is not None else ""
    return f"{first.strip()[:400]}{story}"
