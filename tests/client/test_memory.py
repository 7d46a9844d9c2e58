"""Bodies that are made to exhaust memory, read by a run in a process of its own.

What bounds them: a page has 12 MiB at most, any other answer 1 MiB, and what is parsed 300,000
values, 64 levels and ten times the rows asked for. No text beyond 10,000 characters is typed, and
what is unknown is kept as one text and makes no columns.
"""

import os
import sys
from pathlib import Path

import pytest

from pipelines.kalshi.client.json_body import MOST_VALUES
from pipelines.kalshi.client.transport import LARGEST_PAGE_BYTES
from pipelines.sandbox import Account
from pipelines.store.database import Database
from tests.client.fault_server import (
    FaultStep,
    empty_exchange,
    http,
    says,
    sends,
    serve_faults,
    streams,
)
from tests.client.test_faults import GZIP, endless_zeros, gibibyte_of_zeros

MOST_BYTES = 1024 * 1024 * 1024
RUN_ONCE = """
import sys
from functools import partial
from pipelines.entry import main
from pipelines.kalshi.client import reader, session
session.RetryPolicy = partial(session.RetryPolicy, attempts=1)
sys.argv[0] = "rfq"
main()
"""
WHEN = "2026-11-20T12:00:00Z"
BOMB = streams(http(200, headers=GZIP, sized=False), gibibyte_of_zeros)


def rows(count: int, names: int) -> bytes:
    """RFQs with as many unknown fields as are let through, each name another."""
    row = ", ".join(f'"u%d_{n}": [{n}]' for n in range(names))
    one = f'{{"id": "i%d", "created_ts": "{WHEN}", {row}}}'
    whole = [one.replace("%d", str(number)) for number in range(count)]
    return f'{{"rfqs": [{", ".join(whole)}]}}'.encode()


def long_text() -> bytes:
    """One letter beyond the usual planes makes Python take four bytes for each of them."""
    text = "x" * (LARGEST_PAGE_BYTES - 1000) + "\N{GRINNING FACE}"
    row = f'"created_ts": "{WHEN}", "contracts_fp": "1.00", "creator_user_id": "me"'
    return f'{{"rfqs": [{{"id": "{WHEN}", {row}, "market_ticker": "{text}"}}]}}'.encode()


HOSTILE: dict[str, tuple[dict[str, FaultStep], int, str]] = {
    "many values": (
        {
            "/api_keys": BOMB,
            "/account/limits": streams(http(500, sized=False), endless_zeros),
            "/account/endpoint_costs": sends(http(200, b"[" * 1_000_000)),
            "/communications/quotes": sends(
                http(200, b'{"quotes":[' + b"{}," * 4_000_000 + b"{}]}")
            ),
            "/communications/rfqs": sends(http(200, rows(900, MOST_VALUES // 2 // 910))),
        },
        69,
        "rfq: GET /communications/quotes: HTTP 200, but the JSON held more than 300,000 values",
    ),
    "long texts": (
        {
            "/api_keys": says(200, {"api_keys": ["x" * 1_000_000]}),
            "/communications/rfqs": sends(http(200, long_text())),
        },
        0,
        "published: ",
    ),
}


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="tells the peak memory of a process")
@pytest.mark.parametrize(("answers", "code", "said_last"), HOSTILE.values(), ids=HOSTILE.keys())
def test_no_answer_makes_a_run_need_more_than_a_gibibyte(
    database: Database,
    desk: Account,
    tmp_path: Path,
    answers: dict[str, FaultStep],
    code: int,
    said_last: str,
) -> None:
    key_file = tmp_path / "key.pem"
    key_file.write_text(desk.private_key_pem)
    key_file.chmod(0o600)
    access = {
        "SOURCES__KALSHI__API_KEY_ID": desk.api_key_id,
        "SOURCES__KALSHI__PRIVATE_KEY_PATH": str(key_file),
    }
    with serve_faults() as server, (tmp_path / "said").open("w+") as said:
        server.paths = empty_exchange() | answers
        arguments = ["run", "--base-url", server.base_url, "--database", str(database.path)]

        run = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", RUN_ONCE, *arguments],
            os.environ | access,
            file_actions=[(os.POSIX_SPAWN_DUP2, said.fileno(), out) for out in (1, 2)],
        )
        _, status, used = os.wait4(run, 0)

        said.seek(0)
        text = said.read()
    assert os.waitstatus_to_exitcode(status) == code, text
    assert said_last in text
    assert 0 < used.ru_maxrss * 1024 < MOST_BYTES
