"""Markets and their tickers, and ids that look random and can be counted back.

A `Scramble` maps numbers of a given width one to one onto numbers of the same width, so that no
index of ids or tickers needs memory.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
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


_SERIES_OF_COMBOS = ("KXMVESPORTSMULTIGAMEEXTENDED", "KXMVECROSSCATEGORY")
_EXTENDED_IN_256 = 216  # 84.5 % of combos, July 2026
_NUMBERS = Scramble(40)
_COMBO_EVENT = re.compile(r"KXMVE[A-Z0-9]*-S2026([0-9A-F]{10})", re.ASCII)
_SERIES = {
    "KXNBAGAME": "BOS NYK LAL GSW MIA CHI DEN PHX",
    "KXNFLGAME": "BUF KC SF DAL PHI GB DET BAL",
    "KXNHLGAME": "NYR BOS TOR EDM COL VGK FLA CAR",
    "KXMLBGAME": "NYY BOS LAD HOU ATL SD TB SEA",
    "KXNCAAFGAME": "ALA OSU UGA MICH TEX ORE LSU ND",
    "KXEPLGAME": "ARS LIV MCI CHE TOT MUN NEW AVL",
}
_DAYS = ("21", "22", "23", "24")


@dataclass(frozen=True, slots=True)
class Leg:
    """One selected market of a combo."""

    event_ticker: str
    market_ticker: str
    side: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A market: its ticker and, for a combo, the collection and the legs."""

    ticker: str
    collection: str | None = None
    legs: tuple[Leg, ...] = ()

    @property
    def event_ticker(self) -> str:
        return self.ticker.rpartition("-")[0] or self.ticker

    @property
    def is_combo(self) -> bool:
        return self.collection is not None


def _calendar() -> tuple[str, ...]:
    tickers = []
    for series, teams in _SERIES.items():
        names = teams.split()
        for day, shift in zip(_DAYS, range(1, 5), strict=True):
            for home, away in zip(names[:4], names[4:][shift:] + names[4:][:shift], strict=True):
                event = f"{series}-26NOV{day}{home}{away}"
                tickers += [f"{event}-{home}", f"{event}-{away}"]
    return tuple(tickers)


def _all_legs(side: str) -> tuple[Leg, ...]:
    return tuple(Leg(ticker.rpartition("-")[0], ticker, side) for ticker in SINGLE_MARKETS)


SINGLE_MARKETS = _calendar()
_LEGS = (_all_legs("yes"), _all_legs("no"))
_SINGLE_NUMBERS = {ticker: -1 - place for place, ticker in enumerate(SINGLE_MARKETS)}


def combo_ticker(number: int) -> str:
    """The ticker of combo *number*; `number % 32` is its number of legs."""
    event = _NUMBERS.forward(number)
    digest = hashlib.sha256(b"%d" % number).digest()
    outcome = int.from_bytes(digest[:6], "big") >> 4
    series = _SERIES_OF_COMBOS[digest[6] >= _EXTENDED_IN_256]
    return f"{series}-S2026{event:010X}-{outcome:011X}"


@lru_cache(maxsize=100_000)
def market_ticker(number: int) -> str:
    """The ticker of market *number*: combos count from 0 up, single markets from -1 down."""
    return combo_ticker(number) if number >= 0 else SINGLE_MARKETS[-1 - number]


def market_number(ticker: str) -> int | None:
    """The number of a market that the sandbox itself made up, else None."""
    if ticker in _SINGLE_NUMBERS:
        return _SINGLE_NUMBERS[ticker]
    return _combo_of_event(ticker.rpartition("-")[0], ticker)


def nearest_number(ticker: str) -> int:
    """The number of a market, or for one that the sandbox did not make up of one like it."""
    number = market_number(ticker)
    if number is not None:
        return number
    digest = int.from_bytes(hashlib.sha256(ticker.encode()).digest()[:5], "big")
    return digest if ticker.startswith("KXMVE") else -1 - digest % len(SINGLE_MARKETS)


def market_numbers(event_ticker: str) -> list[int]:
    """The numbers of every market of an event."""
    combo = _combo_of_event(event_ticker, event_ticker + "-")
    if combo is not None:
        return [combo]
    start = event_ticker + "-"
    return [number for ticker, number in _SINGLE_NUMBERS.items() if ticker.startswith(start)]


def _combo_of_event(event_ticker: str, start: str) -> int | None:
    match = _COMBO_EVENT.fullmatch(event_ticker)
    if match is None:
        return None
    number = _NUMBERS.inverse(int(match[1], 16))
    return number if combo_ticker(number).startswith(start) else None


@lru_cache(maxsize=100_000)
def listing(ticker: str) -> Listing:
    """What *ticker* stands for."""
    if not ticker.startswith("KXMVE"):
        return Listing(ticker)
    number = market_number(ticker)
    if number is None:
        digest = int.from_bytes(hashlib.sha256(ticker.encode()).digest()[:6], "big")
        number = digest // 32 * 32 + 2 + digest % 5
    return _combo(ticker, number)


@lru_cache(maxsize=100_000)
def numbered_listing(number: int) -> Listing:
    """`listing` of a market the sandbox made up, without reading the number off its ticker."""
    ticker = market_ticker(number)
    return _combo(ticker, number) if number >= 0 else Listing(ticker)


def _combo(ticker: str, number: int) -> Listing:
    return Listing(ticker, f"{ticker.partition('-')[0]}-R", _legs(number))


def _legs(number: int) -> tuple[Leg, ...]:
    draw = random.Random(number)
    games = draw.sample(range(len(SINGLE_MARKETS) // 2), number % 32)
    picks = [2 * game + draw.randrange(2) for game in games]
    return tuple(_LEGS[draw.random() < 0.2][pick] for pick in picks)
