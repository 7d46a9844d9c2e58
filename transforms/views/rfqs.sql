-- One row per RFQ known at the as-of time: its state as it stood then.
-- Every version that was read counts, whenever that was. A field that one of them hides never erases
-- what another showed, and one that was updated after the as-of time contributes nothing but the
-- timestamps that lie before it.
with viewers as (select $viewer_id as communications_id where $viewer_id is not null),

-- Older runs may have read with the keys of several accounts: figures are of one of them.
other_accounts as (select communications_id from raw.accounts where communications_id <> $viewer_id),

versions as (
    select
        *,
        coalesce(updated_ts, cancelled_ts, created_ts) as changed_ts,
        -- A closing without a time counts from when it was first read.
        if(
            status = 'closed' and coalesce(updated_ts, cancelled_ts) is null,
            observed_ts, coalesce(updated_ts, cancelled_ts, created_ts)
        ) <= $as_of as is_known,
        -- What an earlier run had read past: the exchange showed it late, or it was asked for again.
        coalesce(coalesce(updated_ts, cancelled_ts) <= as_of_before, false) as is_late,
        if(created_ts <= as_of_before, load, null) as late_load,
        case when creator_id not in $hidden_ids then creator_id end as requester_id,
    from $versions
    left join raw.loads using (load)
    where created_ts <= $as_of
),

ranked as (
    select
        *,
        row_number() over (
            partition by id
            order by is_known, status is not distinct from 'closed', changed_ts, observed_ts,
                version_hash
        ) as recency,
    from versions
),

merged as (
    select
        id,
        arg_max(market_ticker, recency) as market_ticker,
        -- The least of rows in the order of arrival, with what that one showed at the end.
        min({
            'is_unknown': not is_known, 'observed_ts': observed_ts, 'changed_ts': changed_ts,
            'is_closed': status is not distinct from 'closed',
            'is_named': requester_id is not null, 'version_hash': version_hash,
            'requester_id': requester_id, 'status': status
        }) as earliest,
        earliest['requester_id'] as requester_id_first,
        coalesce(arg_max(requester_id, recency) filter (is_known), requester_id_first)
            as requester_id_last,
        -- Private fields are shown to the requester alone: seeing one proves that the RFQ is ours.
        -- Where nobody is named as the viewer, every RFQ is seen with its requester's eyes.
        bool_or(
            $is_shown_own
            and not coalesce(creator_id in (select communications_id from other_accounts), false)
            or coalesce(creator_id in (select communications_id from viewers), false)
        ) or not exists (from viewers) as is_own,
        -- What is given without a time of observation is taken as seen from its creation on.
        bool_or(observed_pass = 'evaluation') as is_taken_as_seen,
        earliest['status'] is not distinct from 'open' or is_taken_as_seen as is_first_seen_open,
        arg_max(contracts_fp, recency) as contracts,
        nullif(arg_max(target_cost_dollars, recency), 0) as target_cost_dollars,
        coalesce(arg_max(target_cost_excludes_fees, recency), false) as target_cost_excludes_fees,
        arg_max(rest_remainder, recency) as rest_remainder,
        arg_max(mve_collection_ticker, recency) as mve_collection_ticker,
        -- An empty list takes no legs away.
        arg_max(n_listed, recency) filter (n_listed > 0) as n_listed,
        arg_max(leg_list, recency) filter (n_listed > 0) as leg_list,
        arg_max(status, recency) as latest_status,
        arg_max(is_known, recency) as is_known,
        arg_max(created_ts, recency) as created_ts,
        arg_max(updated_ts, recency) filter (updated_ts <= $as_of) as updated_ts,
        arg_max(cancelled_ts, recency) filter (cancelled_ts <= $as_of) as cancelled_ts,
        arg_max(cancellation_reason, recency) filter (cancelled_ts <= $as_of)
            as cancellation_reason,
        bit_or(out_of_bounds) as out_of_bounds,
        bool_or(is_late) or coalesce(min(late_load) = min(load), false) as is_shown_late,
        min(observed_ts) as first_observed_ts,
        max(observed_ts) as last_observed_ts,
        max(observed_ts) filter ($is_open) as observed_open_ts,
        min(observed_ts) filter (status = 'closed' or cancelled_ts is not null)
            as first_closed_observed_ts,
    from ranked
    group by id
),

-- Far fewer than RFQs.
markets as (
    select
        market_ticker,
        split_part(market_ticker, '-', 1) as series_ticker,
        regexp_replace(market_ticker, '-[^-]*$', '') as event_ticker,
    from (select distinct market_ticker $states)
),

seen_again as (
    select
        id,
        max(last_seen_ts) as last_seen_ts,
        max(last_seen_open_ts) as last_seen_open_ts,
    from raw.last_seen
    where resource = 'rfqs' and id in (select id $states)
    group by id
),

gone as (
    select
        id,
        max(gone_ts) as gone_ts,
        max(seen_again_ts) filter (seen_again_ts <= $as_of) as seen_again_ts,
    from raw.tombstones
    where resource = 'rfqs' and gone_ts <= $as_of and id in (select id $states)
    group by id
)

select
    id as rfq_id,
    market_ticker,
    series_ticker,
    event_ticker,
    mve_collection_ticker,
    coalesce(mve_collection_ticker, '') <> '' or coalesce(n_listed, 0) > 0 as is_combo,
    -- A combo whose legs were never shown has 0: it is no single market either.
    case when is_combo then coalesce(n_listed, 0) else 1 end::bigint as n_legs,
    leg_list,
    requester_id_first,
    requester_id_last,
    is_own,
    is_first_seen_open,
    contracts,
    target_cost_dollars,
    target_cost_excludes_fees,
    rest_remainder,
    case
        when cancelled_ts is not null then 'closed'
        when latest_status = 'closed' and not is_known then 'open'
        else latest_status
    end as status,
    created_ts,
    updated_ts,
    cancelled_ts,
    cancellation_reason,
    $out_of_bounds as out_of_bounds,
    is_shown_late,
    first_observed_ts,
    greatest(merged.last_observed_ts, seen_again_ts, last_seen_ts) as last_observed_ts,
    case
        when not is_taken_as_seen then greatest(observed_open_ts, last_seen_open_ts)
        when cancelled_ts is null and latest_status <> 'closed' then $as_of
        else coalesce(cancelled_ts, updated_ts)
    end as last_seen_open_ts,
    first_closed_observed_ts,
    -- Whatever was seen after the exchange denied the id outdates the denial.
    case
        when
            gone_ts >= greatest(merged.last_observed_ts, last_seen_ts)
            and $is_gone
            then gone_ts
    end as gone_ts,
from merged
left join markets using (market_ticker)
left join seen_again using (id)
left join gone using (id)
