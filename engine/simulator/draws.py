"""Turns a seed and row numbers into random numbers, and those into columns of values."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import shake_128
from statistics import NormalDist
from sys import byteorder
from typing import NamedTuple, TypeVar

Value = TypeVar("Value")

#: Rows that share one call of the hash: 0.1 us a row, where a call for each row costs 1.5 us.
BLOCK = 1024
#: The random bytes of a row are read as this many numbers of 16 bits, or of 32 bits.
SHORTS, LONGS = 12, 6
#: Values that a draw of 16 bits chooses from: every table of `Part.column` is this long.
CHOICES = 1 << 16
#: Different quantiles of a distribution: they reach four standard deviations to either side.
QUANTILES = 1 << 14


class Part(NamedTuple):
    """The random numbers of consecutive rows of one block.

    Args:
        rows: the rows' numbers.
        shorts: 12 numbers of 16 bits for each row.
        longs: the same bytes as 6 numbers of 32 bits for each row.
    """

    rows: range
    shorts: array[int]
    longs: array[int]

    def column(self, draw: int, table: Sequence[Value]) -> Iterator[Value]:
        """A value of the table for each row, as its 16-bit number `draw` says."""
        return map(table.__getitem__, self.shorts[draw::SHORTS])

    def chosen(self, draw: int, share: float) -> list[int]:
        """Positions of the rows that belong to a share, as their 32-bit number `draw` says."""
        bound = round(share * (1 << 32))
        return [k for k, n in enumerate(self.longs[draw::LONGS]) if n < bound] if bound else []

    def number(self, draw: int, k: int) -> int:
        """The 32-bit number `draw` of the row at position k."""
        return self.longs[k * LONGS + draw]


def parts(seed: int, start: int, stop: int, of: bytes = b"rows") -> Iterator[Part]:
    """The random numbers of the rows start to before stop, block by block.

    What is not a row, but is drawn for by its number as well, has another name in `of`.
    """
    for first in range(start - start % BLOCK, stop, BLOCK):
        low, high = max(start - first, 0), min(stop - first, BLOCK)
        shorts, longs = _block(seed, first // BLOCK, of)
        yield Part(
            range(first + low, first + high),
            shorts[low * SHORTS : high * SHORTS],
            longs[low * LONGS : high * LONGS],
        )


# A slow stream asks for the same block again and again, a few rows at a time.
@lru_cache(maxsize=8)
def _block(seed: int, block: int, of: bytes) -> tuple[array[int], array[int]]:
    """A block's random bytes as numbers: the same ones on every machine."""
    noise = shake_128(b"%s %d %d" % (of, seed, block)).digest(2 * SHORTS * BLOCK)
    shorts, longs = array("H", noise), array("I", noise)
    if byteorder == "big":
        shorts.byteswap()
        longs.byteswap()
    return shorts, longs


def evenly(count: int) -> list[int]:
    """A table that gives 0 to before count, each as often."""
    return [choice * count // CHOICES for choice in range(CHOICES)]


def normal_above_zero(mean: float, deviation: float) -> list[float]:
    """A table that gives whole numbers above zero, distributed normally."""
    normal = NormalDist(mean, deviation)
    below = normal.cdf(0.5)
    step = (1 - below) / QUANTILES
    values = (float(round(normal.inv_cdf(below + (k + 0.5) * step))) for k in range(QUANTILES))
    return [value for value in values for _ in range(CHOICES // QUANTILES)]
