-- Constants of a build that goes on: with them DuckDB skips whole blocks of what is older.
set variable last_load = (select load from incremental.last_build);
set variable swept_before_ts = (
    select max(served_ts) from raw.open_sweeps
    cross join (select as_of from incremental.last_build)
    where served_ts <= as_of and load <= getvariable('last_load')
);
