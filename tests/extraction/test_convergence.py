"""However the exchange drifts and fails, what is ours ends up as the exchange has it."""

from tests.extraction.exchange_and_us import ExchangeAndUs

TestExchangeAndUs = ExchangeAndUs.TestCase
