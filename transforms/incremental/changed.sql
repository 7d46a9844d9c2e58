-- Ids of which something was loaded since the last build, or that had not shown all of it by then.
-- Raw only grows, so what is new lies behind the rows that were read last time.

create or replace temp table changed_rfqs as
    select id from raw.rfq_versions
    where rowid >= (select n_rfq_versions from incremental.last_build)
    union
    select id from raw.tombstones
    where resource = 'rfqs' and rowid >= (select n_tombstones from incremental.last_build)
    union
    select id from raw.last_seen
    where resource = 'rfqs' and load > (select last_seen_load from incremental.last_build)
    union
    select id from incremental.unsettled where resource = 'rfqs';

create or replace temp table changed_quotes as
    select id from raw.quote_versions
    where rowid >= (select n_quote_versions from incremental.last_build)
    union
    select id from raw.tombstones
    where resource = 'quotes' and rowid >= (select n_tombstones from incremental.last_build)
    union
    select id from raw.last_seen
    where resource = 'quotes' and load > (select last_seen_load from incremental.last_build)
    union
    select id from incremental.unsettled where resource = 'quotes';

-- All that raw holds of them. Places first, so that of all other rows the id alone is read.
create or replace temp table changed_rfq_versions as
    from raw.rfq_versions
    where rowid in (select rowid from raw.rfq_versions semi join changed_rfqs using (id));

create or replace temp table changed_quote_versions as
    from raw.quote_versions
    where rowid in (select rowid from raw.quote_versions semi join changed_quotes using (id));
