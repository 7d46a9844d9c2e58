"""However the exchange drifts and fails, what is ours ends up as the exchange has it."""

from tests.extraction.exchange_and_us import ExchangeAndUs


class ReadingOurOwn(ExchangeAndUs):
    """Histories that begin with our own RFQs alone."""

    scope = "self"


class ReadingTheMarket(ExchangeAndUs):
    """Histories that begin with everybody's."""

    scope = "market"


TestReadingOurOwn = ReadingOurOwn.TestCase
TestReadingTheMarket = ReadingTheMarket.TestCase
