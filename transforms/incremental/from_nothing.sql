-- A build of everything begins with nothing read: neither a load nor what the reports of one tell.
create schema if not exists incremental;
set variable last_load = -1;
create or replace table incremental.read_stretches (
    pass varchar, from_ts timestamptz, to_ts timestamptz
);
set variable looked_from_ts = '-infinity'::timestamptz;
create or replace table incremental.looked_hours (
    hour_start_ts timestamptz, looked_s double, longest_pause_s double
);
