"""The raw tables, where a load writes and the staging views read. Imports nothing else of ours.

`raw.sql` alone names their columns and types.
"""

from transforms.raw.tables import LEGS, TIMESTAMP, create_raw_tables, raw_schema

__all__ = ["LEGS", "TIMESTAMP", "create_raw_tables", "raw_schema"]
