-- What people ask first, added up from the marts beside which these views stand. Views, because a sum of
-- parts needs no table of its own: they are right whenever the marts are.

-- One row per cohort_date and is_combo. Read live and late together: a backfill is mostly winners.
create or replace view marts.fill_rate_daily as
select
    cohort_date,
    n_legs <> 1 as is_combo,
    sum(n_rfq)::bigint as n_rfq,
    sum(n_immature)::bigint as n_immature,
    sum(n_censored)::bigint as n_censored,
    sum(fill_rate_matured_numerator)::bigint as fill_rate_matured_numerator,
    sum(fill_rate_matured_denominator)::bigint as fill_rate_matured_denominator,
    sum(fill_rate_matured_numerator) / nullif(sum(fill_rate_matured_denominator), 0)
        as fill_rate_matured,
    marts.wilson_low(sum(fill_rate_matured_numerator), sum(fill_rate_matured_denominator))
        as fill_rate_matured_low,
    marts.wilson_high(sum(fill_rate_matured_numerator), sum(fill_rate_matured_denominator))
        as fill_rate_matured_high,
from marts.fill_rates
where visibility = 'own' and capture <> 'backfill'
group by all
order by all;

-- One row per series_ticker and is_combo.
create or replace view marts.fill_rate_by_series as
select
    series_ticker,
    n_legs <> 1 as is_combo,
    sum(n_rfq)::bigint as n_rfq,
    sum(n_immature)::bigint as n_immature,
    sum(n_censored)::bigint as n_censored,
    sum(fill_rate_matured_numerator)::bigint as fill_rate_matured_numerator,
    sum(fill_rate_matured_denominator)::bigint as fill_rate_matured_denominator,
    sum(fill_rate_matured_numerator) / nullif(sum(fill_rate_matured_denominator), 0)
        as fill_rate_matured,
    marts.wilson_low(sum(fill_rate_matured_numerator), sum(fill_rate_matured_denominator))
        as fill_rate_matured_low,
    marts.wilson_high(sum(fill_rate_matured_numerator), sum(fill_rate_matured_denominator))
        as fill_rate_matured_high,
from marts.fill_rates
where visibility = 'own' and capture <> 'backfill'
group by all
order by n_rfq desc, series_ticker, is_combo;

-- One row per maker_id, visibility, is_combo, clock and capture. How fast a maker answers is of what was
-- watched; how fast it confirms and is executed is of every capture, since accepted quotes are kept.
create or replace view marts.latency_by_maker as
select
    maker_id,
    visibility,
    n_legs <> 1 as is_combo,
    clock,
    case when clock = 'response' then capture else 'every' end as capture,
    sum(n)::bigint as n,
    sum(n_competing)::bigint as n_competing,
    sum(n_censored)::bigint as n_censored,
    marts.histogram_quantile(list(latency_histogram), 0.5) as latency_p50_s,
    case when sum(n) >= 50 then marts.histogram_quantile(list(latency_histogram), 0.9) end
        as latency_p90_s,
    case when sum(n) >= 500 then marts.histogram_quantile(list(latency_histogram), 0.99) end
        as latency_p99_s,
from marts.response_latencies
where clock in ('response', 'confirm', 'execute')
group by maker_id, visibility, is_combo, clock, case when clock = 'response' then capture else 'every' end
order by maker_id, visibility, is_combo, clock, capture;
