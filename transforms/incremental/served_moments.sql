-- When either side's quotes were served whole, pass by pass and look by look, as far as that concerns the
-- RFQs that are computed: one is watched at a moment of its life. And when they were last, which tells
-- whether a quote has vanished.
create or replace temp table served_moments as
    select side, served_ts
    from raw.passes
    where served_ts >= (select min(created_ts) from moved_rfqs)
    union all
    select side, first_served_ts + to_milliseconds(unnest(after_ms)) as served_ts
    from raw.look_stretches
    where last_served_ts >= (select min(created_ts) from moved_rfqs)
    union all
    select side, max(served_ts) as served_ts
    from (
        select side, served_ts from raw.passes
        union all
        select side, first_served_ts + to_milliseconds(after_ms[-1]) from raw.look_stretches
    )
    group by side;
