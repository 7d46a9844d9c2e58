-- What the facts that will change have shown until now, so that it can be taken off sums; and those that
-- have grown old enough to count as matured since, of which nothing else changes.
create or replace temp table held_visible as
    select rowid as place
    from incremental.visible_rfq_facts
    where rfq_id in (select rfq_id from moved_rfqs);

create or replace temp table held_foreign as
    select rowid as place
    from incremental.foreign_rfq_facts
    where
        near_moved(created_ts)
        and rowid in (
            select rowid from incremental.foreign_rfq_facts semi join moved_rfqs using (created_ts)
            where near_moved(created_ts)
        )
        and rfq_id in (select rfq_id from moved_rfqs);

create or replace temp table aged_rfq_facts as
    from (
        from incremental.visible_rfq_facts union all by name from incremental.foreign_rfq_facts
    )
    where
        created_ts > getvariable('matured_before_ts') and created_ts <= getvariable('matured_ts')
        and rfq_id not in (select rfq_id from moved_rfqs);

create or replace temp table before_rfq_facts as
    select *, created_ts <= getvariable('matured_before_ts') as is_matured
    from (
        from incremental.visible_rfq_facts where rowid in (from held_visible)
        union all by name
        from incremental.foreign_rfq_facts
        where near_moved(created_ts) and rowid in (from held_foreign)
    );

create or replace temp table before_quote_facts as
    from marts.quote_facts where rfq_id in (select rfq_id from moved_rfqs);


create or replace temp table shown_rfqs as
    select cohort_date, market_ticker, date_trunc('hour', created_ts) as hour_start_ts, true as is_visible
    from incremental.visible_rfq_facts where rowid in (from held_visible)
    union
    select cohort_date, market_ticker, date_trunc('hour', created_ts), false
    from incremental.foreign_rfq_facts
    where near_moved(created_ts) and rowid in (from held_foreign)
    union
    -- What of ours has matured counts in figures of its day.
    select cohort_date, market_ticker, date_trunc('hour', created_ts), false
    from aged_rfq_facts where visibility = 'own';

create or replace temp table shown_quotes as
    select distinct cohort_date, market_ticker from before_quote_facts;

create or replace temp table touched_minutes as
    select distinct date_trunc('minute', created_ts) as minute_start_ts
    from incremental.foreign_rfq_facts
    where near_moved(created_ts) and rowid in (from held_foreign);
