"""The markets of the sandbox: what a ticker stands for.

Single markets come from a small sports calendar. A combo's ticker carries its number, and the
number its legs, so that a million combos need no table. Tickers the sandbox did not make up are
served as well: those beginning with KXMVE are combos whose legs follow from the ticker's hash.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from functools import lru_cache

from pipelines.sandbox.numbering import Scramble

MAX_LEGS = 31

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
