-- The time that has counted as read, for the next build to compare with, and all that was read by then,
-- for it to go on from.
create or replace table incremental.read_before as from read_now;
create or replace table incremental.read_stretches as from read_stretches;
