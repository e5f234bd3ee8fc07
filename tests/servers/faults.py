"""Turns names into what a network can do to a connection; `proxy.py` brings it about."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Direction = Literal["request", "answer"]


@dataclass(frozen=True)
class Pass:
    """Everything goes through, as it comes."""


PASS = Pass()


@dataclass(frozen=True)
class Delay:
    """Each piece waits, in both directions."""

    seconds: float


@dataclass(frozen=True)
class Swallow:
    """Nothing arrives in either direction; `Proxy.release()` brings it, as a mended cable does."""


@dataclass(frozen=True)
class End:
    """The connection ends when `after` bytes of a direction have passed; no byte more does.

    `of="answer"` with no byte: the server has done what it was asked, and nobody is told.
    `how`: `"reset"` (RST), `"close"` (FIN, both ways), or `"half-close"`, FIN in this direction
    alone: what still comes there is lost, the other one goes on. A reset may overtake bytes that
    have passed and were not read yet, as it does everywhere.
    """

    how: Literal["reset", "close", "half-close"] = "reset"
    after: int = 0
    of: Direction = "request"


@dataclass(frozen=True)
class Answer:
    """The server never sees the request; the proxy answers it (HTTP only), and takes the next."""

    status: int = 503
    retry_after: int | None = None
    body: bytes = b'{"message": "told to fail"}'

    def written(self) -> bytes:
        """The answer as it goes over the line."""
        after = "" if self.retry_after is None else f"Retry-After: {self.retry_after}\r\n"
        head = (
            f"HTTP/1.1 {self.status} Told to fail\r\n{after}"
            f"Content-Type: application/json\r\nContent-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


Fault = Pass | Delay | Swallow | End | Answer


def at_random(
    seed: int, *, share: float = 0.3, within: int = 20_000, http: bool = False
) -> Iterator[Fault]:
    """Faults without end, the same for the same seed.

    Args:
        seed: Of the random numbers.
        share: How many of the pieces fail, from 0 to 1.
        within: Before how many bytes a connection ends.
        http: Some are answers.
    """
    numbers = random.Random(seed)
    while True:
        ends: list[Fault] = [
            End(how, numbers.choice([0, numbers.randrange(within)]), of)
            for how in ("reset", "close", "half-close")
            for of in ("request", "answer")
        ]
        answers: list[Fault] = [Answer(503), Answer(429, retry_after=1)] if http else []
        fault = numbers.choice([*ends, *answers, Delay(numbers.random() / 10)])
        yield fault if numbers.random() < share else PASS
