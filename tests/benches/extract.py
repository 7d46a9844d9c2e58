"""How long it takes to load quotes over loopback HTTP: ours beside dlt's own REST source.

    python tests/benches/extract.py              # 50,000 quotes, three runs each
    python tests/benches/extract.py 100000 5

Ours signs each request, reads the list twice (a sweep counts when two agree), types prices, keeps
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
from dataclasses import replace
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


def pages_of(quotes: int) -> list[bytes]:
    """What the sandbox's desk sees of its quotes, page by page, as the exchange would send it."""
    from pipelines.sandbox import Behavior, ManualClock, Market, simulate
    from pipelines.sandbox.queries import QuoteFilters

    clock = ManualClock(datetime(2026, 11, 20, 12, tzinfo=UTC))
    market = Market(clock=clock, behavior=Behavior(rate_limits=False))
    desk = market.add_account("desk", key="ed25519")
    simulate(market, seed=1, days=1, rfqs_per_day=quotes // 3)
    ours, bodies, cursor = QuoteFilters(requester=desk.user_id), [], None
    while len(bodies) < quotes // QUOTES_PER_PAGE:
        page = market.get_quotes(desk, ours, limit=QUOTES_PER_PAGE, cursor=cursor)
        bodies.append(page.rows)
        cursor = page.cursor
    count = len(bodies)
    following = [str(n) if n < count else "" for n in range(1, count + 1)]
    return [
        json.dumps({"quotes": rows} | ({"cursor": after} if after else {})).encode()
        for rows, after in zip(bodies, following, strict=True)
    ]


def serve(pages: list[bytes], pipe: Any) -> None:
    fixed = {
        "/communications/id": {"communications_id": "0" * 64},
        "/communications/rfqs": {"rfqs": []},
        "/account/limits": {"usage_tier": "bench", "read": PLENTY, "write": PLENTY},
        "/account/endpoint_costs": {"default_cost": 10, "endpoint_costs": []},
        "/api_keys": {"api_keys": [{"api_key_id": KEY_ID, "scopes": ["read"]}]},
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 1 << 20

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            path = asked.path.removeprefix("/trade-api/v2")
            body = self._quotes(parse_qs(asked.query)) if path.endswith("/quotes") else None
            if body is None:
                body = json.dumps(fixed.get(path, {})).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _quotes(self, asked: dict[str, list[str]]) -> bytes:
            """All of them in the window that is still open, which is where the newest are."""
            if "max_ts" in asked or "rfq_user_filter" not in asked:
                return b'{"quotes": []}'
            return pages[int(asked.get("cursor", ["0"])[0])]

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        pipe.send(server.server_port)
        server.serve_forever()


def load_ours(base_url: str, folder: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    from pipelines import job
    from pipelines.database import Database
    from pipelines.kalshi.extraction import Reach
    from pipelines.kalshi.settings import Access
    from pipelines.kalshi.signing import Signer

    signer = Signer.from_key(KEY_ID, rsa.generate_private_key(65537, 2048))
    reach = replace(Reach(), history=Reach().retention)
    began_s = time.perf_counter()
    new = job.load(
        Database(folder / "ours.duckdb"), Access(base_url, signer, reach), lambda _: None
    )
    note(began_s, folder, new["quote_versions"])


def load_with_dlt(base_url: str, folder: Path, **how: Any) -> None:
    import dlt
    from dlt.sources.rest_api import rest_api_source

    quotes = {
        "name": "quotes",
        "primary_key": "id",
        "write_disposition": "merge",
        "endpoint": {
            "path": "communications/quotes",
            "params": {"limit": QUOTES_PER_PAGE, "rfq_user_filter": "self"},
            "data_selector": "quotes",
        },
    }
    paginator = {"type": "cursor", "cursor_path": "cursor", "cursor_param": "cursor"}
    source = rest_api_source(
        {"client": {"base_url": f"{base_url}/", "paginator": paginator}, "resources": [quotes]}
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
    pages = pages_of(quotes)
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(pages, theirs), daemon=True)
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
