"""Ids and tickers that look random and can be counted back, so that no index needs memory.

A `Scramble` maps numbers of a given width one to one onto numbers of the same width. The id of
simulated row 5,000,000 is computed when it is shown, and an id that a caller sends in is turned
back into its row number.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Self

import polars as pl

_HEX = re.compile(r"[0-9a-f]{32}")
_FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93  # odd, hence invertible modulo 2^bits


@dataclass(frozen=True, slots=True)
class Scramble:
    """A keyed one-to-one map on *bits*-wide numbers: multiply, fold the upper half in, twice."""

    bits: int
    key: int = 0

    def forward(self, number: int) -> int:
        mask, half = (1 << self.bits) - 1, self.bits // 2
        value = (number + self.key) * _FIRST & mask
        value = (value ^ value >> half) * _SECOND & mask
        return value ^ value >> half

    def inverse(self, value: int) -> int:
        mask, half = (1 << self.bits) - 1, self.bits // 2
        # Folding by half the width undoes itself.
        value = (value ^ value >> half) * pow(_SECOND, -1, mask + 1) & mask
        value = (value ^ value >> half) * pow(_FIRST, -1, mask + 1) & mask
        return value - self.key & mask

    def column(self, number: pl.Expr) -> pl.Expr:
        """`forward` over a column; 64 bits only, as it relies on UInt64 wrapping."""
        value = number.cast(pl.UInt64) + _u64(self.key % (1 << 64))
        for factor in (_FIRST, _SECOND):
            value = value * _u64(factor)
            value = value ^ (value // _u64(1 << 32))
        return value


def _u64(value: int) -> pl.Expr:
    return pl.lit(value, dtype=pl.UInt64)


@dataclass(frozen=True, slots=True)
class IdSpace:
    """UUIDs of numbered rows. Text order equals the order of `scramble.forward(number)`."""

    scramble: Scramble

    @classmethod
    def of(cls, seed: int, kind: str) -> Self:
        """The id space of *kind* ("rfq", "quote") in the market grown from *seed*."""
        salt = int.from_bytes(kind.encode().ljust(8)[:8], "big")
        return cls(Scramble(64, Scramble(64, salt).forward(seed)))

    def uuid(self, number: int) -> str:
        value = self.scramble.forward(number)
        head = f"{value:016x}"
        tail = f"{self.scramble.forward(value):016x}"
        # The 4 and the a mark a random UUID; the tail only fills it up to 128 bits.
        return f"{head[:8]}-{head[8:12]}-4{head[12:15]}-a{head[15]}{tail[:2]}-{tail[2:14]}"

    def number(self, uuid: str) -> int | None:
        """The row number behind *uuid*, None if it is not one of this space."""
        digits = uuid.replace("-", "")
        if not _HEX.fullmatch(digits):
            return None
        number = self.scramble.inverse(int(digits[:12] + digits[13:16] + digits[17], 16))
        return number if self.uuid(number) == uuid else None


class CountedIds:
    """New ids one after the other, the same in every market grown from *seed*."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._given: Counter[str] = Counter()

    def __call__(self, kind: str) -> str:
        self._given[kind] += 1
        # Apart from the ids of a simulated past, whose kinds these are as well.
        return IdSpace.of(self._seed, f"new {kind}"[:8]).uuid(self._given[kind])
