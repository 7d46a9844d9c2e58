from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from pipelines.kalshi.client.rate_budget import RateBudget
from pipelines.kalshi.client.reader import ExchangeReader, ExchangeWriter, open_reader, open_writer
from pipelines.kalshi.client.session import RetryPolicy
from pipelines.kalshi.client.signing import Signer
from tests.client.fault_server import FaultServer, serve_faults

KEY_ID = "canary-key-id"


@dataclass
class Clock:
    """A clock that only waiting moves."""

    now: float = 0.0
    waits: list[float] = field(default_factory=list)

    def now_s(self) -> float:
        return self.now

    def pause(self, wait_s: float) -> None:
        self.waits.append(wait_s)
        self.now += wait_s

    def retry_policy(self, **changes: float) -> RetryPolicy:
        """Our usual retry policy on this clock, with every wait at its longest."""
        timing = {"pause": self.pause, "now_s": self.now_s, "jitter": lambda ceiling_s: ceiling_s}
        return RetryPolicy(**timing, **changes)  # type: ignore[arg-type]

    def budget(self) -> RateBudget:
        return RateBudget(pause=self.pause, now_s=self.now_s)


@pytest.fixture(scope="session")
def rsa_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def signer(rsa_key: RSAPrivateKey) -> Signer:
    return Signer.from_key(KEY_ID, rsa_key)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange() -> Iterator[FaultServer]:
    with serve_faults() as server:
        yield server


@pytest.fixture
def reader_of(signer: Signer, clock: Clock) -> Iterator[Callable[..., ExchangeReader]]:
    """Opens readers of a server, with changes to our usual retry policy."""
    with ExitStack() as stack:

        def opened(server: FaultServer, **changes: float) -> ExchangeReader:
            retry_policy = clock.retry_policy(**changes)
            return stack.enter_context(
                open_reader(server.base_url, signer, retry_policy=retry_policy)
            )

        yield opened


@pytest.fixture
def reader(exchange: FaultServer, reader_of: Callable[..., ExchangeReader]) -> ExchangeReader:
    return reader_of(exchange)


@pytest.fixture
def writer(exchange: FaultServer, signer: Signer, clock: Clock) -> Iterator[ExchangeWriter]:
    with open_writer(exchange.base_url, signer, retry_policy=clock.retry_policy()) as opened:
        yield opened
