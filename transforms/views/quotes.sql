-- One row per quote known at the as-of time: its state as it stood then.
-- Every version that was read counts, whenever that was. A field that one of them hides never erases
-- what another showed, and one that was updated after the as-of time contributes nothing but the
-- timestamps that lie before it.
with viewers as (select $viewer_id as communications_id where $viewer_id is not null),

-- Older runs may have read with the keys of several accounts: figures are of one of them.
other_accounts as (select communications_id from raw.accounts where communications_id <> $viewer_id),

versions as (
    select
        *,
        coalesce(
            updated_ts, greatest(created_ts, accepted_ts, confirmed_ts, executed_ts, cancelled_ts)
        ) as changed_ts,
        list_position(
            ['open', 'accepted', 'confirmed', 'cancelled', 'executed'], status
        ) as status_rank,
        -- What an earlier run had read past: the exchange showed it late, or it was asked for again.
        coalesce(
            coalesce(updated_ts, greatest(accepted_ts, confirmed_ts, executed_ts, cancelled_ts))
            <= as_of_before,
            false
        ) as is_late,
        if(created_ts <= as_of_before, load, null) as late_load,
    from $versions
    left join raw.loads using (load)
    where created_ts <= $as_of
),

ranked as (
    select
        *,
        row_number() over (
            partition by id
            -- An end is final, whatever its time: the exchange's clock may be set back.
            order by changed_ts <= $as_of, coalesce(status in ('executed', 'cancelled'), false),
                changed_ts, status_rank nulls first, observed_ts, version_hash
        ) as recency,
    from versions
),

merged as (
    select
        id,
        arg_max(rfq_id, recency) as rfq_id,
        arg_max(market_ticker, recency) as market_ticker,
        arg_max(creator_id, recency) as maker_id,
        arg_max(rfq_creator_id, recency) filter (
            changed_ts <= $as_of and rfq_creator_id not in $hidden_ids
        ) as requester_id,
        -- Each side sees its own private fields alone: seeing one proves which side is ours.
        bool_or(
            concat(creator_user_id, creator_order_id) <> ''
            and not coalesce(creator_id in (select communications_id from other_accounts), false)
            or coalesce(creator_id in (select communications_id from viewers), false)
        ) as is_made_by_viewer,
        bool_or(
            concat(rfq_creator_user_id, rfq_creator_order_id) <> ''
            and not coalesce(rfq_creator_id in (select communications_id from other_accounts), false)
            or coalesce(rfq_creator_id in (select communications_id from viewers), false)
        ) or not exists (from viewers) as is_on_own_rfq,
        arg_max(contracts_fp, recency) as contracts,
        -- A bid of 0 declines that side: it is no price.
        arg_max(case when yes_bid_dollars > 0 then yes_bid_dollars end, recency)
            as yes_bid_dollars,
        arg_max(case when no_bid_dollars > 0 then no_bid_dollars end, recency)
            as no_bid_dollars,
        arg_max(yes_contracts_fp, recency) as yes_contracts,
        arg_max(no_contracts_fp, recency) as no_contracts,
        nullif(arg_max(rfq_target_cost_dollars, recency), 0) as target_cost_dollars,
        arg_max(target_cost_excludes_fees, recency) as target_cost_excludes_fees,
        arg_max(status, recency) as latest_status,
        arg_max(accepted_side, recency) as shown_accepted_side,
        arg_max(created_ts, recency) as created_ts,
        arg_max(updated_ts, recency) filter (updated_ts <= $as_of) as updated_ts,
        -- A status that came without its own timestamp is dated by its first update.
        coalesce(
            arg_max(accepted_ts, recency) filter (accepted_ts <= $as_of),
            min(updated_ts) filter (status = 'accepted' and updated_ts <= $as_of)
        ) as accepted_ts,
        coalesce(
            arg_max(confirmed_ts, recency) filter (confirmed_ts <= $as_of),
            min(updated_ts) filter (status = 'confirmed' and updated_ts <= $as_of)
        ) as confirmed_ts,
        coalesce(
            arg_max(executed_ts, recency) filter (executed_ts <= $as_of),
            min(updated_ts) filter (status = 'executed' and updated_ts <= $as_of)
        ) as executed_ts,
        coalesce(
            arg_max(cancelled_ts, recency) filter (cancelled_ts <= $as_of),
            min(updated_ts) filter (status = 'cancelled' and updated_ts <= $as_of)
        ) as cancelled_ts,
        -- What is dated later has not happened yet, and proves that the quote stood until then.
        coalesce(
            bool_or(
                coalesce(
                    greatest(accepted_ts, confirmed_ts, executed_ts, cancelled_ts),
                    case when status <> 'open' then updated_ts end
                ) > $as_of
            ), false
        ) as has_stage_after_as_of,
        arg_max(cancellation_reason, recency) as shown_cancellation_reason,
        bit_or(out_of_bounds) as out_of_bounds,
        bool_or(is_late) or coalesce(min(late_load) = min(load), false) as is_shown_late,
        min(observed_ts) as first_observed_ts,
        max(observed_ts) as last_observed_ts,
        -- What is given without a time of observation is taken as seen: it is never lost.
        max(observed_ts) filter ($is_open and observed_pass <> 'evaluation')
            as observed_open_ts,
        min(observed_ts) filter (status = 'executed' or executed_ts is not null)
            as first_executed_observed_ts,
    from ranked
    group by id
),

seen_again as (
    select
        id,
        max(last_seen_ts) as last_seen_ts,
        max(last_seen_open_ts) as last_seen_open_ts,
    from raw.last_seen
    where resource = 'quotes' and id in (select id $states)
    group by id
),

gone as (
    select
        id,
        max(gone_ts) as gone_ts,
        max(seen_again_ts) filter (seen_again_ts <= $as_of) as seen_again_ts,
    from raw.tombstones
    where resource = 'quotes' and gone_ts <= $as_of and id in (select id $states)
    group by id
)

select
    id as quote_id,
    rfq_id,
    market_ticker,
    maker_id,
    requester_id,
    is_made_by_viewer,
    is_on_own_rfq,
    contracts,
    yes_bid_dollars,
    no_bid_dollars,
    yes_contracts,
    no_contracts,
    target_cost_dollars,
    target_cost_excludes_fees,
    case
        when executed_ts is not null then 'executed'
        when cancelled_ts is not null then 'cancelled'
        when confirmed_ts is not null then 'confirmed'
        when accepted_ts is not null then 'accepted'
        when latest_status in ('accepted', 'confirmed', 'executed', 'cancelled') then 'open'
        else latest_status
    end as status,
    case when accepted_ts is not null then shown_accepted_side end as accepted_side,
    created_ts,
    updated_ts,
    accepted_ts,
    confirmed_ts,
    executed_ts,
    cancelled_ts,
    case when cancelled_ts is not null then shown_cancellation_reason end as cancellation_reason,
    has_stage_after_as_of,
    $out_of_bounds as out_of_bounds,
    is_shown_late,
    first_observed_ts,
    greatest(merged.last_observed_ts, seen_again_ts, last_seen_ts) as last_observed_ts,
    greatest(observed_open_ts, last_seen_open_ts) as last_seen_open_ts,
    first_executed_observed_ts,
    -- Whatever was seen after the exchange denied the id outdates the denial.
    case
        when
            gone_ts >= greatest(merged.last_observed_ts, last_seen_ts)
            and $is_gone
            then gone_ts
    end as gone_ts,
from merged
left join seen_again using (id)
left join gone using (id)
