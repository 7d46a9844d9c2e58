-- What is touched, in parts of about `rows_per_part` rows: memory is needed for one part at a time. The
-- place of an RFQ with quotes is among the quoted ones, of any other in staging.
create or replace temp table parts_of_rfqs as
with n_quotes as (
    select rfq_id, count(*) as n_quotes
    from staging.quotes
    semi join moved_rfqs using (rfq_id)
    group by rfq_id
),

found as (
    select rfq_id, created_ts, rowid as place
    from incremental.quoted_rfqs
    semi join moved_rfqs using (rfq_id)
    union all
    select rfq_id, created_ts, place from staged anti join n_quotes using (rfq_id)
),

-- An RFQ that was never seen has no place; its quotes have.
sized as (
    select rfq_id, created_ts, place, coalesce(n_quotes, 0) as n_quotes
    from found
    left join n_quotes using (rfq_id)
    union all
    select rfq_id, null, null, coalesce(n_quotes, 0)
    from (select distinct rfq_id from moved_rfqs anti join found using (rfq_id))
    left join n_quotes using (rfq_id)
)

select
    rfq_id,
    place,
    n_quotes > 0 as has_quotes,
    sum(1 + n_quotes) over (order by created_ts, rfq_id rows unbounded preceding)
    // getvariable('rows_per_part') as part,
from sized;

-- Where the quotes of each part stand, as they are looked for by place and not by RFQ.
create or replace temp table parts_of_quotes as
    select part, quotes.rowid as place
    from staging.quotes
    inner join parts_of_rfqs using (rfq_id)
    where has_quotes
    order by part;
