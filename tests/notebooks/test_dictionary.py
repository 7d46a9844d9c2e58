"""The dictionary holds every table and column that is published, with a meaning."""

from pathlib import Path

import duckdb

from tests.notebooks.written_pages import WrittenPage
from tests.running import Command
from transforms.catalogue import LOGS


def test_it_holds_every_published_table_and_column(
    rfq: Command, seed_one: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "dictionary.html"

    assert rfq("dictionary", "--output", output).code == 0

    page = WrittenPage(output.read_text())
    with duckdb.connect(seed_one["desk"], read_only=True) as connection:
        found = connection.execute(
            "select schema_name || '.' || table_name, column_name from duckdb_columns()"
            " where schema_name in ('staging', 'marts') or table_name in (select unnest($1))",
            [LOGS],
        ).fetchall()
    assert {table for table, _ in found if not table.startswith("main.")} <= page.ids
    assert {column for _, column in found} <= set(page.text)
    assert output.stat().st_size < 250_000
    assert {"One row per RFQ.", "seconds", "dollars", "count"} <= set(page.text)
    assert "marts.wilson_low" not in page.ids
    assert {"wilson_low", "bucket_start"} <= set(page.text)
