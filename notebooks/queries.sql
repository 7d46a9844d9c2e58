-- The thirty questions of this field, for `rfq sql --example NAME`. Each is a line with its name and
-- what it asks, then a query of at most six lines over the published tables. Days are UTC.

-- fill_rate_by_day: How many of my RFQs filled within M, by day?
select cohort_date, is_combo, n_rfq, n_immature, fill_rate_matured_denominator as n,
    fill_rate_matured, fill_rate_matured_low, fill_rate_matured_high
from marts.fill_rate_daily order by cohort_date, is_combo;

-- fill_rate_by_series: In which series do my RFQs fill?
select series_ticker, is_combo, n_rfq, fill_rate_matured_denominator as n,
    fill_rate_matured, fill_rate_matured_low, fill_rate_matured_high
from marts.fill_rate_by_series order by n_rfq desc, series_ticker, is_combo limit 50;

-- fill_rate_by_legs: How does the fill rate fall with the number of legs?
select n_legs, sum(fill_rate_matured_numerator) as n_filled,
    sum(fill_rate_matured_denominator) as n, n_filled / nullif(n, 0) as fill_rate_matured,
    marts.wilson_low(n_filled, n) as low, marts.wilson_high(n_filled, n) as high
from marts.fill_rates where visibility = 'own' and capture <> 'backfill'
group by n_legs order by n_legs;

-- fill_rate_by_size: Which sizes fill?
select size_bucket, sum(fill_rate_matured_numerator) as n_filled,
    sum(fill_rate_matured_denominator) as n, n_filled / nullif(n, 0) as fill_rate_matured,
    marts.wilson_low(n_filled, n) as low, marts.wilson_high(n_filled, n) as high
from marts.fill_rates where visibility = 'own' and capture <> 'backfill'
group by size_bucket order by size_bucket like '%cost', marts.bucket_start(size_bucket);

-- incidence_30s: What is the chance to be filled, or closed, within 30 s? (Of known times.)
select n_legs, count(*) as n, count(*) filter (time_to_fill_s <= 30) / n as filled,
    marts.wilson_low(filled * n, n) as low, marts.wilson_high(filled * n, n) as high,
    count(*) filter (end_cause = 'closed' and end_ts <= created_ts + to_seconds(30)) / n as closed
from marts.rfq_facts, marts.build_info where visibility = 'own' and capture <> 'backfill' and
    created_ts + to_seconds(30) <= as_of and (end_cause is null or time_to_fill_s >= 0
    or end_cause = 'closed' and end_ts >= created_ts) group by n_legs order by n_legs;

-- died_where: Where did RFQs die?
select role, bucket, sum(n_rfq) as n_rfq,
    sum(n_rfq) / sum(sum(n_rfq)) over (partition by role) as share
from marts.outcomes group by role, bucket order by role desc, n_rfq desc, bucket;

-- abandoned: How many of my RFQs were answered and never accepted, by how long they lived?
select capture, lifetime_bucket, sum(n_answered_ended) as n, sum(n_abandoned) as n_given_up,
    n_given_up / n as abandonment_rate,
    marts.wilson_low(n_given_up, n) as low, marts.wilson_high(n_given_up, n) as high
from marts.watched_by_day group by capture, lifetime_bucket having n > 0
order by capture, marts.bucket_start(lifetime_bucket) nulls last;

-- time_to_fill: How long until an RFQ of mine is executed?
select is_combo, count(time_to_fill_s) as n, median(time_to_fill_s) as p50_s,
    case when n >= 50 then quantile_cont(time_to_fill_s, 0.9) end as p90_s,
    case when n >= 500 then quantile_cont(time_to_fill_s, 0.99) end as p99_s
from marts.rfq_facts where visibility = 'own' group by is_combo order by is_combo;

-- spread_by_size: How wide are makers' last quotes, by size?
select size_bucket, n_legs <> 1 as is_combo, capture, sum(n_spread) as n,
    100 * marts.histogram_quantile(list(quote_spread_histogram), 0.5) as spread_p50_cents
from marts.quote_spreads where visibility = 'own' and maker_id is not null
group by size_bucket, is_combo, capture having n > 0
order by size_bucket like '%cost', marts.bucket_start(size_bucket), is_combo, capture;

-- spread_by_price: How wide are quotes near 0 and 100 cents, in cents and in log odds?
select visibility, capture, floor(5 * (yes_bid_dollars + yes_ask_dollars)) * 10 as mid_from_cents,
    count(*) as n, median(100 * quote_spread) as spread_p50_cents,
    median(logit_spread) as logit_spread_p50
from marts.quote_facts where is_effective and quote_spread is not null and not is_self_quote
group by all order by visibility, capture, mid_from_cents;

-- spread_by_makers: Is the best spread tighter with more makers? (More makers, and better RFQs.)
select n_live_makers, is_combo, capture, count(*) as n,
    median(100 * composite_spread) as composite_spread_p50_cents
from marts.rfq_facts where visibility = 'own' and composite_spread is not null
group by n_live_makers, is_combo, capture order by n_live_makers, is_combo, capture;

-- cover_by_day: How far was the next bid, and how often was there one?
select cohort_date, n_legs <> 1 as is_combo, capture, sum(n_executed) as n_executed,
    sum(n_covered) as n_covered, sum(cover_savings_dollars) as cover_savings_dollars,
    100 * marts.histogram_quantile(list(cover_distance_histogram), 0.5) as cover_distance_p50_cents
from marts.quote_spreads where visibility = 'own' and maker_id is null
group by cohort_date, is_combo, capture having n_executed > 0
order by cohort_date, is_combo, capture;

-- passed_over: Where did I not take the best bid?
select created_ts, rfq_id, market_ticker, capture, requester_side,
    100 * cover_distance as cover_distance_cents, executed_contracts, cover_savings_dollars
from marts.rfq_facts where visibility = 'own' and cover_distance < 0
order by cover_distance, rfq_id limit 50;

-- second_best_cost: What would the second best bid have cost me, by series?
select series_ticker, is_combo, capture, count(cover_savings_dollars) as n,
    sum(cover_savings_dollars) as cover_savings_dollars,
    median(100 * cover_distance) as cover_distance_p50_cents
from marts.rfq_facts where visibility = 'own' and state = 'executed'
group by all having n > 0 order by n desc, series_ticker, is_combo, capture;

-- worst_executions: Which executions cost most against the middle of the best bid and offer?
select created_ts, rfq_id, market_ticker, capture, requester_side, requester_price_dollars,
    executed_contracts, 100 * effective_spread as effective_spread_cents,
    effective_spread / 2 * executed_contracts as cost_to_mid_dollars
from marts.rfq_facts where visibility = 'own' and state = 'executed' and cost_to_mid_dollars >= 0
order by cost_to_mid_dollars desc, rfq_id limit 50;

-- hardest_legs: Which legs keep combos from filling? (Of 10 RFQs or more.)
select leg.market_ticker, leg.side, count(*) as n,
    count(*) filter (outcome_bucket = 'executed_in_time') as n_filled, n_filled / n as fill_rate
from marts.rfq_facts as rfq join staging.rfq_legs as leg using (rfq_id)
where rfq.visibility = 'own' and rfq.is_matured and rfq.capture <> 'backfill'
group by leg.market_ticker, leg.side having n >= 10
order by fill_rate, n desc, leg.market_ticker, leg.side limit 50;

-- latency_by_maker: How fast does each maker answer?
select maker_id, visibility, is_combo, capture, n, latency_p50_s, latency_p90_s, latency_p99_s
from marts.latency_by_maker where clock = 'response'
order by visibility, n desc, maker_id, is_combo, capture;

-- latency_fill_rate: Do RFQs fill that are answered sooner?
select capture, marts.latency_bucket(time_to_first_quote_s) as first_quote, count(*) as n,
    count(*) filter (outcome_bucket = 'executed_in_time') as n_filled, n_filled / n as fill_rate,
    marts.wilson_low(n_filled, n) as low, marts.wilson_high(n_filled, n) as high
from marts.rfq_facts where visibility = 'own' and is_matured
group by capture, first_quote order by capture, marts.bucket_start(first_quote) nulls last;

-- lapse_by_maker: Who accepts and does not confirm?
select maker_id, visibility, sum(n_accepts_matured) as n, sum(n_lapsed) as n_lapses,
    n_lapses / n as lapse_rate, marts.wilson_low(n_lapses, n) as low,
    marts.wilson_high(n_lapses, n) as high
from marts.makers group by maker_id, visibility having n > 0
order by visibility, n_lapses desc, n desc, maker_id;

-- hold_time: How long does each maker hold an accept before it confirms?
select maker_id, visibility, is_combo, n, n_competing as n_not_confirmed, n_censored as n_pending,
    latency_p50_s, latency_p90_s, latency_p99_s
from marts.latency_by_maker where clock = 'confirm' order by visibility, n desc, maker_id, is_combo;

-- maker_league: Who answers my RFQs, and who wins them?
select maker_id, capture, sum(n_rfq) as n_asked, sum(n_rfq_quoted) as n_quoted,
    n_quoted / nullif(n_asked, 0) as quoted_rate, sum(n_rfq_decided) as n_decided,
    sum(n_rfq_won) as n_won, n_won / nullif(n_decided, 0) as hit_ratio,
    marts.wilson_low(n_won, n_decided) as low, marts.wilson_high(n_won, n_decided) as high
from marts.maker_league group by maker_id, capture order by capture, n_won desc, maker_id;

-- concentration: On how few makers do I depend? (1 for one, 1 / k for k equal ones; hidden are one.)
select capture, sum(pow(n_quoted / nullif(quoted, 0), 2)) as hhi_rfqs_quoted, count(*)
    filter (n_quoted > 0) as n_makers, sum(pow(n_contracts / nullif(contracts, 0), 2)) as hhi_executed_contracts
from (select capture, sum(n_rfq_quoted) as n_quoted, sum(executed_contracts) as n_contracts,
    sum(n_quoted) over each as quoted, sum(n_contracts) over each as contracts
    from marts.makers where visibility = 'own' group by maker_id, capture
    window each as (partition by capture)) group by capture order by capture;

-- lost_quotes: Why did the other quotes on my executed RFQs lose, and by how much?
select reason, capture, count(*) as n_quotes, count(lost_by_cents) as n_priced,
    median(lost_by_cents) as lost_by_p50_cents
from marts.lost_quotes where is_effective
group by reason, capture order by capture, n_quotes desc, reason;

-- tightest_losses: Which quotes lost by the least?
select rfq_id, quote_id, maker_id, maker_id_won, bid_dollars, winning_bid_dollars, lost_by_cents
from marts.lost_quotes where reason = 'worse_price'
order by lost_by_cents, rfq_id, quote_id limit 50;

-- my_hit_ratio: Of what I quoted, how much did I win, by my own latency?
select capture, cut.latency_bucket as own_latency, sum(cut.n_decided) as n, sum(cut.n_won) as n_won,
    n_won / n as hit_ratio, marts.wilson_low(n_won, n) as low, marts.wilson_high(n_won, n) as high
from (select capture, unnest(hit_ratio_by_latency) as cut from marts.my_day)
group by capture, own_latency order by capture, marts.bucket_start(own_latency) nulls last;

-- my_unquoted: Which series did I see and not quote?
select series_ticker, is_combo, capture, count(*) as n_rfq_seen,
    count(*) filter (visibility = 'foreign') as n_rfq_unquoted, n_rfq_unquoted / n_rfq_seen as share
from marts.rfq_facts where visibility <> 'own'
group by series_ticker, is_combo, capture having n_rfq_unquoted > 0
order by n_rfq_unquoted desc, series_ticker, is_combo, capture limit 50;

-- my_lapses: Which accepts of my quotes did I let lapse?
select accepted_ts, rfq_id, quote_id, market_ticker, n_legs, accepted_side, accepted_bid_dollars
from marts.my_quotes where outcome = 'lapsed' order by accepted_ts, quote_id limit 50;

-- hour_of_week: When do RFQs arrive, by New York's clock, in the time that was read?
select weekday, hour, n_rfq, n_rfq_combo, observed_minutes, rfqs_per_observed_minute
from marts.activity order by weekday, hour;

-- day_is_whole: Is the record of each day whole?
select cohort_date, verdict, hours_observed, hours_elapsed, n_gaps, longest_gap_s, n_rfq,
    n_rfq_watched, n_rfq_own_or_quoted, open_rfqs_missed, open_rfqs_listed
from marts.trust order by cohort_date;

-- one_rfq: What happened on one RFQ? (Here the one with the most quotes: put in an id of yours.)
select created_ts, maker_id, version, yes_bid_dollars, yes_ask_dollars, outcome, end_cause, end_ts,
    accepted_ts, confirmed_ts, executed_ts
from marts.quote_facts where rfq_id = (
    select rfq_id from marts.quote_facts group by rfq_id order by count(*) desc, rfq_id limit 1
) order by created_ts, quote_id;
