-- Constants of a build that goes on: with them DuckDB skips whole blocks of what is older.
set variable swept_before_ts = (
    select max(served_ts) from raw.open_sweeps, incremental.last_build
    where served_ts <= as_of and load <= passes_load
);
set variable extraction_runs_before = (select extraction_runs_load from incremental.last_build);
