-- What is held of a market, by size: RFQs numbered from 0, the oldest first. Every draw is a hash of a
-- number, so that a size is the same on every machine.
set timezone = 'UTC';

create or replace temp macro draw(number, salt) as (hash(number * 64 + salt) % 1000000) / 1e6;
create or replace temp macro uuid_of(kind, number) as
    md5(kind || number)::uuid::varchar;
-- 5 % of all are on one single market, the others on 9,000 combos, some of them far oftener than others.
create or replace temp macro place_of(number) as
    if(draw(number, 0) < 0.05, 0, 1 + floor(9000 * pow(draw(number, 1), 2))::bigint);
-- The newest come at a pace of 4 million a day. At every size there are the same few hundred of six days
-- ago, and a thousand of three hours ago; a hundredth of all was spread over the week before.
create or replace temp macro created_of(number, held, present) as
    present::timestamptz + to_microseconds(21600 * number::bigint) + case
        when number < 400 then interval '-6 days'
        when number < 1400 then interval '-11100 seconds'
        when number < held // 100
            then to_microseconds(
                (-604800000000 * (held // 100 - number) / (held // 100))::bigint - 21600 * held::bigint
            )
        else to_microseconds(-21600 * held::bigint)
    end;

create or replace temp table places as
with legs as (
    select
        place,
        list({
            'event_ticker': 'KXNCAAFGAME-26NOV' || (10 + event % 20) || 'EV' || event,
            'market_ticker': 'KXNCAAFGAME-26NOV' || (10 + event % 20) || 'EV' || event || '-T'
                || (event % 2),
            'side': if(draw(place * 40 + n, 3) < 0.8, 'yes', 'no')
        } order by n) as legs,
    from range(1, 9002) as t(place), range(12) as u(n),
        lateral (select hash(place * 40 + n) % 400 as event)
    where n < 2 + floor(10 * pow(draw(place, 2), 2))
    group by place
)
select
    place,
    'KXMVECROSSCATEGORY-S2026' || upper(left(md5('s' || place), 11)) || '-'
        || upper(left(md5('m' || place), 11)) as market_ticker,
    'KXMVECROSSCATEGORY-R' as mve_collection_ticker,
    to_json(legs) as mve_selected_legs,
    md5(market_ticker || chr(31) || mve_selected_legs) as leg_list,
from legs
union all
select 0, 'KXNFLGAME-26NOV26DALPHI-DAL', null, null, null;
insert into raw.leg_lists by name
select market_ticker, mve_selected_legs, leg_list, $load as load
from places anti join raw.leg_lists using (leg_list)
where leg_list is not null;

-- One in a thousand is our own, one in a hundred is quoted by us. Seven in ten were seen closed.
create or replace temp macro whose(number) as
    case
        when number < 400 then if(number % 10 = 0, 'own', 'quoted')
        when draw(number, 4) < 0.001 then 'own'
        when draw(number, 4) < 0.011 then 'quoted'
        else 'foreign'
    end;

create or replace temp table numbered as
select
    number,
    place_of(number) as place,
    whose(number) as whose,
    created_of(number, $held, $now) as created_ts,
    -- Half of all live for less than 7 seconds, and nobody's lives for more than 3 hours.
    to_microseconds(least(
        10800000000, 1000000 * (1 + 5 * draw(number, 6) / (1.0001 - draw(number, 6)))
    )::bigint) as lived,
    -- Of our own and those we quoted the end is always read.
    number not between 400 and 1399 and (draw(number, 5) < 0.7 or whose <> 'foreign')
        and created_ts + lived + interval 30 second <= $until as is_closed,
    -- The newest fifth came in a hundred small loads.
    case
        when number >= $held then $load
        else greatest(1, 101 - ($held - 1 - number) // greatest($held // 500, 1))
    end::bigint as load,
from range($first, $last) as t(number);

insert into raw.rfq_versions by name
select
    uuid_of('r', number) as id,
    if(whose = 'own', $viewer, if(draw(number, 7) < 0.12, '', sha256('c' || number % 500)))
        as creator_id,
    market_ticker,
    if(draw(number, 8) < 0.95, 0, 50) as contracts_fp,
    if(draw(number, 8) < 0.95, 10, null) as target_cost_dollars,
    if(version = 2, 'closed', 'open') as status,
    created_ts,
    mve_collection_ticker,
    leg_list,
    if(version = 2 and whose = 'own', created_ts + lived, null) as updated_ts,
    if(version = 2 and whose = 'own' and not is_won, created_ts + lived, null) as cancelled_ts,
    if(whose = 'own', 'me', null) as creator_user_id,
    md5('v' || number || version) as version_hash,
    if(version = 2, created_ts + lived + interval 30 second, least(created_ts + interval 3 second, $until))
        as observed_ts,
    'rfqs_market' as observed_pass,
    load,
from (select *, unnest(if(is_closed, [1, 2], [1])) as version, number % 50 = 7 as is_won from numbered)
inner join places using (place)
order by load, number, version;

-- Ten quotes on each of our own, of ten makers, one RFQ in fifty filled; one of ours where we quoted.
create or replace temp table quoted as
select
    *,
    number * 16 + nth as quote,
    whose = 'own' and is_closed and number % 50 = 7 and nth = 9 as is_won,
    created_ts + to_microseconds((200000 + 90000 * nth)::bigint) as quoted_ts,
from numbered, lateral (select unnest(range(if(whose = 'own', 10, 1))) as nth)
where whose <> 'foreign';

insert into raw.quote_versions by name
select
    uuid_of('q', quote) as id,
    uuid_of('r', number) as rfq_id,
    if(whose = 'own', sha256('maker' || nth), $viewer) as creator_id,
    if(whose = 'own', $viewer, '') as rfq_creator_id,
    market_ticker,
    0 as contracts_fp,
    0.3 + 0.01 * (hash(quote) % 20) as yes_bid_dollars,
    0.3 + 0.01 * (hash(quote + 1) % 20) as no_bid_dollars,
    10 as rfq_target_cost_dollars,
    case when version = 1 then 'open' when is_won then 'executed' else 'cancelled' end as status,
    if(version = 2 and is_won, 'no', null) as accepted_side,
    quoted_ts as created_ts,
    if(version = 2, ended_ts, quoted_ts) as updated_ts,
    if(version = 2 and is_won, quoted_ts + interval 2 second, null) as accepted_ts,
    if(version = 2 and is_won, quoted_ts + interval 3 second, null) as confirmed_ts,
    if(version = 2 and is_won, quoted_ts + interval 19 second, null) as executed_ts,
    if(version = 2 and not is_won, ended_ts, null) as cancelled_ts,
    if(whose = 'own', null, 'me') as creator_user_id,
    if(whose = 'own', 'me', null) as rfq_creator_user_id,
    md5('w' || quote || version) as version_hash,
    least(if(version = 2, ended_ts + interval 30 second, quoted_ts + interval 3 second), $until)
        as observed_ts,
    if(whose = 'own', 'quotes_received', 'quotes_made') as observed_pass,
    load,
from (
    select
        *,
        unnest(if(is_closed, [1, 2], [1])) as version,
        if(is_won, quoted_ts + interval 19 second, created_ts + lived) as ended_ts,
    from quoted
)
inner join places using (place)
order by load, quote, version;
