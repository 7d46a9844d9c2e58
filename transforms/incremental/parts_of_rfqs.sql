-- What is touched, in parts of about `rows_per_part` rows: memory is needed for one part at a time.
create or replace temp table parts_of_rfqs as
with n_quotes as (
    select rfq_id, count(*) as n_quotes
    from staging.quotes
    semi join moved_rfqs using (rfq_id)
    group by rfq_id
),

-- An RFQ that was never seen has no place; its quotes have.
sized as (
    select rfq_id, place, coalesce(n_quotes, 0) as n_quotes
    from staged
    left join n_quotes using (rfq_id)
    union all
    select rfq_id, null, coalesce(n_quotes, 0)
    from (select distinct rfq_id from moved_rfqs anti join staged using (rfq_id))
    left join n_quotes using (rfq_id)
)

select
    rfq_id,
    place,
    n_quotes > 0 as has_quotes,
    sum(1 + n_quotes) over (order by place rows unbounded preceding)
    // getvariable('rows_per_part') as part,
from sized;
