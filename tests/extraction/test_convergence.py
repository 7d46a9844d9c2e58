"""However the exchange drifts and fails, what is ours ends up as the exchange has it."""

from hypothesis import seed, settings

from tests.extraction.exchange_and_us import ExchangeAndUs
from tests.profile import PROFILE


class ReadingOurOwn(ExchangeAndUs):
    """Histories that begin with our own RFQs alone."""

    scope = "self"


class ReadingTheMarket(ExchangeAndUs):
    """Histories that begin with everybody's."""

    scope = "market"


if PROFILE == "ci":
    # They are the same code to hypothesis, which would derive one seed for both.
    seed(1)(ReadingOurOwn)
    seed(2)(ReadingTheMarket)

TestReadingOurOwn = ReadingOurOwn.TestCase
TestReadingOurOwn.settings = settings.get_profile(PROFILE)
TestReadingTheMarket = ReadingTheMarket.TestCase
TestReadingTheMarket.settings = settings.get_profile(PROFILE)
