"""What Spark says at length becomes a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.outputs import OutputError
from engine.runtime.failure import RunError, sentence

STORY = Path("/cache/spark.log")
#: The end of what Spark's exceptions say -> the sentence.
SAID = {
    "org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed\n"
    "Caused by: java.io.IOException: No space left on device\n\tat java.base/sun.nio": (
        "the disk is full, of the checkpoint or of Spark's files; a run goes on when there is room"
    ),
    "java.net.ConnectException: Connection refused\n\tat SocketMicroBatchStream": (
        "input: connection refused; is it running?"
    ),
    "java.net.UnknownHostException: nowhere.example\n\tat x": "there is no host 'nowhere.example'",
    "org.apache.kafka.common.errors.SaslAuthenticationException: Authentication failed": (
        "input: the brokers do not take this user; check 'kafka.sasl.jaas.config'"
    ),
    "org.apache.kafka.common.errors.TimeoutException: Timed out waiting for a node": (
        "input: the broker does not answer; is the address right, and is it running?"
    ),
    "py4j.Py4JException: x\nTraceback …\n"
    "engine.outputs.OutputError: output 'influx' (http://h:8086): wrong token\nat worker": (
        "output 'influx' (http://h:8086): wrong token"
    ),
    "java.lang.OutOfMemoryError: Java heap space": (
        "out of memory; set 'spark.driver.memory' in 'engine.spark'"
    ),
    "An error occurred.\njava.lang.RuntimeException: outer\n"
    "Caused by: java.lang.IllegalStateException: the inner reason\n\tat x": (
        "the inner reason; the whole story is in /cache/spark.log"
    ),
    "Stream closed": "Stream closed; the whole story is in /cache/spark.log",
}


@pytest.mark.parametrize("said", SAID)
def test_a_trace_is_a_sentence(said: str) -> None:
    assert sentence(Exception(said), STORY) == SAID[said]


@pytest.mark.parametrize("kind", [OutputError, RunError])
def test_a_sentence_of_ours_stays_as_it_is(kind: type[Exception]) -> None:
    assert sentence(kind("no such table"), STORY) == "no such table"
