-- What may have to be read by id, kept apart from raw so that to find it costs a run what
-- changed. Everything here follows from raw, by these queries: it is made anew where it is missing.
create schema if not exists candidates;

-- RFQs that are ours or that a quote names, as long as nothing held of them says that they are over.
create or replace table candidates.rfqs as
with own as (select distinct id from raw.rfq_versions where $is_shown_own),
quoted as (select distinct rfq_id as id from raw.quote_versions)
select id, min(created_ts) as created_ts, id in (from own) as is_own
from raw.rfq_versions
where id in (from own union from quoted) and id not in (select id from gone_rfqs)
group by id having bool_and($is_open);

-- RFQs that a quote names and that were never read.
create or replace table candidates.unknown_rfqs as
select distinct rfq_id as id from raw.quote_versions
anti join raw.rfq_versions as held on held.id = rfq_id
where rfq_id not in (select id from gone_rfqs);

-- Quotes of which nothing held says that they are over, and whether their RFQ is.
create or replace table candidates.quotes as
with over as (
    select id from raw.rfq_versions where not $is_open
    union select id from gone_rfqs
)
select
    id,
    any_value(rfq_id) as rfq_id,
    min(created_ts) as created_ts,
    max(creator_id) as creator_id,
    max(rfq_creator_id) as rfq_creator_id,
    any_value(rfq_id) in (from over) as is_rfq_over
from raw.quote_versions
where id not in (select id from gone_quotes)
group by id having bool_and($is_open);

