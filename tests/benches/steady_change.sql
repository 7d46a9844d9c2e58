-- What a small run brings beside its new RFQs: changes of what is held. `$load` is the run's number and
-- `$until` its moment.
set timezone = 'UTC';

-- 1,000 quotes show another state: the latest, and ten on RFQs that are six days old.
insert into raw.quote_versions by name
with latest as (
    from raw.quote_versions
    where created_ts < $until - interval 10 second and load < $load
    qualify row_number() over (partition by id order by observed_ts desc, updated_ts desc) = 1
),

changed as (
    (from latest order by created_ts desc, id limit 990)
    union all
    (
        from latest
        where created_ts between $until - interval 149 hour and $until - interval 143 hour
        order by id limit 10
    )
)

select * replace (
    if(executed_ts is null, 'cancelled', status) as status,
    $until - interval 5 second as updated_ts,
    if(executed_ts is null, $until - interval 5 second, null) as cancelled_ts,
    md5(id || 'changed' || $load) as version_hash,
    $until as observed_ts,
    $load as load
)
from changed;

-- 100 RFQs that were asked for three hours ago are read as closed.
insert into raw.rfq_versions by name
select * replace (
    'closed' as status,
    md5(id || 'closed' || $load) as version_hash,
    $until as observed_ts,
    $load as load
)
from (
    from raw.rfq_versions
    where created_ts between $until - interval 4 hour and $until - interval 3 hour and load < $load
    qualify max(status) over (partition by id) = 'open' and count(*) over (partition by id) = 1
)
order by created_ts desc, id limit 100;

-- One of our RFQs in the largest market fills a second after its quote was confirmed.
insert into raw.rfq_versions by name
select
    uuid_of('fast', $load) as id, $viewer as creator_id, market_ticker, 50 as contracts_fp,
    'closed' as status, $until - interval 60 second as created_ts, 'me' as creator_user_id,
    $until - interval 50 second as updated_ts, md5(id) as version_hash, $until as observed_ts,
    'rfqs_market' as observed_pass, $load as load,
from places where place = 0;

insert into raw.quote_versions by name
select
    uuid_of('fastq', $load) as id, uuid_of('fast', $load) as rfq_id,
    sha256('maker1') as creator_id, $viewer as rfq_creator_id, market_ticker, 50 as contracts_fp,
    0.4 as yes_bid_dollars, 0.5 as no_bid_dollars, 'executed' as status, 'no' as accepted_side,
    $until - interval 59 second as created_ts, $until - interval 50 second as updated_ts,
    $until - interval 52 second as accepted_ts, $until - interval 51 second as confirmed_ts,
    $until - interval 50 second as executed_ts, 'me' as rfq_creator_user_id,
    md5(id) as version_hash, $until as observed_ts, 'quotes_received' as observed_pass,
    $load as load,
from places where place = 0;
