-- When RFQs were sent, of those facts that $of_part leaves, and how many in a row.
select cohort_date, capture, visibility = 'own' as is_own, created_ts, 1::bigint as n
from incremental.visible_rfq_facts
$of_part
union all
select cohort_date, capture, false, created_ts, n_rfq
from ($by_minute) as unquoted
$of_part
