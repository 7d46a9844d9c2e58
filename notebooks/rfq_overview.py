import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="RFQ overview")

with app.setup:
    from pathlib import Path

    import altair as alt
    import duckdb
    import marimo as mo
    import polars as pl

    # Okabe-Ito: told apart by color-blind readers.
    BLUE, ORANGE, GREEN, BLACK = "#0072B2", "#E69F00", "#009E73", "#000000"


@app.cell(hide_code=True)
def _():
    mo.md("""
    # RFQ overview

    For a desk: fill rate, quote spread and response latency of its own RFQs.
    For a maker: how often it wins, by how fast it answered.
    For everybody: where RFQs died, and when they arrive.
    All as published; change the file with `--database PATH`.
    """)
    return


@app.cell
def _():
    database = Path(str(mo.cli_args().get("database") or "rfq.duckdb"))
    if not database.is_file():
        msg = (
            f"no published database at {database.resolve()}: run `rfq run`, or pass --database PATH"
        )
        raise FileNotFoundError(msg)
    return (database,)


@app.function
def ask(database: Path, query: str, **parameters: str) -> pl.DataFrame:
    """Answer *query* from the published file, which is open no longer than that."""
    with duckdb.connect(database, read_only=True) as warehouse:
        warehouse.execute("set timezone = 'UTC'")
        return warehouse.sql(query, params=parameters).pl()


@app.function
def titled(title: str, *lines: str) -> alt.TitleParams:
    """Title of a chart, over the lines that say what it covers."""
    return alt.TitleParams(
        title, subtitle=list(lines), anchor="start", offset=16, subtitleColor="#555555"
    )


@app.function
def chart_or_reason(chart: alt.TopLevelMixin, rows: pl.DataFrame, what: str) -> object:
    """Show the chart, or say that there is nothing to draw."""
    if rows.is_empty():
        return mo.md(f"**{what}: nothing to show.** The database holds no such rows yet.")
    return chart


@app.cell
def _(database):
    info = ask(database, "from marts.build_info").row(0, named=True)
    as_of = f"as of {info['as_of']:%Y-%m-%d %H:%M:%S} UTC"
    scope = "scope: own RFQs"
    maturity = f"M = {info['maturity_s']:g} s"
    return as_of, maturity, scope


@app.cell
def _(database):
    # Captured live where there is any: a backfill sees mostly the quotes that won.
    captures = ask(
        database,
        """
        select capture, sum(n_quotes)::bigint as n
        from marts.quote_spreads where visibility = 'own' and maker_id is not null
        group by capture order by list_position(['live', 'late', 'backfill'], capture)
        """,
    )
    capture = captures["capture"][0] if captures.height else "live"
    named = {
        "live": "quotes watched live",
        "late": "nothing was watched live: quotes read late",
        "backfill": "backfilled quotes: survivors only",
    }
    seen = named[capture]
    return capture, seen


@app.cell
def _(database):
    live_figures = ask(database, "from marts.live_figures")
    _lives = {
        "share_watched_5_20_s": "5-20 s",
        "share_watched_20_60_s": "20-60 s",
        "share_watched_60_600_s": "60-600 s",
        "share_watched_600_s": "longer",
    }
    _shares = live_figures.row(0, named=True)
    watched = "watched of own RFQs by lifetime: " + ", ".join(
        f"{life} -" if _shares[column] is None else f"{life} {_shares[column]:.0%}"
        for column, life in _lives.items()
    )
    return live_figures, watched


@app.function
def weighted(live_figures: pl.DataFrame, figure: str, name: str, form: str, unit: float) -> str:
    """The figure, and the same weighted to the lifetimes of all own RFQs of 5 s or more."""
    row = live_figures.row(by_predicate=pl.col("figure") == figure, named=True)
    value, to_all = (
        "-" if row[column] is None else format(row[column] * unit, form)
        for column in ("value", "weighted_value")
    )
    return f"{name} {value} · weighted to all lifetimes {to_all}"


@app.cell
def _(database):
    fill_rates = ask(
        database,
        """
        select
            n_legs,
            sum(fill_rate_matured_numerator)::bigint as n_filled,
            sum(fill_rate_matured_denominator)::bigint as n,
            sum(n_immature)::bigint as n_censored,
            n_filled / nullif(n, 0) as fill_rate,
            marts.wilson_low(n_filled, n) as low,
            marts.wilson_high(n_filled, n) as high,
            format('n={:,}', n) as label,
        from marts.fill_rates
        where visibility = 'own' and capture <> 'backfill'
        group by n_legs
        order by n_legs
        """,
    )
    return (fill_rates,)


@app.cell
def _(as_of, fill_rates, maturity, scope):
    _base = alt.Chart(fill_rates).encode(
        x=alt.X("n_legs:O", title="legs (1 = single market)", axis=alt.Axis(labelAngle=0))
    )
    _percent = alt.Y("low:Q", title="fill rate", scale=alt.Scale(domain=[0, 1])).axis(format="%")
    _interval = _base.mark_rule(color=BLUE, strokeWidth=2).encode(y=_percent, y2="high:Q")
    _rate = _base.mark_point(color=BLUE, size=70, opacity=1).encode(
        y="fill_rate:Q",
        fill=alt.when(alt.datum.n >= 30).then(alt.value(BLUE)).otherwise(alt.value("white")),
        tooltip=["n_legs", alt.Tooltip("fill_rate", format=".1%"), "n_filled", "n", "n_censored"],
    )
    _n = _base.mark_text(dy=-9, color="#555555").encode(y="high:Q", text="label:N")
    fill_rate_chart = (_interval + _rate + _n).properties(
        width=620,
        height=260,
        title=titled(
            "Fill rate of matured RFQs by legs, with 95 % Wilson interval",
            f"{as_of} · {scope} · filled within {maturity} of creation",
            f"n = {fill_rates['n'].sum():,.0f} RFQs ·"
            f" censored (too young to count): {fill_rates['n_censored'].sum():,.0f}"
            " · hollow: n < 30",
        ),
    )
    chart_or_reason(fill_rate_chart, fill_rates, "Fill rate")
    return


@app.cell
def _(capture, database):
    spreads = ask(
        database,
        """
        select
            n_legs,
            sum(n_spread)::bigint as n,
            sum(n_quotes)::bigint as n_quotes,
            100 * marts.histogram_quantile(list(quote_spread_histogram), 0.25) as p25_cents,
            100 * marts.histogram_quantile(list(quote_spread_histogram), 0.5) as p50_cents,
            100 * marts.histogram_quantile(list(quote_spread_histogram), 0.75) as p75_cents,
            format('n={:,}', n) as label,
        from marts.quote_spreads
        where visibility = 'own' and maker_id is not null and capture = $capture
        group by n_legs
        having n > 0
        order by n_legs
        """,
        capture=capture,
    )
    return (spreads,)


@app.cell
def _(as_of, live_figures, scope, seen, spreads, watched):
    _base = alt.Chart(spreads).encode(
        x=alt.X("n_legs:O", title="legs (1 = single market)", axis=alt.Axis(labelAngle=0))
    )
    _cents = alt.Y("p25_cents:Q", title="quote spread, cents per contract")
    _middle_half = _base.mark_bar(color=ORANGE, size=18).encode(y=_cents, y2="p75_cents:Q")
    _median = _base.mark_point(color=BLACK, filled=True, size=70, opacity=1).encode(
        y="p50_cents:Q", tooltip=["n_legs", alt.Tooltip("p50_cents", format=".2f"), "n", "n_quotes"]
    )
    _n = _base.mark_text(dy=-9, color="#555555").encode(y="p75_cents:Q", text="label:N")
    spread_chart = (_middle_half + _median + _n).properties(
        width=620,
        height=260,
        title=titled(
            "Quote spread by legs: median and middle half",
            f"{as_of} · {scope} · {seen} · each maker's last quote per RFQ",
            f"n = {spreads['n'].sum():,.0f} two-sided quotes of {spreads['n_quotes'].sum():,.0f},"
            " the rest one-sided or self-crossed · censored: 0 (known when quoted)",
            watched,
            weighted(live_figures, "mean_quote_spread_dollars", "mean in cents", ".2f", 100),
        ),
    )
    chart_or_reason(spread_chart, spreads, "Quote spread")
    return


@app.cell
def _(capture, database):
    latencies = ask(
        database,
        """
        unpivot (
            select
                if(n_legs = 1, 'singles', 'combos') as market,
                left(maker_id, 8) as maker,
                sum(n)::bigint as responses,
                list(latency_histogram) as parts,
                marts.histogram_quantile(parts, 0.5) as p50,
                if(responses >= 50, marts.histogram_quantile(parts, 0.9), null) as p90,
                if(responses >= 500, marts.histogram_quantile(parts, 0.99), null) as p99,
            from marts.response_latencies
            where visibility = 'own' and clock = 'response' and capture = $capture
            group by market, maker_id
            having responses > 0
        ) on p50, p90, p99 into name percentile value latency_s
        order by market, maker, percentile
        """,
        capture=capture,
    )
    unanswered = ask(
        database,
        """
        select
            coalesce(sum(n_censored), 0)::bigint as n_open,
            coalesce(sum(n_competing), 0)::bigint as n_closed,
        from marts.response_latencies
        where visibility = 'own' and clock = 'first_quote' and capture = $capture
        """,
        capture=capture,
    ).row(0, named=True)
    return latencies, unanswered


@app.cell
def _(as_of, latencies, live_figures, scope, seen, unanswered, watched):
    _domain = ["p50", "p90", "p99"]
    _colors = alt.Scale(domain=_domain, range=[BLUE, ORANGE, GREEN])
    _shapes = alt.Scale(domain=_domain, range=["circle", "square", "triangle-up"])
    _seconds = alt.X("latency_s:Q", scale=alt.Scale(type="log"), title="seconds, log scale")
    latency_chart = (
        alt.Chart(latencies)
        .mark_point(filled=True, size=80, opacity=1)
        .encode(
            x=_seconds,
            y=alt.Y("maker:N", title="maker"),
            color=alt.Color("percentile:N", scale=_colors, title=None),
            shape=alt.Shape("percentile:N", scale=_shapes, title=None),
            tooltip=["maker", "percentile", alt.Tooltip("latency_s", format=".3f"), "responses"],
        )
        .properties(width=560)
        .facet(row=alt.Row("market:N", title=None, sort=["singles", "combos"]))
        .resolve_scale(y="independent")
        .properties(
            title=titled(
                "Response latency by maker, of RFQs the maker answered",
                f"{as_of} · {scope} · {seen} · p90 from n = 50, p99 from n = 500, within 1 %",
                f"n = {latencies.filter(percentile='p50')['responses'].sum():,.0f} first quotes ·"
                f" RFQs nobody quoted: {unanswered['n_open']:,} still open (censored),"
                f" {unanswered['n_closed']:,} closed",
                watched,
                weighted(live_figures, "response_rate_5s", "answered within 5 s", ".1%", 1),
            )
        )
    )
    chart_or_reason(latency_chart, latencies, "Response latency")
    return


@app.cell
def _(database):
    hit_ratios = ask(
        database,
        """
        select
            cut.latency_bucket,
            sum(cut.n_won)::bigint as n_won,
            sum(cut.n_decided)::bigint as n,
            n_won / n as hit_ratio,
            marts.wilson_low(n_won, n) as low,
            marts.wilson_high(n_won, n) as high,
            format('n={:,}', n) as label,
        from (
            select unnest(hit_ratio_by_latency) as cut from marts.my_day where capture = 'live'
        )
        group by all
        """,
    )
    my_days = ask(
        database,
        """
        select
            coalesce(sum(n_rfq_seen), 0)::bigint as n_seen,
            coalesce(sum(n_rfq_quoted), 0)::bigint as n_quoted,
            coalesce(sum(n_rfq_quoted - n_rfq_decided), 0)::bigint as n_undecided,
        from marts.my_day where capture = 'live'
        """,
    ).row(0, named=True)
    return hit_ratios, my_days


@app.cell
def _(as_of, hit_ratios, my_days):
    _order = ["under 0.5 s", "0.5-1 s", "1-2 s", "2-5 s", "5-30 s", "30 s or more", "unknown"]
    _base = alt.Chart(hit_ratios).encode(
        x=alt.X("latency_bucket:N", title="own response latency", sort=_order).axis(labelAngle=0)
    )
    _percent = alt.Y("low:Q", title="hit ratio", scale=alt.Scale(domain=[0, 1])).axis(format="%")
    _interval = _base.mark_rule(color=BLUE, strokeWidth=2).encode(y=_percent, y2="high:Q")
    _ratio = _base.mark_point(color=BLUE, size=70, opacity=1).encode(
        y="hit_ratio:Q",
        fill=alt.when(alt.datum.n >= 30).then(alt.value(BLUE)).otherwise(alt.value("white")),
        tooltip=["latency_bucket", alt.Tooltip("hit_ratio", format=".1%"), "n_won", "n"],
    )
    _n = _base.mark_text(dy=-9, color="#555555").encode(y="high:Q", text="label:N")
    hit_ratio_chart = (_interval + _ratio + _n).properties(
        width=620,
        height=260,
        title=titled(
            "As a maker: hit ratio by own response latency, with 95 % Wilson interval",
            f"{as_of} · RFQs of others, watched live · a lost RFQ and one that never traded"
            " look alike",
            f"n = {hit_ratios['n'].sum():,.0f} decided of {my_days['n_quoted']:,} quoted,"
            f" of {my_days['n_seen']:,} seen · censored (not known to be over):"
            f" {my_days['n_undecided']:,} · hollow: n < 30",
        ),
    )
    chart_or_reason(hit_ratio_chart, hit_ratios, "Hit ratio as a maker")
    return


@app.cell
def _(database):
    outcomes = ask(
        database,
        """
        select role, bucket, sum(n_rfq)::bigint as n_rfq
        from marts.outcomes group by all order by role desc, n_rfq desc, bucket
        """,
    )
    return (outcomes,)


@app.cell
def _(as_of, outcomes):
    _bars = alt.Chart(outcomes).encode(
        x=alt.X("n_rfq:Q", title="RFQs"), y=alt.Y("bucket:N", title=None, sort="-x")
    )
    _n = _bars.mark_text(align="left", dx=4, color="#555555").encode(
        text=alt.Text("n_rfq:Q", format=",")
    )
    outcome_chart = (
        (_bars.mark_bar(color=BLUE) + _n)
        .properties(width=520)
        .facet(row=alt.Row("role:N", title=None, sort="descending"))
        .resolve_scale(y="independent", x="independent")
        .properties(
            title=titled(
                "Where RFQs died: each in the first bucket that holds",
                f"{as_of} · requester: own RFQs, maker: those of others · all captures",
                f"n = {outcomes['n_rfq'].sum():,.0f} RFQs · censored: open, and pending ones"
                " · unwatched: nobody was there to see",
            )
        )
    )
    chart_or_reason(outcome_chart, outcomes, "Where RFQs died")
    return


@app.cell
def _(database):
    arrivals = ask(
        database,
        """
        select weekday, hour, n_rfq, observed_minutes, rfqs_per_observed_minute
        from marts.activity where observed_minutes > 0 order by weekday, hour
        """,
    )
    return (arrivals,)


@app.cell
def _(arrivals, as_of):
    arrival_chart = (
        alt.Chart(arrivals)
        .mark_rect()
        .encode(
            x=alt.X("hour:O", title="hour of the day, New York").axis(labelAngle=0),
            y=alt.Y("weekday:O", title="weekday, 1 = Monday"),
            color=alt.Color("rfqs_per_observed_minute:Q", title="RFQs a minute").scale(
                scheme="viridis"
            ),
            tooltip=["weekday", "hour", "n_rfq", "observed_minutes"],
        )
        .properties(
            width=620,
            height=180,
            title=titled(
                "When RFQs arrive, everybody's",
                f"{as_of} · per minute that was observed · hours that nobody observed are blank",
                f"n = {arrivals['n_rfq'].sum():,.0f} RFQs in"
                f" {arrivals['observed_minutes'].sum() / 60:,.1f} hours · censored: 0",
            ),
        )
    )
    chart_or_reason(arrival_chart, arrivals, "Arrivals")
    return


if __name__ == "__main__":
    app.run()
