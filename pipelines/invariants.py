"""Rules that data must keep before it is published; each is a query that finds what breaks it."""

import duckdb

from pipelines.database import DataRefused

_BREAKERS = {
    "an RFQ has two current rows": (
        "select rfq_id from staging.rfqs group by rfq_id having count(*) > 1"
    ),
    "a quote has two current rows": (
        "select quote_id from staging.quotes group by quote_id having count(*) > 1"
    ),
    "a state of an RFQ is stored twice": (
        "select id from raw.rfq_versions group by id, version_hash having count(*) > 1"
    ),
    "a state of a quote is stored twice": (
        "select id from raw.quote_versions group by id, version_hash having count(*) > 1"
    ),
    "a fact mart lost or doubled rows": (
        "select 1 where (select count(*) from staging.rfqs)"
        " <> (select count(*) from marts.rfq_facts)"
        " or (select count(*) from staging.quotes) <> (select count(*) from marts.quote_facts)"
    ),
}


def demand_sound(connection: duckdb.DuckDBPyConnection) -> None:
    """Raise `DataRefused` naming each rule that the built data breaks, and how often."""
    counts = {
        rule: len(connection.execute(breakers).fetchall()) for rule, breakers in _BREAKERS.items()
    }
    broken = [f"{rule} ({count})" for rule, count in counts.items() if count]
    if broken:
        raise DataRefused(
            f"nothing was published: {'; '.join(broken)}. The last published file stays; "
            "please report this with the output of `rfq status`"
        )
