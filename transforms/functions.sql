-- What a reader needs to add up parts of the marts: the quantile of merged histograms and the
-- interval of a merged rate. The bins are those of `distribution.py`, the interval Wilson's.

-- Linear between the two values the rank falls between, as DuckDB's quantile_cont.
create or replace macro marts.histogram_quantile(histograms, q) as (
    with bins as (
        select h.bin as bin, sum(h.n) as n
        from (select unnest(flatten(histograms)) as h)
        group by 1
    ),
    ranked as (
        select bin, sum(n) over (order by bin) as up_to, q * (sum(n) over () - 1) as rank from bins
    ),
    around as (
        select
            min(bin) filter (up_to > floor(rank)) as below,
            min(bin) filter (up_to > ceil(rank)) as above,
            any_value(rank - floor(rank)) as part,
        from ranked
    )
    -- Not a second macro: it would not be found from a database that attaches this one.
    select list_sum(list_transform(
        [[below, 1 - part], [above, part]],
        lambda v: v[2] * sign(v[1]) * 2 * pow(1.02, abs(v[1]) - 1) / 2.02 / 1e6
    ))
    from around
);

create or replace macro marts.wilson_low(successes, trials) as
    case when trials > 0 and successes between 0 and trials then greatest(0, (
        successes / trials + 1.9207294103470627 / trials - 1.959963984540054 * sqrt(
            successes / trials * (1 - successes / trials) / trials
            + 0.9603647051735313 / (trials * trials)
        )) / (1 + 3.8414588206941254 / trials)) end;

create or replace macro marts.wilson_high(successes, trials) as
    case when trials > 0 and successes between 0 and trials then least(1, (
        successes / trials + 1.9207294103470627 / trials + 1.959963984540054 * sqrt(
            successes / trials * (1 - successes / trials) / trials
            + 0.9603647051735313 / (trials * trials)
        )) / (1 + 3.8414588206941254 / trials)) end;
