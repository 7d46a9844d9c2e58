"""Bodies that are made to exhaust memory, read in a process of its own and measured there."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.fault_server import Act, FaultServer, http, streams
from tests.client.test_faults import GZIP, endless_zeros, gibibyte_of_zeros

MOST_EXTRA_BYTES = 64 * 1024 * 1024
READ_ONCE = """
import sys
from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pipelines.kalshi.client import Patience, open_reader
from pipelines.kalshi.errors import ExchangeUnavailable
from pipelines.kalshi.signing import Signer

def peak_bytes():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

signer = Signer.from_key("id", Ed25519PrivateKey.generate())
with open_reader(sys.argv[1], signer, patience=Patience(attempts=1)) as reader:
    before = peak_bytes()
    try:
        reader.get_rfqs()
    except ExchangeUnavailable as error:
        assert "but the body was larger than 1" in str(error), error
        sys.stdout.write(str(peak_bytes() - before))
"""

BOMBS: dict[str, Act] = {
    "one GiB in 1 MB of gzip": streams(http(200, headers=GZIP, sized=False), gibibyte_of_zeros),
    "300 MB as it is": streams(http(200, sized=False), endless_zeros),
    "one GiB in an error": streams(http(500, headers=GZIP, sized=False), gibibyte_of_zeros),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_costs_less_than_64_mib(exchange: FaultServer, bomb: Act) -> None:
    exchange.answers(bomb)

    extra_bytes = subprocess.run(
        [sys.executable, "-c", READ_ONCE, exchange.base_url],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    ).stdout

    assert 0 < int(extra_bytes) < MOST_EXTRA_BYTES
