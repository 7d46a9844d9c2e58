"""What a build depends on besides the rows."""

from dataclasses import dataclass
from datetime import datetime

MATURITY_S = 300


@dataclass(frozen=True, slots=True)
class Settings:
    """The moment that is shown, whose eyes see it, and two tolerances. Times UTC, durations s.

    The rows were read by `known_until`, which is `as_of` itself where none is given.
    """

    as_of: datetime
    viewer_id: str | None = None
    scope: str = "market"
    maturity_s: float = MATURITY_S
    skew_tol_s: float = 0.1
    # No pass is on record, and every RFQ is taken as watched throughout its life.
    is_watched: bool = False
    # Nobody ends an RFQ of a stranger in our sight: expiry was observed after 10,810 s.
    longest_life_s: float = 10_860.0
    known_until: datetime | None = None
    # Whether every RFQ of strangers that was listed up to as_of has been read.
    is_market_complete: bool = True
