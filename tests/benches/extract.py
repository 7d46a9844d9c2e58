"""How long it takes to load RFQs and quotes over loopback HTTP: ours beside dlt's REST source.

    python tests/benches/extract.py              # 50,000 quotes on 5,000 RFQs, three runs each
    python tests/benches/extract.py 100000 5

Ours signs each request, reads each list twice (a sweep counts when two agree), types prices, keeps
every state and checks its rate budget. The peers read once, unsigned, and merge by id: dlt's
`rest_api` as it comes, and told to load parquet. Pages are made beforehand and served by a process
of their own. Every run is a process of its own and is timed without its imports.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"

from tests.benches.heading import heading

QUOTES_PER_PAGE = 500
PLENTY = {"refill_rate": 1_000_000, "bucket_capacity": 1_000_000}
KEY_ID = "00000000-0000-4000-8000-000000000000"


@dataclass
class Lists:
    """The pages of each list, made beforehand, and every record on them by id."""

    pages: dict[str, list[bytes]] = field(default_factory=dict)
    records: dict[str, bytes] = field(default_factory=dict)

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
    lists.add("rfqs", lambda at: market.get_rfqs(desk, own, limit=100, cursor=at), 1_000_000)
    lists.add(
        "quotes",
        lambda at: market.get_quotes(desk, received, limit=500, cursor=at),
        quotes // QUOTES_PER_PAGE,
    )
    return lists


def serve(lists: Lists, pipe: Any) -> None:
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


def load_ours(base_url: str, folder: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from pipelines import job
    from pipelines.kalshi.client.signing import Signer
    from pipelines.kalshi.extraction import LoadSettings
    from pipelines.kalshi.settings import ExchangeSettings
    from pipelines.store.database import Database

    signer = Signer.from_key(KEY_ID, rsa.generate_private_key(65537, 2048))
    reach = replace(LoadSettings(), scope="self", history=LoadSettings().retention)
    began_s = time.perf_counter()
    new = job.load(
        Database(folder / "ours.duckdb"), ExchangeSettings(base_url, signer, reach), lambda _: None
    )
    note(began_s, folder, new["quote_versions"])


def load_with_dlt(base_url: str, folder: Path, **how: Any) -> None:
    import dlt
    from dlt.sources.rest_api import rest_api_source

    filters = {"rfqs": {"user_filter": "self"}, "quotes": {"rfq_user_filter": "self"}}
    resources = [
        {
            "name": name,
            "primary_key": "id",
            "write_disposition": "merge",
            "endpoint": {
                "path": f"communications/{name}",
                "params": {"limit": 500} | mine,
                "data_selector": name,
            },
        }
        for name, mine in filters.items()
    ]
    paginator = {"type": "cursor", "cursor_path": "cursor", "cursor_param": "cursor"}
    source = rest_api_source(
        {"client": {"base_url": f"{base_url}/", "paginator": paginator}, "resources": resources}
    )
    began_s = time.perf_counter()
    pipeline = dlt.pipeline(
        "peer",
        pipelines_dir=str(folder / "state"),
        destination=dlt.destinations.duckdb(str(folder / "peer.duckdb")),
        dataset_name="raw",
    )
    pipeline.run(source, **how)
    with pipeline.sql_client() as client:
        rows = client.execute_sql("select count(*) from quotes")
    note(began_s, folder, rows[0][0] if rows else 0)


def load_with_dlt_and_parquet(base_url: str, folder: Path) -> None:
    load_with_dlt(base_url, folder, loader_file_format="parquet")


def note(began_s: float, folder: Path, rows: int) -> None:
    wall_s = time.perf_counter() - began_s
    usage = resource.getrusage(resource.RUSAGE_SELF)
    (folder / "noted").write_text(json.dumps([wall_s, usage.ru_maxrss / 1024, rows]))


METHODS: dict[str, Callable[[str, Path], None]] = {
    "ours (signed, read twice)": load_ours,
    "dlt rest_api, parquet": load_with_dlt_and_parquet,
    "dlt rest_api as it comes": load_with_dlt,
}


def run(method: Callable[[str, Path], None], base_url: str) -> tuple[float, float, int]:
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("spawn").Process(
            target=method, args=(base_url, Path(folder))
        )
        process.start()
        process.join()
        wall_s, peak_mb, rows = json.loads((Path(folder) / "noted").read_text())
        return wall_s, peak_mb, rows


def main(quotes: int, rounds: int) -> None:
    print(heading())
    lists = lists_of(quotes)
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(lists, theirs), daemon=True)
    server.start()
    base_url = f"http://127.0.0.1:{ours.recv()}/trade-api/v2"
    taken: dict[str, list[tuple[float, float, int]]] = {name: [] for name in METHODS}
    for _ in range(rounds):
        for name, method in METHODS.items():
            taken[name].append(run(method, base_url))
    server.terminate()
    first = statistics.median(wall_s for wall_s, _, _ in taken[next(iter(METHODS))])
    print(f"{'':<28}{'quotes':>10}{'wall s':>10}{'ratio':>8}{'peak MB':>10}")
    for name, runs in taken.items():
        wall_s = statistics.median(each[0] for each in runs)
        peak_mb = max(each[1] for each in runs)
        print(f"{name:<28}{runs[0][2]:>10,}{wall_s:>10.2f}{wall_s / first:>8.1f}{peak_mb:>10,.0f}")


if __name__ == "__main__":
    main(*(int(text.replace(",", "")) for text in sys.argv[1:3] or ("50000", "3")))
