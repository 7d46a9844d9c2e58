-- The time that has counted as read, for the next build to compare with.
create or replace table incremental.read_before as from read_now;
