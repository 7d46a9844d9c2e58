-- How much of each hour a watch has looked at both sides' quotes, up to the as-of time. Between two looks
-- that are a minute apart at most nobody was away, whether or not they are of one stretch. Hours before
-- `looked_from_ts` are as the last build found them.
delete from incremental.looked_hours where hour_start_ts >= getvariable('looked_from_ts');

-- Which stretch began before one is told by when they began: none that began after the first of these is
-- left out. The one before that first had ended a minute before the hours that are added up.
set variable first_look_ts = (
    select min(first_served_ts)
    from raw.look_stretches
    where last_served_ts >= getvariable('looked_from_ts') - interval 1 minute
);

insert into incremental.looked_hours
    with stretches as (
        select
            side,
            last_served_ts,
            longest_pause_s,
            lag(last_served_ts) over (partition by side order by first_served_ts) as before_ts,
            if(
                first_served_ts - before_ts between interval 0 second and interval 1 minute,
                before_ts, first_served_ts
            ) as from_ts,
        from raw.look_stretches
        where
            first_served_ts >= getvariable('first_look_ts') and first_served_ts <= getvariable('shown_ts')
    ),

    hours as (
        select
            *,
            least(last_served_ts, getvariable('shown_ts')) as to_ts,
            unnest(
                generate_series(
                    date_trunc('hour', greatest(from_ts, getvariable('looked_from_ts'))),
                    date_trunc('hour', to_ts),
                    interval 1 hour
                )
            ) as hour_start_ts,
        from stretches
    ),

    by_side as (
        select
            side,
            hour_start_ts,
            sum(
                epoch_us(least(to_ts, hour_start_ts + interval 1 hour))
                - epoch_us(greatest(from_ts, hour_start_ts))
            ) / 1e6 as looked_s,
            max(longest_pause_s) as longest_pause_s,
        from hours
        group by all
    )

    select
        hour_start_ts,
        if(count(*) = 2, min(looked_s), 0.0) as looked_s,
        max(longest_pause_s) as longest_pause_s,
    from by_side
    group by hour_start_ts;
