-- What a reader needs to add up parts of the marts: the quantile of merged histograms and the
-- interval of a merged rate, and buckets in their order. The bins are those of `distribution.py`, the
-- interval Wilson's. In the SQL of DuckDB 1.5 as well, whose shell reads our files.

-- Linear between the two values the rank falls between, as DuckDB's quantile_cont.
--
-- Over lists alone: a subquery here would be a correlated one, which carries all of `histograms` along
-- with each of its bins, so that twice the parts took four times as long. The bin of a rank is found by
-- halving: the highest number with at most `around[1]` values at or below it is one less than that bin.
-- Bins are at most 2,207 away from 0, as a 64-bit number of millionths goes no further.
create or replace macro marts.histogram_quantile(histograms, q) as (
    list_transform([flatten(histograms)], lambda held:
        list_transform(
            -- A float, because a list of decimals rounds its members to the places of the first.
            [(q * (list_sum(list_transform(held, lambda h: h.n)) - 1))::double],
            lambda rank: list_sum(list_transform(
                [[floor(rank), 1 - (rank - floor(rank))], [ceil(rank), rank - floor(rank)]],
                lambda around: list_transform(
                    [1 + list_reduce(
                        [-4097, 4096, 2048, 1024, 512, 256, 128, 64, 32, 16, 8, 4, 2, 1],
                        lambda low, step: case
                            when coalesce(list_sum(list_transform(
                                list_filter(held, lambda h: h.bin <= low + step), lambda h: h.n
                            )), 0) <= around[1]
                            then low + step else low
                        end
                    )],
                    -- Not a second macro: a database that attaches this one would not find it.
                    lambda bin: around[2] * sign(bin) * 2 * pow(1.02, abs(bin) - 1) / 2.02 / 1e6
                )[1]
            ))
        )[1]
    )[1]
);

create or replace macro marts.wilson_low(successes, trials) as
    case when trials > 0 and successes = 0 then 0
        when trials > 0 and successes between 0 and trials then greatest(0, (
        successes / trials + 1.9207294103470627 / trials - 1.959963984540054 * sqrt(
            successes / trials * (1 - successes / trials) / trials
            + 0.9603647051735313 / (trials * trials)
        )) / (1 + 3.8414588206941254 / trials)) end;

create or replace macro marts.wilson_high(successes, trials) as
    case when trials > 0 and successes = trials then 1
        when trials > 0 and successes between 0 and trials then least(1, (
        successes / trials + 1.9207294103470627 / trials + 1.959963984540054 * sqrt(
            successes / trials * (1 - successes / trials) / trials
            + 0.9603647051735313 / (trials * trials)
        )) / (1 + 3.8414588206941254 / trials)) end;

-- The buckets of `my_quotes.py`, for latencies that no mart has put into one.
create or replace macro marts.latency_bucket(latency_s) as
    case
        when latency_s < 0.5 then 'under 0.5 s'
        when latency_s < 1 then '0.5-1 s'
        when latency_s < 2 then '1-2 s'
        when latency_s < 5 then '2-5 s'
        when latency_s < 30 then '5-30 s'
        when latency_s >= 30 then '30 s or more'
        else 'unknown'
    end;

create or replace macro marts.bucket_start(bucket) as
    case
        when bucket like 'under %' then 0
        else try_cast(regexp_extract(bucket, '[0-9.]+') as double)
    end;
