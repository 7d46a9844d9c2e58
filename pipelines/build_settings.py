"""The settings of [transforms], one table of them like that of [sources.kalshi].

They stand in the same places, and count for a sandbox as well: what figures mean does not depend on
the exchange that they are of.
"""

from pipelines.kalshi.settings import Setting, configured_of, whole
from transforms.settings import MATURITY_S

SECTION = "transforms"
SETTINGS = (
    Setting(
        "maturity_s",
        whole(1, 86_400),
        MATURITY_S,
        "M, in seconds: how old an RFQ must be to count for a matured rate, and how long it has to "
        "fill",
    ),
)


def configured_maturity_s() -> int:
    """Read M. Raises `ConfigurationError` where it is out of range."""
    (maturity_s,) = configured_of(SECTION, SETTINGS, "maturity_s")
    return int(maturity_s)
