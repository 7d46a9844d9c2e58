"""The simple metrics a second time, in plain SQL over the raw rows, on random markets."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pytest

from tests.metrics.comparison import is_same
from tests.metrics.markets import MIDNIGHT, many_markets, many_watched_markets
from tests.profile import IS_NIGHTLY
from transforms.metrics import evaluate
from transforms.metrics.objects import load_objects

LONG_AFTER = MIDNIGHT + timedelta(days=1)

VIEWS = """
create temp view q as
    select id, rfq_id, creator_id as maker, accepted_side as side,
        nullif(yes_bid_dollars, 0) as yb, nullif(no_bid_dollars, 0) as nb,
        created_ts as c, accepted_ts as a, confirmed_ts as f, executed_ts as x, cancelled_ts as k
    from raw.quote_versions;

create temp view first_executed as
    select rfq_id, x from q where x is not null
    qualify row_number() over (partition by rfq_id order by a, x, id) = 1;

create temp view acts as
    select rfq_id, min(x) as first_x, greatest(max(a), max(x)) as last_act from q group by 1;

create temp view r as
    select id, created_ts as c, x as filled,
        coalesce(first_x, cancelled_ts, case when status = 'closed' then updated_ts end) as said,
        case when said is not null then greatest(said, last_act) end as over,
    from raw.rfq_versions
        left join first_executed on first_executed.rfq_id = id
        left join acts on acts.rfq_id = id;

create temp view answers as
    select q.*, r.over, lead(q.c) over (partition by rfq_id, maker order by q.c, q.id) as next,
        row_number() over (partition by rfq_id, maker order by q.c, q.id) as version,
        greatest(epoch_us(q.c) - epoch_us(r.c), 0) / 1e6 as latency,
        epoch_us(q.c) - epoch_us(r.c) < -100000 as too_early,
    from q join r on r.id = rfq_id
    where (yb > 0 or nb > 0)
        and (over is null or q.c <= over + interval 100 milliseconds or a is not null);

create temp view lived as
    select *, least(k, a, next, over) as dead from answers;

create temp view won as
    select * from answers where x is not null
    qualify row_number() over (partition by rfq_id order by a, x, id) = 1;
"""

SCALARS = {
    "fill_rate_all": "select count(filled) / nullif(count(*), 0) from r",
    "n_quotes_effective": "select count(*) from answers where next is null",
    "n_rfq_quoted": "select count(distinct rfq_id) from answers",
    "mean_quote_spread_effective": """
        select avg((1 - yb - nb)::double) from answers where next is null and yb + nb <= 1""",
    "response_latency_p50_s": """
        select quantile_cont(latency, 0.5) from answers where version = 1 and not too_early""",
    "n_neg_latency_rejected": "select count(*) from answers where version = 1 and too_early",
    "lapse_rate": """
        select count(*) filter (f is null) / nullif(count(*), 0) from q where a is not null""",
    "confirm_latency_p90_s": """
        select quantile_cont((epoch_us(f) - epoch_us(a)) / 1e6, 0.9) from q""",
}

MAPS = {
    "requester_price": """
        select rfq_id, 1 - if(side = 'yes', yb, nb) from won""",
    "cover_bid": """
        select w.rfq_id, max(if(w.side = 'yes', o.yb, o.nb))
        from won as w left join lived as o
            on o.rfq_id = w.rfq_id and o.maker <> w.maker and coalesce(o.yb + o.nb, 0) <= 1
            and o.c <= w.a and (o.dead is null or o.dead > w.a)
        group by 1""",
    "n_live_makers_at_accept": """
        select w.rfq_id, 1 + count(distinct o.maker)
        from won as w left join lived as o
            on o.rfq_id = w.rfq_id and o.maker <> w.maker and coalesce(o.yb + o.nb, 0) <= 1
            and o.c <= w.a and (o.dead is null or o.dead > w.a)
            and if(w.side = 'yes', o.yb, o.nb) is not null
        group by 1""",
    "best_yes_bid_at_accept": """
        select w.rfq_id, max(o.yb)
        from won as w left join lived as o
            on o.rfq_id = w.rfq_id and coalesce(o.yb + o.nb, 0) <= 1
            and (o.id = w.id or o.c <= w.a and (o.dead is null or o.dead > w.a))
        group by 1""",
    "time_to_fill_s": """
        select id, (epoch_us(filled) - epoch_us(c)) / 1e6 from r where filled is not null""",
}

# Each id once: an RFQ of somebody else was read more than once, open and closed.
WATCHED = """
create temp view seen as
    select id, min(created_ts) as c, bool_or(creator_id is not distinct from 'desk') as is_own,
        max(cancelled_ts) as deleted, max(observed_ts) filter (status = 'open') as seen_open,
    from raw.rfq_versions group by 1;

create temp view lives as
    select seen.*, coalesce(first_x, deleted) as said,
        case when said is not null then greatest(said, last_act) end as over,
    from seen left join acts on rfq_id = seen.id;

create temp view watched as
    select l.*, max(served_ts) as last_pass,
    from lives as l left join raw.passes as p
        on p.side = if(is_own, 'received', 'made')
        and epoch_us(served_ts) >= epoch_us(c) + 5000000
        and (is_own or served_ts <= seen_open)
        and coalesce(epoch_us(served_ts) + 1000000 <= epoch_us(over), true)
    group by all;
"""

SHARE_ANSWERED = """
select count(*) filter (soon) / nullif(count(*), 0) from (
    select any_value(w.id) as id, coalesce(bool_or(epoch_us(q.c) <= epoch_us(w.c) + 5000000
        and (q.yb > 0 or q.nb > 0)
        and (over is null or q.c <= over + interval 100 milliseconds or a is not null)
    ), false) as soon,
    from watched as w left join q on q.rfq_id = w.id
    where is_own and last_pass is not null group by w.id)
"""


@pytest.mark.parametrize("number", range(2))
def test_plain_sql_finds_what_was_watched(number: int) -> None:
    """Which RFQs were, and of those the share that was answered at once."""
    market = replace(many_watched_markets(number), as_of=LONG_AFTER)
    with duckdb.connect() as connection:
        load_objects(connection, market.rfqs, market.quotes, market.passes or ())
        connection.execute(VIEWS)
        connection.execute(WATCHED)
        captures = dict(
            connection.execute(
                "select id, if(last_pass is null, 'late', 'live') from watched"
            ).fetchall()
        )
        share_answered = value(connection, SHARE_ANSWERED)

    metrics = market.metrics()

    assert metrics["rfq_capture"] == captures
    assert metrics["response_rate_5s"] == share_answered


@pytest.mark.parametrize("number", range(4 if IS_NIGHTLY else 2))
def test_plain_sql_finds_the_same_numbers(number: int) -> None:
    market = replace(many_markets(number), as_of=LONG_AFTER)
    with duckdb.connect() as connection:
        load_objects(connection, market.rfqs, market.quotes)
        connection.execute(VIEWS)
        scalars = {name: value(connection, query) for name, query in SCALARS.items()}
        maps = {name: by_id(connection, query) for name, query in MAPS.items()}

    metrics = evaluate(market.rfqs, market.quotes, market.as_of)

    found = {name: metrics[name] for name in SCALARS} | {
        name: {rfq_id: metrics[name][rfq_id] for rfq_id in expected}
        for name, expected in maps.items()
    }
    differing = {name: of for name, of in found.items() if not is_same(of, (scalars | maps)[name])}
    assert differing == {}


def value(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    return connection.execute(query).fetchall()[0][0]


def by_id(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, float | None]:
    rows = connection.execute(query).fetchall()
    return {key: None if of is None else float(of) for key, of in rows}
