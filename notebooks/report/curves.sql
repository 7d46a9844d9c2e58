-- Aalen and Johansen's incidence: filling and closing compete, what is open at as_of is censored.
-- The waits fall into 12 bins a decade from 0.1 s on; a point is exact at its bin's upper edge, but
-- for what is censored within the bin. What is over at a time that nobody knows is in no bin. The
-- band is that of marts.survival_curves: the delta method on the scale of log(-log). It and the curve
-- say little where is_thin, with fewer than 10 waiting besides those censored in the bin.
with waits as (
    select
        case when n_legs <> 1 then 'combos' else 'singles' end as kind,
        case when state = 'executed' then 'filled'
            when state = 'closed_unfilled' and end_cause <> 'lost' then 'closed' else 'open' end as fate,
        -- A fill's own time: an act on another quote may move the end of its RFQ.
        case state when 'executed' then time_to_fill_s
            when 'closed_unfilled' then epoch_us(end_ts - created_ts) / 1e6
            else epoch_us({as_of} - created_ts) / 1e6 end as wait_s,
    from asked where is_now and visibility = 'own' and {timely}
), bins as (
    select kind, greatest(0, ceil(12 * log10(greatest(0.1, wait_s))) + 12) as bin,
        count(*) as n_ended,
        count(*) filter (fate = 'filled') as n_filled,
        count(*) filter (fate = 'closed') as n_closed,
        count(*) filter (fate = 'open') as n_censored,
    from waits where wait_s is not null group by kind, bin
), risks as (
    select *, sum(n_ended) over (partition by kind order by bin desc) as n_risk,
        sum(n_ended) over (partition by kind) as n_start,
    from bins
), survivals as (
    select *, n_filled + n_closed as n_events, exp(sum(ln(greatest(
        1e-300, 1 - (n_filled + n_closed) / n_risk))) over so_far) as survival,
    from risks window so_far as (partition by kind order by bin)
), curves as (
    select *, sum(stayed * n_filled / n_risk) over (partition by kind order by bin) as incidence,
    from (select *, coalesce(lag(survival) over (partition by kind order by bin), 1) as stayed
        from survivals)
), terms as (
    select *, if(n_risk > n_events, n_events / (n_risk * (n_risk - n_events)), 0) as a,
        stayed * n_filled / pow(n_risk, 2) as b,
        pow(stayed, 2) * n_filled * (n_risk - n_filled) / pow(n_risk, 3) as c,
    from curves
), bands as (
    select *, 1.959963984540054 * sqrt(greatest(0, pow(incidence, 2) * sum(a) over so_far
        - 2 * incidence * sum(a * incidence) over so_far
        + sum(a * pow(incidence, 2)) over so_far + sum(c) over so_far
        - 2 * (incidence * sum(b) over so_far - sum(b * incidence) over so_far)))
        / (incidence * ln(greatest(1e-300, incidence))) as width,
    from terms window so_far as (partition by kind order by bin)
)
select kind, pow(10, (bin - 12) / 12) as time_s, n_risk::bigint as n_risk, n_filled, n_closed,
    n_censored, incidence,
    if(incidence > 0 and incidence < 1 - 1e-12, pow(incidence, exp(-width)), incidence) as low,
    if(incidence > 0 and incidence < 1 - 1e-12, pow(incidence, exp(width)), incidence) as high,
    n_start::bigint as n_start, n_risk - n_censored < 10 as is_thin
from bands order by kind, bin
