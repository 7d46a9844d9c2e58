-- The raw tables that the staging views read: the load makes them, and an in-memory
-- evaluation makes them from plain exchange objects. Versions are added and never changed; a purge
-- alone removes any.
create schema if not exists raw;

-- One row: what this file is, and whose rows it holds. A file is known by it and not by its name.
create table if not exists raw.stamp (
    kind varchar not null,  -- private: what runs write; published: what they publish from it
    database_id varchar not null,  -- shared by a private file and what is published from it
    layout bigint not null,  -- of the tables; a higher one was made by a later version
    exchange varchar,  -- NULL until an account was read
    account_fingerprint varchar,  -- a hash that tells accounts apart
    seal varchar  -- id of a published file, see raw.published_files; NULL in a private one
);

-- One row per load: a package of rows that dlt keeps whole or not at all. Numbers only grow, so they say
-- what was known when, whatever the clocks did. In the other tables 0 is a load that had no number yet.
create table if not exists raw.loads (
    load bigint not null,
    run_id varchar not null,
    is_whole boolean not null,  -- false while it lasts, and for ever where the run was killed
    -- Up to when all that happened was read before the run; NULL for the first with its account and
    -- scope, and for one that reads again what raw has lost.
    as_of_before timestamptz
);

-- One row per publication, in their order: what it was built of, and the moments that it shows.
create table if not exists raw.publications (
    load bigint not null,  -- the last one whose rows are in it
    as_of timestamptz not null,
    known_until timestamptz not null,
    maturity_s double,  -- M of its rates; NULL where it was not noted
    is_market_complete boolean  -- every RFQ listed up to as_of was read; NULL where it was not noted
);

-- One row per file that was made to be published, noted before it was put in place. A run goes on from the
-- published file only where that is one of these, as it was made.
create table if not exists raw.published_files (
    file_id varchar not null,  -- raw.stamp of the file has it as its seal
    file_bytes bigint not null,
    head_hash varchar not null,  -- SHA-256 of the first 12,288 bytes, which any change alters
    load bigint not null,  -- the last one whose rows are in it
    noted_ts timestamptz not null
);

-- One row per publication: where the time went since the run had published last, or had begun, by the
-- clock on the wall. The published file has those of the publications before.
create table if not exists raw.run_phases (
    run_id varchar not null,
    load bigint not null,  -- the last one whose rows were published
    ended_ts timestamptz not null,  -- by our own clock
    load_s double not null,
    copy_s double not null,  -- copying what was published last
    build_s double not null,
    check_s double not null,
    publish_s double not null,
    n_new_versions bigint not null,
    n_rejected bigint not null,
    published_bytes bigint not null,
    peak_bytes bigint not null  -- of memory
);

-- One row per kind of row that a run published without, because nobody holds it any more.
create table if not exists raw.accepted_losses (
    accepted_ts timestamptz not null,
    published_as_of timestamptz not null,  -- which published file had them
    lost varchar not null,  -- RFQs, quotes, closings or changes of quotes
    rows_lost bigint not null,
    load bigint default 0  -- the last one before
);

-- One row per list of legs that RFQs of a market were served with, which all of them share; a leg that is
-- settled makes another list. It is stored before any version that names it.
create table if not exists raw.leg_lists (
    leg_list varchar not null,  -- a hash of the market and of the list
    market_ticker varchar,
    mve_selected_legs json not null,
    load bigint not null  -- the one that met it first
);

-- One row per distinct observed state of an RFQ.
create table if not exists raw.rfq_versions (
    id varchar not null,
    creator_id varchar,
    market_ticker varchar,
    contracts_fp decimal(18, 2),
    target_cost_dollars decimal(18, 6),
    target_cost_excludes_fees boolean,
    status varchar,
    created_ts timestamptz not null,
    mve_collection_ticker varchar,
    leg_list varchar,  -- where its mve_selected_legs stand
    rest_remainder boolean,
    updated_ts timestamptz,
    cancelled_ts timestamptz,
    cancellation_reason varchar,
    creator_user_id varchar,
    creator_subaccount bigint,
    unknown_fields json,
    version_hash varchar not null,
    observed_ts timestamptz not null,
    observed_pass varchar not null,
    load bigint default 0
);

-- One row per distinct observed state of a quote.
create table if not exists raw.quote_versions (
    id varchar not null,
    rfq_id varchar not null,
    creator_id varchar,
    rfq_creator_id varchar,
    market_ticker varchar,
    contracts_fp decimal(18, 2),
    yes_bid_dollars decimal(18, 6),
    no_bid_dollars decimal(18, 6),
    yes_contracts_fp decimal(18, 2),
    no_contracts_fp decimal(18, 2),
    rfq_target_cost_dollars decimal(18, 6),
    target_cost_excludes_fees boolean,
    status varchar,
    accepted_side varchar,
    created_ts timestamptz not null,
    updated_ts timestamptz,
    accepted_ts timestamptz,
    confirmed_ts timestamptz,
    executed_ts timestamptz,
    cancelled_ts timestamptz,
    cancellation_reason varchar,
    rest_remainder boolean,
    post_only boolean,
    creator_user_id varchar,
    creator_order_id varchar,
    creator_subaccount bigint,
    rfq_creator_user_id varchar,
    rfq_creator_order_id varchar,
    rfq_creator_subaccount bigint,
    unknown_fields json,
    version_hash varchar not null,
    observed_ts timestamptz not null,
    observed_pass varchar not null,
    load bigint default 0
);

-- One row per complete and verified pass over one side's quotes that ended open: whoever quoted and was
-- there at `served_ts` has been read.
create table if not exists raw.passes (
    side varchar not null,  -- made or received
    served_ts timestamptz not null,  -- the exchange's clock on the first page of the sweep that verified it
    load bigint not null
);

-- One row per stretch of complete looks of a watch at one side's quotes, each of which is a pass as above.
-- It is noted once all that the looks have seen is in raw.
create table if not exists raw.look_stretches (
    side varchar not null,  -- made or received
    first_served_ts timestamptz not null,
    last_served_ts timestamptz not null,
    n_looks bigint not null,
    -- Between two of them; where the same watch looked in the minute before, since then as well.
    longest_pause_s double not null,
    after_ms integer[] not null,  -- when each was served, in milliseconds after the first
    load bigint not null  -- the last one before
);

-- One row per complete sweep of the market's open RFQs: one created before it and not shown was over.
create table if not exists raw.open_sweeps (
    served_ts timestamptz not null,  -- the exchange's clock on its first page
    load bigint not null
);

-- One row per id that a pass showed again, unchanged and not over: a version is stored once, with its
-- first sight. So the last sight of an id is the latest of these and of its versions' `observed_ts`.
create table if not exists raw.last_seen (
    resource varchar not null,  -- rfqs or quotes
    id varchar not null,
    last_seen_ts timestamptz not null,
    last_seen_open_ts timestamptz,  -- with status open; NULL where it was accepted or confirmed by then
    load bigint not null
);

-- One row per id that the exchange answered with "not found" in two runs. A later version of the id outdates it.
create table if not exists raw.tombstones (
    resource varchar not null,  -- rfqs or quotes
    id varchar not null,
    first_missing_ts timestamptz not null,
    gone_ts timestamptz not null,
    seen_again_ts timestamptz,  -- in a second row, once the exchange knows the id again
    load bigint default 0
);

-- One row per comparison of the market-wide list of open RFQs with what was held of it.
create table if not exists raw.coverage (
    run_id varchar not null,
    checked_ts timestamptz not null,
    pages bigint not null,
    is_complete boolean not null,  -- whether the list was read to its end
    open_rfqs_listed bigint not null,  -- old enough to have been read by an earlier run
    open_rfqs_missed bigint not null,  -- of these, never read before
    load bigint default 0
);

-- One row per account that a run was made with.
create table if not exists raw.accounts (
    communications_id varchar not null,
    observed_ts timestamptz not null
);

-- One row per content of a row that could not be read, or that holds a value out of bounds, without
-- its private fields; a second one where it is to be read again by id only later.
create table if not exists raw.rejected_rows (
    resource varchar not null,
    reason varchar not null,
    row_hash varchar not null,
    redacted_row json,  -- its ids, size and hash where it is large; NULL where a pass had too many
    observed_ts timestamptz not null,
    run_id varchar not null,
    id varchar,  -- UUIDs by which it can be asked for again
    rfq_id varchar,
    is_read_again boolean  -- a watermark has passed it, so it is read by id: now, in the next three runs, then daily
);

-- One row per run and pass over a list: what was asked, what came, how far the watermark moved.
create table if not exists raw.extraction_runs (
    run_id varchar not null,
    -- rfqs_market: the market's list; rfqs_self: our own RFQs, in scope market once a day; rfqs_open: the market's open RFQs,
    -- once a day, for raw.coverage; quotes_made, quotes_received: quotes updated since the last run;
    -- backfill_made, backfill_received: those of a span asked for; rfqs_by_id, quotes_by_id: one by one.
    pass varchar not null,
    origin varchar not null,
    started_ts timestamptz not null,  -- the exchange's clock, like every time here
    ended_ts timestamptz not null,
    window_min_ts timestamptz,
    window_max_ts timestamptz,
    pages bigint not null,
    rows_seen bigint not null,
    new_versions bigint not null,
    rejected_rows bigint not null,
    sweeps bigint not null,
    is_verified boolean not null,
    is_order_held boolean,
    watermark_before_ts timestamptz,
    watermark_after_ts timestamptz,
    gap_s double,  -- from the watermark before to the start of this pass
    clock_skew_s double,  -- the exchange's clock minus ours
    -- A watermark belongs to an origin, an account, a scope and a pass. Both are NULL in old rows.
    account_fingerprint varchar,  -- a hash that tells accounts apart
    scope varchar,  -- market or self: whose RFQs the run read
    -- RFQs closed and quotes cancelled before this were gone when the pass asked for all that changed
    -- since watermark_before_ts (NULL: ever); NULL where none of them could be gone.
    forgotten_before_ts timestamptz,
    -- The run took no account of what earlier ones had read, because raw had lost rows of it.
    began_anew boolean,
    -- Quotes that were created before window_min_ts: if the exchange filters by creation, there are none.
    rows_created_before_window bigint,
    load bigint default 0
);

-- For a database that was made before a run noted these.
alter table raw.extraction_runs add column if not exists account_fingerprint varchar;
alter table raw.extraction_runs add column if not exists scope varchar;
alter table raw.extraction_runs add column if not exists forgotten_before_ts timestamptz;
alter table raw.extraction_runs add column if not exists began_anew boolean;
alter table raw.extraction_runs add column if not exists rows_created_before_window bigint;
alter table raw.rejected_rows add column if not exists id varchar;
alter table raw.rejected_rows add column if not exists rfq_id varchar;
alter table raw.rejected_rows add column if not exists is_read_again boolean;
alter table raw.publications add column if not exists maturity_s double;
alter table raw.publications add column if not exists is_market_complete boolean;
alter table raw.accepted_losses add column if not exists load bigint default 0;
alter table raw.rfq_versions add column if not exists load bigint default 0;
alter table raw.quote_versions add column if not exists load bigint default 0;
alter table raw.tombstones add column if not exists load bigint default 0;
alter table raw.coverage add column if not exists load bigint default 0;
alter table raw.extraction_runs add column if not exists load bigint default 0;

-- dlt stores the tables of a load one by one. A killed load may have stored that all was read, and not
-- all that it read.
delete from raw.passes where load in (select load from raw.loads where not is_whole);
delete from raw.open_sweeps where load in (select load from raw.loads where not is_whole);
