"""How a watch stores what it has seen: the private file, dlt, and the moments that were watched.

All of it is one thread's. Where storing fails (a full disk), the file is closed, what was seen is
kept, and the next attempt opens the file anew: DuckDB does nothing more after a failed write.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa

from pipelines import job
from pipelines.building import Work
from pipelines.destination import own_settings
from pipelines.kalshi.extraction import Extraction, Progress
from pipelines.kalshi.looking import Look
from pipelines.kalshi.passes import GivenUp, passes_of
from pipelines.kalshi.purged import purges
from pipelines.kalshi.reading import ERRORS_OF_ONE_LIST, Pass
from pipelines.kalshi.settings import ExchangeSettings
from pipelines.loading import Loader
from pipelines.operations import recording
from pipelines.store.memory import release_memory

# Longer than this between two looks, and nobody has looked.
LONGEST_PAUSE = timedelta(seconds=60)
# About an hour's. For as long as a file is open DuckDB keeps something of each load: memory in use
# grew by 18 MB an hour over two hours, and closing the file gave it back.
LOADS_UNTIL_OPENED_ANEW = 60

_LAST_LOOKS = """
select side, max(served_ts) from (
    select side, served_ts from raw.passes
    union all select side, last_served_ts from raw.look_stretches
) group by side
"""
_NOTE = """
insert into raw.look_stretches by name
select $1 as side, $2::timestamptz as first_served_ts, $3::timestamptz as last_served_ts,
    len($5::integer[]) as n_looks, $4::double as longest_pause_s, $5::integer[] as after_ms,
    (select coalesce(max(load), 0) from raw.loads where is_whole) as load
"""


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Looks at one side's quotes, none of them later than a minute after the one before."""

    first: datetime
    last: datetime
    longest_pause: timedelta
    moments: tuple[datetime, ...]


class Landing:
    """What waits in *looks*, on its way to raw."""

    def __init__(
        self,
        work: Work,
        access: ExchangeSettings,
        looks: Sequence[Look],
        client: dict[str, Any],
        between: job.Between,
    ) -> None:
        self._work, self._access, self._looks, self._client = work, access, looks, client
        self._between = between
        self._stack, self._asking = ExitStack(), ExitStack()
        self._asked: job.Asked | None = None
        self._n_loads = 0
        self._loader: Loader | None = None
        self.extraction: Extraction | None = None
        self._last: dict[str, datetime] = {}
        self._is_first, self._has_read_anew = True, False
        self._is_between = False

    def open(self) -> Extraction:
        """Open the private file, if it is not open, and tell the looks where to go on."""
        if self.extraction is not None:
            return self.extraction
        with ExitStack() as stack:
            extraction = stack.enter_context(
                job.extracting(self._work, self._access, _ignore, self._known())
            )
            loading = self._work.database.loading_directory(self._work.directory)
            directory = stack.enter_context(loading)
            stack.enter_context(own_settings(directory))
            # What dlt leaves goes as the file is closed: of a load that failed, all of its rows.
            loads = TemporaryDirectory(dir=directory, prefix="loads-", ignore_cleanup_errors=True)
            self._loader = Loader(
                extraction.connection, Path(stack.enter_context(loads)), self._stored
            )
            self._tell_looks(extraction, self._loader.states())
            self._stack = stack.pop_all()
        self.extraction, self._n_loads = extraction, 0
        return extraction

    @contextmanager
    def _known(self) -> Iterator[job.Asked]:
        """Whose account it is, asked once: the file can be opened anew though nobody answers."""
        if self._asked is None:
            self._asked = self._asking.enter_context(job.asking(self._access, **self._client))
        yield self._asked

    def last_looks(self) -> dict[str, datetime]:
        """When each side's quotes were last served whole to anybody who noted it in raw."""
        rows = self.open().cursor.execute(_LAST_LOOKS).fetchall()
        return dict(rows)

    def purged(self) -> dict[str, pa.Table]:
        """What tells of purges. There is no other one for as long as a watch is at work."""
        return purges(self.open().cursor)

    def close(self) -> None:
        """Close the private file; what was not stored waits on."""
        self.extraction = self._loader = None
        for look in self._looks:
            look.kept()
        self._stack.close()

    def end(self) -> None:
        """Close the private file, and the connection to the exchange."""
        with self._asking:
            self.close()

    def cycle(self) -> tuple[dict[str, int], bool]:
        """Load all that a run loads; return new versions by table, and whether raw had lost rows.

        Raises what the first list that failed met, once all others were read.
        """
        if self._n_loads >= LOADS_UNTIL_OPENED_ANEW:
            self.close()
        extraction, loader = self._renewed()
        # An outage that ended a cycle may be over: it is not to end all later ones.
        extraction.reader.try_again()
        changed = [found for look in self._looks if (found := look.changed()) is not None]
        extraction.quotes_changed_in_window = sum(changed) if changed else None
        passes = self._passes(extraction)
        new_versions = job.load_by(loader, extraction, passes, self._publish_between)
        was_lost = False
        if self._is_first:
            # Once, as it takes as long as a first load. What is still lost is refused each time.
            reads = None if self._has_read_anew else partial(self._read_anew, loader)
            was_lost = job.read_lost_again(extraction, self._work, reads)
            self._is_first = False
        return new_versions, was_lost

    def _publish_between(self, extraction: Extraction) -> None:
        self._is_between = True
        try:
            self._between(extraction)
        finally:
            self._is_between = False

    def _read_anew(self, loader: Loader, extraction: Extraction) -> None:
        try:
            job.load_by(loader, extraction)
        except ERRORS_OF_ONE_LIST:
            # The other lists were read to their ends.
            self._has_read_anew = True
            raise
        self._has_read_anew = True

    def land(self) -> None:
        """Store what was seen since the last load; where that is nothing new, the moments alone."""
        with self._work.raw:
            self._land(*self._renewed())

    def release_memory(self) -> None:
        """Give back what a build has used. Nothing is stored meanwhile: it might find no room."""
        if self.extraction is None:
            return
        try:
            with self._work.raw, self.extraction.connection.cursor() as connection:
                release_memory(connection)
        except Exception as failure:  # noqa: BLE001 -- what is kept in memory ends no watch
            _log.warning("memory could not be given back: %s", failure)

    def land_aside(self) -> bool:
        """The same from another thread, where the landing one waits for an answer that is late.

        Or where it publishes between two loads. Does nothing where it has read all it wanted, and
        is storing it: returns False.
        """
        loader = self._loader
        if loader is None or loader.current is None:
            return False
        if not (self._is_between or loader.current.give_up()):
            return False
        directory = self._work.directory / "aside"
        directory.mkdir(exist_ok=True)
        with self._work.raw:
            extraction, _ = self._renewed()
            self._land(extraction, Loader(extraction.connection, directory, self._stored))
        return True

    def _land(self, extraction: Extraction, loader: Loader) -> None:
        if any(look.n_waiting for look in self._looks):
            job.land_by(loader, extraction, self._waiting())
        for look in self._looks:
            self._note(look, look.moments())

    def _renewed(self) -> tuple[Extraction, Loader]:
        """What one load is read by: it remembers nothing of those before."""
        extraction = self.open()
        self._n_loads += 1
        loader = self._loader
        if loader is None:
            raise GivenUp
        self.extraction = Extraction(
            *(extraction.reader, extraction.connection, extraction.reach, recording.run_id()),
            *(extraction.account, extraction.on_progress),
            limits=extraction.limits,
            bounds=extraction.bounds,
        )
        return self.extraction, loader

    def _passes(self, extraction: Extraction) -> tuple[Pass, ...]:
        """Every pass of a run, and what waits for those that are looked at."""
        waiting = {each.name: each for each in self._waiting()}
        usual = passes_of(extraction.reach.scope)
        ours = tuple(each for name, each in waiting.items() if name not in {p.name for p in usual})
        return (*ours, *(waiting.get(each.name, each) for each in usual))

    def _waiting(self) -> tuple[Pass, ...]:
        return tuple(look.waiting for look in self._looks if look.is_ready)

    def _stored(self, extraction: Extraction, states: dict[str, Any]) -> None:
        """Forget what raw has by now, and note when it was seen."""
        self._tell_looks(extraction, states)
        for look in self._looks:
            self._note(look, look.landed())

    def _tell_looks(self, extraction: Extraction, states: dict[str, Any]) -> None:
        told = {
            look: extraction.state_of(states.get(look.pass_.resource, {}), look.pass_.name)
            for look in self._looks
            # Where all is read anew, a state that is not told yet is there all the same.
            if not (extraction.begins_anew and look.is_ready)
        }
        if any(look.has_more_than(state) for look, state in told.items()):
            _log.warning("raw has lost what it had stored of this watch: it is looked at again")
            for look in self._looks:
                look.begin_anew()
        for look, state in told.items():
            look.begin(state)

    def _note(self, look: Look, moments: list[datetime]) -> None:
        """Note the *moments* at which a list was served whole."""
        if not moments or self.extraction is None:
            return
        side = look.side
        for each in stretches(moments, self._last.get(side)):
            after_ms = [round((at - each.first) / timedelta(milliseconds=1)) for at in each.moments]
            pause_s = each.longest_pause.total_seconds()
            self.extraction.cursor.execute(_NOTE, [side, each.first, each.last, pause_s, after_ms])
        self._last[side] = moments[-1]


def stretches(moments: Sequence[datetime], before: datetime | None) -> Iterator[Stretch]:
    """Join *moments* as long as each comes within a minute after the one before it.

    *before* is the last one that was noted already. A clock that was set back begins a new one.
    """
    found: Stretch | None = None
    for moment in moments:
        pause = moment - before if before else LONGEST_PAUSE * 2
        is_near = timedelta() <= pause <= LONGEST_PAUSE
        if found is not None and is_near:
            longest, joined = max(found.longest_pause, pause), (*found.moments, moment)
            found = replace(found, last=moment, longest_pause=longest, moments=joined)
        else:
            if found is not None:
                yield found
            found = Stretch(moment, moment, pause if is_near else timedelta(), (moment,))
        before = moment
    if found is not None:
        yield found


def _ignore(progress: Progress) -> None:
    """Say nothing of every page: a watch tells its cycles."""
