-- From where a build goes on. Constants: with them DuckDB skips whole blocks of what is older.
set variable last_load = (select load from incremental.last_build);
set variable swept_before_ts = (
    select max(served_ts) from raw.open_sweeps
    cross join (select as_of from incremental.last_build)
    where served_ts <= as_of and load <= getvariable('last_load')
);

-- Looks that are noted since may be of an earlier time, where the exchange's clock was set back, and go on
-- from one up to a minute before.
set variable looked_from_ts = (
    select
        date_trunc('hour', least(any_value(as_of), min(first_served_ts)) - interval 1 minute)
    from incremental.last_build
    left join (select first_served_ts, rowid as place from raw.look_stretches)
        on place >= n_look_stretches
);
