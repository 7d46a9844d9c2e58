-- Which time passes over the lists have read: from the watermark before, or from where things were not
-- gone yet, to the watermark after. Passes that touch or overlap are one row: what the last build has found
-- is gone on from, so that a year of runs is as short to read as a day of them. A killed load may have left
-- its reports without the rows that they speak of: one counts if a later report of its pass began where it
-- ended.
create or replace temp table read_stretches as
    with killed as (
        from raw.extraction_runs
        where load in (select load from raw.loads where not is_whole)
    ),

    unproven as (
        from killed anti join raw.extraction_runs as later
            on later.pass = killed.pass and later.watermark_before_ts = killed.watermark_after_ts
    ),

    reports as (
        from raw.extraction_runs
        where
            load > getvariable('last_load')
            and load not in (select load from raw.loads where not is_whole)
        union all
        from killed anti join unproven using (pass, load)
    ),

    stretches as (
        select
            pass,
            greatest(watermark_before_ts, forgotten_before_ts) as from_ts,
            watermark_after_ts as to_ts,
        from reports
        where
            from_ts < to_ts
            and pass in ('rfqs_market', 'rfqs_self', 'quotes_made', 'quotes_received')
        union all
        from incremental.read_stretches
    ),

    marked as (
        select *, coalesce(from_ts > max(to_ts) over before_it, true)::int as is_after_a_gap
        from stretches
        window before_it as (
            partition by pass order by from_ts, to_ts
            rows between unbounded preceding and 1 preceding
        )
    ),

    numbered as (
        select *, sum(is_after_a_gap) over in_order as stretch
        from marked
        window in_order as (
            partition by pass order by from_ts, to_ts
            rows between unbounded preceding and current row
        )
    )

    select pass, min(from_ts) as from_ts, max(to_ts) as to_ts
    from numbered
    group by pass, stretch;
