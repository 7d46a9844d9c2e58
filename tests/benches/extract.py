"""How long it takes to load RFQs and quotes over loopback HTTP: ours beside dlt's REST source.

    python tests/benches/extract.py              # 50,000 quotes on 5,000 RFQs, three runs each
    python tests/benches/extract.py 100000 5
    python tests/benches/extract.py 1000000 1 --without-stock    # the slowest peer takes minutes
    python tests/benches/extract.py 100000 3 --latency-ms 80     # each answer waits so long
    python tests/benches/extract.py 100000 3 --by-id 5000        # RFQs that no list shows

Ours signs each request, reads each list twice (a sweep counts when two agree), types prices, keeps
every state and checks its rate budget. The peers read once, unsigned, and merge by id: dlt's
`rest_api` as it comes, and told to load parquet. Another only signs, asks for and drops the pages
that ours asks for, which no load can do without. Pages are made beforehand and served by a process
of their own. Every run is a process of its own and is timed without its imports.

With a latency, what is left of the wall once each answer's wait is taken off is what the load does
not do while it waits; only ours is run then. With RFQs to read by id, ours runs with them on the
list and without them: the difference is what these reads cost.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

from tests.benches import rest_peer
from tests.benches.heading import heading

QUOTES_PER_PAGE, RFQS_PER_PAGE = 500, 100
# Each with its longest page, and with what asks for what is ours.
OWN_LISTS = (
    ("rfqs", RFQS_PER_PAGE, "user_filter"),
    ("quotes", QUOTES_PER_PAGE, "rfq_user_filter"),
)
PLENTY = {"refill_rate": 1_000_000, "bucket_capacity": 1_000_000}
KEY_ID = "00000000-0000-4000-8000-000000000000"


@dataclass
class Lists:
    """The pages of each list, made beforehand, and every record on them by id."""

    pages: dict[str, list[bytes]] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)

    def without_rfqs(self, n: int) -> Lists:
        """The same, but for the *n* newest RFQs, which can only be read by id."""
        fewer = self.pages["rfqs"][n // RFQS_PER_PAGE :]
        rows = [json.loads(page)["rfqs"] for page in fewer]
        pages = [
            json.dumps({"rfqs": page, "cursor": str(at) if at < len(rows) else ""}).encode()
            for at, page in enumerate(rows, 1)
        ]
        return Lists(self.pages | {"rfqs": pages}, self.records)

    def add(self, key: str, page_after: Callable[[str | None], Any], most: int) -> None:
        """Read up to *most* pages of a list of the sandbox."""
        listed, cursor = [], None
        while len(listed) < most and (not listed or cursor):
            page = page_after(cursor)
            listed.append(page.rows)
            cursor = page.cursor
        self.pages[key] = [
            json.dumps({key: rows, "cursor": str(n) if n < len(listed) else ""}).encode()
            for n, rows in enumerate(listed, 1)
        ]
        for row in (row for rows in listed for row in rows):
            self.records[row["id"]] = json.dumps({key.removesuffix("s"): row}).encode()


def lists_of(quotes: int) -> Lists:
    """What the sandbox's desk sees of its own RFQs of a day, and of the quotes on them."""
    from pipelines.sandbox import Behavior, ManualClock, Market, simulate
    from pipelines.sandbox.listing_pages import QuoteFilters, RfqFilters

    # Now, or every quote that is still open would be overdue and read by itself.
    clock = ManualClock(datetime.now(UTC))
    market = Market(clock=clock, behavior=Behavior(rate_limits=False))
    desk = market.add_account("desk", key="ed25519")
    simulate(market, seed=1, days=1, rfqs_per_day=quotes // 3)
    own, received = RfqFilters(requester=desk.user_id), QuoteFilters(requester=desk.user_id)
    lists = Lists()
    lists.add(
        "rfqs", lambda at: market.get_rfqs(desk, own, limit=RFQS_PER_PAGE, cursor=at), 1_000_000
    )
    lists.add(
        "quotes",
        lambda at: market.get_quotes(desk, received, limit=QUOTES_PER_PAGE, cursor=at),
        quotes // QUOTES_PER_PAGE,
    )
    return lists


def serve(lists: Lists, latency_s: float, pipe: Any) -> None:
    fixed = {
        "/communications/id": {"communications_id": "0" * 64},
        "/account/limits": {"usage_tier": "bench", "read": PLENTY, "write": PLENTY},
        "/account/endpoint_costs": {"default_cost": 10, "endpoint_costs": []},
        "/api_keys": {"api_keys": [{"api_key_id": KEY_ID, "scopes": ["read"]}]},
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            body = self._answer(asked.path.removeprefix("/trade-api/v2"), parse_qs(asked.query))
            time.sleep(latency_s)
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _answer(self, path: str, asked: dict[str, list[str]]) -> bytes:
            name = path.rpartition("/")[2]
            if name not in lists.pages:
                return lists.records.get(name) or json.dumps(fixed[path]).encode()
            # All quotes are in the window that is still open, as those of a day's end would be.
            if name == "quotes" and ("max_ts" in asked or "rfq_user_filter" not in asked):
                return b'{"quotes": []}'
            return lists.pages[name][int(asked.get("cursor", ["0"])[0])]

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pipe.send(server.server_port)
        server.serve_forever()


@dataclass
class Told:
    """What a run took and brought; requests where it counts them."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    quotes: int = 0
    rfqs: int = 0
    requests: int = 0


@contextmanager
def timed() -> Iterator[Told]:
    """Time the block, in this process."""
    told = Told()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    yield told
    told.wall_s, told.cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    # What getrusage tells begins at what the process was that started this one.
    (peak_kb,) = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M)
    told.peak_mb = int(peak_kb) / 1024


def signer_of_nobody() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from pipelines.kalshi.client.signing import Signer

    return Signer.from_key(KEY_ID, rsa.generate_private_key(65537, 2048))


def load_ours(base_url: str, folder: Path) -> Told:
    import duckdb

    from pipelines import job
    from pipelines.kalshi.extraction import LoadSettings
    from pipelines.kalshi.settings import ExchangeSettings
    from pipelines.store.database import Database

    access = ExchangeSettings(
        base_url,
        signer_of_nobody(),
        replace(LoadSettings(), scope="self", history=LoadSettings().retention),
    )
    database = Database(folder / "ours.duckdb")
    with timed() as told:
        job.load(database, access, lambda _: None)
    with duckdb.connect(database.private_path) as connection:
        told.quotes, told.rfqs, told.requests = connection.execute(
            """
            select
                (select count(*) from raw.quote_versions),
                (select count(*) from raw.rfq_versions),
                (select sum(pages) from raw.extraction_runs),
            """
        ).fetchall()[0]
    return told


def fetch_alone(base_url: str, folder: Path) -> Told:
    """Sign, ask for and drop every page twice, as a load reads each list twice."""
    import httpx

    from pipelines.kalshi.client.transport import READS, Reply, SignedTransport

    cursor_of = re.compile(rb'"cursor": "([0-9]*)"')
    signer = signer_of_nobody()
    with (
        timed() as told,
        SignedTransport(httpx.URL(f"{base_url}/"), signer, READS) as transport,
    ):
        for key, limit, scope in (*OWN_LISTS, *OWN_LISTS):
            asked, cursor = {"limit": limit, scope: "self"}, ""
            while cursor is not None:
                url = f"{base_url}/communications/{key}"
                params = asked | ({"cursor": cursor} if cursor else {})
                reply = transport.send(httpx.Request("GET", url, params=params), 60.0)
                assert isinstance(reply, Reply), reply
                found = cursor_of.search(reply.body, len(reply.body) - 40)
                cursor = found.group(1).decode() or None if found else None
                told.requests += 1
    return told


def load_with_dlt(base_url: str, folder: Path, **how: Any) -> Told:
    lists: rest_peer.Lists = {
        key: (key, {"limit": limit, scope: "self"}) for key, limit, scope in OWN_LISTS
    }
    source = rest_peer.source_of(base_url, lists)
    with timed() as told:
        pipeline = rest_peer.pipeline_in(folder)
        pipeline.run(source, **how)
    with pipeline.sql_client() as client:
        rows = client.execute_sql(
            "select (select count(*) from quotes), (select count(*) from rfqs)"
        )
    told.quotes, told.rfqs = rows[0] if rows else (0, 0)
    return told


def load_with_dlt_and_parquet(base_url: str, folder: Path) -> Told:
    return load_with_dlt(base_url, folder, loader_file_format="parquet")


Method = Callable[[str, Path], Told]
OURS = "ours (signed, read twice)"
STOCK = "dlt rest_api as it comes"
METHODS: dict[str, Method] = {
    OURS: load_ours,
    "signing, asking alone": fetch_alone,
    "dlt rest_api, parquet": load_with_dlt_and_parquet,
    STOCK: load_with_dlt,
}


def run(method: Method, base_url: str) -> Told:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        arguments = (method, base_url, Path(folder), theirs)
        process = context.Process(target=_run_here, args=arguments)
        process.start()
        # The other end closes with the process, however that ends.
        theirs.close()
        told: Told = ours.recv()
        process.join()
    return told


def _run_here(method: Method, base_url: str, folder: Path, pipe: Any) -> None:
    pipe.send(method(base_url, folder))


@contextmanager
def served(lists: Lists, latency_s: float = 0.0) -> Iterator[str]:
    """Serve *lists* from a process of its own while the block runs; the base URL."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(lists, latency_s, theirs), daemon=True)
    server.start()
    yield f"http://127.0.0.1:{ours.recv()}/trade-api/v2"
    server.terminate()
    server.join()


def show(taken: dict[str, list[Told]], latency_s: float = 0.0) -> None:
    """Print medians, and of the wall also what is left of it without the wait for each answer."""
    first = statistics.median(told.wall_s for told in next(iter(taken.values())))
    print(f"{'':<28}{'quotes':>10}{'RFQs':>9}{'wall s':>9}{'CPU s':>9}{'ratio':>7}", end="")
    print(f"{'peak MB':>9}{'requests':>10}{'wall s but for latency':>24}")
    for name, runs in taken.items():
        wall_s = statistics.median(each.wall_s for each in runs)
        cpu_s = statistics.median(each.cpu_s for each in runs)
        peak_mb = max(each.peak_mb for each in runs)
        requests = runs[0].requests
        print(
            f"{name:<28}{runs[0].quotes:>10,}{runs[0].rfqs:>9,}{wall_s:>9.2f}{cpu_s:>9.2f}", end=""
        )
        print(f"{wall_s / first:>7.1f}{peak_mb:>9,.0f}{requests:>10,}", end="")
        print(f"{wall_s - requests * latency_s:>24.2f}")


def main(asked: argparse.Namespace) -> None:
    print(heading())
    lists = lists_of(asked.quotes)
    kinds = {"": (lists, METHODS)}
    if asked.without_stock:
        kinds[""] = lists, {name: how for name, how in METHODS.items() if name != STOCK}
    if asked.latency_ms:
        kinds[""] = lists, {OURS: load_ours}
    if asked.by_id:
        ours = {OURS: load_ours}
        kinds = {
            "": (lists, ours),
            f"{asked.by_id:,} by id": (lists.without_rfqs(asked.by_id), ours),
        }
    latency_s = asked.latency_ms / 1000
    taken: dict[str, list[Told]] = {}
    for label, (listed, methods) in kinds.items():
        with served(listed, latency_s) as base_url:
            for _ in range(asked.rounds):
                for name, method in methods.items():
                    taken.setdefault(label or name, []).append(run(method, base_url))
    show(taken, latency_s)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("quotes", nargs="?", type=int, default=50_000)
    parser.add_argument("rounds", nargs="?", type=int, default=3)
    parser.add_argument("--without-stock", action="store_true")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--by-id", type=int, default=0)
    main(parser.parse_args())
