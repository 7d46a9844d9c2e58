-- Aalen and Johansen's incidence: filling and closing compete, what is open at as_of is censored.
-- The waits fall into 12 bins a decade from 0.1 s on; a point is exact at its bin's upper edge, but
-- for what is censored within the bin. The band is Wilson's, of all that began.
with waits as (
    select
        case when n_legs <> 1 then 'combos' else 'singles' end as kind,
        case when state = 'executed' then 'filled'
            when state = 'closed_unfilled' and end_cause <> 'lost' then 'closed' else 'open' end as fate,
        -- A fill's own time: an act on another quote may move the end of its RFQ.
        greatest(0, ceil(12 * log10(greatest(0.1, coalesce(
            time_to_fill_s, epoch_us(coalesce(end_ts, {as_of}) - created_ts) / 1e6
        ))) + 12)) as bin,
    from asked where is_now and visibility = 'own' and {timely}
), bins as (
    select kind, bin, count(*) as n_ended,
        count(*) filter (fate = 'filled') as n_filled,
        count(*) filter (fate = 'closed') as n_closed,
        count(*) filter (fate = 'open') as n_censored,
    from waits group by kind, bin
), risks as (
    select *, sum(n_ended) over (partition by kind order by bin desc) as n_risk,
        sum(n_ended) over (partition by kind) as n_start,
    from bins
), survivals as (
    select *, 1 - (n_filled + n_closed) / n_risk as stays, exp(sum(ln(greatest(
        1e-300, 1 - (n_filled + n_closed) / n_risk))) over so_far) as survival,
    from risks window so_far as (partition by kind order by bin)
), curves as (
    select *, sum(coalesce(lag_survival, 1) * n_filled / n_risk) over (
        partition by kind order by bin) as incidence,
    from (select *, lag(survival) over (partition by kind order by bin) as lag_survival
        from survivals)
)
select kind, pow(10, (bin - 12) / 12) as time_s, n_risk::bigint as n_risk, n_filled, n_closed,
    n_censored, incidence, marts.wilson_low(incidence * n_start, n_start) as low,
    marts.wilson_high(incidence * n_start, n_start) as high, n_start::bigint as n_start
from curves order by kind, bin
