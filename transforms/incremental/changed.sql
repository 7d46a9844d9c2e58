-- Ids of which something was loaded since the last build, or that had not shown all of it by then; and
-- what raw holds of them besides their versions.

create or replace temp table changed_rfqs as
    select id from raw.rfq_versions where load > getvariable('last_load')
    union
    select id from raw.tombstones
    where resource = 'rfqs' and load > getvariable('last_load')
    union
    select id from raw.last_seen
    where resource = 'rfqs' and load > getvariable('last_load')
    union
    select id from incremental.unsettled where resource = 'rfqs';

create or replace temp table changed_quotes as
    select id from raw.quote_versions where load > getvariable('last_load')
    union
    select id from raw.tombstones
    where resource = 'quotes' and load > getvariable('last_load')
    union
    select id from raw.last_seen
    where resource = 'quotes' and load > getvariable('last_load')
    union
    select id from incremental.unsettled where resource = 'quotes';

create or replace temp table changed_ids as
    select 'rfqs' as resource, id from changed_rfqs
    union all
    select 'quotes', id from changed_quotes;

create or replace temp table changed_tombstones as
    from raw.tombstones semi join changed_ids using (resource, id);

create or replace temp table sought_quotes as from changed_quotes;
