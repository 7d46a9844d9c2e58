-- How many rows of RFQs and quotes are new since the last build, and how many ids it held: numbers that
-- the tables know of themselves.
select
    (select count(*) from raw.rfq_versions) - n_rfq_versions
    + (select count(*) from raw.quote_versions) - n_quote_versions as n_news,
    (select count(*) from staging.rfqs) + (select count(*) from staging.quotes) as n_held,
from incremental.last_build;
