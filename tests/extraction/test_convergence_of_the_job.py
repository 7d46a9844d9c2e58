"""The same histories, read by the whole job: signed HTTP, dlt, the marts, the rules, publishing."""

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
from dlt.pipeline.exceptions import PipelineStepFailed
from hypothesis import Phase, settings

from pipelines import job
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.sandbox import serve
from pipelines.sandbox.accounts import Party
from pipelines.store.database import Database
from tests.extraction.exchange_and_us import ExchangeAndUs
from tests.extraction.loading import STATES
from tests.profile import PROFILE, nightly
from tests.running import access_of, ignore
from transforms.marts import MARTS

pytestmark = nightly("a history takes ten seconds")
WATERMARKS = """
select concat_ws(' ', account_fingerprint, scope, pass), arg_max(watermark_after_ts, rowid)
from raw.extraction_runs group by all having count(watermark_after_ts) > 0
"""


class Databases:
    """The files of one history; a test asks for raw and staging as it would ask a `Store`."""

    def __init__(self, folder: Path) -> None:
        self.database = Database(folder / "rfq.duckdb")

    def rows(self, query: str) -> list[Any]:
        if not self.database.path.exists():
            return []
        with duckdb.connect() as connection:
            connection.execute(
                f"attach '{self.database.private_path}' as private (read_only);"
                f" attach '{self.database.path}' as published (read_only);"
                " set search_path = 'published.main,private.raw'"
            )
            return connection.execute(query).fetchall()

    def watermarks(self) -> dict[str, Any]:
        return dict(self.rows(WATERMARKS))

    def current(self, entity: str) -> dict[str, tuple[Any, ...]]:
        return {row[0]: row[1:] for row in self.rows(STATES[entity])}

    def marts(self) -> dict[str, list[Any]]:
        with self.database.reading() as connection:
            names = [mart.__name__ for mart in MARTS]
            rows = {n: connection.execute(f"from marts.{n} order by all").fetchall() for n in names}
        return {name: list(map(repr, found)) for name, found in rows.items()}


class Served:
    """What the machine may change about how we read; lists are served as the sandbox does."""

    def __init__(self) -> None:
        self.listing = "keyset"
        self.local_ahead_s = 0.0
        self.before_page: dict[str, Any] = {}


class ExchangeAndJob(ExchangeAndUs):
    """A history in which every run is one of `rfq run`."""

    scope = "market"
    # The job refuses both, which `test_files` sees.
    run_against_another_exchange = None
    run_as_somebody_else = None

    def meet(self) -> tuple[Party, Party, Party]:
        made = (self.market.add_account(name, key="ed25519") for name in ("me", "other", "third"))
        me, other, third = made
        return me, other, third

    def set_up(self) -> None:
        self.open = ExitStack()
        folder = Path(tempfile.mkdtemp())
        self.open.callback(shutil.rmtree, folder)
        self.exchange = self.open.enter_context(serve(self.market))
        self.reader, self.store = Served(), Databases(folder)

    def run_once(self, who: Party) -> None:
        for scripts in self.reader.before_page.values():
            self.market.faults.before_page.update(scripts)
        try:
            job.run(self.store.database, access_of(self.exchange, who, self.reach), ignore)
        except PipelineStepFailed as failed:
            raise _of_the_exchange(failed) from failed

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        with self.open:
            super().teardown()
            gone_on = self.store.marts()
            job.rebuild(self.store.database, afresh=True)
            assert self.store.marts() == gone_on, "a build of everything finds something else"


def _of_the_exchange(failed: BaseException | None) -> BaseException:
    """The error of the exchange that made dlt fail; *failed* itself where there is none."""
    cause = failed
    while cause is not None and not isinstance(cause, ExchangeError):
        cause = cause.__cause__ or cause.__context__
    found = cause or failed
    assert found is not None
    return found


TestTheJob = ExchangeAndJob.TestCase
TestTheJob.settings = settings(
    settings.get_profile(PROFILE),
    max_examples=40,
    # A history takes ten seconds, and to make it smaller would take hundreds of them.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
